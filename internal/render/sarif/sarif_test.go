package sarif_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	gosarif "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/render/sarif"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/feedrules"
	"ecr-continuous-scan/test/rendertest"
)

var about = sarif.About{Version: "1.2.3", URL: rendertest.API + "/summary"}

// write returns the first page of a listing.
func write(t *testing.T, l report.Listing) *gosarif.Run {
	t.Helper()
	log, _, err := sarif.Log(l, 1, about)
	if err != nil {
		t.Fatal(err)
	}
	return feedrules.SARIF(t, log)
}

// listing returns a listing of findings of the image test/ubuntu:x.
func listing(findings ...scan.Finding) report.Listing {
	c := rendertest.Config("test/ubuntu")
	entries := make([]report.Entry, len(findings))
	for i, f := range findings {
		entries[i] = rendertest.Found("x", f)
	}
	return rendertest.Listing(rendertest.ReportOf(c, rendertest.Image(c, "x", scan.Result{State: scan.Completed})), entries...)
}

func TestLog(t *testing.T) {
	for name, l := range map[string]report.Listing{"feed": rendertest.Sample(), "feed-by-vulnerability": rendertest.ByVulnerability(), "feed-all": rendertest.AllConfigs(),
		"feed-suppressed": rendertest.WithSuppressed(""), "feed-suppressed-include": rendertest.WithSuppressed(scan.IncludeSuppressed)} {
		log, pages, err := sarif.Log(l, 1, about)
		if err != nil || pages != 1 || bytes.Count(log, []byte("\n")) != 1 {
			t.Fatalf("%d pages, %v, %s", pages, err, log)
		}
		feedrules.SARIF(t, log)
		var b bytes.Buffer // people can read the golden files
		if err := json.Indent(&b, log, "", "  "); err != nil {
			t.Fatal(err)
		}
		rendertest.Golden(t, name+".sarif", b.Bytes())
	}
}

// GitHub shows the band of security-severity. It must be the severity that the service shows.
func TestSecuritySeverity(t *testing.T) {
	for _, test := range []struct {
		severity         scan.Severity
		score            string
		want, wantsLevel string
	}{
		{scan.Critical, "9.8", "9.8", "error"}, {scan.Critical, "7.5", "9.1", "error"}, {scan.Critical, "9.0", "9.1", "error"}, {scan.Critical, "NaN", "9.5", "error"},
		{scan.High, "9.8", "8.9", "error"}, {scan.High, "9.0", "8.9", "error"}, {scan.High, "7.0", "7.0", "error"}, {scan.High, "5.8", "7.0", "error"}, {scan.High, "11", "8.0", "error"},
		{scan.Medium, "9.8", "6.9", "warning"}, {scan.Medium, "3.9", "4.0", "warning"}, {scan.Medium, "5.0", "5.0", "warning"}, {scan.Medium, "", "5.5", "warning"},
		{scan.Low, "0", "0.1", "note"}, {scan.Low, "3.9", "3.9", "note"}, {scan.Low, "7.5", "3.9", "note"}, {scan.Low, "-1", "2.0", "note"},
		{scan.Informational, "7.5", "0.1", "note"}, {scan.Informational, "", "0.1", "note"},
		{scan.Undefined, "9.8", "9.8", "warning"}, {scan.Undefined, "", "", "warning"}, {scan.Untriaged, "0", "0.0", "warning"}, {"BRAND NEW", "", "", "warning"},
	} {
		run := write(t, listing(scan.Finding{Name: "CVE-1", Severity: test.severity, Score: test.score}))
		rule := run.Tool.Driver.Rules[0]
		got, _ := rule.Properties.Properties["security-severity"].(string)
		if got != test.want || run.Results[0].Level != test.wantsLevel || rule.DefaultConfiguration.Level != test.wantsLevel {
			t.Errorf("%s with score %q: %q and level %s, want %q and %s", test.severity, test.score, got, run.Results[0].Level, test.want, test.wantsLevel)
		}
		if _, hasScore := run.Results[0].Properties.Properties["score"]; hasScore != (test.score != "" && test.score != "NaN" && test.score != "11" && test.score != "-1") {
			t.Errorf("%s with score %q: the result has a score: %t", test.severity, test.score, hasScore)
		}
	}
}

