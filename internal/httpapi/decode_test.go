package httpapi

import (
	"encoding/json"
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
			p := problemOf(err)
			if p.Status != 400 || p.Detail == "" || len(p.Errors) == 0 || len(p.Errors) > maxErrors+1 {
				t.Errorf("problem %+v", p)
			}
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
