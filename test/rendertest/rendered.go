// Package rendertest contains test data and the comparison with golden files, for the tests of internal/render and of the packages below it.
//
// It imports none of the packages whose tests use it.
package rendertest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// API is the URL of the API.
const API = "https://a1.execute-api.us-west-2.amazonaws.com/Prod"

// Scanned is when the images were scanned and their findings first seen.
var Scanned = time.Date(2019, 10, 1, 11, 27, 17, 0, time.UTC)

// Config returns a config for a repository. All have the same id, region, registry and creation time.
func Config(repo string, tags ...string) scan.Config {
	return scan.Config{ID: "fc41dda8-f15e-4826-8908-11603b01dac4", Created: 1569927812, Region: "us-west-2", Registry: "123456789012", Repository: repo, Tags: tags}
}

// Image returns an image of a config's repository with its result. All have the same digest.
func Image(c scan.Config, tag string, r scan.Result) report.Item {
	return report.Item{Image: scan.Image{Repository: c.Repo(), Tag: tag, Digest: "sha256:" + strings.Repeat("ab", 32)}, Result: r}
}

// ReportOf returns the report of a config that could be read.
func ReportOf(c scan.Config, images ...report.Item) report.Report {
	return report.Report{Config: c, Repository: c.Repo(), Images: images}
}

// Failed returns the report of a config that can't be read.
func Failed(c scan.Config, err error) report.Report {
	r := ReportOf(c)
	r.Err = err
	return r
}

// Found returns the entry of a finding in one image of test/ubuntu.
func Found(tag string, f scan.Finding) report.Entry {
	c := Config("test/ubuntu")
	one := Image(c, tag, scan.Result{}).Image
	return report.Entry{Finding: f, Images: []*scan.Image{&one}, Count: 1, Published: Scanned, Updated: Scanned}
}

// Listing returns a listing of one config.
func Listing(r report.Report, entries ...report.Entry) report.Listing {
	return report.Listing{Config: &r.Config, Reports: []report.Report{r}, Entries: entries, Total: len(entries)}
}

// Sample returns a listing with an entry of each kind and with an image that isn't scanned.
func Sample() report.Listing {
	c := Config("test/ubuntu", "16.04", "latest", "old")
	enhanced := Found("latest", scan.Finding{
		Name: "CVE-2021-1", Package: "libssl<3>, openssl", Versions: []string{"1.1", "1.2"}, Severity: scan.Critical, Score: "9.8",
		Vector: "CVSS:3.1/AV:N", FixedIn: []string{"1.3"}, FixAvailable: "YES", Exploit: "NO", URL: "https://example.org/CVE-2021-1?a=b&c=d",
		Description: "Bad <b>things</b> & more.", Remediation: "Upgrade.", FirstSeen: Scanned.Add(time.Hour), ScoreSource: "NVD",
		Related: []string{"GHSA-1"}, InUse: 2, LastInUse: Scanned.Add(-time.Hour), Packages: []scan.Package{
			{Name: "libssl<3>", Manager: "OS", Arch: "X86_64", Version: "1.1", FixedIn: "1.3"}, {Name: "openssl", Version: "1.2", Path: "usr/bin/openssl"},
		},
	})
	enhanced.Published, enhanced.Updated = Scanned.Add(time.Hour), Scanned.Add(2*time.Hour)
	return Listing(
		ReportOf(c,
			Image(c, "16.04", scan.Result{State: scan.Completed}), Image(c, "latest", scan.Result{State: scan.Completed}),
			Image(c, "old", scan.Result{State: scan.NotScanned, Reason: "archived"})),
		enhanced,
		Found("16.04", scan.Finding{
			Name: "CVE-2016-1585", Package: "apparmor", Versions: []string{"2.10"}, Severity: scan.Medium, URL: "http://people.ubuntu.com/~ubuntu-security/cve/CVE-2016-1585",
			Description: "In all versions of AppArmor mount rules are accidentally widened when compiled.", Score: "3.9", Vector: "AV:L/AC:L",
		}),
		Found("16.04", scan.Finding{Name: "unnamed finding", Severity: scan.Undefined}))
}

// WithSuppressed returns the sample with suppressed findings, as a reader gets it with this value of the parameter suppressed.
func WithSuppressed(value string) report.Listing {
	l := Sample()
	l.View.Filter.Suppressed = value
	l.Reports[0].Images[0].Suppressed, l.Reports[0].Images[1].Result.Suppressed = 1, 1
	if value == "" {
		l.Entries, l.Total = l.Entries[2:], 1
		return l
	}
	l.Entries[0].Suppression = suppress.Inspector()
	l.Entries[1].Suppression = &suppress.Suppression{
		ID: "01a22442-e3bd-7c4d-9eae-d6ae7207a502", Created: Scanned.Unix(), Package: "apparmor", Reason: "no <profile> mounts anything", Until: Scanned.Add(30 * 24 * time.Hour),
		Justification: "vulnerable_code_not_in_execute_path",
	}
	if value == scan.OnlySuppressed {
		l.Entries, l.Total = l.Entries[:2], 2
	}
	return l
}

