package httpapi_test

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"github.com/mmcdole/gofeed/atom"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/test/awstest"
)

// timeline is a test with one repository whose image changes over time.
type timeline struct {
	*testing.T
	aws *awstest.AWS
	api *service
	id  string
}

var appRepository = ecr.RepositoryID{Name: "team/app"}

// startTimeline adds a config and an image with the findings, and visits the repository.
func startTimeline(t *testing.T, findings ...ecr.Finding) *timeline {
	a, h := start(t)
	a.ECR.PutImage(appRepository, ecr.Image{Tags: []string{"v1"}, ScannedAt: a.Now().Add(-time.Minute), Findings: findings})
	// Visits must not start scans, because the test sets the time of each scan.
	a.ECR.InjectFault(awslocal.Fault{Operation: "StartImageScan", Code: "LimitExceededException", Message: "The scan quota of the registry has been exceeded."})
	s := &timeline{t, a, h, add(t, h, "team/app")}
	s.api.visit(t)
	return s
}

func vulnerability(name, severity string) ecr.Finding {
	return ecr.Finding{Name: name, Severity: severity, Attributes: []ecr.Attribute{{Key: "package_name", Value: "ssl"}}}
}

// nextDay moves the clock by 25 hours, scans the image with these findings and visits the repository.
func (s *timeline) nextDay(findings ...ecr.Finding) {
	s.Helper()
	s.aws.Advance(25 * time.Hour)
	s.update(func(i *ecr.Image) {
		i.ScannedAt, i.Findings = s.aws.Now().Add(-time.Minute), findings
	})
	s.api.visit(s.T)
}

func (s *timeline) update(change func(*ecr.Image)) {
	s.Helper()
	if err := s.aws.ECR.UpdateImage(appRepository, "v1", change); err != nil {
		s.Fatal(err)
	}
}

// later moves the clock and visits the repository.
func (s *timeline) later(d time.Duration) {
	s.Helper()
	s.aws.Advance(d)
	s.api.visit(s.T)
}

func (s *timeline) feed(suffix string) *atom.Feed {
	s.Helper()
	return feed(s.T, s.api, "/findings/"+s.id+suffix)
}

func titles(f *atom.Feed) []string {
	var all []string
	for _, e := range f.Entries {
		all = append(all, strings.ReplaceAll(e.Title, " in image team/app:v1", ""))
	}
	return all
}

// want checks the titles of the feed whose path ends with suffix.
func (s *timeline) want(suffix string, want ...string) {
	s.Helper()
	if diff := cmp.Diff(want, titles(s.feed(suffix))); diff != "" {
		s.Errorf("%s (-want +got):\n%s", suffix, diff)
	}
}

