package page

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/rendertest"
)

// textOf returns the text of an element and its descendants, with single spaces.
func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.Data != "style" {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// elements returns the elements with a name, in the order of the document.
func elements(t *testing.T, page []byte, name string) []*html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(string(page)))
	if err != nil {
		t.Fatal(err)
	}
	var found []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			found = append(found, n)
		}
	}
	return found
}

// named returns the text of the element whose aria-label is label.
func named(t *testing.T, page []byte, element, label string) string {
	t.Helper()
	for _, n := range elements(t, page, element) {
		if attribute(n, "aria-label") == label {
			return textOf(n)
		}
	}
	return ""
}

// checkFrame checks what every page has: one main heading, the way from the summary to it, and a way back to the top.
func checkFrame(t *testing.T, page []byte, heading, crumbs string) {
	t.Helper()
	if got := elements(t, page, "h1"); len(got) != 1 || textOf(got[0]) != heading {
		t.Errorf("%d main headings, want one: %s", len(got), heading)
	}
	if got := named(t, page, "nav", "Breadcrumbs"); got != crumbs {
		t.Errorf("%s: breadcrumbs %q, want %q", heading, got, crumbs)
	}
	for _, want := range []string{`<body id="top">`, `<a href="#top">Back to the top</a>`, `<a class="skip" href="#main">`} {
		if !strings.Contains(string(page), want) {
			t.Errorf("%s: the page has no %s", heading, want)
		}
	}
	for _, n := range elements(t, page, "nav") {
		for link := range n.Descendants() {
			if href := attribute(link, "href"); attribute(n, "aria-label") == "Main" && href != "" && !strings.Contains(href, "format=html") {
				t.Errorf("%s: the navigation leads to %s, which is no page", heading, href)
			}
		}
	}
	for _, n := range elements(t, page, "a") {
		u, err := url.Parse(attribute(n, "href"))
		if err != nil {
			t.Fatal(err)
		}
		isRaw := strings.HasPrefix(u.String(), rendertest.API) && u.Query().Get("format") != "html"
		if media := attribute(n, "type"); isRaw != (media != "") {
			t.Errorf("%s: %q leads to %s with the media type %q", heading, textOf(n), u, media)
		}
	}
}

func TestFrame(t *testing.T) {
	checkFrame(t, summaryPageOf(t, pageOverview(), scan.Filter{}, nil, linkTo), "Image scan summary", "Summary")
	checkFrame(t, findingsPageOf(t, rendertest.Sample(), linkTo), "Findings in test/ubuntu", "Summary test/ubuntu")
	checkFrame(t, findingsPageOf(t, rendertest.AllConfigs(), linkTo), "All findings", "Summary All findings")
}

// Each page says how current its results are and when the next scan is due.
func TestTimesOfPages(t *testing.T) {
	c := rendertest.Config("test/ubuntu")
	completed := func(at time.Time) report.Item {
		return rendertest.Image(c, at.Format("t150405"), scan.Result{State: scan.Completed, CompletedAt: at})
	}
	inspected := completed(ago(0.25))
	inspected.Result.Enhanced, inspected.Result.Continuous, inspected.ReadAt = true, true, ago(0.125)
	onPush := inspected
	onPush.Result.Continuous = false
	waiting, running := rendertest.Image(c, "new", scan.Result{State: scan.NotScanned}), rendertest.Image(c, "run", scan.Result{State: scan.InProgress})
	for want, items := range map[string][]report.Item{
		"No completed scan is known. A scan is due now.":                                                                 {waiting},
		"No completed scan is known. A scan is in progress.":                                                             {running},
		"Scan results from 2019-10-02 09:00. Next scan due 2019-10-03 09:00.":                                            {completed(ago(0.125))},
		"Scan results from 2019-10-02 06:00 to 2019-10-02 09:00. A scan is in progress. Next scan due 2019-10-03 06:00.": {completed(ago(0.125)), completed(ago(0.25)), running},
		"Scan results from 2019-10-01 06:00. A scan is due now.":                                                         {completed(ago(1.25))},
		"Scan results from 2019-10-02 09:00. Amazon Inspector scans continuously.":                                       {inspected},
		"Scan results from 2019-10-02 06:00. Amazon Inspector decides when to scan.":                                     {onPush},
		"Scan results from 2019-10-02 09:00. Amazon Inspector scans continuously. Next scan due 2019-10-03 09:00.":       {inspected, completed(ago(0.125))},
	} {
		r := rendertest.ReportOf(c, items...)
		o := report.Overview{Since: ago(1), Now: noon, Reports: []report.Report{r}}
		for name, page := range map[string][]byte{"findings": findingsPageOf(t, rendertest.Listing(r), linkTo), "summary": summaryPageOf(t, o, scan.Filter{}, nil, linkTo)} {
			if main := elements(t, page, "main"); !strings.Contains(textOf(main[0])+" ", want+" ") {
				t.Errorf("%s without %q: %s", name, want, textOf(main[0]))
			}
		}
	}
	for name, page := range map[string][]byte{
		"no config": summaryPageOf(t, report.Overview{Now: noon}, scan.Filter{}, nil, linkTo), "no image": findingsPageOf(t, rendertest.Listing(rendertest.ReportOf(c)), linkTo),
		"no matching image": summaryPageOf(t, pageOverview(), scan.Filter{Tags: []string{"nix"}}, nil, linkTo),
	} {
		if strings.Contains(string(page), "No completed scan") {
			t.Errorf("%s: the page has times of results", name)
		}
	}
}

// A trend that rises because an image came has no words that read like new findings.
func TestTrendWordsSayHowManyImages(t *testing.T) {
	c := rendertest.Config("test/ubuntu")
	known, came := withHistory(c, "16.04", scan.Counts{scan.High: 15}), withHistory(c, "latest", scan.Counts{scan.High: 1})
	came.KnownSince, came.Image.Digest = ago(0.5), "sha256:other"
	known.KnownSince = ago(1.5)
	page := string(summaryPageOf(t, report.Overview{Since: ago(1), Now: noon, Reports: []report.Report{rendertest.ReportOf(c, known, came)}}, scan.Filter{}, nil, linkTo))
	if !strings.Contains(page, "0 new") || !strings.Contains(page, "15 findings in 1 image on 2019-10-01, 16 in 2 images now") {
		t.Errorf("the words of the trend: %s", page)
	}
}
