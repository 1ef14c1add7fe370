package suppress_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// The rules for each field. The error names the field.
func TestValidate(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*suppress.Suppression)
		wrong  string // pointer; empty if the suppression is valid
	}{
		"a package and a reason":            {func(*suppress.Suppression) {}, ""},
		"neither vulnerability nor package": {func(s *suppress.Suppression) { s.Package = "" }, "/vulnerability"},
		"only a vulnerability":              {func(s *suppress.Suppression) { s.Package, s.Vulnerability = "", "CVE-2026-1234" }, ""},
		"a pattern of a vulnerability":      {func(s *suppress.Suppression) { s.Vulnerability = "CVE-2026-*" }, ""},
		"every vulnerability":               {func(s *suppress.Suppression) { s.Package, s.Vulnerability = "", "*" }, "/vulnerability"},
		"every package":                     {func(s *suppress.Suppression) { s.Package = "*" }, "/package"},
		"everything, in words of all patterns": {func(s *suppress.Suppression) {
			s.Vulnerability, s.Package, s.Version, s.Path, s.Repository, s.Tag, s.Registry, s.Region = "*", "*", "*", "/*", "*", "*", "*", "*"
		}, "/vulnerability"},
		"everything until a time":                        {func(s *suppress.Suppression) { s.Package, s.Until = "*", now.Add(time.Hour) }, "/package"},
		"everything in some repositories":                {func(s *suppress.Suppression) { s.Package, s.Vulnerability, s.Repository = "", "*", "legacy/*" }, ""},
		"everything in an image":                         {func(s *suppress.Suppression) { s.Package, s.Digest = "*", "sha256:"+strings.Repeat("a", 64) }, ""},
		"everything with a tag":                          {func(s *suppress.Suppression) { s.Package, s.Tag = "*", "old-*" }, ""},
		"everything in a registry":                       {func(s *suppress.Suppression) { s.Package, s.Registry = "*", "123456789012" }, ""},
		"everything in a Region":                         {func(s *suppress.Suppression) { s.Package, s.Region = "*", "eu-*" }, ""},
		"everything at a path":                           {func(s *suppress.Suppression) { s.Package, s.Path = "*", "opt/*" }, ""},
		"every package with a version":                   {func(s *suppress.Suppression) { s.Package, s.Version = "*", "1.*" }, ""},
		"two asterisks":                                  {func(s *suppress.Suppression) { s.Vulnerability = "CVE-**" }, "/vulnerability"},
		"a package with 256 characters":                  {func(s *suppress.Suppression) { s.Package = strings.Repeat("ü", 256) }, ""},
		"a package with 257 characters":                  {func(s *suppress.Suppression) { s.Package = strings.Repeat("ü", 257) }, "/package"},
		"a package with a control character":             {func(s *suppress.Suppression) { s.Package = "a\x00b" }, "/package"},
		"a package with a space at its end":              {func(s *suppress.Suppression) { s.Package = "a " }, "/package"},
		"a package that is not UTF-8":                    {func(s *suppress.Suppression) { s.Package = "a\xff" }, "/package"},
		"a scoped package":                               {func(s *suppress.Suppression) { s.Package = "@babel/traverse" }, ""},
		"a version":                                      {func(s *suppress.Suppression) { s.Version = "0:1.0.2k-24.amzn2" }, ""},
		"a version with two asterisks":                   {func(s *suppress.Suppression) { s.Version = "1.**" }, "/version"},
		"a path":                                         {func(s *suppress.Suppression) { s.Path = "usr/lib/*/x.jar" }, ""},
		"a path with two asterisks":                      {func(s *suppress.Suppression) { s.Path = "usr/**/x.jar" }, "/path"},
		"a long path":                                    {func(s *suppress.Suppression) { s.Path = strings.Repeat("a", 1025) }, "/path"},
		"a repository":                                   {func(s *suppress.Suppression) { s.Repository = "team/app" }, ""},
		"a pattern of repositories":                      {func(s *suppress.Suppression) { s.Repository = "*/app-*" }, ""},
		"a repository in upper case":                     {func(s *suppress.Suppression) { s.Repository = "Team/app" }, "/repository"},
		"a tag":                                          {func(s *suppress.Suppression) { s.Tag = "v1.0_RC" }, ""},
		"a tag with a colon":                             {func(s *suppress.Suppression) { s.Tag = "a:b" }, "/tag"},
		"a registry":                                     {func(s *suppress.Suppression) { s.Registry = "123456789012" }, ""},
		"a pattern of registries":                        {func(s *suppress.Suppression) { s.Registry = "1234*" }, ""},
		"a short registry":                               {func(s *suppress.Suppression) { s.Registry = "1234" }, "/registry"},
		"a region":                                       {func(s *suppress.Suppression) { s.Region = "eu-*" }, ""},
		"a region with a dot":                            {func(s *suppress.Suppression) { s.Region = "eu.west" }, "/region"},
		"a digest":                                       {func(s *suppress.Suppression) { s.Digest = "sha256:" + strings.Repeat("a", 64) }, ""},
		"a short digest":                                 {func(s *suppress.Suppression) { s.Digest = "sha256:aa" }, "/digest"},
		"no reason":                                      {func(s *suppress.Suppression) { s.Reason = "" }, "/reason"},
		"a reason of 1,000 characters":                   {func(s *suppress.Suppression) { s.Reason = strings.Repeat("é", 1000) }, ""},
		"a reason of 1,001 characters":                   {func(s *suppress.Suppression) { s.Reason = strings.Repeat("e", 1001) }, "/reason"},
		"a reason of two lines":                          {func(s *suppress.Suppression) { s.Reason = "a\nb" }, "/reason"},
		"a reason that changes the direction of writing": {func(s *suppress.Suppression) { s.Reason = "a\u202eb" }, "/reason"},
		"an end in the future":                           {func(s *suppress.Suppression) { s.Until = now.Add(time.Second) }, ""},
		"an end now":                                     {func(s *suppress.Suppression) { s.Until = now }, "/until"},
		"an end after the year 9999":                     {func(s *suppress.Suppression) { s.Until = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "/until"},
		"a justification":                                {func(s *suppress.Suppression) { s.Justification = "component_not_present" }, ""},
		"another justification":                          {func(s *suppress.Suppression) { s.Justification = "too expensive" }, "/justification"},
	} {
		t.Run(name, func(t *testing.T) {
			s := suppress.Suppression{Package: "linux*", Reason: "the host's kernel runs"}
			test.change(&s)
			var got []string
			if e, ok := errors.AsType[*scan.Error](s.Validate(now)); ok {
				for _, f := range e.Fields {
					got = append(got, f.Pointer)
				}
				if e.Code != scan.Invalid {
					t.Errorf("code %q", e.Code)
				}
			}
			if test.wrong == "" && len(got) > 0 || test.wrong != "" && !slices.Equal(got, []string{test.wrong}) {
				t.Errorf("wrong fields %q, want %q", got, test.wrong)
			}
		})
	}
}

