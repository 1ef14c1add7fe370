package httpapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/feedrules"
)

// summaryData contains the fields of the summary in JSON.
type summaryData struct {
	Generated, Since time.Time
	Feed             string
	Configs          []struct {
		ID, Region, Registry, Repository, Feed, State, Reason string
		Images                                                []struct {
			Tag, Digest, State string
			ScannedAt          time.Time
			AgeHours           *int
			Counts             map[string]int
		}
	}
}

func TestSummaryAsJSONAndCSV(t *testing.T) {
	_, h := start(t)
	centos := add(t, h, "test/centos")
	add(t, h, "amazonlinux")
	add(t, h, "test/gone")
	before := time.Now().Truncate(time.Second)
	got := call(h, "GET", "/summary?format=json&since=7d&key=a%26b", "", "")
	after := time.Now()
	var data summaryData
	if err := json.Unmarshal([]byte(got.body), &data); err != nil || got.header.Get("Content-Type") != "application/json" || got.header.Get("Vary") != "" {
		t.Fatalf("%v %v %s", err, got.header, got.body)
	}
	isDuringTheCall := func(at time.Time) bool { return !at.Before(before) && !at.After(after) }
	if !isDuringTheCall(data.Generated) || !isDuringTheCall(data.Since.Add(7*24*time.Hour)) || data.Feed != base+"/findings/all?key=a%26b" || len(data.Configs) != 3 {
		t.Errorf("%s", got.body)
	}
	one := data.Configs[0]
	if one.ID != centos || one.Repository != "test/centos" || one.Feed != base+"/findings/"+centos+"?key=a%26b" || len(one.Images) != 1 {
		t.Fatalf("%+v", one)
	}
	if i := one.Images[0]; i.Tag != "7" || i.State != "completed" || i.Counts["HIGH"] != 7 || i.ScannedAt.IsZero() || i.AgeHours == nil || !strings.HasPrefix(i.Digest, "sha256:") {
		t.Errorf("%+v", i)
	}
	if clean := data.Configs[1].Images[0]; clean.Counts == nil || len(clean.Counts) != 0 || data.Configs[2].State != "repository not found" {
		t.Errorf("%s", got.body)
	}

	got = call(h, "GET", "/summary?severity=HIGH&tag=7", "", "", "Accept", "text/csv")
	rows := feedrules.CSV(t, []byte(got.body))
	if len(rows) != 2 || got.header.Get("Vary") != "Accept" || rows[0]["id"] != centos || rows[0]["HIGH"] != "7" || rows[0]["MEDIUM"] != "0" || rows[0]["feed"] != base+"/findings/"+centos+"?severity=HIGH&tag=7" {
		t.Errorf("%v %v", got.header, rows)
	}
	if rows[1]["state"] != "repository not found" || rows[1]["HIGH"] != "" {
		t.Errorf("%v", rows[1])
	}
}

func TestSummaryNegotiation(t *testing.T) {
	_, h := start(t)
	add(t, h, "test/centos")
	const isText, isJSON, isCSV = "text/plain; charset=utf-8", "application/json", "text/csv; charset=utf-8"
	for accept, want := range map[string]string{
		"": isText, "*/*": isText, "text/*": isText, "image/png": isText, "application/json": isJSON, "application/*": isJSON, "text/csv": isCSV,
		"text/csv;q=0.5, application/json;q=0.6": isJSON, "text/plain;q=0.1, text/csv": isCSV, "application/atom+xml": isText,
	} {
		got := call(h, "GET", "/summary", "", "", "Accept", accept)
		if got.status != 200 || got.header.Get("Content-Type") != want || got.header.Get("Vary") != "Accept" {
			t.Errorf("Accept %q: %d %v", accept, got.status, got.header)
		}
	}
	if got := call(h, "GET", "/summary?format=text", "", "", "Accept", "application/json"); got.header.Get("Content-Type") != isText || got.header.Get("Vary") != "" {
		t.Errorf("format=text: %v", got.header)
	}
}