// Each new or resolved finding is one change. A scan with the same findings is no change. A finding that is found again, or whose
// severity rises, gets a new entry in the feed of findings.
func TestChangesFromDayToDay(t *testing.T) {
	s := startTimeline(t, vulnerability("CVE-1", "HIGH"), vulnerability("CVE-2", "LOW"))
	s.want("", "[HIGH] found CVE-1", "[LOW] found CVE-2")
	s.want("/changes")
	before := s.feed("")

	s.nextDay(vulnerability("CVE-1", "HIGH"), vulnerability("CVE-2", "LOW"))
	if diff := cmp.Diff(before.Entries, s.feed("").Entries); diff != "" {
		t.Errorf("a scan that changed nothing (-before +after):\n%s", diff)
	}
	s.want("/changes")

	s.nextDay(vulnerability("CVE-3", "CRITICAL"), vulnerability("CVE-2", "MEDIUM"))
	s.want("", "[CRITICAL] found CVE-3", "[MEDIUM] found CVE-2", "[RESOLVED] [LOW] found CVE-2 (now MEDIUM)", "[RESOLVED] [HIGH] found CVE-1")
	s.want("/changes", "[NEW] [CRITICAL] found CVE-3", "[SEVERITY RAISED] [MEDIUM] found CVE-2, was LOW", "[FIXED] [HIGH]: CVE-1 is no longer found")
	s.want("/changes?severity=HIGH", "[NEW] [CRITICAL] found CVE-3", "[FIXED] [HIGH]: CVE-1 is no longer found")
	s.want("/changes?cve=cve-2", "[SEVERITY RAISED] [MEDIUM] found CVE-2, was LOW")
	s.want("/changes?tag=other")
	for _, target := range []string{"/changes?format=html", "/findings/" + s.id + "/changes?format=html&severity=HIGH"} {
		page := call(s.api, "GET", target, "", "")
		link := regexp.MustCompile(`<a href="` + base + `(/findings/` + s.id + `\?cve=CVE-3[^"]*)">CVE-3</a>`).FindStringSubmatch(page.body)
		if link == nil || !strings.Contains(page.body, ">Resolved</b>") || strings.Contains(page.body, ">Severity raised</b>") == strings.Contains(target, "severity=HIGH") {
			t.Fatalf("%s: %d %s", target, page.status, page.body)
		}
		if findings := call(s.api, "GET", html.UnescapeString(link[1]), "", ""); findings.status != 200 || !strings.Contains(findings.body, "1 finding") || strings.Contains(findings.body, "CVE-2") {
			t.Errorf("the link of a change leads to %d %s", findings.status, findings.body)
		}
	}
	if got := call(s.api, "GET", "/summary?tag=v1", "", "").body; !strings.HasSuffix(got, "team/app:v1 in us-west-2:\n CRITICAL: 1 (+1)\n HIGH: 0 (-1)\n MEDIUM: 1 (+1)\n LOW: 0 (-1)\n\n\n") {
		t.Errorf("summary:\n%s", got)
	}
	if got := call(s.api, "GET", "/summary?tag=v1&since=12h", "", "").body; !strings.HasSuffix(got, ":\n CRITICAL: 1 (+1)\n HIGH: 0 (-1)\n MEDIUM: 1 (+1)\n LOW: 0 (-1)\n\n\n") {
		t.Errorf("summary:\n%s", got)
	}

	s.nextDay(vulnerability("CVE-1", "HIGH"), vulnerability("CVE-2", "LOW"), vulnerability("CVE-3", "CRITICAL"))
	s.want("/changes", "[NEW] [HIGH] found CVE-1", "[SEVERITY LOWERED] [LOW] found CVE-2, was MEDIUM",
		"[NEW] [CRITICAL] found CVE-3", "[SEVERITY RAISED] [MEDIUM] found CVE-2, was LOW", "[FIXED] [HIGH]: CVE-1 is no longer found")
	ids := func(f *atom.Feed, name string) string {
		at := slices.IndexFunc(f.Entries, func(e *atom.Entry) bool { return strings.HasSuffix(e.Title, name) })
		return f.Entries[at].ID
	}
	after := s.feed("")
	if ids(before, "CVE-1") == ids(after, "CVE-1") || ids(before, "CVE-2") == ids(after, "CVE-2") {
		t.Error("a finding that was found again, or whose severity rose, has its old id")
	}
	s.aws.Advance(25 * time.Hour)
	if got := call(s.api, "GET", "/summary?tag=v1", "", "").body; !strings.HasSuffix(got, ":\n CRITICAL: 1\n HIGH: 1\n LOW: 1\n\n\n") {
		t.Errorf("summary a day after the last change:\n%s", got)
	}
	if got := call(s.api, "GET", "/summary?tag=v1&since=29d", "", "").body; !strings.HasSuffix(got, ":\n CRITICAL: 1 (+1)\n HIGH: 1 (+1 -1)\n MEDIUM: 0 (+1 -1)\n LOW: 1 (+1 -1)\n\n\n") {
		t.Errorf("summary since the beginning:\n%s", got)
	}
}

// A resolved finding is listed for 30 days.
func TestResolvedFindingsAreListedFor30Days(t *testing.T) {
	s := startTimeline(t, vulnerability("CVE-1", "HIGH"))
	for range 29 {
		s.nextDay()
		s.want("", "[RESOLVED] [HIGH] found CVE-1")
	}
	s.nextDay()
	s.want("")
	s.nextDay()
	s.want("")
	s.want("/changes")
}

