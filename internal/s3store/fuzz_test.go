package s3store

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecr-continuous-scan/internal/history"
)

// Any object is either rejected or decodes to a record that is unchanged after it is written and read again.
func FuzzStoredRecord(f *testing.F) {
	f.Add(Format, []byte(`{"images":[{"t":"latest","p":"linux/arm64","d":"sha256:a","n":[0,1],"no":{"ODD":1},"c":5,"h":"x","hc":4,"he":true}],"listed":16,"taken":[{"from":1}]}`))
	f.Add(Format, []byte(`{"images":[{"t":"a"},{"t":"a"}],"images":null} {}`))
	f.Add(Format+1, []byte(`{}`))
	f.Fuzz(func(t *testing.T, format int, text []byte) {
		var stored bytes.Buffer
		zip := gzip.NewWriter(&stored)
		_, _ = fmt.Fprintf(zip, "%s%d\n%s", magic, format, text) // to memory
		_ = zip.Close()
		var read storedRecord
		if err := unpack(stored.Bytes(), &read); err != nil {
			if !errors.Is(err, errBroken) && !errors.Is(err, errNewer) {
				t.Errorf("unexpected error: %v", err)
			}
			return
		}
		record := read.record(object{})
		body, err := new(RecordWriter).pack(newStoredRecord(record))
		if err != nil {
			t.Fatalf("%+v can't be written: %v", record, err)
		}
		var again storedRecord
		if err := unpack(body, &again); err != nil {
			t.Fatalf("%+v can't be read again: %v", record, err)
		}
		if diff := cmp.Diff(record, again.record(object{}), cmpopts.IgnoreUnexported(history.Record{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-first +again):\n%s", diff)
		}
	})
}
