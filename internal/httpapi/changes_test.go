package httpapi_test

import (
	"net/http"
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

// story is a repository of which time tells something.
type story struct {
	*testing.T
	aws *awstest.AWS
	api *service
	id  string
}

var told = ecr.RepositoryID{Name: "team/app"}

func tell(t *testing.T, findings ...ecr.Finding) *story {
	a, h := start(t)
	a.ECR.PutImage(told, ecr.Image{Tags: []string{"v1"}, ScannedAt: a.Now().Add(-time.Minute), Findings: findings})
	// The story itself says when there is a scan.
	a.ECR.Disturb(awslocal.Fault{Operation: "StartImageScan", Code: "LimitExceededException", Message: "The scan quota of the registry has been exceeded."})
	s := &story{t, a, h, add(t, h, "team/app")}
	s.api.visit(t)
	return s
}

func vulnerability(name, severity string) ecr.Finding {
	return ecr.Finding{Name: name, Severity: severity, Attributes: []ecr.Attribute{{Key: "package_name", Value: "ssl"}}}
}

// nextDay scans the image again, which then has these findings.
func (s *story) nextDay(findings ...ecr.Finding) {
	s.Helper()
	s.aws.Later(25 * time.Hour)
	s.update(func(i *ecr.Image) {
		i.ScannedAt, i.Findings = s.aws.Now().Add(-time.Minute), findings
	})
	s.api.visit(s.T)
}

func (s *story) update(change func(*ecr.Image)) {
	s.Helper()
	if err := s.aws.ECR.UpdateImage(told, "v1", change); err != nil {
		s.Fatal(err)
	}
}

// later lets time pass, and then there is a visit.
func (s *story) later(d time.Duration) {
	s.Helper()
	s.aws.Later(d)
	s.api.visit(s.T)
}

func (s *story) feed(below string) *atom.Feed {
	s.Helper()
	return feed(s.T, s.api, "/findings/"+s.id+below)
}

func titles(f *atom.Feed) []string {
	var all []string
	for _, e := range f.Entries {
		all = append(all, strings.ReplaceAll(e.Title, " in image team/app:v1", ""))
	}
	return all
}

func (s *story) want(below string, want ...string) {
	s.Helper()
	if diff := cmp.Diff(want, titles(s.feed(below))); diff != "" {
		s.Errorf("%s (-want +got):\n%s", below, diff)
	}
}

// Days pass: what is new and what is fixed is told once, an unchanged scan tells nothing, and what comes back or rises is new again.
func TestWhatChanges(t *testing.T) {
	s := tell(t, vulnerability("CVE-1", "HIGH"), vulnerability("CVE-2", "LOW"))
	s.want("", "[HIGH] found CVE-1", "[LOW] found CVE-2")
	s.want("/changes")
	before := s.feed("")

	s.nextDay(vulnerability("CVE-1", "HIGH"), vulnerability("CVE-2", "LOW"))
	if diff := cmp.Diff(before.Entries, s.feed("").Entries); diff != "" {
		t.Errorf("a scan that changed nothing (-before +after):\n%s", diff)
	}
	s.want("/changes")

	s.nextDay(vulnerability("CVE-3", "CRITICAL"), vulnerability("CVE-2", "MEDIUM"))
	s.want("", "[CRITICAL] found CVE-3", "[MEDIUM] found CVE-2", "[RESOLVED] [HIGH] found CVE-1")
	s.want("/changes", "[NEW] [CRITICAL] found CVE-3", "[SEVERITY RAISED] [MEDIUM] found CVE-2, was LOW", "[FIXED] [HIGH]: CVE-1 is no longer found")
	s.want("/changes?severity=HIGH", "[NEW] [CRITICAL] found CVE-3", "[FIXED] [HIGH]: CVE-1 is no longer found")
	s.want("/changes?cve=cve-2", "[SEVERITY RAISED] [MEDIUM] found CVE-2, was LOW")
	s.want("/changes?tag=other")
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
		t.Error("what came back, or rose, has the id that it had")
	}
	s.aws.Later(25 * time.Hour)
	if got := call(s.api, "GET", "/summary?tag=v1", "", "").body; !strings.HasSuffix(got, ":\n CRITICAL: 1\n HIGH: 1\n LOW: 1\n\n\n") {
		t.Errorf("summary a day after the last change:\n%s", got)
	}
	if got := call(s.api, "GET", "/summary?tag=v1&since=29d", "", "").body; !strings.HasSuffix(got, ":\n CRITICAL: 1 (+1)\n HIGH: 1 (+1 -1)\n MEDIUM: 0 (+1 -1)\n LOW: 1 (+1 -1)\n\n\n") {
		t.Errorf("summary since the beginning:\n%s", got)
	}
}

