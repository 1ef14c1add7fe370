package httpapi_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// putGateImages adds one image for each result of a gate.
func putGateImages(a *ecr.ECR) {

	put := func(tag string, ago time.Duration, severities ...string) {
		image := ecr.Image{Tags: []string{tag}}
		if ago > 0 {
			image.ScannedAt = time.Now().Add(-ago)
		}
		for i, s := range severities {
			image.Findings = append(image.Findings, ecr.Finding{Name: fmt.Sprint("CVE-", i), Severity: s})
		}
		a.PutImage(ecr.RepositoryID{Name: "team/app"}, image)
	}
	put("clean", time.Hour)
	put("medium", 47*time.Hour, "MEDIUM", "LOW")
	put("high", time.Hour, "HIGH", "HIGH", "LOW")
	put("stale", 49*time.Hour)
	put("new", 0)
}

func TestGate(t *testing.T) {
	a, h := start(t)
	putGateImages(a.ECR)
	id := add(t, h, "team/app")
	for query, want := range map[string]map[string]string{
		"max=MEDIUM&tag=clean&tag=medium": nil,
		"max=high&tag=high":               nil,
		"max=UNTRIAGED&tag=clean":         nil,
		"max=MEDIUM&tag=high":             {"team/app:high": "above max"},
		"max=LOW&tag=medium":              {"team/app:medium": "above max"},
		"max=CRITICAL&tag=nix":            {"team/app:nix": "tag not found"},
		"max=CRITICAL":                    {"team/app:new": "not scanned", "team/app:stale": "stale"},
		"max=MEDIUM":                      {"team/app:new": "not scanned", "team/app:stale": "stale", "team/app:high": "above max"},
	} {
		got := call(h, "GET", "/gate/"+id+"?"+query, "", "")
		if got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", query, got.header)
		}
		if want == nil {
			var pass render.GatePass
			if err := json.Unmarshal([]byte(got.body), &pass); err != nil || got.status != 200 || !pass.Passed || pass.Images == 0 || pass.OldestScan == "" {
				t.Errorf("%s: %d %s, %v", query, got.status, got.body, err)
			}
			continue
		}
		checkProblem(t, got, 409)
		var p struct{ Reasons []render.GateReason }
		if err := json.Unmarshal([]byte(got.body), &p); err != nil {
			t.Fatal(err)
		}
		reasons := map[string]string{}
		for _, r := range p.Reasons {
			reasons[r.Image] = r.Reason
		}
		if diff := cmp.Diff(want, reasons); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	if got := call(h, "HEAD", "/gate/"+id+"?max=LOW", "", ""); got.status != 409 {
		t.Errorf("HEAD: %d", got.status)
	}
	if got := call(h, "GET", "/gate/"+id+"/?max=MEDIUM&tag=high&key=k", "", ""); got.status != 409 || !strings.Contains(got.body, `"detail": "HIGH: 2"`) || strings.Contains(got.body, "key") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestGateErrors(t *testing.T) {
	a, h := start(t)
	putGateImages(a.ECR)
	id := add(t, h, "team/app")
	for query, pointers := range map[string][]string{
		"": {"/max"}, "max=": {"/max"}, "max=none": {"/max"}, "max=LOW&max=HIGH": {"/max"}, "max=LOW&severity=LOW": {"/severity"}, "max=x&tag=.": {"/max", "/tag"}, "format=csv": {"/format", "/max"},
		"max=LOW&new=0d": {"/new"}, "max=LOW&new=366d": {"/new"}, "max=LOW&new=7": {"/new"}, "max=LOW&new=2999-01-01": {"/new"}, "max=LOW&new=-7d": {"/new"}, "max=LOW&new=1d&new=2d": {"/new"},
		"max=LOW&unjudged=true": {"/unjudged"}, "max=LOW&fixable=yes": {"/fixable"}, "max=LOW&digest=x": {"/digest"}, "max=LOW&platform=linux/amd64": {"/platform"},
	} {
		if diff := cmp.Diff(pointers, checkProblem(t, call(h, "GET", "/gate/"+id+"?"+query, "", ""), 400)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	checkProblem(t, call(h, "GET", "/gate/"+exampleID+"?max=LOW", "", ""), 404)
	checkProblem(t, call(h, "GET", "/gate/x?max=LOW", "", ""), 404)

	// Images that can't be read don't pass.
	for reason, disturb := range map[string]awslocal.Fault{
		"unavailable": {Operation: "DescribeImageScanFindings", Status: 500}, "no access": ecr.Deny("", ecr.RepositoryID{}),
	} {
		undo := a.ECR.InjectFault(disturb)
		got := call(h, "GET", "/gate/"+id+"?max=CRITICAL&tag=clean", "", "")
		if checkProblem(t, got, 409); !strings.Contains(got.body, `"reason": "`+reason+`"`) {
			t.Errorf("%s: %s", reason, got.body)
		}
		undo()
	}
	a.ECR.DeleteRepository(ecr.RepositoryID{Name: "team/app"})
	if got := call(h, "GET", "/gate/"+id+"?max=CRITICAL", "", ""); got.status != 409 || !strings.Contains(got.body, "repository not found") {
		t.Errorf("deleted repository: %d %s", got.status, got.body)
	}
	a.S3.InjectFault(awslocal.Fault{Status: 500})
	checkProblem(t, call(h, "GET", "/gate/"+id+"?max=CRITICAL", "", ""), 503)
}

// The text has a line for each reason and each finding, and no key.
func TestGateAsText(t *testing.T) {
	a, h := start(t)
	a.ECR.PutImage(ecr.RepositoryID{Name: "team/app"}, ecr.Image{Tags: []string{"bad"}, ScannedAt: time.Now().Add(-time.Hour), Findings: []ecr.Finding{
		{Name: "CVE-1", Severity: "HIGH", URI: "https://example.org/CVE-1", Attributes: []ecr.Attribute{{Key: "package_name", Value: "zlib"}}}, {Name: "CVE-2\nPASSED", Severity: "LOW"},
	}})
	a.ECR.PutImage(ecr.RepositoryID{Name: "team/app"}, ecr.Image{Tags: []string{"new"}})
	id := add(t, h, "team/app")
	for query, want := range map[string]struct {
		status int
		body   string
	}{
		"tag=bad&max=HIGH": {200, "PASSED: 1 image, no finding above HIGH fails the gate\n"},
		"tag=bad&max=LOW":  {409, "FAILED: 1 of 1 image, the maximum is LOW\nteam/app:bad: above max: HIGH: 1\n  HIGH CVE-1 in zlib, no fixed version, https://example.org/CVE-1\n"},
		"max=INFORMATIONAL": {409, "FAILED: 2 of 2 images, the maximum is INFORMATIONAL\nteam/app:bad: above max: HIGH: 1, LOW: 1\n  HIGH CVE-1 in zlib, no fixed version, https://example.org/CVE-1\n" +
			"  LOW CVE-2 PASSED, no fixed version, " + base + "/findings/" + id + "?format=html\nteam/app:new: not scanned\n"},
		"tag=bad&max=LOW&fixable=true": {200, "PASSED: 1 image, no finding above LOW fails the gate\nabove LOW, but ignored because of fixable or new: 1\n"},
		"tag=new&max=LOW":              {409, "NOT YET: 1 of 1 image, the maximum is LOW\nteam/app:new: not scanned\n"},
	} {
		got := call(h, "GET", "/gate/"+id+"?format=text&key=secret&"+query, "", "")
		if got.status != want.status || got.body != want.body || got.header.Get("Content-Type") != "text/plain; charset=utf-8" || strings.Contains(got.body, "secret") {
			t.Errorf("%s: %d %v\n%s\nwant\n%s", query, got.status, got.header, got.body, want.body)
		}
		if wait := got.header.Get("Retry-After"); (wait != "") != (query == "tag=new&max=LOW") {
			t.Errorf("%s: Retry-After %q", query, wait)
		}
	}
	addSuppression(t, h, `{"package":"zlib","reason":"not reachable"}`)
	for query, want := range map[string]string{
		"tag=bad&max=LOW":           "PASSED: 1 image, no finding above LOW fails the gate\nsuppressed: 1\n",
		"tag=bad&max=INFORMATIONAL": "FAILED: 1 of 1 image, the maximum is INFORMATIONAL\nteam/app:bad: above max: LOW: 1\n  LOW CVE-2 PASSED, no fixed version, " + base + "/findings/" + id + "?format=html\nsuppressed: 1\n",
	} {
		if got := call(h, "GET", "/gate/"+id+"?format=text&"+query, "", ""); got.body != want {
			t.Errorf("%s: %d\n%s\nwant\n%s", query, got.status, got.body, want)
		}
	}
}

// The first line counts each image of each repository, and whole repositories. A reason says why a repository has no image to judge.
func TestGateTextOfAPattern(t *testing.T) {
	a, h := start(t)
	for name, pushed := range map[string]time.Duration{"team/app": time.Hour, "team/web": time.Hour, "team/old": 1000 * time.Hour} {
		a.ECR.PutImage(ecr.RepositoryID{Name: name}, ecr.Image{Tags: []string{"latest"}, PushedAt: time.Now().Add(-pushed), ScannedAt: time.Now().Add(-time.Hour),
			Findings: []ecr.Finding{{Name: "CVE-1", Severity: "HIGH"}}})
	}
	used := addJSON(t, h, `{"region":"us-west-2","registry":"123456789012","repository":"team/*","used":"30d"}`)
	old := addJSON(t, h, `{"region":"us-west-2","registry":"123456789012","repository":"team/*","exclude":["team/app","team/web"],"used":"30d"}`)
	releases := add(t, h, "team/app", "v*", "release-*")
	h.visit(t)
	for path, want := range map[string]string{
		used + "?max=LOW": "FAILED: 2 of 2 images, the maximum is LOW\nteam/app:latest: above max: HIGH: 1\nteam/web:latest: above max: HIGH: 1\n",
		used + "?max=LOW&repository=team/app&repository=team/old":     "FAILED: 1 of 1 image and 1 repository, the maximum is LOW\nteam/app:latest: above max: HIGH: 1\nteam/old: no images: 1 unused image is not watched\n",
		used + "?max=HIGH&repository=team/old":                        "FAILED: no image to judge, the maximum is HIGH\nteam/old: no images: 1 unused image is not watched\n",
		used + "?max=HIGH&repository=team/none1&repository=team/none": "FAILED: no image to judge, the maximum is HIGH\nteam/none: repository not found\nteam/none1: repository not found\n",
		old + "?max=HIGH":      "FAILED: no image to judge, the maximum is HIGH\nteam/old: no images: 1 unused image is not watched\n",
		releases + "?max=HIGH": "FAILED: no image to judge, the maximum is HIGH\nteam/app: no images: no tag matches v*, release-*\n",
	} {
		got := call(h, "GET", "/gate/"+path+"&format=text", "", "")
		lines := slices.DeleteFunc(strings.SplitAfter(got.body, "\n"), func(line string) bool { return strings.HasPrefix(line, " ") }) // findings
		if text := strings.Join(lines, ""); text != want {
			t.Errorf("%s: %d\n%s\nwant\n%s", path, got.status, text, want)
		}
	}
}

// A pipeline asks for the image that it has just pushed: before and after the scan, with and without a tag, and as an index.
func TestGateOfADigest(t *testing.T) {
	a, h := start(t)
	repository := ecr.RepositoryID{Name: "team/app"}
	high := []ecr.Finding{{Name: "CVE-1", Severity: "HIGH"}}
	clean := a.ECR.PutImage(repository, ecr.Image{Tags: []string{"1"}, ScannedAt: time.Now().Add(-time.Hour), Findings: []ecr.Finding{}})
	untagged := a.ECR.PutImage(repository, ecr.Image{ScannedAt: time.Now().Add(-time.Hour), Findings: high})
	pushed := a.ECR.PutImage(repository, ecr.Image{Findings: high, MediaType: "application/vnd.oci.image.manifest.v1+json"})
	id := add(t, h, "team/app", "1")
	for name, test := range map[string]struct {
		query  string
		status int
		reason string // "" for none
		waits  bool
	}{
		"watched":                       {"max=LOW&digest=" + clean, 200, "", false},
		"untagged":                      {"max=LOW&digest=" + untagged, 409, `"image": "team/app@` + untagged + `"`, false},
		"untagged, at the maximum":      {"max=HIGH&digest=" + untagged, 200, "", false},
		"untagged, no fix":              {"max=LOW&fixable=true&digest=" + untagged, 200, "", false},
		"untagged, new":                 {"max=LOW&new=7d&digest=" + untagged, 409, `"vulnerability": "CVE-1"`, false},
		"not scanned yet":               {"max=LOW&digest=" + pushed, 409, `"reason": "not scanned"`, true},
		"not scanned, and one fails":    {"max=LOW&digest=" + pushed + "&digest=" + untagged, 409, `"reason": "above max"`, false},
		"missing":                       {"max=LOW&digest=sha256:" + strings.Repeat("0", 64), 409, "the repository has no image with this digest", false},
		"watched, but not with the tag": {"max=LOW&tag=2&digest=" + clean, 409, `"reason": "tag not found"`, false},
	} {
		got := call(h, "GET", "/gate/"+id+"?"+test.query, "", "")
		if got.status != test.status || !strings.Contains(got.body, test.reason) || (got.header.Get("Retry-After") != "") != test.waits {
			t.Errorf("%s: %d %v %s", name, got.status, got.header, got.body)
		}
	}
	a.ECR.DeleteRepository(repository)
	if got := call(h, "GET", "/gate/"+id+"?max=LOW&digest="+untagged, "", ""); got.status != 409 || !strings.Contains(got.body, "repository not found") {
		t.Errorf("without the repository: %d %s", got.status, got.body)
	}
}

func TestGateOfManyImages(t *testing.T) {
	a, h := start(t)
	for i := range 150 {
		a.ECR.PutImage(ecr.RepositoryID{Name: "team/app"}, ecr.Image{Tags: []string{fmt.Sprint("v", i)}})
	}
	got := call(h, "GET", "/gate/"+add(t, h, "team/app")+"?max=LOW", "", "")
	if checkProblem(t, got, 409); strings.Count(got.body, `"reason": "not scanned"`) != 100 || !strings.Contains(got.body, `"reasonsOmitted": 50`) {
		t.Errorf("%.3000s", got.body)
	}
}

func TestBadge(t *testing.T) {
	a, h := start(t)
	putGateImages(a.ECR)
	id := add(t, h, "team/app", "clean", "medium", "high", "stale", "new")
	for query, want := range map[string]string{
		"": "2 HIGH, incomplete, stale", "?tag=clean": "no findings", "?tag=medium&tag=clean": "1 MEDIUM", "?tag=stale": "stale", "?tag=new": "not scanned", "?tag=nix": "not scanned", "?tag=clean&tag=nix": "not scanned",
	} {
		got := call(h, "GET", "/badge/"+id+".svg"+query, "", "")
		if got.status != 200 || got.header.Get("Content-Type") != "image/svg+xml" || !strings.Contains(got.body, ">"+want+"</text>") {
			t.Errorf("%s: %d %v %s", query, got.status, got.header, got.body)
		}
		if again := call(h, "GET", "/badge/"+id+".svg"+query, "", "", "If-None-Match", got.header.Get("ETag")); again.status != 304 {
			t.Errorf("%s, again: %d", query, again.status)
		}
	}
	for _, path := range []string{"/badge/" + exampleID + ".svg", "/badge/" + id, "/badge/" + id + ".png", "/badge/.svg", "/badge/" + strings.ToUpper(exampleID) + ".svg", "/badge/" + id + "%2Fx.svg", "/badge/" + id + ".svg/x", "/badge"} {
		checkProblem(t, call(h, "GET", path, "", ""), 404)
	}
	checkProblem(t, call(h, "GET", "/badge/"+id+".svg?max=LOW", "", ""), 400)
	checkProblem(t, call(h, "POST", "/badge/"+id+".svg", "", ""), 405)
	a.S3.InjectFault(awslocal.Fault{Status: 500})
	checkProblem(t, call(h, "GET", "/badge/"+id+".svg", "", ""), 503)
}

// A tag of a request that does not exist is not stored. Otherwise a client could fill the bucket with requests.
func TestUnknownTagsAreNotStored(t *testing.T) {
	a, h := start(t)
	putGateImages(a.ECR)
	id := add(t, h, "team/app")
	for _, target := range []string{"/gate/" + id + "?max=LOW&tag=clean&tag=unknown", "/badge/" + id + ".svg?tag=clean&tag=unknown"} {
		call(h, "GET", target, "", "")
		h.visit(t)
	}
	record, err := h.Reader.Records.Load(t.Context(), scan.Repository{Registry: "123456789012", Region: "us-west-2", Name: "team/app"})
	if err != nil {
		t.Fatal(err)
	}
	_, clean := record.Images["clean"]
	if _, unknown := record.Images["unknown"]; unknown || !clean {
		t.Errorf("unknown: %t, clean: %t in %+v", unknown, clean, record.Images)
	}
}

// The gate judges a finding without a severity by its score, and says how many it can't judge.
func TestGateOfFindingsWithoutASeverity(t *testing.T) {
	a, h := start(t)
	score := func(severity, score string) ecr.Finding {
		f := ecr.Finding{Name: "CVE-" + severity + score, Severity: severity}
		if score != "" {
			f.Attributes = []ecr.Attribute{{Key: "CVSS3_SCORE", Value: score}}
		}
		return f
	}
	put := func(repo string, findings ...ecr.Finding) string {
		a.ECR.PutImage(ecr.RepositoryID{Name: repo}, ecr.Image{Tags: []string{"1"}, ScannedAt: time.Now().Add(-time.Hour), Findings: findings})
		return add(t, h, repo)
	}
	undefined := put("team/undefined", score("UNDEFINED", "9.8"), score("UNDEFINED", ""))
	many := put("team/many", score("UNDEFINED", "4.0"), score("", "6.9"), score("UNTRIAGED", "7.0"), score("LOW", "9.9"), score("UNDEFINED", "0.0"), score("UNDEFINED", "11"))
	for _, visited := range []bool{false, true} {
		if visited {
			h.visit(t)
		}
		contains(t, h, map[string][]string{
			"/summary":                             {"undefined:1 in us-west-2:\n UNDEFINED: 2\n"},
			"/gate/" + undefined + "?max=LOW":      {`"status": 409`, `"reason": "above max"`, `"detail": "UNDEFINED: 1 with the CVSS score 9.8"`, `"unjudged": 1`},
			"/gate/" + undefined + "?max=HIGH":     {`"status": 409`},
			"/gate/" + undefined + "?max=CRITICAL": {`"passed": true`, `"unjudged": 1`},
			"/gate/" + many + "?max=LOW":           {`"detail": "UNDEFINED: 2 with CVSS scores up to 6.9, UNTRIAGED: 1 with the CVSS score 7.0"`, `"unjudged": 2`},
			"/gate/" + many + "?max=MEDIUM":        {`"detail": "UNTRIAGED: 1 with the CVSS score 7.0"`},
			"/gate/" + many + "?max=HIGH":          {`"passed": true`, `"unjudged": 2`},
		})
	}
	record, err := h.Reader.Records.Load(t.Context(), scan.Repository{Registry: "123456789012", Region: "us-west-2", Name: "team/undefined"})
	if err != nil {
		t.Fatal(err)
	}
	// If the scores can't be read, the gate does not pass.
	a.S3.InjectFault(awslocal.Fault{Status: 500, Resource: awstest.Bucket + "/record/123456789012/us-west-2/team~undefined/" + strings.Split(record.Images["1"].History, "/")[0]})
	contains(t, h, map[string][]string{"/gate/" + undefined + "?max=CRITICAL": {`"reason": "unavailable"`}})
}
