package httpapi

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecr-continuous-scan/internal/scan"
)

// Whatever comes in, a config that is let through keeps the rules, and is what encoding/json read of the body.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"region":"us-west-2","registry":"123456789012","repository":"test/ubuntu","tags":["16.04"]}`))
	f.Add([]byte(`{"region":"us-west-2","region":"x","registry":12,"tags":[null,{}],"a~/b":1}`))
	f.Add([]byte(`{"region":"us-west-2","registry":"123456789012","repository":"test/ubuntu","tags":[]}`))
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
			t.Errorf("let through: %v", err)
		}
		var plain scan.Config
		if err := json.Unmarshal(body, &plain); err != nil {
			t.Fatalf("let through what encoding/json refuses: %v", err)
		}
		// An empty list of tags is no list: both stand for all tags.
		if diff := cmp.Diff(plain, c, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("read otherwise than encoding/json (-it +we):\n%s", diff)
		}
	})
}
