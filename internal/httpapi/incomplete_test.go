package httpapi_test

import (
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

// contains checks that the answer of each path has all texts of a list, and none of those that begin with a "!".
func contains(t *testing.T, h *service, texts map[string][]string) {
	t.Helper()
	for path, wanted := range texts {
		got := call(h, "GET", path, "", "")
		for _, text := range wanted {
			text, isUnwanted := strings.CutPrefix(text, "!")
			if strings.Contains(got.body, text) == isUnwanted {
				t.Errorf("%s: %q is wrong: %d %s", path, text, got.status, got.body)
			}
		}
	}
}

// If only the first page of an answer is known, the image is not shown as clean and fails the gate. Each format says that findings are missing.
func TestAnswerWithoutItsLastPage(t *testing.T) {
	a, h := start(t)
	a.ECR.PutImage(ecr.RepositoryID{Name: "shop/frontend"}, ecr.Image{
		Tags: []string{"7"}, ScannedAt: time.Now().Add(-time.Hour), Findings: []ecr.Finding{{Name: "CVE-2021-43396", Severity: "LOW"}},
		Counts: map[string]int{"CRITICAL": 6, "HIGH": 12, "MEDIUM": 18, "UNDEFINED": 1, "LOW": 3}, Cut: true,
	})
	id := add(t, h, "shop/frontend")
	check := func() {
		t.Helper()
		contains(t, h, map[string][]string{
			"/summary":                                    {"Results for shop/frontend:7 in us-west-2:\n CRITICAL: 6\n HIGH: 12\n MEDIUM: 18\n LOW: 3\n UNDEFINED: 1\n INCOMPLETE: 39 findings are missing\n\n\n"},
			"/summary?format=json":                        {`"state": "incomplete"`, `"reason": "39 findings are missing"`, `"missing": 39`, `"CRITICAL": 6`},
			"/summary?format=csv":                         {"incomplete,39 findings are missing", ",6,12,18,3,0,1,0,0,", ",39,,,,,,,\r\n"},
			"/summary?format=html":                        {"Incomplete", "!All images have a current result"},
			"/summary?severity=CRITICAL&format=json":      {`"state": "incomplete"`},
			"/findings/" + id:                             {"CVE-2021-43396", ". Incomplete lists: [7] 39 findings are missing"},
			"/findings/" + id + "?format=json":            {"CVE-2021-43396", `"state": "incomplete"`, `"missing": 39`, `"reason": "39 findings are missing"`},
			"/findings/" + id + "?format=csv":             {"CVE-2021-43396", "incomplete,39 findings are missing,"},
			"/findings/" + id + "?format=sarif":           {"CVE-2021-43396", `"executionSuccessful":false`, "39 findings are missing"},
			"/findings/" + id + "?format=html":            {"CVE-2021-43396", "<b>Incomplete</b>: 39 findings are missing"},
			"/findings/all?severity=CRITICAL&format=html": {"<b>Incomplete</b>: 39 findings are missing"},
			"/gate/" + id + "?max=CRITICAL":               {`"status": 409`, `"reason": "incomplete"`, `"detail": "39 findings are missing"`},
			"/gate/" + id + "?max=HIGH":                   {`"reason": "incomplete"`, `"detail": "CRITICAL: 6"`},
			"/badge/" + id + ".svg":                       {">6 CRITICAL, incomplete<"},
			"/findings/" + id + "/changes":                {"!<entry>"},
		})
	}
	check()
	h.visit(t)
	check()
}

// If nothing is known of an answer but that there is more, the image is not clean.
func TestAnswerOfWhichNothingIsKnown(t *testing.T) {
	a, h := start(t)
	a.ECR.PutImage(ecr.RepositoryID{Name: "shop/frontend"}, ecr.Image{Tags: []string{"7"}, ScannedAt: time.Now().Add(-time.Hour), Counts: map[string]int{}, Cut: true})
	id := add(t, h, "shop/frontend")
	const reason = "ECR did not return all findings"
	contains(t, h, map[string][]string{
		"/summary":                               {":\n INCOMPLETE: " + reason + "\n\n\n"},
		"/summary?format=json":                   {`"counts": null`, reason},
		"/summary?severity=CRITICAL&format=json": {`"counts": null`},
		"/summary?format=html":                   {reason, "!no findings"},
		"/findings/" + id + "?format=html":       {"No result yet", reason, "!found nothing"},
		"/findings/" + id + "?format=sarif":      {`"executionSuccessful":false`},
		"/findings/" + id:                        {reason},
		"/gate/" + id + "?max=CRITICAL":          {`"status": 409`},
		"/badge/" + id + ".svg":                  {">incomplete<"},
	})
}

// A list that was read to its end and is shorter than its counts is no failure. The difference is told, and the worse of both counts.
func TestListShorterThanItsCounts(t *testing.T) {
	a, h := start(t)
	put := func(tag string, counts map[string]int, findings ...ecr.Finding) {
		a.ECR.PutImage(ecr.RepositoryID{Name: "shop/frontend"}, ecr.Image{Tags: []string{tag}, ScannedAt: time.Now().Add(-time.Hour), Findings: findings, Counts: counts})
	}
	put("7", map[string]int{"HIGH": 2, "LOW": 1}, ecr.Finding{Name: "CVE-2021-43396", Severity: "LOW"})
	put("8", map[string]int{"MEDIUM": 1})
	id := add(t, h, "shop/frontend")
	const two, one = "2 findings are missing: ECR counts more than it lists", "1 finding is missing: ECR counts more than it lists"
	contains(t, h, map[string][]string{
		"/summary":                                 {"frontend:7 in us-west-2:\n HIGH: 2\n LOW: 1\n\n\n"},
		"/summary?format=json":                     {`"state": "completed"`, `"reason": "` + two, `"missing": 2`},
		"/findings/" + id:                          {". Incomplete lists: [7] " + two + ", [8] " + one},
		"/findings/" + id + "?format=json":         {`"withoutResult": []`, `"shortLists": [`, `"missing": 2`, two},
		"/findings/" + id + "?format=csv":          {"completed," + two},
		"/findings/" + id + "?format=sarif":        {`"executionSuccessful":true`, `"level":"note"`, two},
		"/findings/" + id + "?format=html":         {"Incomplete lists", "<li>7: " + two, "<li>8: " + one, "!No current result"},
		"/findings/" + id + "?format=html&tag=8":   {one, "!found nothing"},
		"/gate/" + id + "?max=HIGH":                {`"passed": true`},
		"/gate/" + id + "?max=MEDIUM":              {`"status": 409`, `"detail": "HIGH: 2"`},
		"/badge/" + id + ".svg":                    {">2 HIGH<"},
		"/findings/" + id + "?format=json&tag=nix": {`"state": "no images"`},
	})
}