// A change and a resolved finding are listed for 30 days, even if the image has no further scan. When they are removed, Last-Modified
// changes.
func TestChangesAreListedFor30Days(t *testing.T) {
	s := startTimeline(t, vulnerability("CVE-1", "HIGH"), vulnerability("CVE-2", "HIGH"))
	s.aws.Advance(3 * 24 * time.Hour)
	s.nextDay(vulnerability("CVE-1", "HIGH"))
	s.want("/changes", "[FIXED] [HIGH]: CVE-2 is no longer found", "[SCANNED AGAIN] image team/app:v1 was scanned again",
		"[NOT SCANNED] image team/app:v1 has had no completed scan for 2 days")
	s.nextDay(vulnerability("CVE-1", "HIGH"))
	s.feed("")
	for range 26 {
		s.aws.Advance(24 * time.Hour)
		s.feed("")
	}
	unscanned := "[NOT SCANNED] image team/app:v1 has had no completed scan for 2 days"
	s.want("/changes", unscanned, "[FIXED] [HIGH]: CVE-2 is no longer found", "[SCANNED AGAIN] image team/app:v1 was scanned again", unscanned)
	var dates []string
	for _, suffix := range []string{"", "/changes"} {
		dates = append(dates, call(s.api, "GET", "/findings/"+s.id+suffix, "", "").header.Get("Last-Modified"))
	}
	s.aws.Advance(4 * 24 * time.Hour)
	for i, suffix := range []string{"", "/changes"} {
		if got := call(s.api, "GET", "/findings/"+s.id+suffix, "", "", "If-Modified-Since", dates[i]); got.status != 200 {
			t.Errorf("%s: %d with the previous Last-Modified", suffix, got.status)
		}
	}
	s.want("", "[HIGH] found CVE-1")
	s.want("/changes", unscanned)
}

// If one scan has many changes, the least severe ones share one entry.
func TestManyChangesShareOneEntry(t *testing.T) {
	s := startTimeline(t, vulnerability("CVE-1", "CRITICAL"))
	var many []ecr.Finding
	for i := range 50 {
		many = append(many, vulnerability("CVE-"+string(rune('A'+i/26))+string(rune('A'+i%26)), "LOW"))
	}
	s.nextDay(many...)
	got := s.feed("/changes")
	if len(got.Entries) != 21 || got.Entries[19].Title != "31 more changes in image team/app:v1: 31 NEW" || strings.Count(got.Entries[19].Content.Value, "CVE-") != 31 {
		t.Errorf("%d entries, the last %q: %s", len(got.Entries), got.Entries[len(got.Entries)-1].Title, got.Entries[len(got.Entries)-1].Content.Value)
	}
	if got.Entries[20].Title != "[FIXED] [CRITICAL] in image team/app:v1: CVE-1 is no longer found" {
		t.Errorf("the most severe change has no entry of its own: %q", got.Entries[20].Title)
	}
	s.want("/changes?cve=CVE-BA", "[NEW] [LOW] found CVE-BA")
}