// What an image has lost stays for 30 days as resolved.
func TestResolvedLeaves(t *testing.T) {
	s := tell(t, vulnerability("CVE-1", "HIGH"))
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

// What happened is news for 30 days, whether or not the image is scanned on, and what is resolved leaves then; each time the date moves.
func TestOldNewsLeaves(t *testing.T) {
	s := tell(t, vulnerability("CVE-1", "HIGH"), vulnerability("CVE-2", "HIGH"))
	s.aws.Later(3 * 24 * time.Hour)
	s.nextDay(vulnerability("CVE-1", "HIGH"))
	s.want("/changes", "[FIXED] [HIGH]: CVE-2 is no longer found", "[NOT SCANNED, OVER] image team/app:v1 was scanned again",
		"[NOT SCANNED] image team/app:v1 has had no completed scan for 2 days")
	s.nextDay(vulnerability("CVE-1", "HIGH"))
	s.feed("")
	for range 26 {
		s.aws.Later(24 * time.Hour)
		s.feed("")
	}
	unscanned := "[NOT SCANNED] image team/app:v1 has had no completed scan for 2 days"
	s.want("/changes", unscanned, "[FIXED] [HIGH]: CVE-2 is no longer found", "[NOT SCANNED, OVER] image team/app:v1 was scanned again", unscanned)
	var feeds []string
	for _, below := range []string{"", "/changes"} {
		feeds = append(feeds, call(s.api, "GET", "/findings/"+s.id+below, "", "").header.Get("Last-Modified"))
	}
	s.aws.Later(4 * 24 * time.Hour)
	for i, below := range []string{"", "/changes"} {
		if got := call(s.api, "GET", "/findings/"+s.id+below, "", "", "If-Modified-Since", feeds[i]); got.status != 200 {
			t.Errorf("%s: %d by the date of before", below, got.status)
		}
	}
	s.want("", "[HIGH] found CVE-1")
	s.want("/changes", unscanned)
}

// More changes of one scan than anybody reads are rolled into one entry.
func TestManyChanges(t *testing.T) {
	s := tell(t, vulnerability("CVE-1", "CRITICAL"))
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
		t.Errorf("the worst is not told by itself: %q", got.Entries[20].Title)
	}
	s.want("/changes?cve=CVE-BA", "[NEW] [LOW] found CVE-BA")
}

