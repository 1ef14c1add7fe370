package suppress_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

var (
	repo   = scan.Repository{Registry: "123456789012", Region: "us-west-2", Name: "team/app"}
	digest = "sha256:" + strings.Repeat("a", 64)
	index  = "sha256:" + strings.Repeat("b", 64)
)

// basic returns a finding of basic scanning, in one package.
func basic(name, pkg string, versions ...string) scan.Finding {
	return scan.Finding{Name: name, Package: pkg, Versions: versions, Severity: scan.High}
}

// enhanced returns a finding of enhanced scanning, in the packages "name version path".
func enhanced(name string, packages ...string) scan.Finding {
	var all []scan.Package
	for _, p := range packages {
		fields := strings.Fields(p)
		one := scan.Package{Name: fields[0]}
		if len(fields) > 1 {
			one.Version = fields[1]
		}
		if len(fields) > 2 {
			one.Path = fields[2]
		}
		all = append(all, one)
	}
	return scan.Finding{Name: name, Severity: scan.High}.WithPackages(all)
}

// Which findings of the image team/app:v1 a suppression sets aside.
func TestWhatASuppressionMatches(t *testing.T) {
	kernel := basic("CVE-2026-1234", "linux-libc-dev", "6.1.0-1")
	related := basic("GHSA-abcd-1234-efgh", "lodash")
	related.Related = []string{"CVE-2026-9999"}
	for name, test := range map[string]struct {
		s       suppress.Suppression
		finding scan.Finding
		want    bool
	}{
		"a vulnerability":                              {suppress.Suppression{Vulnerability: "CVE-2026-1234"}, kernel, true},
		"a vulnerability in lower case":                {suppress.Suppression{Vulnerability: "cve-2026-1234"}, kernel, true},
		"another vulnerability":                        {suppress.Suppression{Vulnerability: "CVE-2026-123"}, kernel, false},
		"a pattern of vulnerabilities":                 {suppress.Suppression{Vulnerability: "CVE-2026-*"}, kernel, true},
		"a pattern that begins with an asterisk":       {suppress.Suppression{Vulnerability: "*-1234"}, kernel, true},
		"a pattern with asterisks at both ends":        {suppress.Suppression{Vulnerability: "*2026*"}, kernel, true},
		"all vulnerabilities":                          {suppress.Suppression{Vulnerability: "*"}, kernel, true},
		"a related vulnerability":                      {suppress.Suppression{Vulnerability: "CVE-2026-9999"}, related, true},
		"a package":                                    {suppress.Suppression{Package: "linux-libc-dev"}, kernel, true},
		"a package in upper case":                      {suppress.Suppression{Package: "Linux-Libc-Dev"}, kernel, true},
		"the beginning of a package":                   {suppress.Suppression{Package: "linux"}, kernel, false},
		"a pattern of packages":                        {suppress.Suppression{Package: "linux*"}, kernel, true},
		"a vulnerability and a package":                {suppress.Suppression{Vulnerability: "CVE-2026-1234", Package: "linux*"}, kernel, true},
		"a vulnerability in another package":           {suppress.Suppression{Vulnerability: "CVE-2026-1234", Package: "openssl"}, kernel, false},
		"a version":                                    {suppress.Suppression{Package: "linux*", Version: "6.1.0-1"}, kernel, true},
		"another version":                              {suppress.Suppression{Package: "linux*", Version: "6.1.0-2"}, kernel, false},
		"one of two installed versions":                {suppress.Suppression{Package: "linux*", Version: "6.*"}, basic("CVE-1", "linux", "6.1", "5.9"), false},
		"both installed versions":                      {suppress.Suppression{Package: "linux*", Version: "6.*"}, basic("CVE-1", "linux", "6.1", "6.2"), true},
		"a version of a package without one":           {suppress.Suppression{Package: "linux*", Version: "*"}, basic("CVE-1", "linux"), false},
		"a path of a basic finding":                    {suppress.Suppression{Package: "linux*", Path: "*"}, kernel, false},
		"a path":                                       {suppress.Suppression{Package: "lodash", Path: "app/node_modules/*"}, enhanced("CVE-1", "lodash 4.1 app/node_modules/lodash/package.json"), true},
		"a path with a slash at its start":             {suppress.Suppression{Package: "lodash", Path: "/app/*"}, enhanced("CVE-1", "lodash 4.1 app/x.json"), true},
		"a path without the slash of the scanner":      {suppress.Suppression{Package: "lodash", Path: "app/*"}, enhanced("CVE-1", "lodash 4.1 /app/x.json"), true},
		"a path that is only a slash":                  {suppress.Suppression{Package: "lodash", Path: "/"}, enhanced("CVE-1", "lodash 4.1 app/x.json"), false},
		"the path in another case":                     {suppress.Suppression{Package: "lodash", Path: "APP/*"}, enhanced("CVE-1", "lodash 4.1 app/x.json"), false},
		"all packages of a vulnerability":              {suppress.Suppression{Package: "linux*"}, enhanced("CVE-1", "linux-a", "linux-b"), true},
		"one of the packages of a vulnerability":       {suppress.Suppression{Package: "linux-a"}, enhanced("CVE-1", "linux-a", "linux-b"), false},
		"one of the paths of a package":                {suppress.Suppression{Package: "lodash", Path: "a/*"}, enhanced("CVE-1", "lodash 4.1 a/x", "lodash 4.1 b/x"), false},
		"a package and the version of another package": {suppress.Suppression{Package: "*", Version: "1"}, enhanced("CVE-1", "a 1", "b 2"), false},
		"a finding without a package":                  {suppress.Suppression{Package: "linux*"}, basic("CVE-1", ""), false},
		"any package":                                  {suppress.Suppression{Package: "*"}, basic("CVE-1", ""), true},
		"the repository":                               {suppress.Suppression{Package: "*", Repository: "team/app"}, kernel, true},
		"another repository":                           {suppress.Suppression{Package: "*", Repository: "team/ap"}, kernel, false},
		"a pattern of repositories":                    {suppress.Suppression{Package: "*", Repository: "team/*"}, kernel, true},
		"a pattern of other repositories":              {suppress.Suppression{Package: "*", Repository: "other/*"}, kernel, false},
		"the registry":                                 {suppress.Suppression{Package: "*", Registry: "123456789012"}, kernel, true},
		"another registry":                             {suppress.Suppression{Package: "*", Registry: "210987654321"}, kernel, false},
		"another registry of the repository":           {suppress.Suppression{Package: "*", Registry: "210987654321", Repository: "team/app"}, kernel, false},
		"a pattern of Regions":                         {suppress.Suppression{Package: "*", Region: "us-*"}, kernel, true},
		"another Region":                               {suppress.Suppression{Package: "*", Region: "eu-*"}, kernel, false},
		"the tag":                                      {suppress.Suppression{Package: "*", Tag: "v1"}, kernel, true},
		"another tag":                                  {suppress.Suppression{Package: "*", Tag: "v10"}, kernel, false},
		"the digest":                                   {suppress.Suppression{Package: "*", Digest: digest}, kernel, true},
		"the digest of the index":                      {suppress.Suppression{Package: "*", Digest: index}, kernel, true},
		"another digest":                               {suppress.Suppression{Package: "*", Digest: "sha256:" + strings.Repeat("c", 64)}, kernel, false},
		"the digest of another repository":             {suppress.Suppression{Package: "*", Digest: digest, Repository: "other"}, kernel, false},
	} {
		t.Run(name, func(t *testing.T) {
			image := scan.Image{Repository: repo, Tag: "v1", Digest: digest, Index: index}
			test.s.Created = now.Unix()
			scope := suppress.NewRules(suppress.List{All: []suppress.Suppression{test.s}}).In(repo)
			if got := scope.Of(&image, &test.finding, now) != nil; got != test.want {
				t.Errorf("matches: %v", got)
			}
			if test.want && !scope.Covers(&image, now) {
				t.Error("does not cover the image")
			}
		})
	}
}