// Problems with scanning are changes: an image without a scan for two days, a failed scan, a deleted repository. There is one entry for
// the beginning of a problem and one for its end.
func TestScanningProblemsAreChanges(t *testing.T) {
	s := startTimeline(t, vulnerability("CVE-1", "HIGH"))
	s.aws.Advance(47 * time.Hour)
	s.want("/changes")
	s.aws.Advance(2 * time.Hour)
	begun := s.feed("/changes")
	s.want("/changes", "[NOT SCANNED] image team/app:v1 has had no completed scan for 2 days")
	s.update(func(i *ecr.Image) {
		i.ScannedAt, i.ScanStatus, i.ScanDescription = s.aws.Now(), "FAILED", "UnsupportedImageError: x"
	})
	s.later(refresh.ListingMaxAge)
	s.want("", "[HIGH] found CVE-1")
	s.want("/changes", "[SCAN FAILED] image team/app:v1 can't be scanned", "[NOT SCANNED] image team/app:v1 has had no completed scan for 2 days")
	s.update(func(i *ecr.Image) { i.ScanStatus = "" })
	s.nextDay(vulnerability("CVE-1", "HIGH"))
	s.want("/changes", "[SCANNED AGAIN] image team/app:v1 was scanned again", "[SCAN RECOVERED] the scans of image team/app:v1 no longer fail",
		"[SCAN FAILED] image team/app:v1 can't be scanned", "[NOT SCANNED] image team/app:v1 has had no completed scan for 2 days")
	if after := s.feed("/changes"); after.Entries[3].ID != begun.Entries[0].ID {
		t.Error("the end of the problem changed the id of its beginning")
	}

	undo := s.aws.ECR.InjectFault(awslocal.Fault{Code: "RepositoryNotFoundException"})
	s.later(refresh.ListingMaxAge)
	if got := s.feed("/changes"); got.Entries[0].Title != "[REPOSITORY GONE] the registry has no repository team/app in us-west-2 any more" {
		t.Errorf("deleted repository: %q", titles(got))
	}
	undo()
	s.later(refresh.ListingMaxAge)
	if got := s.feed("/changes"); got.Entries[0].Title != "[REPOSITORY BACK] the registry has the repository team/app in us-west-2 again" {
		t.Errorf("restored repository: %q", titles(got))
	}
	if got := feed(t, s.api, "/changes"); len(got.Entries) != 6 || linkOf(got, "self") != "/changes" {
		t.Errorf("of all configs: %q", titles(got))
	}
	if got := feed(t, s.api, "/changes?cve=CVE-1"); len(got.Entries) != 0 {
		t.Errorf("of one vulnerability: %q", titles(got))
	}
}

// If the history of an image is lost, only its own changes are lost, and the feed is still available.
func TestChangesAfterAHistoryIsLost(t *testing.T) {
	s := startTimeline(t, vulnerability("CVE-1", "HIGH"))
	s.nextDay(vulnerability("CVE-2", "HIGH"))
	s.want("/changes", "[NEW] [HIGH] found CVE-2", "[FIXED] [HIGH]: CVE-1 is no longer found")
	s.deleteHistories()
	s.want("/changes")
	if got := call(s.api, "GET", "/changes", "", ""); got.status != 200 {
		t.Errorf("of all configs: %d %s", got.status, got.body)
	}
	s.nextDay(vulnerability("CVE-2", "HIGH"))
	s.feed("")
	s.nextDay(vulnerability("CVE-2", "HIGH"), vulnerability("CVE-3", "LOW"))
	s.want("/changes", "[NEW] [LOW] found CVE-3")
}

// deleteHistories deletes the histories of all images, but not the records of repositories.
func (s *timeline) deleteHistories() {
	s.Helper()
	bucket, prefix := awstest.Bucket, s3store.RecordPrefix
	client := s.aws.S3Client()
	out, err := client.ListObjectsV2(s.Context(), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	if err != nil {
		s.Fatal(err)
	}
	for _, o := range out.Contents {
		if strings.HasSuffix(*o.Key, "/index") {
			continue
		}
		if _, err := client.DeleteObject(s.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: o.Key}); err != nil {
			s.Fatal(err)
		}
	}
}