// A vulnerability with several findings is one rule, which names the packages. The worst severity holds.
func TestOneRuleForEachVulnerability(t *testing.T) {
	run := write(t, listing(
		scan.Finding{Name: "CVE-1", Package: "a", Versions: []string{"1"}, Severity: scan.Low, Score: "9.0", Description: "Bad."},
		scan.Finding{Name: "CVE-1", Package: "b", Versions: []string{"2"}, FixedIn: []string{"3"}, Severity: scan.High, Score: "7.2", Vector: "AV:N"},
		scan.Finding{Name: "CVE-1", Package: "c", Severity: scan.Medium, Score: "5.0"},
	))
	if len(run.Tool.Driver.Rules) != 1 || len(run.Results) != 3 {
		t.Fatalf("%d rules, %d results", len(run.Tool.Driver.Rules), len(run.Results))
	}
	rule := run.Tool.Driver.Rules[0]
	if got := rule.Properties.Properties["security-severity"]; got != "7.2" || rule.DefaultConfiguration.Level != "error" || *rule.ShortDescription.Text != "CVE-1 in a, b, c" {
		t.Errorf("%v, %s, %s", got, rule.DefaultConfiguration.Level, *rule.ShortDescription.Text)
	}
	for _, words := range []string{"Severity: HIGH", "7.2, AV:N", "a 1: fixed in no known version", "b 2: fixed in 3"} {
		if !strings.Contains(*rule.Help.Text, words) {
			t.Errorf("the help has no %q: %s", words, *rule.Help.Text)
		}
	}
	if !strings.Contains(*rule.Help.Markdown, "| b | 2 | 3 |") || *rule.FullDescription.Text != "Bad." || *rule.FullDescription.Markdown != "Bad." {
		t.Errorf("%s, %s", *rule.Help.Markdown, *rule.FullDescription.Markdown)
	}
}

// No text stands three times, and text of a scanner is no markup.
func TestTextsOfARule(t *testing.T) {
	const description = "Use {0} of {1} [now](https://a.example) at www.a.example & <b>me@a.example</b>"
	log, _, err := sarif.Log(listing(scan.Finding{Name: "CVE-1", Package: "a", Severity: scan.High, Description: description}), 1, about)
	if err != nil {
		t.Fatal(err)
	}
	full := *feedrules.SARIF(t, log).Tool.Driver.Rules[0].FullDescription
	if want := "Use { 0} of { 1} [now] (https://a.example) at www.a.example & <b>me@a.example</b>"; *full.Text != want {
		t.Errorf("%q", *full.Text)
	}
	if want := `Use \{0\} of \{1\} \[now\](https\://a.example) at www\.a.example \& \<b\>me\@a.example\</b\>`; *full.Markdown != want {
		t.Errorf("%q", *full.Markdown)
	}
	if n := bytes.Count(log, []byte("a.example")); n != 6 {
		t.Errorf("the description stands %d times", n/3)
	}
}

// Two findings of one vulnerability are at different places, so that tools that compare logs tell them apart.
func TestLocationEndsInThePackage(t *testing.T) {
	run := write(t, listing(scan.Finding{Name: "CVE-1", Package: "a"}, scan.Finding{Name: "CVE-1", Package: "b"}, scan.Finding{Name: "CVE-1"}))
	const image = "123456789012.dkr.ecr.us-west-2.amazonaws.com/test/ubuntu:x"
	for i, want := range [][2]string{{image + "/a", "a"}, {image + "/b", "b"}, {image, "test/ubuntu:x"}} {
		location := run.Results[i].Locations[0]
		if logical := location.LogicalLocations[0]; *logical.FullyQualifiedName != want[0] || *logical.Name != want[1] || *location.PhysicalLocation.ArtifactLocation.URI != image {
			t.Errorf("%s, %s, %s", *logical.FullyQualifiedName, *logical.Name, *location.PhysicalLocation.ArtifactLocation.URI)
		}
	}
}