// The packages of a vulnerability can be matched by several suppressions. The one that ends first brings the finding back.
func TestSeveralSuppressionsOfOneFinding(t *testing.T) {
	at := func(hours int) time.Time { return now.Add(time.Duration(hours) * time.Hour) }
	created := now.Unix()
	a := suppress.Suppression{ID: "a", Created: created, Package: "linux-a", Until: at(5)}
	a2 := suppress.Suppression{ID: "a2", Created: created, Package: "linux-a", Until: at(9)}
	b := suppress.Suppression{ID: "b", Created: created, Package: "linux-b", Until: at(7)}
	scope := suppress.NewRules(suppress.List{All: []suppress.Suppression{a, b, a2}}).In(repo)
	finding, image := enhanced("CVE-1", "linux-a", "linux-b"), scan.Image{Repository: repo, Tag: "v1"}
	for hour, want := range map[int]string{-1: "", 0: "b", 4: "b", 5: "b", 6: "b", 7: "", 8: "", 9: ""} {
		got := ""
		if s := scope.Of(&image, &finding, at(hour)); s != nil {
			got = s.ID
		}
		if got != want {
			t.Errorf("hour %d: %q, want %q", hour, got, want)
		}
	}
	if got, want := scope.Ends(repo, at(5), at(9)), []time.Time{at(7), at(9)}; !slices.Equal(got, want) {
		t.Errorf("ends %v, want %v", got, want)
	}
}