// The watch tells of itself: an image without a scan for two days, scans that fail, a repository that goes; each when it begins and when it ends.
func TestNewsOfTheWatch(t *testing.T) {
	s := tell(t, vulnerability("CVE-1", "HIGH"))
	s.aws.Later(47 * time.Hour)
	s.want("/changes")
	s.aws.Later(2 * time.Hour)
	begun := s.feed("/changes")
	s.want("/changes", "[NOT SCANNED] image team/app:v1 has had no completed scan for 2 days")
	s.update(func(i *ecr.Image) {
		i.ScannedAt, i.ScanStatus, i.ScanDescription = s.aws.Now(), "FAILED", "UnsupportedImageError: x"
	})
	s.later(refresh.Trust)
	s.want("", "[HIGH] found CVE-1")
	s.want("/changes", "[SCAN FAILED] image team/app:v1 can't be scanned", "[NOT SCANNED] image team/app:v1 has had no completed scan for 2 days")
	s.update(func(i *ecr.Image) { i.ScanStatus = "" })
	s.nextDay(vulnerability("CVE-1", "HIGH"))
	s.want("/changes", "[NOT SCANNED, OVER] image team/app:v1 was scanned again", "[SCAN FAILED, OVER] the scans of image team/app:v1 no longer fail",
		"[SCAN FAILED] image team/app:v1 can't be scanned", "[NOT SCANNED] image team/app:v1 has had no completed scan for 2 days")
	if after := s.feed("/changes"); after.Entries[3].ID != begun.Entries[0].ID {
		t.Error("what began has another id once it is over")
	}

	undo := s.aws.ECR.Disturb(awslocal.Fault{Code: "RepositoryNotFoundException"})
	s.later(refresh.Trust)
	if got := s.feed("/changes"); got.Entries[0].Title != "[REPOSITORY GONE] the registry has no repository team/app in us-west-2 any more" {
		t.Errorf("gone: %q", titles(got))
	}
	undo()
	s.later(refresh.Trust)
	if got := s.feed("/changes"); got.Entries[0].Title != "[REPOSITORY GONE, OVER] the registry has the repository team/app in us-west-2 again" {
		t.Errorf("back: %q", titles(got))
	}
	if got := feed(t, s.api, "/changes"); len(got.Entries) != 6 || linkOf(got, "self") != "/changes" {
		t.Errorf("of all: %q", titles(got))
	}
	if got := feed(t, s.api, "/changes?cve=CVE-1"); len(got.Entries) != 0 {
		t.Errorf("of a vulnerability: %q", titles(got))
	}
}

// A history that is lost takes its own news with it and no other, and readers don't see the feed go.
func TestNewsOfALostHistory(t *testing.T) {
	s := tell(t, vulnerability("CVE-1", "HIGH"))
	s.nextDay(vulnerability("CVE-2", "HIGH"))
	s.want("/changes", "[NEW] [HIGH] found CVE-2", "[FIXED] [HIGH]: CVE-1 is no longer found")
	s.loseHistories()
	s.want("/changes")
	if got := call(s.api, "GET", "/changes", "", ""); got.status != 200 {
		t.Errorf("of all: %d %s", got.status, got.body)
	}
	s.nextDay(vulnerability("CVE-2", "HIGH"))
	s.feed("")
	s.nextDay(vulnerability("CVE-2", "HIGH"), vulnerability("CVE-3", "LOW"))
	s.want("/changes", "[NEW] [LOW] found CVE-3")
}

