package scan

import (
	"errors"
	"strings"
	"testing"

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
		"space around":   {Filter{Packages: []string{" a"}}, Filter{}, []string{"/package"}},
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
			t.Errorf("%s: invalid fields %v, want %v (-want +got):\n%s", name, wrong, test.wrong, diff)
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
		"no filter":                {Filter{}, ssl, true},
		"at the severity":          {Filter{Severity: Medium}, ssl, true},
		"above":                    {Filter{Severity: Low}, ssl, true},
		"below":                    {Filter{Severity: High}, ssl, false},
		"undefined":                {Filter{Severity: Informational}, with(func(f *Finding) { f.Severity = Undefined }), false},
		"undefined wanted":         {Filter{Severity: Undefined}, with(func(f *Finding) { f.Severity = Undefined }), true},
		"untriaged":                {Filter{Severity: Undefined}, with(func(f *Finding) { f.Severity = Untriaged }), false},
		"untriaged wanted":         {Filter{Severity: Untriaged}, with(func(f *Finding) { f.Severity = Untriaged }), true},
		"an unknown severity":      {Filter{Severity: Untriaged}, with(func(f *Finding) { f.Severity = "ODD" }), false},
		"one of two packages":      {Filter{Packages: []string{"ssl", "tar"}}, ssl, true},
		"another package":          {Filter{Packages: []string{"SSL", "tar"}}, ssl, false},
		"the name in other cases":  {Filter{Names: []string{"CVE-1"}}, with(func(f *Finding) { f.Name = "cve-1" }), true},
		"another name":             {Filter{Names: []string{"CVE-11"}}, ssl, false},
		"no fix known":             {Filter{Fixable: true}, ssl, false},
		"fixed in a version":       {Filter{Fixable: true}, with(func(f *Finding) { f.FixedIn = []string{"1"} }), true},
		"a fix, no version":        {Filter{Fixable: true}, with(func(f *Finding) { f.FixAvailable = "YES" }), true},
		"a fix of another package": {Filter{Fixable: true}, with(func(f *Finding) { f.FixAvailable = "PARTIAL" }), false},
		"all parts":                {Filter{Severity: Medium, Packages: []string{"ssl"}, Names: []string{"CVE-1"}}, ssl, true},
		"all parts but one":        {Filter{Severity: Medium, Packages: []string{"ssl"}, Names: []string{"CVE-2"}}, ssl, false},
	} {
		if got := test.filter.Matches(test.finding); got != test.matches {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// A finding of several packages matches the name of each of them, and each name of its vulnerability.
func TestFilterOfAnEnhancedFinding(t *testing.T) {
	f := Finding{Name: "GHSA-1", InUse: 2}.WithPackages([]Package{{Name: "log4j-core"}, {Name: "log4j-api"}}).WithRelated([]string{"CVE-2021-44228"})
	for name, test := range map[string]struct {
		filter Filter
		want   bool
	}{
		"a package":       {Filter{Packages: []string{"log4j-core", "other"}}, true},
		"the list":        {Filter{Packages: []string{f.Package}}, false},
		"another package": {Filter{Packages: []string{"log4j"}}, false},
		"the name":        {Filter{Names: []string{"GHSA-1"}}, true},
		"a related name":  {Filter{Names: []string{"CVE-2021-44228"}}, true},
		"another name":    {Filter{Names: []string{"CVE-2021-4422"}}, false},
		"in use":          {Filter{InUse: true}, true},
	} {
		if got := test.filter.Matches(f); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if f.InUse = 0; (Filter{InUse: true}).Matches(f) {
		t.Error("an image that is not in use matches")
	}
}