// SuppressionChanges returns a change of each kind of a suppression, newest first, and the further ones that a file added.
func SuppressionChanges() []history.Change {
	var changes []history.Change
	for i, kind := range []history.EventKind{history.SuppressionDeleted, history.SuppressionEnds, history.SuppressionChanged, history.SuppressionAdded} {
		at := Scanned.Add(-time.Duration(i+100) * time.Hour)
		c := history.Change{Kind: kind, At: at, HappenedAt: at, Reason: "the <host>'s kernel runs", Suppression: &history.ChangedSuppression{
			ID: "01a22442-e3bd-7c4d-9eae-d6ae7207a502", What: "every vulnerability in package linux* in repository test/*",
		}}
		if kind != history.SuppressionAdded {
			c.Suppression.Until = Scanned.Add(24 * time.Hour)
		}
		changes = append(changes, c)
	}
	rolled := changes[len(changes)-1]
	rolled.At = rolled.At.Add(-time.Hour)
	rolled.HappenedAt = rolled.At
	rolled.RolledUp = slices.Clone(changes[len(changes)-2:])
	for i := range rolled.RolledUp {
		rolled.RolledUp[i].Kind = history.SuppressionAdded
	}
	return append(changes, rolled)
}

// ByVulnerability returns the sample, grouped and filtered, with one vulnerability in several images.
func ByVulnerability() report.Listing {
	l := Sample()
	l.View = report.View{ByVulnerability: true, Filter: scan.Filter{Severity: scan.Low, Tags: []string{"16.04", "latest"}, Packages: []string{"apparmor", "openssl"}, Names: []string{"CVE-2021-1"}, Fixable: true}}
	l.Entries[0].Images = append(l.Entries[0].Images, l.Entries[1].Images[0])
	l.Entries[0].Count = 7
	return l
}

// AllConfigs returns a listing of all configs. Two of them watch the same image.
func AllConfigs() report.Listing {
	l := Sample()
	l.Config = nil
	hard := Config("test/hard")
	l.Reports = append(l.Reports,
		l.Reports[0], ReportOf(hard, Image(hard, "x", scan.Result{State: scan.Failed, Reason: "why"})), ReportOf(Config("test/empty")),
		Failed(Config("test/gone"), &scan.Error{Code: scan.RepositoryNotFound}),
		Failed(Config("test/dead"), &scan.Error{Code: scan.Unavailable, Message: "no answer in time"}))
	return l
}

// SecondPage returns the second page of a listing of three pages.
func SecondPage() report.Listing {
	l := Sample()
	l.View.Page, l.Total = 2, 2*report.PageSize+1
	return l
}

// FullPage returns a listing with the maximum number of entries and images, and with the same text in every field.
func FullPage(text string) report.Listing {
	tags := make([]*scan.Image, 200)
	for i := range tags {
		one := Image(Config(strings.Repeat("r", 256)), fmt.Sprint(strings.Repeat("t", 120), i), scan.Result{}).Image
		tags[i] = &one
	}
	packages := make([]scan.Package, 100)
	for i := range packages {
		packages[i] = scan.Package{Name: text, Manager: text, Arch: text, Version: fmt.Sprint(i, text), FixedIn: text, Path: text}
	}
	l := Listing(ReportOf(Config("test/ubuntu")))
	for i := range report.PageSize {
		l.Entries = append(l.Entries, report.Entry{
			Finding: scan.Finding{
				Name: fmt.Sprint(i, text), Package: text, Severity: scan.Severity(text), Description: text, Remediation: text, Score: text, Exploit: text,
				FixAvailable: text, Versions: []string{text, text, text}, FixedIn: []string{text, text}, Related: []string{text, text}, Packages: packages, ScoreSource: text, URL: "https://example.org/?" + strings.Repeat("&", 1500), FirstSeen: Scanned,
			},
			Images: tags, Count: 1000, Published: Scanned, Updated: Scanned,
		})
	}
	l.Total = report.PageSize
	return l
}

var update = flag.Bool("update", false, "rewrite the golden files")

// Golden compares got with a file in the folder testdata of the test. With the flag -update it rewrites the file.
func Golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// JSONSize returns the length in bytes of b as a JSON string, without the quotes. Lambda sends a response body in this form.
func JSONSize(b []byte) int {
	var encoded bytes.Buffer
	e := json.NewEncoder(&encoded)
	e.SetEscapeHTML(false)
	if err := e.Encode(string(b)); err != nil {
		panic(err) // can't happen: every string can be encoded
	}
	return encoded.Len() - len("\"\"\n")
}
