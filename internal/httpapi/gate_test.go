package httpapi_test

import (
	"encoding/json"
	"fmt"
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
		"": {"/max"}, "max=": {"/max"}, "max=none": {"/max"}, "max=LOW&max=HIGH": {"/max"}, "max=LOW&severity=LOW": {"/severity"}, "max=x&tag=.": {"/max", "/tag"}, "format=json": {"/format", "/max"},
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
