package scan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestValidate(t *testing.T) {
	good := Config{Region: "us-west-2", Registry: "123456789012", Repository: "test/ubuntu"}
	with := func(change func(*Config)) Config {
		c := good
		change(&c)
		return c
	}
	manyTags := make([]string, MaxTags+1)
	for i := range manyTags {
		manyTags[i] = fmt.Sprint("t", i)
	}
	for name, test := range map[string]struct {
		config Config
		wrong  []string
	}{
		"good":                    {good, nil},
		"empty":                   {Config{}, []string{"/region", "/registry", "/repository"}},
		"region is a host":        {with(func(c *Config) { c.Region = "evil.example/#" }), []string{"/region"}},
		"region with port":        {with(func(c *Config) { c.Region = "us-west-2:80" }), []string{"/region"}},
		"region with line break":  {with(func(c *Config) { c.Region = "us-west-2\n" }), []string{"/region"}},
		"region of four words":    {with(func(c *Config) { c.Region = "us-gov-west-1" }), nil},
		"region too long":         {with(func(c *Config) { c.Region = "us-" + strings.Repeat("a", 30) + "-1" }), []string{"/region"}},
		"registry of 11 digits":   {with(func(c *Config) { c.Registry = "12345678901" }), []string{"/registry"}},
		"registry, other digits":  {with(func(c *Config) { c.Registry = "١٢٣٤٥٦٧٨٩٠١٢" }), []string{"/registry"}},
		"repository in upper":     {with(func(c *Config) { c.Repository = "Test/ubuntu" }), []string{"/repository"}},
		"repository of one":       {with(func(c *Config) { c.Repository = "a" }), []string{"/repository"}},
		"repository of 256":       {with(func(c *Config) { c.Repository = strings.Repeat("a", 256) }), nil},
		"repository of 257":       {with(func(c *Config) { c.Repository = strings.Repeat("a", 257) }), []string{"/repository"}},
		"repository ends in /":    {with(func(c *Config) { c.Repository = "test/" }), []string{"/repository"}},
		"repository goes up":      {with(func(c *Config) { c.Repository = "test/../x" }), []string{"/repository"}},
		"tags":                    {with(func(c *Config) { c.Tags = []string{"16.04", "latest", "_a-B.1"} }), nil},
		"tag empty":               {with(func(c *Config) { c.Tags = []string{"a", ""} }), []string{"/tags/1"}},
		"tag of 128":              {with(func(c *Config) { c.Tags = []string{strings.Repeat("x", 128)} }), nil},
		"tag of 129":              {with(func(c *Config) { c.Tags = []string{strings.Repeat("x", 129)} }), []string{"/tags/0"}},
		"tag begins with a dot":   {with(func(c *Config) { c.Tags = []string{".a"} }), []string{"/tags/0"}},
		"tag twice":               {with(func(c *Config) { c.Tags = []string{"a", "b", "a"} }), []string{"/tags/2"}},
		"tag patterns":            {with(func(c *Config) { c.Tags = []string{"v*", "*", "*-rc.*", "latest"} }), nil},
		"tag pattern of 256":      {with(func(c *Config) { c.Tags = []string{strings.Repeat("x", 255) + "*"} }), nil},
		"tag pattern of 257":      {with(func(c *Config) { c.Tags = []string{strings.Repeat("x", 256) + "*"} }), []string{"/tags/0"}},
		"tag pattern, two in row": {with(func(c *Config) { c.Tags = []string{"v**"} }), []string{"/tags/0"}},
		"tag pattern with colon":  {with(func(c *Config) { c.Tags = []string{"sha256:*"} }), []string{"/tags/0"}},
		"101 tag patterns": {with(func(c *Config) {
			for i := range 101 {
				c.Tags = append(c.Tags, fmt.Sprint("v", i, "*"))
			}
		}), []string{"/tags"}},
		"newest and used":          {with(func(c *Config) { c.Newest, c.Used, c.Untagged = 1000, "365d", true }), nil},
		"newest too large":         {with(func(c *Config) { c.Newest = 1001 }), []string{"/newest"}},
		"newest negative":          {with(func(c *Config) { c.Newest = -1 }), []string{"/newest"}},
		"used too short":           {with(func(c *Config) { c.Used = "1d" }), []string{"/used"}},
		"used without unit":        {with(func(c *Config) { c.Used = "30" }), []string{"/used"}},
		"used, other digits":       {with(func(c *Config) { c.Used = "٣d" }), []string{"/used"}},
		"exclude without pattern":  {with(func(c *Config) { c.Exclude = []string{"test/ubuntu"} }), []string{"/exclude"}},
		"1,000 tags":               {with(func(c *Config) { c.Tags = manyTags[:MaxTags] }), nil},
		"1,001 tags":               {with(func(c *Config) { c.Tags = manyTags }), []string{"/tags"}},
		"everything wrong at once": {Config{Region: "x", Registry: "y", Repository: "Z", Tags: []string{"/"}}, []string{"/region", "/registry", "/repository", "/tags/0"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.config.Validate()
			var got []string
			if e, ok := err.(*Error); ok {
				for _, f := range e.Fields {
					got = append(got, f.Pointer)
				}
				if e.Code != Invalid {
					t.Errorf("code %q", e.Code)
				}
			}
			if diff := cmp.Diff(test.wrong, got); diff != "" {
				t.Errorf("invalid fields (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNewConfig(t *testing.T) {
	draft := Config{Region: "us-west-2", Registry: "123456789012", Repository: "test/ubuntu", Tags: []string{}}
	now := time.Unix(1569927812, 5)
	a, err := NewConfig(draft, now)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := NewConfig(draft, now)
	if a.ID == b.ID || !ValidID(a.ID) || a.ID[14] != '7' {
		t.Errorf("ids %s and %s: want two UUIDv7", a.ID, b.ID)
	}
	if a.Created != 1569927812 || a.Tags != nil {
		t.Errorf("got created %d and tags %#v", a.Created, a.Tags)
	}
	if _, err := NewConfig(Config{}, now); CodeOf(err) != Invalid {
		t.Errorf("an empty draft returns %v", err)
	}
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"4471c156-29f5-40fe-883b-3cd26738d5a6":          true,
		"4471C156-29F5-40FE-883B-3CD26738D5A6":          false,
		"{4471c156-29f5-40fe-883b-3cd26738d5a6}":        false,
		"urn:uuid:4471c156-29f5-40fe-883b-3cd26738d5a6": false,
		"4471c15629f540fe883b3cd26738d5a6":              false,
		"4471c156-29f5-40fe-883b-3cd26738d5a":           false,
		"":                                              false,
		"../x":                                          false,
		"\x00":                                          false,
		strings.Repeat("a", 10000):                      false,
		"4471c156-29f5-40fe-883b-3cd26738d5a6/../secret": false,
	} {
		if got := ValidID(id); got != want {
			t.Errorf("ValidID(%.50q) = %v", id, got)
		}
	}
}

func TestSortConfigs(t *testing.T) {
	configs := []Config{{ID: "c", Created: 2}, {ID: "b", Created: 2}, {ID: "z", Created: 1}}
	SortConfigs(configs)
	got := configs[0].ID + configs[1].ID + configs[2].ID
	if got != "zbc" {
		t.Errorf("order %s, want by created, then id", got)
	}
}
