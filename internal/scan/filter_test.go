package scan

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseFilter(t *testing.T) {
	long := strings.Repeat("x", 201)
	for name, test := range map[string]struct {
		draft, want Filter
		wrong       []string // fields
	}{
		"nothing": {},
		"everything": {
			Filter{Severity: "high", Tags: []string{"b", "a", "b"}, Packages: []string{"openssl"}, Names: []string{"cve-2016-1585", "CVE-2016-1585"}, Fixable: true},
			Filter{Severity: High, Tags: []string{"a", "b"}, Packages: []string{"openssl"}, Names: []string{"CVE-2016-1585"}, Fixable: true}, nil,
		},
		"no such severity": {Filter{Severity: "SEVERE"}, Filter{}, []string{"/severity"}},
		"all wrong": {
			Filter{Severity: "?", Tags: []string{"a b"}, Packages: []string{""}, Names: []string{long}}, Filter{},
			[]string{"/cve", "/package", "/severity", "/tag"},
		},
		"blank around":   {Filter{Packages: []string{" a"}}, Filter{}, []string{"/package"}},
		"control":        {Filter{Names: []string{"a\x00"}}, Filter{}, []string{"/cve"}},
		"direction mark": {Filter{Names: []string{"a\u202eb"}}, Filter{}, []string{"/cve"}},
		"broken UTF-8":   {Filter{Packages: []string{"\xff"}}, Filter{}, []string{"/package"}},
		"too many":       {Filter{Packages: strings.Split(strings.Repeat("a,b,c,d,e,f,g,", 8)+"h", ",")}, Filter{Packages: strings.Split("a,b,c,d,e,f,g,h", ",")}, nil},
		"far too many":   {Filter{Tags: strings.Split(strings.Repeat("x", 51), "")}, Filter{Tags: []string{"x"}}, nil},
	} {
		got, err := ParseFilter(test.draft.Values())
		var wrong []string
		if e, ok := errors.AsType[*Error](err); ok {
			for _, f := range e.Fields {
				wrong = append(wrong, f.Pointer)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" || !cmp.Equal(test.wrong, wrong) {
			t.Errorf("%s: wrong fields %v, want %v (-want +got):\n%s", name, wrong, test.wrong, diff)
		}
	}
	var different []string
	for i := range 51 {
		different = append(different, strings.Repeat("x", i+1))
	}
	if _, err := ParseFilter(map[string][]string{"tag": different}); CodeOf(err) != Invalid {
		t.Errorf("51 different tags: %v", err)
	}
}

func TestFilterMatches(t *testing.T) {
	ssl := Finding{Name: "CVE-1", Package: "ssl", Severity: Medium}
	with := func(change func(*Finding)) Finding { f := ssl; change(&f); return f }
	for name, test := range map[string]struct {
		filter  Filter
		finding Finding
		matches bool
	}{
		"no filter":               {Filter{}, ssl, true},
		"at the severity":         {Filter{Severity: Medium}, ssl, true},
		"above":                   {Filter{Severity: Low}, ssl, true},
		"below":                   {Filter{Severity: High}, ssl, false},
		"undefined":               {Filter{Severity: Informational}, with(func(f *Finding) { f.Severity = Undefined }), false},
		"undefined wanted":        {Filter{Severity: Undefined}, with(func(f *Finding) { f.Severity = Undefined }), true},
		"untriaged":               {Filter{Severity: Undefined}, with(func(f *Finding) { f.Severity = Untriaged }), false},
		"untriaged wanted":        {Filter{Severity: Untriaged}, with(func(f *Finding) { f.Severity = Untriaged }), true},
		"an unknown severity":     {Filter{Severity: Untriaged}, with(func(f *Finding) { f.Severity = "ODD" }), false},
		"one of two packages":     {Filter{Packages: []string{"ssl", "tar"}}, ssl, true},
		"another package":         {Filter{Packages: []string{"SSL", "tar"}}, ssl, false},
		"the name in other cases": {Filter{Names: []string{"CVE-1"}}, with(func(f *Finding) { f.Name = "cve-1" }), true},
		"another name":            {Filter{Names: []string{"CVE-11"}}, ssl, false},
		"no fix known":            {Filter{Fixable: true}, ssl, false},
		"fixed in a version":      {Filter{Fixable: true}, with(func(f *Finding) { f.FixedIn = []string{"1"} }), true},
		"a fix, of no version":    {Filter{Fixable: true}, with(func(f *Finding) { f.FixAvailable = "YES" }), true},
		"a fix of another":        {Filter{Fixable: true}, with(func(f *Finding) { f.FixAvailable = "PARTIAL" }), false},
		"all parts":               {Filter{Severity: Medium, Packages: []string{"ssl"}, Names: []string{"CVE-1"}}, ssl, true},
		"all parts but one":       {Filter{Severity: Medium, Packages: []string{"ssl"}, Names: []string{"CVE-2"}}, ssl, false},
	} {
		if got := test.filter.Matches(test.finding); got != test.matches {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestFilterReports(t *testing.T) {
	image := func(tag string, r Result) Item { return Item{Image: Image{Tag: tag}, Result: r} }
	given := func() []Report {
		return []Report{
			{Config: config("1", "app"), Images: []Item{
				image("a", Result{State: Completed, Counts: Counts{High: 1, Low: 2}}), image("b", Result{State: Completed, Counts: Counts{Low: 2, Medium: 0}}),
				image("c", Result{State: Completed}), image("d", Result{State: Failed}), image("e", Result{State: NotScanned}),
			}},
			{Config: config("2", "gone"), Err: &Error{Code: RepositoryNotFound}},
			{Config: config("3", "empty")},
			{Config: config("4", "clean"), Images: []Item{image("a", Result{State: Completed})}},
		}
	}
	for name, test := range map[string]struct {
		filter Filter
		want   []string
	}{
		"no filter": {Filter{}, []string{
			"1: a map[HIGH:1 LOW:2]", "1: b map[LOW:2 MEDIUM:0]", "1: c map[]", "1: d map[]", "1: e map[]", "2: repository not found", "3: none", "4: a map[]",
		}},
		"severity":      {Filter{Severity: Medium}, []string{"1: a map[HIGH:1]", "1: d map[]", "1: e map[]", "2: repository not found", "3: none"}},
		"tag":           {Filter{Tags: []string{"a", "c"}}, []string{"1: a map[HIGH:1 LOW:2]", "1: c map[]", "2: repository not found", "3: none", "4: a map[]"}},
		"both":          {Filter{Severity: Medium, Tags: []string{"b", "d"}}, []string{"1: d map[]", "2: repository not found", "3: none"}},
		"no image left": {Filter{Tags: []string{"x"}}, []string{"2: repository not found", "3: none"}},
	} {
		reports := given()
		if diff := cmp.Diff(test.want, counted(Narrow(reports, test.filter))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(counted(given()), counted(reports)); diff != "" {
			t.Errorf("%s: the given reports changed (-was +is):\n%s", name, diff)
		}
	}
}

// counted flattens reports to "config: tag counts" lines.
func counted(reports []Report) []string {
	var lines []string
	for _, r := range reports {
		switch {
		case r.Err != nil:
			lines = append(lines, fmt.Sprintf("%s: %s", r.Config.ID, CodeOf(r.Err)))
		case len(r.Images) == 0:
			lines = append(lines, r.Config.ID+": none")
		}
		for _, item := range r.Images {
			lines = append(lines, fmt.Sprintf("%s: %s %v", r.Config.ID, item.Image.Tag, item.Result.Counts))
		}
	}
	return lines
}

func TestReportsOfRepositories(t *testing.T) {
	config := func(name string) Config { return Config{Repository: name} }
	change := CountChange{At: time.Unix(1, 0), New: Counts{High: 1, Low: 2}, Fixed: Counts{Low: 1}}
	reports := []Report{
		{Config: config("test/a"), Images: []Item{{
			Image: Image{Tag: "x"}, Result: Result{State: Completed, Counts: Counts{High: 1, Low: 2}}, Changes: []CountChange{change},
		}}},
		{Config: config("test/b"), Err: errors.New("x")},
		{Config: config("test/c"), Err: errors.New("x")},
	}
	got := Narrow(reports, Filter{Repositories: []string{"test/a", "test/c"}, Severity: High})
	if len(got) != 2 || got[0].Config.Repository != "test/a" || got[1].Config.Repository != "test/c" {
		t.Fatalf("of two repositories: %+v", got)
	}
	want := []CountChange{{At: change.At, New: Counts{High: 1}, Fixed: Counts{}}}
	if diff := cmp.Diff(want, got[0].Images[0].Changes); diff != "" {
		t.Errorf("the changes (-want +got):\n%s", diff)
	}
	if len(reports[0].Images[0].Changes[0].New) != 2 {
		t.Error("the reports were changed")
	}
}