// An image without a result is a result, because most tools ignore notifications. An archived image is no failure.
func TestImagesWithoutResult(t *testing.T) {
	for _, test := range []struct {
		result  scan.Result
		level   string
		success bool
	}{
		{scan.Result{State: scan.Failed, Reason: "why"}, "warning", false}, {scan.Result{State: scan.NotScanned}, "warning", false},
		{scan.Result{State: scan.NotScanned, Reason: "archived"}, "note", true}, {scan.Result{State: scan.Completed, Incomplete: true}, "warning", false},
	} {
		c := rendertest.Config("test/ubuntu")
		l := rendertest.Listing(rendertest.ReportOf(c, rendertest.Image(c, "x", test.result)))
		run := write(t, l)
		if len(run.Results) != 1 || len(run.Tool.Driver.Rules) != 1 || run.Properties.Properties["total"] != 1.0 {
			t.Fatalf("%+v: %d results, %v", test.result, len(run.Results), run.Properties)
		}
		rule, result, invocation := run.Tool.Driver.Rules[0], run.Results[0], run.Invocations[0]
		if *result.RuleID != "not-scanned" || result.Level != test.level || rule.DefaultConfiguration.Level != test.level || *invocation.ExecutionSuccessful != test.success {
			t.Errorf("%+v: %s, level %s and %s, success %t", test.result, *result.RuleID, result.Level, rule.DefaultConfiguration.Level, *invocation.ExecutionSuccessful)
		}
		n := invocation.ToolExecutionNotifications[0]
		if *n.Descriptor.ID != "not-scanned" || n.Level != test.level || len(n.Locations) != 1 || n.Properties.Properties["state"] == nil || *n.Message.Text != *result.Message.Text {
			t.Errorf("%+v: notification %+v", test.result, n)
		}
	}
	outdated := listing(scan.Finding{Name: "CVE-1", Package: "a"})
	outdated.Reports[0].Images[0].AsOf = rendertest.Scanned
	if run := write(t, outdated); len(run.Results) != 1 || *run.Invocations[0].ExecutionSuccessful {
		t.Errorf("an image whose recorded result is shown: %d results, success %t", len(run.Results), *run.Invocations[0].ExecutionSuccessful)
	}
	taken := write(t, listing(scan.Finding{Name: "not-scanned"}))
	if id := *taken.Results[0].RuleID; id == "not-scanned" {
		t.Errorf("a finding has the rule %s", id)
	}
}