// The first moment of a suppression belongs to it, and its end does not, whatever ends it first.
func TestIsActive(t *testing.T) {
	at := func(seconds int64) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	stored := func(seconds int64) int64 { return at(seconds).Unix() }
	for name, test := range map[string]struct {
		s          suppress.Suppression
		begin, end int64 // seconds after now; an end of 0 means none
	}{
		"no end":                         {suppress.Suppression{Created: stored(1)}, 1, 0},
		"until":                          {suppress.Suppression{Created: stored(1), Until: at(9)}, 1, 9},
		"deleted":                        {suppress.Suppression{Created: stored(1), Deleted: stored(5)}, 1, 5},
		"deleted before its end":         {suppress.Suppression{Created: stored(1), Until: at(9), Deleted: stored(5)}, 1, 5},
		"deleted after its end":          {suppress.Suppression{Created: stored(1), Until: at(9), Deleted: stored(12)}, 1, 9},
		"replaced":                       {suppress.Suppression{Created: stored(1), Replaced: stored(4)}, 1, 4},
		"replacement":                    {suppress.Suppression{Created: stored(1), Updated: stored(4)}, 4, 0},
		"replaced in its first second":   {suppress.Suppression{Created: stored(1), Replaced: stored(1)}, 1, 1},
		"replacement that was deleted":   {suppress.Suppression{Created: stored(1), Updated: stored(4), Deleted: stored(6)}, 4, 6},
		"replacement in the same second": {suppress.Suppression{Created: stored(1), Updated: stored(1)}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if !test.s.Begin().Equal(at(test.begin)) {
				t.Errorf("begins at %v", test.s.Begin())
			}
			if end := test.s.End(); end.IsZero() != (test.end == 0) || !end.IsZero() && !end.Equal(at(test.end)) {
				t.Errorf("ends at %v", end)
			}
			for second := int64(0); second < 20; second++ {
				want := second >= test.begin && (test.end == 0 || second < test.end)
				if got := test.s.IsActive(at(second)); got != want {
					t.Errorf("second %d: active %v, want %v", second, got, want)
				}
			}
		})
	}
}

