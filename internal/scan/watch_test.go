package scan

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
)

func TestWatches(t *testing.T) {
	repo := func(name string) Repository { return Repository{"123456789012", "us-west-2", name} }
	pattern := func(repository string, exclude ...string) Config {
		return Config{Registry: "123456789012", Region: "us-west-2", Repository: repository, Exclude: exclude}
	}
	for _, tt := range []struct {
		config Config
		repo   Repository
		want   bool
	}{
		{pattern("team/app"), repo("team/app"), true},
		{pattern("team/app"), repo("team/app2"), false},
		{pattern("team/*"), repo("team/app"), true},
		{pattern("team/*"), repo("team/a/b"), true},
		{pattern("team/*"), repo("teams/a"), false},
		{pattern("*"), repo("x"), true},
		{pattern("*"), Repository{"123456789012", "eu-west-1", "x"}, false},
		{pattern("*"), Repository{"210987654321", "us-west-2", "x"}, false},
		{pattern("team/*", "*/cache", "team/old-*"), repo("team/app"), true},
		{pattern("team/*", "*/cache", "team/old-*"), repo("team/app/cache"), false},
		{pattern("team/*", "*/cache", "team/old-*"), repo("team/old-app"), false},
		{pattern("team/*", "team"), repo("team/app"), true},
		{pattern("team/*", "*"), repo("team/app"), false},
	} {
		if got := tt.config.Watches(tt.repo); got != tt.want {
			t.Errorf("%s without %q: %s: %v", tt.config.Repository, tt.config.Exclude, tt.repo.Name, got)
		}
	}
}

func TestExcludesAll(t *testing.T) {
	for _, tt := range []struct {
		repository, exclude string
		want                bool
	}{
		{"team/*", "*", true}, {"team/*", "team/*", true}, {"team/*", "team*", true}, {"team/*", "*/*", true},
		{"team/*", "team/a*", false}, {"team/*", "team/*/*", false}, {"*", "a*", false}, {"a*b", "a*", true}, {"a*b", "*c", false},
	} {
		if got := (Config{Repository: tt.repository, Exclude: []string{"x", tt.exclude}}).ExcludesAll(); got != tt.want {
			t.Errorf("%s without %s: %v", tt.repository, tt.exclude, got)
		}
	}
}

// A config without the optional fields has the bytes that it had before they existed.
func TestJSONOfConfig(t *testing.T) {
	config := Config{ID: "i", Created: 1, Region: "r", Registry: "a", Repository: "n"}
	for want, change := range map[string]func(*Config){
		`{"id":"i","created":"1","region":"r","registry":"a","repository":"n","tags":null}`: func(*Config) {},
		`{"id":"i","created":"1","region":"r","registry":"a","repository":"n*","tags":["v*"],"exclude":["x"],"newest":5,"used":"30d","untagged":true,"name":"N"}`: func(c *Config) {
			c.Repository, c.Tags, c.Exclude, c.Newest, c.Used, c.Untagged, c.Name = "n*", []string{"v*"}, []string{"x"}, 5, "30d", true, "N"
		},
	} {
		c := config
		change(&c)
		if got, err := json.Marshal(c); err != nil || string(got) != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}

func TestWatchesSame(t *testing.T) {
	base := Config{ID: "1", Repository: "team/*", Tags: []string{"a", "b"}, Exclude: []string{"c", "d"}, Newest: 5, Used: "30d", Untagged: true}
	same, others := base, map[string]func(*Config){
		"2": func(c *Config) { c.Repository = "team/a*" },
		"3": func(c *Config) { c.Tags = []string{"a"} },
		"4": func(c *Config) { c.Exclude = nil },
		"5": func(c *Config) { c.Newest = 6 },
		"6": func(c *Config) { c.Used = "31d" },
		"7": func(c *Config) { c.Untagged = false },
	}
	same.ID, same.Tags, same.Exclude, same.Name = "8", []string{"b", "a"}, []string{"d", "c"}, "another name"
	configs := []Config{base}
	for _, id := range slices.Sorted(maps.Keys(others)) {
		other := base
		other.ID = id
		others[id](&other)
		if base.WatchesSame(other) {
			t.Errorf("%s watches the same", id)
		}
		configs = append(configs, other)
	}
	if !base.WatchesSame(same) {
		t.Error("another order of tags and exclusions watches something else")
	}
	if got := Duplicates(append(configs, same)); len(got) != 1 || got["8"].ID != "1" {
		t.Errorf("duplicates %v", got)
	}
}

// Tags that every tag matches are the same as none, and a pattern adds nothing to one that matches all that it matches. A named tag does: it is shown
// as missing.
func TestWatchesSameByOtherPatterns(t *testing.T) {
	for name, test := range map[string]struct {
		tags, otherTags, exclude, otherExclude []string
		want                                   bool
	}{
		"all tags":                {nil, []string{"*"}, nil, nil, true},
		"all tags, and some":      {nil, []string{"v*", "*", "*-rc"}, nil, nil, true},
		"all tags, and a name":    {nil, []string{"*", "latest"}, nil, nil, false},
		"the same names":          {[]string{"*", "latest"}, []string{"l*", "latest", "*"}, nil, nil, true},
		"a narrower pattern":      {[]string{"v*"}, []string{"v*", "v1.*"}, nil, nil, true},
		"only a narrower pattern": {[]string{"v*"}, []string{"v1.*"}, nil, nil, false},
		"patterns that overlap":   {[]string{"v*"}, []string{"v*", "*1"}, nil, nil, false},
		"a pattern and its name":  {[]string{"v*"}, []string{"v*", "v1"}, nil, nil, false},
		"excluded twice":          {nil, nil, []string{"team/*"}, []string{"team/*", "team/old/*", "team/app"}, true},
		"excluded only in part":   {nil, nil, []string{"team/*"}, []string{"team/old/*", "team/app"}, false},
	} {
		a, b := Config{ID: "1", Repository: "*", Tags: test.tags, Exclude: test.exclude}, Config{ID: "2", Repository: "*", Tags: test.otherTags, Exclude: test.otherExclude}
		if got := a.WatchesSame(b); got != test.want || b.WatchesSame(a) != got || len(Duplicates([]Config{a, b})) > 0 != got {
			t.Errorf("%s: %t", name, got)
		}
	}
}
