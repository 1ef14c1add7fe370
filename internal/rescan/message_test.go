package rescan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/rescan"
)

const (
	oneID   = "019aa000-0000-7000-8000-000000000001"
	otherID = "019aa000-0000-7000-8000-000000000002"
)

func TestParseMessage(t *testing.T) {
	const start = `{"registry":"123456789012","region":"us-west-2","repository":"test/ubuntu"`
	whole := rescan.Message{Registry: "123456789012", Region: "us-west-2", Repository: "test/ubuntu"}
	withConfigs, last := whole, whole
	withConfigs.Configs, withConfigs.Continues = []string{oneID, otherID}, 3
	last.Configs, last.Continues = []string{}, rescan.MaxContinuations
	isNew := whole
	isNew.Created = 1795904693
	tests := []struct {
		name, body string
		want       rescan.Message
		err        string // a part of the error
	}{
		{"only a repository", start + `}`, whole, ""},
		{"with configs", start + `,"configs":["` + oneID + `","` + otherID + `"],"continues":3}`, withConfigs, ""},
		{"the last continuation", start + `,"configs":[],"continues":100}`, last, ""},
		{"a new repository", start + `,"created":1795904693}`, isNew, ""},
		{"a schedule", `{"schedule":"` + oneID + `"}`, rescan.Message{Schedule: oneID}, ""},
		{"a schedule with empty fields", `{"schedule":"` + oneID + `","registry":"","region":"","repository":"","configs":[]}`, rescan.Message{Schedule: oneID, Configs: []string{}}, ""},
		{"a field of a later version", start + `,"later":1}`, whole, ""},

		{"nothing", ``, rescan.Message{}, "JSON"},
		{"invalid JSON", `{`, rescan.Message{}, "JSON"},
		{"two objects", start + `}{}`, rescan.Message{}, "after top-level value"},
		{"another type", `[]`, rescan.Message{}, "array"},
		{"null", `null`, rescan.Message{}, "registry must be"},
		{"no repository", `{}`, rescan.Message{}, "repository must be"},
		{"a registry that is not an account", strings.Replace(start, "123456789012", "12345", 1) + `}`, rescan.Message{}, "registry must be"},
		{"a Region that is a host", strings.Replace(start, "us-west-2", "us-west-2.example.com/", 1) + `}`, rescan.Message{}, "region must be"},
		{"a repository that is a path", strings.Replace(start, "test/ubuntu", "../x", 1) + `}`, rescan.Message{}, "repository must be"},
		{"a pattern", strings.Replace(start, "test/ubuntu", "test/*", 1) + `}`, rescan.Message{}, "must not be a pattern"},
		{"created before 1970", start + `,"created":-1}`, rescan.Message{}, "created must not be negative"},
		{"created as a string", start + `,"created":"1795904693"}`, rescan.Message{}, "string"},
		{"a schedule of a path", `{"schedule":"../` + oneID + `"}`, rescan.Message{}, "schedule must be a scan ID"},
		{"a schedule and a repository", start + `,"schedule":"` + oneID + `"}`, rescan.Message{}, "no other field"},
		{"a schedule and configs", `{"schedule":"` + oneID + `","configs":["` + oneID + `"]}`, rescan.Message{}, "no other field"},
		{"an id that is a path", start + `,"configs":["` + oneID + `","../` + oneID + `"]}`, rescan.Message{}, "configs/1 must be a scan ID"},
		{"an id in upper case", start + `,"configs":["` + strings.ToUpper(strings.Replace(oneID, "aa", "ab", 1)) + `"]}`, rescan.Message{}, "configs/0"},
		{"an id of another type", start + `,"configs":[1]}`, rescan.Message{}, "number"},
		{"continues below 0", start + `,"continues":-1}`, rescan.Message{}, "continues must be 0 to 100"},
		{"continues above the maximum", start + `,"continues":101}`, rescan.Message{}, "continues must be 0 to 100"},

		{"an earlier version", `{"config":"` + oneID + `","chain":"` + otherID + `","hop":0,"total":{}}`, rescan.Message{}, "earlier version"},
		{"both forms", start + `,"chain":null}`, rescan.Message{}, "earlier version"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := rescan.ParseMessage([]byte(test.body))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %v, want one with %q", err, test.err)
			}
		})
	}
}

func TestGroup(t *testing.T) {
	m := rescan.Message{Registry: "123456789012", Region: "us-west-2", Repository: "test/ubuntu"}
	const want = "fd9ad5978fc32ee231b1ecb94f68756cae00e55876ca8fe839454f6732737fc8"
	if got := m.Group(); got != want {
		t.Errorf("%s, want %s: it must not change between versions", got, want)
	}
	same := m
	same.Configs, same.Continues = []string{oneID}, 5
	if same.Group() != want {
		t.Error("the group depends on more than the repository")
	}
	schedule := rescan.Message{Schedule: oneID}
	groups := map[string]rescan.Message{schedule.Group(): schedule}
	for _, other := range []rescan.Message{
		{Registry: "a", Region: "b", Repository: "c"}, {Registry: "ab", Region: "", Repository: "c"}, {Registry: "a", Region: "bc"},
		{Schedule: otherID}, {}, {Registry: "schedule " + oneID},
		{Registry: `a" "b`, Repository: "c"}, {Registry: "a", Region: `b" "c`}, {Registry: "a", Region: "c", Repository: "b"},
	} {
		if twin, ok := groups[other.Group()]; ok {
			t.Errorf("%+v and %+v have the same group", twin, other)
		}
		groups[other.Group()] = other
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add([]byte(`{"registry":"123456789012","region":"us-west-2","repository":"test/ubuntu","configs":["` + oneID + `"],"continues":7}`))
	f.Add([]byte(`{"registry":"123456789012","region":"us-west-2","repository":"a0","configs":null}`))
	f.Add([]byte(`{"config":"` + oneID + `","chain":"` + otherID + `"}`))
	f.Add([]byte(`{"schedule":"` + oneID + `"}`))
	f.Add([]byte(`{"registry":"123456789012","region":"us-west-2","repository":"a*","created":1}`))
	f.Add([]byte(`{"REGISTRY":"123456789012","region":"us-west-2","repository":"../a"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := rescan.ParseMessage(body)
		if err != nil {
			if diff := cmp.Diff(rescan.Message{}, m); diff != "" {
				t.Errorf("an error with a message:\n%s", diff)
			}
			return
		}
		if strings.ContainsAny(m.Registry+m.Region+m.Repository, " \n\\?#%:@\"*") || strings.Contains(m.Repository, "..") {
			t.Errorf("%+v is invalid for AWS but has no error", m)
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := rescan.ParseMessage(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("after writing and reading (-want +got):\n%s", diff)
		}
	})
}