// The same data gives the same bytes and status 304. Any change gives another Last-Modified. A response has no Last-Modified if its
// request had to call ECR.
func TestLastModified(t *testing.T) {
	s := startTimeline(t, vulnerability("CVE-1", "HIGH"))
	get := func(path string, header ...string) response {
		return call(s.api, "GET", "/findings/"+s.id+path, "", "", header...)
	}
	for _, path := range []string{"", "/changes"} {
		first := get(path)
		if first.header.Get("Last-Modified") == "" {
			t.Fatalf("%s: no date: %v", path, first.header)
		}
		s.nextDay(vulnerability("CVE-1", "HIGH"))
		second := get(path)
		if second.body != first.body {
			t.Errorf("%s: a scan that changed nothing changed the bytes", path)
		}
		date := second.header.Get("Last-Modified")
		s.aws.Advance(refresh.ListingMaxAge - time.Minute)
		if got := get(path, "If-Modified-Since", date); got.status != 304 {
			t.Errorf("%s: %d when nothing changed", path, got.status)
		}
		s.aws.Advance(time.Hour)
		got := get(path, "If-Modified-Since", date)
		if callsECR := path == ""; callsECR && (got.status != 200 || got.header.Get("Last-Modified") != "" || got.body != first.body) || !callsECR && got.status != 304 {
			t.Errorf("%s: %d an hour later, %v", path, got.status, got.header)
		}
		if got := get(path, "If-None-Match", first.header.Get("ETag")); got.status != 304 {
			t.Errorf("%s: %d for the same bytes", path, got.status)
		}
	}
	s.later(2 * time.Hour)
	date := get("").header.Get("Last-Modified")
	s.nextDay(vulnerability("CVE-2", "HIGH"))
	for _, path := range []string{"", "/changes"} {
		if got := get(path, "If-Modified-Since", date); date == "" || got.status != 200 || !strings.Contains(got.body, "CVE-2") {
			t.Errorf("%s: %d after a change since %q", path, got.status, date)
		}
	}
	s.aws.ECR.InjectFault(awslocal.Fault{Status: 500})
	s.aws.Advance(25 * time.Hour)
	if got := get("", "If-Modified-Since", s.aws.Now().UTC().Format(http.TimeFormat)); got.status != 200 || got.header.Get("Last-Modified") != "" || !strings.Contains(got.body, ". As of ") {
		t.Errorf("when ECR is unavailable: %d %v", got.status, got.header)
	}
	if got := call(s.api, "GET", "/findings/all", "", ""); got.header.Get("Last-Modified") != "" || got.header.Get("ETag") == "" {
		t.Errorf("of all configs: %v", got.header)
	}
}

// The feeds of all configs have a Last-Modified if all of their data is recorded. It is later after a change of any repository, a new config and a
// deleted one.
func TestLastModifiedOfAllConfigs(t *testing.T) {
	s := startTimeline(t, vulnerability("CVE-1", "HIGH"))
	other := add(t, s.api, "test/ubuntu", "16.04")
	s.api.visit(t)
	dates := make(map[string]string)
	paths := []string{"/findings/all", "/changes", "/changes?severity=HIGH"}
	check := func(when string) {
		t.Helper()
		for _, path := range paths {
			if got := call(s.api, "GET", path, "", ""); got.header.Get("Last-Modified") != "" {
				t.Errorf("%s %s, there may be a change that is not stored yet: %v", path, when, got.header)
			}
		}
		s.aws.Advance(time.Minute)
		for _, path := range paths {
			got := call(s.api, "GET", path, "", "", "If-Modified-Since", dates[path])
			date := got.header.Get("Last-Modified")
			if got.status != 200 || date == "" || date == dates[path] {
				t.Errorf("%s %s: %d, Last-Modified %q after %q", path, when, got.status, date, dates[path])
			}
			dates[path] = date
			if again := call(s.api, "GET", path, "", "", "If-Modified-Since", date); again.status != 304 {
				t.Errorf("%s %s: %d when nothing changed", path, when, again.status)
			}
		}
	}
	check("at the beginning")
	s.nextDay(vulnerability("CVE-2", "HIGH"))
	check("after a change")
	third := add(t, s.api, "test/ubuntu", "latest")
	s.api.visit(t)
	check("after a new config")
	for _, id := range []string{other, third} {
		if got := call(s.api, "DELETE", "/configs/"+id, "", ""); got.status != 204 {
			t.Fatalf("DELETE: %d", got.status)
		}
		check("after a config was deleted")
	}
	s.aws.Advance(time.Hour)
	if got := call(s.api, "GET", "/findings/all", "", "", "If-Modified-Since", dates["/findings/all"]); got.status != 200 || got.header.Get("Last-Modified") != "" {
		t.Errorf("when ECR was called: %d, %v", got.status, got.header)
	}
	if got := call(s.api, "GET", "/changes", "", "", "If-Modified-Since", dates["/changes"]); got.status != 304 {
		t.Errorf("changes an hour later: %d, %v", got.status, got.header)
	}
	add(t, s.api, "test/centos")
	s.aws.Advance(time.Minute)
	if got := call(s.api, "GET", "/changes", "", "", "If-Modified-Since", dates["/changes"]); got.status != 200 || got.header.Get("Last-Modified") != "" {
		t.Errorf("with a repository without a record: %d, %v", got.status, got.header)
	}
}

