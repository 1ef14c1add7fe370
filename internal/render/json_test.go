package render

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/rendertest"
)

// Clients can depend on each byte of an answer, so that the JSON is the one of encoding/json.
func TestEncodeJSON(t *testing.T) {
	l := rendertest.Sample()
	type nested struct {
		Counts countsData `json:"counts"`
		Any    any        `json:"any,omitempty"`
		At     time.Time  `json:"at,omitzero"`
		Raw    json.RawMessage
		List   []string
		Map    map[string]int
		Empty  map[string]int `json:"empty,omitempty"`
		False  bool           `json:"false,omitempty"`
		None   *int           `json:"none,omitempty"`
	}
	for _, v := range []any{
		nil, "", "<&>\"'\\/\b\f\n\r\t\x00\x1f\x7f\u2028\u2029é🙂", []int{}, []int(nil), map[string]int(nil), map[string]any{"b": 1.5, "a": 1e21, "": nil},
		nested{}, nested{Counts: newCounts(scan.Counts{scan.High: 2, "ODD": 1}), Any: []any{nested{}, &nested{}}, At: rendertest.Scanned, Raw: json.RawMessage(` {"a" : [ ] }`)},
		NewFindingData(l, l.Entries[0], 1000), []FindingData{NewFindingData(l, l.Entries[2], 16)}, strings.Repeat("long ", 100_000),
	} {
		for _, indent := range []bool{true, false} {
			var want bytes.Buffer
			e := json.NewEncoder(&want)
			e.SetEscapeHTML(false)
			if indent {
				e.SetIndent("", "  ")
			}
			if err := e.Encode(v); err != nil {
				t.Fatal(err)
			}
			if got, err := EncodeJSON(v, indent); err != nil || !bytes.Equal(got, want.Bytes()) {
				t.Errorf("%.300s, want %.300s: %v", got, &want, err)
			}
		}
	}
	if got, err := EncodeJSON("a\xffb", false); err != nil || string(got) != "\"a\ufffdb\"\n" {
		t.Errorf("%s %v", got, err)
	}
	for _, v := range []any{func() {}, map[string]any{"a": make(chan int)}} {
		if got, err := EncodeJSON(v, true); err == nil {
			t.Errorf("%s", got)
		}
	}
}