// An image is covered only if a suppression is active that can match its findings. A repository without one is not read for suppressions.
func TestCovers(t *testing.T) {
	v1, v2 := scan.Image{Repository: repo, Tag: "v1", Digest: digest}, scan.Image{Repository: repo, Tag: "v2"}
	end := now.Add(time.Hour)
	for name, test := range map[string]struct {
		s         suppress.Suppression
		at        time.Time
		want, two bool
	}{
		"everything":         {suppress.Suppression{}, now, true, true},
		"not begun":          {suppress.Suppression{}, now.Add(-time.Second), false, false},
		"ended":              {suppress.Suppression{Until: end}, end, false, false},
		"a tag":              {suppress.Suppression{Tag: "v1"}, now, true, false},
		"a digest":           {suppress.Suppression{Digest: digest}, now, true, false},
		"the repository":     {suppress.Suppression{Repository: "team/app"}, now, true, true},
		"another repository": {suppress.Suppression{Repository: "team/web"}, now, false, false},
		"a pattern":          {suppress.Suppression{Repository: "team/*", Tag: "*2"}, now, false, true},
		"a digest elsewhere": {suppress.Suppression{Digest: digest, Repository: "team/web"}, now, false, false},
	} {
		test.s.Package, test.s.Created = "linux*", now.Unix()
		scope := suppress.NewRules(suppress.List{All: []suppress.Suppression{test.s}}).In(repo)
		if got, two := scope.Covers(&v1, test.at), scope.Covers(&v2, test.at); got != test.want || two != test.two {
			t.Errorf("%s: covers %v and %v, want %v and %v", name, got, two, test.want, test.two)
		}
	}
	if (suppress.Scope{}).Covers(&v1, now) || suppress.NewRules(suppress.List{}).In(repo).Covers(&v1, now) {
		t.Error("without suppressions, nothing is covered")
	}
}

// slowly is the rule without an index.
func slowly(all []suppress.Suppression, image scan.Image, f scan.Finding, at time.Time) bool {
	is := func(pattern, s string) bool { return pattern == "" || scan.MatchesPattern(pattern, s) }
	packages := f.Packages
	if len(packages) == 0 {
		packages = []scan.Package{{Name: f.Package}}
	}
	for _, p := range packages {
		versions := []string{p.Version}
		if len(f.Packages) == 0 {
			versions = f.Versions
		}
		matched := slices.ContainsFunc(all, func(s suppress.Suppression) bool {
			named := slices.ContainsFunc(append([]string{f.Name}, f.Related...), func(name string) bool {
				return is(strings.ToUpper(s.Vulnerability), strings.ToUpper(name))
			})
			other := len(versions) == 0 || slices.ContainsFunc(versions, func(v string) bool { return !is(s.Version, v) })
			path := strings.TrimPrefix(p.Path, "/")
			return s.IsActive(at) && named && is(strings.ToLower(s.Package), strings.ToLower(p.Name)) && (s.Version == "" || !other) &&
				(s.Path == "" || path != "" && is(strings.TrimPrefix(s.Path, "/"), path)) &&
				is(s.Repository, image.Repository.Name) && is(s.Registry, image.Repository.Registry) && is(s.Region, image.Repository.Region) &&
				is(s.Tag, image.Tag) && (s.Digest == "" || s.Digest == image.Digest || s.Digest == image.Index)
		})
		if !matched {
			return false
		}
	}
	return true
}

