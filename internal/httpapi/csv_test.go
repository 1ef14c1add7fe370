package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/feedrules"
)

// By default a program gets the name of a package as it is. A spreadsheet gets no formula if the URL says so.
func TestSpreadsheetCSV(t *testing.T) {
	s := startInspector(t, inspected("CVE-1", "HIGH", "@babel/traverse"))
	for query, want := range map[string]string{"?format=csv": "@babel/traverse", "?format=csv&safe=spreadsheet": "'@babel/traverse"} {
		if rows := feedrules.CSV(t, []byte(s.get("/findings/"+s.id+query))); len(rows) != 1 || rows[0]["package"] != want {
			t.Errorf("%s: %v", query, rows)
		}
		feedrules.CSV(t, []byte(s.get("/summary"+query)))
	}
	if got := call(s.api, "GET", "/summary?safe=spreadsheet", "", "", "Accept", "text/csv"); got.status != 200 || !strings.HasPrefix(got.body, "id,region") {
		t.Errorf("by Accept: %d %s", got.status, got.body)
	}
	for _, target := range []string{"/summary?safe=yes", "/summary?safe=spreadsheet&format=json", "/findings/all?format=html&safe=spreadsheet"} {
		checkProblem(t, call(s.api, "GET", target, "", ""), 400)
	}
	checkProblem(t, call(s.api, "GET", "/changes?safe=spreadsheet", "", ""), 400)
}

// A browser and curl -OJ save CSV under a name that says what it is. The next page keeps the parameter.
func TestCSVFileNames(t *testing.T) {
	a, h := start(t)
	var list []ecr.Finding
	for i := range 501 {
		list = append(list, ecr.Finding{Name: fmt.Sprintf("CVE-%04d", i), Severity: "LOW"})
	}
	a.ECR.PutImage(appRepository, ecr.Image{Tags: []string{"v1"}, ScannedAt: a.Now(), Findings: list})
	id := add(t, h, "team/app")
	for target, want := range map[string]string{
		"/summary?format=csv": "attachment; filename=summary.csv", "/findings/" + id + "?format=csv": "attachment; filename=findings-team-app.csv",
		"/findings/" + id + "?format=csv&page=2": "attachment; filename=findings-team-app-page-2.csv", "/findings/all?format=csv": "attachment; filename=findings.csv",
		"/summary": "", "/findings/" + id: "", "/findings/" + id + "?format=sarif": "",
	} {
		if got := call(h, "GET", target, "", ""); got.status != 200 || got.header.Get("Content-Disposition") != want {
			t.Errorf("%s: %d %q, want %q", target, got.status, got.header.Get("Content-Disposition"), want)
		}
	}
	got := call(h, "GET", "/findings/"+id+"?format=csv&safe=spreadsheet", "", "")
	if link := strings.Join(got.header.Values("Link"), ", "); !strings.Contains(link, `?format=csv&page=2&safe=spreadsheet>; rel="next"`) {
		t.Errorf("links %s", link)
	}
}

// After a visit, the rows without resolved and without state are the findings that the summary counts and the feed lists.
func TestRowsAreTheCountedFindings(t *testing.T) {
	many := inspected("CVE-2021-33910", "MEDIUM", "systemd-pam", "systemd", "systemd-libs")
	fixed, hidden := inspected("CVE-1", "HIGH", "a"), inspected("CVE-2", "LOW", "b")
	s := startInspector(t, many, fixed, hidden)
	s.aws.ECR.PutImage(appRepository, ecr.Image{Tags: []string{"z"}})
	var rest []ecr.EnhancedFinding
	for i := range 600 {
		rest = append(rest, inspected(fmt.Sprintf("CVE-2022-%04d", i), "LOW", "c", "d"))
	}
	hidden.Status = "SUPPRESSED"
	s.inspectorFinds(append(rest, many, many, hidden)...)
	open := map[string]int{}
	resolved, states := 0, 0
	for page := 1; page <= 2; page++ {
		for _, row := range feedrules.CSV(t, []byte(s.get(fmt.Sprintf("/findings/%s?format=csv&page=%d", s.id, page)))) {
			switch {
			case row["state"] != "":
				states++
			case row["resolved"] != "":
				resolved++
			default:
				open[row["severity"]]++
			}
		}
	}
	entries := 0
	for _, title := range append(titles(s.feed("")), titles(s.feed("?page=2"))...) {
		if !strings.HasPrefix(title, "[RESOLVED]") {
			entries++
		}
	}
	counts := fmt.Sprint(s.summaryImage()["counts"])
	for _, row := range feedrules.CSV(t, []byte(s.get("/summary?format=csv&tag=v1"))) {
		if row["MEDIUM"] != "1" || row["LOW"] != "600" || row["HIGH"] != "0" {
			t.Errorf("the summary as CSV: %v", row)
		}
	}
	if counts != "map[LOW:600 MEDIUM:1]" || fmt.Sprint(open) != counts || entries != 601 || resolved != 1 || states != 1 {
		t.Errorf("summary %s, rows %v, %d entries, %d resolved rows, %d rows with a state", counts, open, entries, resolved, states)
	}
}
