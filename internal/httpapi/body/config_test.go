package body

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecr-continuous-scan/internal/scan"
)

// For any body, an accepted config is valid, and has the same values as encoding/json reads.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"region":"us-west-2","registry":"123456789012","repository":"test/ubuntu","tags":["16.04"]}`))
	f.Add([]byte(`{"region":"us-west-2","region":"x","registry":12,"tags":[null,{}],"a~/b":1}`))
	f.Add([]byte(`{"region":"us-west-2","registry":"123456789012","repository":"test/ubuntu","tags":[]}`))
	f.Add([]byte(`{"region":"us-west-2","registry":"123456789012","repository":"test/ubuntu","tags":["v*"],"newest":5,"used":"30d","untagged":true,"exclude":[]}`))
	f.Add([]byte(`{"newest":"5","used":30,"untagged":null,"exclude":"x"}`))
	f.Add([]byte(`[]`))
	f.Add([]byte("{\"\xff\":0"))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := parseConfig(body)
		if err != nil {
			checkError(t, err)
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("accepted an invalid config: %v", err)
		}
		var plain scan.Config
		if err := json.Unmarshal(body, &plain); err != nil {
			t.Fatalf("accepted a body that encoding/json rejects: %v", err)
		}
		// An empty list of tags is equal to none, because both mean all tags.
		if diff := cmp.Diff(plain, c, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-encoding/json +parseConfig):\n%s", diff)
		}
	})
}

// checkError checks that an error says what is wrong with a body.
func checkError(t *testing.T, err error) {
	t.Helper()
	if e, ok := errors.AsType[*Error](err); ok && e.Status == 400 && e.Detail != "" && e.Rule != "" {
		return
	}
	e, ok := errors.AsType[*scan.Error](err)
	if !ok || e.Code != scan.Invalid || e.Message == "" || len(e.Fields) == 0 || len(e.Fields) > scan.MaxFields+1 {
		t.Errorf("%#v", err)
	}
}