// A client that polls only with If-Modified-Since misses no change, whether a visit recorded it or a read found it earlier: there is
// never a 304 if the bytes changed.
func TestPollingWithIfModifiedSince(t *testing.T) {
	s := startTimeline(t, vulnerability("CVE-1", "HIGH"))
	undo := func() {}
	steps := []func(){
		func() { s.aws.Advance(time.Minute) },
		func() { s.later(2 * time.Hour) },
		func() { s.aws.Advance(time.Hour) }, // no visit, so the next read calls ECR
		func() { s.push("sha256:"+strings.Repeat("1a", 32), vulnerability("CVE-2", "HIGH")) },
		func() { s.aws.Advance(time.Minute) },
		func() { s.api.visit(t) },
		func() { undo = s.aws.ECR.InjectFault(awslocal.Fault{Status: 500}); s.aws.Advance(3 * time.Hour) },
		func() { s.api.visit(t) },
		func() { undo(); s.aws.Advance(time.Minute) },
		func() { s.later(time.Minute) },
		func() { s.nextDay(vulnerability("CVE-3", "LOW")) },
		func() { s.aws.Advance(31 * 24 * time.Hour) }, // resolved findings are removed after 30 days, without a visit
		func() { s.api.visit(t) },
	}
	type poll struct{ date, body string }
	last := make(map[string]poll)
	for i, step := range steps {
		step()
		for _, path := range []string{"", "/changes", "?severity=HIGH", "?format=json"} {
			now := call(s.api, "GET", "/findings/"+s.id+path, "", "")
			if before := last[path]; before.date != "" {
				polled := call(s.api, "GET", "/findings/"+s.id+path, "", "", "If-Modified-Since", before.date)
				if polled.status == 304 && now.body != before.body {
					t.Errorf("step %d, %q: a 304 since %s, but the bytes changed", i, path, before.date)
				}
			}
			if date := now.header.Get("Last-Modified"); date != "" {
				last[path] = poll{date, now.body}
			}
		}
	}
	for path, p := range last {
		if p.date == "" {
			t.Errorf("%q never had a date", path)
		}
	}
}

// push replaces the image of the tag v1 by another image, which is already scanned.
func (s *timeline) push(digest string, findings ...ecr.Finding) {
	s.aws.ECR.PutImage(appRepository, ecr.Image{Tags: []string{"v1"}, Digest: digest, ScannedAt: s.aws.Now().Add(-time.Minute), Findings: findings})
}

// While ECR denies access, responses have no Last-Modified. When access is allowed again, the client must not get a 304.
func TestNoLastModifiedWhileAccessIsDenied(t *testing.T) {
	for name, operation := range map[string]string{"the images": "DescribeImages", "the findings": "DescribeImageScanFindings"} {
		t.Run(name, func(t *testing.T) {
			s := startTimeline(t, vulnerability("CVE-1", "HIGH"))
			get := func(header ...string) response { return call(s.api, "GET", "/findings/"+s.id, "", "", header...) }
			date := get().header.Get("Last-Modified")
			undo := s.aws.ECR.InjectFault(ecr.Deny(operation, appRepository))
			s.push("sha256:"+strings.Repeat("1a", 32), vulnerability("CVE-2", "HIGH"))
			for _, visited := range []bool{false, true} {
				s.aws.Advance(25 * time.Hour)
				if visited {
					s.api.visit(t)
				}
				denied := get("If-Modified-Since", date)
				if denied.status != 200 || denied.header.Get("Last-Modified") != "" || !strings.Contains(denied.body, "o access") && !strings.Contains(denied.body, "NO ACCESS") {
					t.Errorf("denied, visited %t: %d %v %s", visited, denied.status, denied.header, denied.body)
				}
			}
			undo()
			s.later(time.Minute)
			if got := get("If-Modified-Since", date); got.status != 200 || got.header.Get("Last-Modified") == "" || !strings.Contains(got.body, "CVE-2") {
				t.Errorf("allowed again: %d %v", got.status, got.header)
			}
		})
	}
}