// The JSON has the names and the order of the documents, and reads back as it was.
func TestJSON(t *testing.T) {
	s := suppress.Suppression{
		ID: "019ad000-0000-7000-8000-000000000000", Created: 1795904693, Package: "linux*", Reason: "the host's kernel runs",
		Until: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
	}
	body, err := json.Marshal(s)
	want := `{"id":"019ad000-0000-7000-8000-000000000000","created":"1795904693","package":"linux*","reason":"the host's kernel runs","until":"2027-01-31T00:00:00Z"}`
	if err != nil || string(body) != want {
		t.Errorf("%s, %v", body, err)
	}
	var back suppress.Suppression
	if err := json.Unmarshal(body, &back); err != nil || back != s {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestNew(t *testing.T) {
	draft := suppress.Suppression{Package: "linux*", Reason: "the host's kernel runs", Deleted: 5}
	s, err := suppress.New(draft, now)
	if err != nil || !scan.ValidID(s.ID) || s.ID[14] != '7' || s.Created != now.Unix() || s.Deleted != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := suppress.New(suppress.Suppression{Package: "a"}, now); scan.CodeOf(err) != scan.Invalid {
		t.Errorf("without a reason: %v", err)
	}
}

// What is set aside is said in words, also for a pattern that matches everything.
func TestWhat(t *testing.T) {
	for want, s := range map[string]suppress.Suppression{
		"CVE-1": {Vulnerability: "CVE-1"},
		"every vulnerability in package linux* in repository test/*":                          {Package: "linux*", Repository: "test/*"},
		"every vulnerability in repository legacy/*":                                          {Vulnerability: "*", Repository: "legacy/*"},
		"every vulnerability in every package":                                                {Package: "*"},
		"CVE-1 in every package of every version at every path":                               {Vulnerability: "CVE-1", Package: "*", Version: "*", Path: "/*"},
		"CVE-1 in every repository with every tag in every registry in every Region":          {Vulnerability: "CVE-1", Repository: "*", Tag: "*", Registry: "*", Region: "*"},
		"CVE-1 of version 1.* at usr/* with tag 1 with digest d in registry 12* in Region eu": {Vulnerability: "CVE-1", Version: "1.*", Path: "usr/*", Tag: "1", Digest: "d", Registry: "12*", Region: "eu"},
	} {
		if got := s.What(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A suppression of everything could be added before, so the stored list can have one.
func TestStoredSuppressionOfEverything(t *testing.T) {
	s := suppress.Suppression{Vulnerability: "*", Reason: "a"}
	if err := s.ValidateStored(); err != nil || s.Validate(now) == nil {
		t.Errorf("%v, %v", err, s.Validate(now))
	}
}