// loseHistories removes the histories of all images, and leaves the records.
func (s *story) loseHistories() {
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

// The same data gives the same bytes and a 304, also by the date while ECR is asked nothing; any change gives another date.
func TestLastModified(t *testing.T) {
	s := tell(t, vulnerability("CVE-1", "HIGH"))
	get := func(path string, header ...string) answer {
		return call(s.api, "GET", "/findings/"+s.id+path, "", "", header...)
	}
	for _, path := range []string{"", "/changes"} {
		first := get(path)
		if first.header.Get("Last-Modified") == "" {
			t.Fatalf("%s: no date: %v", path, first.header)
		}
		s.nextDay(vulnerability("CVE-1", "HIGH"))
		settled := get(path)
		if settled.body != first.body {
			t.Errorf("%s: a scan that changed nothing changed the bytes", path)
		}
		date := settled.header.Get("Last-Modified")
		s.aws.Later(refresh.Trust - time.Minute)
		if got := get(path, "If-Modified-Since", date); got.status != 304 {
			t.Errorf("%s: %d when nothing changed", path, got.status)
		}
		s.aws.Later(time.Hour)
		got := get(path, "If-Modified-Since", date)
		if asks := path == ""; asks && (got.status != 200 || got.header.Get("Last-Modified") != "" || got.body != first.body) || !asks && got.status != 304 {
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
	s.aws.ECR.Disturb(awslocal.Fault{Status: 500})
	s.aws.Later(25 * time.Hour)
	if got := get("", "If-Modified-Since", s.aws.Now().UTC().Format(http.TimeFormat)); got.status != 200 || got.header.Get("Last-Modified") != "" || !strings.Contains(got.body, ". As of ") {
		t.Errorf("when ECR is down: %d %v", got.status, got.header)
	}
	if got := call(s.api, "GET", "/findings/all", "", ""); got.header.Get("Last-Modified") != "" || got.header.Get("ETag") == "" {
		t.Errorf("of all: %v", got.header)
	}
}

// Somebody who polls by the date alone has each change that a visit records, and each that a read sees before: never a 304 with other bytes.
func TestPollingByTheDate(t *testing.T) {
	s := tell(t, vulnerability("CVE-1", "HIGH"))
	undo := func() {}
	steps := []func(){
		func() { s.aws.Later(time.Minute) },
		func() { s.later(2 * time.Hour) },
		func() { s.aws.Later(time.Hour) }, // no visit: the next read asks ECR
		func() { s.push("sha256:"+strings.Repeat("1a", 32), vulnerability("CVE-2", "HIGH")) },
		func() { s.aws.Later(time.Minute) },
		func() { s.api.visit(t) },
		func() { undo = s.aws.ECR.Disturb(awslocal.Fault{Status: 500}); s.aws.Later(3 * time.Hour) },
		func() { s.api.visit(t) },
		func() { undo(); s.aws.Later(time.Minute) },
		func() { s.later(time.Minute) },
		func() { s.nextDay(vulnerability("CVE-3", "LOW")) },
		func() { s.aws.Later(31 * 24 * time.Hour) }, // what was resolved leaves by time alone
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
					t.Errorf("step %d, %q: a 304 since %s, though the bytes are others", i, path, before.date)
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

// push replaces the image of v1 by another, which is scanned.
func (s *story) push(digest string, findings ...ecr.Finding) {
	s.aws.ECR.PutImage(told, ecr.Image{Tags: []string{"v1"}, Digest: digest, ScannedAt: s.aws.Now().Add(-time.Minute), Findings: findings})
}

// What ECR refuses leaves no date: once it is allowed again, whoever saw the refusal is given more than a 304.
func TestNoDateOfARefusal(t *testing.T) {
	for name, operation := range map[string]string{"the images": "DescribeImages", "the findings": "DescribeImageScanFindings"} {
		t.Run(name, func(t *testing.T) {
			s := tell(t, vulnerability("CVE-1", "HIGH"))
			get := func(header ...string) answer { return call(s.api, "GET", "/findings/"+s.id, "", "", header...) }
			date := get().header.Get("Last-Modified")
			undo := s.aws.ECR.Disturb(ecr.Deny(operation, told))
			s.push("sha256:"+strings.Repeat("1a", 32), vulnerability("CVE-2", "HIGH"))
			for _, visited := range []bool{false, true} {
				s.aws.Later(25 * time.Hour)
				if visited {
					s.api.visit(t)
				}
				refused := get("If-Modified-Since", date)
				if refused.status != 200 || refused.header.Get("Last-Modified") != "" || !strings.Contains(refused.body, "o access") && !strings.Contains(refused.body, "NO ACCESS") {
					t.Errorf("refused, visited %t: %d %v %s", visited, refused.status, refused.header, refused.body)
				}
			}
			undo()
			s.later(time.Minute)
			if got := get("If-Modified-Since", date); got.status != 200 || got.header.Get("Last-Modified") == "" || !strings.Contains(got.body, "CVE-2") {
				t.Errorf("later: %d %v", got.status, got.header)
			}
		})
	}
}

// breakRecord replaces the record of a repository by something else.
func (s *story) breakRecord(folder string) {
	s.Helper()
	bucket, key := awstest.Bucket, s3store.RecordPrefix+"123456789012/us-west-2/"+folder+"/index"
	if _, err := s.aws.S3Client().PutObject(s.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader("broken")}); err != nil {
		s.Fatal(err)
	}
}