// breakRecord overwrites the record of a repository with invalid data.
func (s *timeline) breakRecord(folder string) {
	s.Helper()
	bucket, key := awstest.Bucket, s3store.RecordPrefix+"123456789012/us-west-2/"+folder+"/index"
	if _, err := s.aws.S3Client().PutObject(s.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader("broken")}); err != nil {
		s.Fatal(err)
	}
}

// With enhanced scanning on push, an image without findings has an empty list of enhanced findings. The next scan is
// compared with it.
func TestChangesAfterAnEnhancedScanWithoutFindings(t *testing.T) {
	a, h := start(t)
	a.ECR.SetScanType("us-west-2", "123456789012", ecr.Enhanced)
	s := &timeline{T: t, aws: a, api: h}
	push := func(findings ...ecr.EnhancedFinding) {
		a.ECR.PutImage(appRepository, ecr.Image{Tags: []string{"v1"}, ScannedAt: a.Now().Add(-time.Minute), Enhanced: findings, ScanStatus: "COMPLETE"})
	}
	push([]ecr.EnhancedFinding{}...)
	s.id = add(t, h, "team/app")
	s.api.visit(t)
	s.aws.Advance(25 * time.Hour)
	push(ecr.EnhancedFinding{Title: "CVE-C", Severity: "CRITICAL"})
	s.api.visit(t)
	s.want("/changes", "[NEW] [CRITICAL] found CVE-C")
	s.aws.Advance(25 * time.Hour)
	push([]ecr.EnhancedFinding{}...)
	s.api.visit(t)
	s.want("/changes", "[FIXED] [CRITICAL]: CVE-C is no longer found", "[NEW] [CRITICAL] found CVE-C")
}

// The tag moves to an image that was scanned before the config existed: NEW is dated before the image was first met.
func TestChangesAreNotDatedBeforeTheImageWasListed(t *testing.T) {
	a, h := start(t)
	a.ECR.InjectFault(awslocal.Fault{Operation: "StartImageScan", Code: "LimitExceededException"})
	s := &timeline{T: t, aws: a, api: h}
	a.ECR.PutImage(appRepository, ecr.Image{Tags: []string{"v1"}, ScannedAt: a.Now().Add(-20 * time.Hour)})
	s.id = add(t, h, "team/app")
	met := a.Now().UTC().Format(time.RFC3339)
	s.api.visit(t)
	a.Advance(time.Hour)
	a.ECR.PutImage(appRepository, ecr.Image{Tags: []string{"v1"}, ScannedAt: a.Now().Add(-10 * time.Hour), Findings: []ecr.Finding{vulnerability("CVE-C", "CRITICAL")}})
	s.api.visit(t)
	for _, e := range s.feed("/changes").Entries {
		if fmt.Sprint(e.Updated) < met {
			t.Errorf("%s is dated %s, first met %s", e.Title, e.Updated, met)
		}
	}
}

// A basic list that is shorter than its counts: the missing finding is still counted, but told FIXED; the next whole list tells it NEW.
func TestCountedFindingIsNotFixed(t *testing.T) {
	s := startTimeline(t, vulnerability("CVE-C", "CRITICAL"))
	s.aws.Advance(25 * time.Hour)
	s.update(func(i *ecr.Image) {
		i.ScannedAt, i.Findings, i.Counts = s.aws.Now().Add(-time.Minute), []ecr.Finding{}, map[string]int{"CRITICAL": 1}
	})
	s.api.visit(t)
	s.want("/changes")
}