// Every format lists the same findings on each page. SARIF has larger pages, without resolved findings.
func TestFindingsInEachFormat(t *testing.T) {
	a, h := start(t)
	var list []ecr.Finding
	for i := range 501 {
		list = append(list, ecr.Finding{Name: fmt.Sprintf("CVE-%04d", i), Severity: []string{"LOW", "HIGH", "MEDIUM"}[i%3]})
	}
	a.ECR.PutImage(ecr.RepositoryID{Name: "team/app"}, ecr.Image{Tags: []string{"v1"}, ScannedAt: time.Now().Add(-time.Hour), Findings: list})
	a.ECR.PutImage(ecr.RepositoryID{Name: "team/app"}, ecr.Image{Tags: []string{"v2"}})
	id := add(t, h, "team/app")
	for _, path := range []string{"/findings/" + id, "/findings/all"} {
		for page, want := range map[string]int{"1": 500, "2": 1} {
			get := func(format string) response {
				return call(h, "GET", path+"?format="+format+"&page="+page, "", "")
			}
			items := feedrules.JSON(t, []byte(get("json").body))
			table := get("csv")
			rows := feedrules.CSV(t, []byte(table.body))
			if page == "1" {
				if last := rows[len(rows)-1]; last["tag"] != "v2" || last["state"] != "not scanned" || last["id"] != "" {
					t.Errorf("%s: the image without a result: %v", path, last)
				}
				rows = rows[:len(rows)-1]
			}
			if len(items.Items) != want || len(rows) != want || items.Findings.Total != 501 || len(items.Findings.WithoutResult) != 1 {
				t.Fatalf("%s, page %s: %d items, %d rows", path, page, len(items.Items), len(rows))
			}
			for i, item := range items.Items {
				f := item.Finding
				if rows[i]["id"] != f.ID || rows[i]["vulnerability"] != f.Vulnerability || rows[i]["severity"] != f.Severity || f.Tag != "v1" {
					t.Fatalf("%s: %+v, %v", path, item, rows[i])
				}
			}
			link := strings.Join(table.header.Values("Link"), ", ")
			if next := `<` + base + path + `?format=csv&page=2>; rel="next"`; strings.Contains(link, next) != (page == "1") {
				t.Errorf("%s, page %s: %s", path, page, link)
			}
		}
		run := feedrules.SARIF(t, []byte(call(h, "GET", path+"?format=sarif", "", "").body))
		if p := run.Properties.Properties; len(run.Results) != 502 || *run.Results[0].RuleID != "not-scanned" || run.Results[1].Properties.Properties["severity"] != "HIGH" || p["total"] != 502.0 || p["pages"] != 1.0 {
			t.Errorf("%s as SARIF: %d results, %v", path, len(run.Results), p)
		}
		if n := len(run.Invocations[0].ToolExecutionNotifications); n != 1 {
			t.Errorf("%s as SARIF: %d notifications", path, n)
		}
		checkProblem(t, call(h, "GET", path+"?format=sarif&page=2", "", ""), 404)
	}
	grouped := feedrules.JSON(t, []byte(call(h, "GET", "/findings/"+id+"?format=json&by=vulnerability&severity=HIGH", "", "").body))
	if f := grouped.Items[0].Finding; f.ImageCount != 1 || f.Images[0] != "v1" || f.Tag != "" {
		t.Errorf("%+v", f)
	}
}

// The formats are also valid for the sample repositories, for images without a result and for a repository that does not exist.
func TestSampleFindingsInEachFormat(t *testing.T) {
	_, h := start(t)
	for _, repo := range []string{"test/ubuntu", "test/hardcases", "test/gone"} {
		id := add(t, h, repo)
		for _, format := range []string{"csv", "json", "sarif"} {
			for _, query := range []string{"", "&by=vulnerability", "&severity=HIGH&tag=latest"} {
				got := call(h, "GET", "/findings/"+id+"?format="+format+query, "", "")
				switch format {
				case "csv":
					feedrules.CSV(t, []byte(got.body))
				case "json":
					feedrules.JSON(t, []byte(got.body))
				default:
					feedrules.SARIF(t, []byte(got.body))
				}
			}
		}
	}
}