// FuzzRules compares the index with the slow rule. Each line of list is a suppression, and its words are its fields.
func FuzzRules(f *testing.F) {
	f.Add("CVE-1 linux* - - - - -\n* linux-b 1 x/* team/* v* -", "CVE-1", "CVE-9", "linux-a 1 x/y,linux-b 1 /x/z", "team/app", "v1", true)
	f.Add("*-1 *b - - team/app - d\nCVE-* *a* - - - - i", "cve-1", "", "ab", "team/app", "v1", false)
	f.Add("* *b*ux* - - - - -\n*c*1* *a* - - - - -\n* *toolong* - - - - -", "cve-1", "", "a-b-linux,a", "team/app", "v1", true)
	f.Fuzz(func(t *testing.T, list, name, related, packages, repository, tag string, isEnhanced bool) {
		var all []suppress.Suppression
		for line := range strings.Lines(list) {
			field := func(i int) string {
				if words := strings.Fields(line); i < len(words) && words[i] != "-" {
					return words[i]
				}
				return ""
			}
			s := suppress.Suppression{
				ID: fmt.Sprint(len(all)), Vulnerability: field(0), Package: field(1), Version: field(2), Path: field(3), Repository: field(4), Tag: field(5), Digest: field(6),
			}
			if len(all) < 50 && (s.Vulnerability != "" || s.Package != "") {
				all = append(all, s)
			}
		}
		finding := scan.Finding{Name: name, Related: strings.Fields(related), Package: packages, Versions: strings.Fields(tag)}
		if isEnhanced {
			var parts []string
			for part := range strings.SplitSeq(packages, ",") {
				if strings.TrimSpace(part) != "" {
					parts = append(parts, part)
				}
			}
			finding.Packages = enhanced(name, parts...).Packages
		}
		image := scan.Image{Repository: scan.Repository{Name: repository}, Tag: tag, Digest: "d", Index: "i"}
		scope := suppress.NewRules(suppress.List{All: all}).In(image.Repository)
		got := scope.Of(&image, &finding, now)
		if want := slowly(all, image, finding, now); (got != nil) != want {
			t.Errorf("%+v: set aside by %+v, want %v", finding, got, want)
		}
		if got != nil && !scope.Covers(&image, now) {
			t.Error("a finding of an image is set aside that is not covered")
		}
	})
}

// BenchmarkRules compares 100,000 findings of 1,000 images in 100 repositories with 10,000 suppressions of all kinds.
func BenchmarkRules(b *testing.B) {
	list, images, findings := suppress.List{}, []scan.Image{}, []scan.Finding{}
	for i := range 10_000 {
		s := suppress.Suppression{ID: fmt.Sprint(i), Vulnerability: fmt.Sprintf("CVE-2026-%05d", i), Reason: "x"}
		switch i % 10 {
		case 1:
			s.Repository = fmt.Sprintf("team/app-%d", i%100)
		case 2:
			s.Vulnerability, s.Package = "", fmt.Sprintf("package-%d*", i)
		case 3:
			s.Vulnerability, s.Package = "", fmt.Sprintf("package-%d", i)
		case 4:
			s.Package, s.Tag = "linux*", "v*"
		case 5:
			s.Digest = fmt.Sprintf("sha256:%064x", i)
		case 6:
			s.Vulnerability = fmt.Sprintf("*-%d", i)
		case 7:
			s.Vulnerability = fmt.Sprintf("*-%d*", i)
		}
		list.All = append(list.All, s)
	}
	for i := range 1000 {
		images = append(images, scan.Image{Repository: scan.Repository{Registry: "1", Region: "r", Name: fmt.Sprintf("team/app-%d", i%100)}, Tag: fmt.Sprintf("v%d", i), Digest: fmt.Sprintf("sha256:%064x", i)})
	}
	for i := range 100 {
		findings = append(findings, basic(fmt.Sprintf("CVE-2026-%05d", i*150), fmt.Sprintf("package-%d", i*37), "1.0"))
	}
	b.ReportAllocs()
	for b.Loop() {
		rules, found := suppress.NewRules(list), 0
		for i := range images {
			scope := rules.In(images[i].Repository)
			for j := range findings {
				if scope.Of(&images[i], &findings[j], now) != nil {
					found++
				}
			}
		}
		b.ReportMetric(float64(found), "found")
	}
}