// All results are on some page, each page is as full as it can be, and none is too large.
func TestPagesOfALog(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	var findings []scan.Finding
	for i := range 6000 {
		findings = append(findings, scan.Finding{
			Name: fmt.Sprintf("CVE-%05d", i), Package: "package", Versions: []string{"1.2.3-4ubuntu5"}, Severity: scan.Low, Score: "5.0", Vector: "AV:N/AC:L/Au:N/C:N/I:P/A:N",
			Description: strings.Repeat("A \"text\" of a scanner. ", 12), URL: fmt.Sprintf("https://example.org/CVE-%05d", i),
		})
	}
	short := listing(findings...)
	for i := range short.Entries {
		short.Entries[i].Finding.Name = fmt.Sprint("CVE-", i%50) // few rules
		short.Entries[i].Finding.Package = fmt.Sprint("p", i)
	}
	hostile := rendertest.FullPage(strings.Repeat(`\`, 600)) // its config has no images, which is a result too
	hostile.Entries, hostile.Total = hostile.Entries[:100], 100
	for name, test := range map[string]struct {
		l     report.Listing
		pages int // 0 means more than 1
		total int
	}{"typical": {listing(findings...), 0, 6000}, "few rules": {short, 2, 6000}, "one page": {listing(findings[:2000]...), 1, 2000}, "backslashes": {hostile, 0, 101}} {
		seen := map[string]bool{}
		pages := 1
		for number := 1; number <= pages; number++ {
			log, n, err := sarif.Log(test.l, number, about)
			if err != nil || number > 1 && n != pages {
				t.Fatalf("%s: %d pages, then %d, %v", name, pages, n, err)
			}
			pages = n
			run := feedrules.SARIFRules(t, log)
			for _, r := range run.Results {
				seen[r.PartialFingerprints["primaryLocationLineHash"]] = true
			}
			if size := rendertest.JSONSize(log); size > render.MaxSent || len(run.Results) > 5000 || number < pages && size < render.MaxSent*9/10 && len(run.Results) < 5000 {
				t.Errorf("%s: page %d of %d has %d results, %d bytes as sent", name, number, pages, len(run.Results), size)
			}
			if p := run.Properties.Properties; p["total"] != float64(test.total) || p["page"] != float64(number) || p["pages"] != float64(pages) {
				t.Errorf("%s: page %d: %v", name, number, p)
			}
			t.Logf("%s: page %d of %d: %d results, %d bytes as sent", name, number, pages, len(run.Results), rendertest.JSONSize(log))
		}
		if len(seen) != test.total || test.pages > 0 && pages != test.pages || test.pages == 0 && pages < 2 {
			t.Errorf("%s: %d pages have %d results of %d", name, pages, len(seen), test.total)
		}
	}
}

// A listing that is longer than all its pages says so.
func TestFindingsThatAreNotListed(t *testing.T) {
	l := listing(scan.Finding{Name: "CVE-1"})
	l.Total = 4
	run := write(t, l)
	if n := run.Invocations[0].ToolExecutionNotifications; len(n) != 1 || *n[0].Message.Text != "3 findings are not listed. Use filters to select fewer." || *run.Invocations[0].ExecutionSuccessful {
		t.Errorf("%+v", run.Invocations[0])
	}
}

func TestNothingMatches(t *testing.T) {
	l := listing()
	l.View.Filter.Tags = []string{"nix"}
	if run := write(t, l); len(run.Results) != 0 || !*run.Invocations[0].ExecutionSuccessful {
		t.Errorf("no finding matches: %d results", len(run.Results))
	}
	l.Reports[0].Images = nil
	for _, config := range []*scan.Config{l.Config, nil} {
		l.Config = config
		run := write(t, l)
		if len(run.Results) != 1 || *run.Results[0].RuleID != "not-scanned" || *run.Invocations[0].ExecutionSuccessful {
			t.Errorf("no image matches, all configs: %t: %d results", config == nil, len(run.Results))
		}
	}
}

// The first page has the result of an image without findings, however many there are.
func TestManyImagesWithoutResult(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	c := rendertest.Config("test/" + strings.Repeat("r", 250))
	var items []report.Item
	for i := range 3000 {
		items = append(items, rendertest.Image(c, fmt.Sprint(strings.Repeat("t", 120), i), scan.Result{State: scan.Failed, Reason: strings.Repeat(`"`, 300)}))
	}
	l := rendertest.Listing(rendertest.ReportOf(c, items...))
	total := 0
	for number, pages := 1, 1; number <= pages; number++ {
		log, n, err := sarif.Log(l, number, about)
		if err != nil || rendertest.JSONSize(log) > render.MaxSent {
			t.Fatalf("page %d: %d bytes, %v", number, rendertest.JSONSize(log), err)
		}
		pages = n
		run := feedrules.SARIFRules(t, log)
		total += len(run.Results)
		if notifications := run.Invocations[0].ToolExecutionNotifications; !slices.ContainsFunc(notifications, func(n *gosarif.Notification) bool {
			return strings.Contains(*n.Message.Text, map[bool]string{true: "2000 more", false: "3000"}[number == 1])
		}) {
			t.Errorf("page %d: %d notifications", number, len(notifications))
		}
	}
	if total != len(items) {
		t.Errorf("%d results", total)
	}
}
