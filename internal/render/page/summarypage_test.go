package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/rendertest"
)

// noon is the time of the pages in the tests.
var noon = time.Date(2019, 10, 2, 12, 0, 0, 0, time.UTC)

// linkTo creates links as the API does for a client with a key in its URL.
func linkTo(path string, values url.Values) string {
	values = without(values)
	if values == nil {
		values = url.Values{}
	}
	values.Set("key", "k&y")
	return rendertest.API + path + "?" + values.Encode()
}

// withHistory returns an image with recorded counts of the last 20 days.
func withHistory(c scan.Config, tag string, counts scan.Counts, changes ...history.CountChange) report.Item {
	item := rendertest.Image(c, tag, scan.Result{State: scan.Completed, Counts: counts, CompletedAt: rendertest.Scanned})
	item.KnownSince, item.Changes = noon.Add(-20*24*time.Hour), changes
	return item
}

func ago(days float64) time.Time { return noon.Add(-time.Duration(days * 24 * float64(time.Hour))) }

// pageOverview returns images in different states, with and without changes.
func pageOverview() report.Overview {
	amazon, centos, ubuntu, hard := rendertest.Config("amazonlinux", "2018.03"), rendertest.Config("test/centos"), rendertest.Config("test/ubuntu", "16.04", "latest"), rendertest.Config("test/hard")
	for i, c := range []*scan.Config{&amazon, &centos, &ubuntu, &hard} {
		c.ID = fmt.Sprintf("fc41dda8-f15e-4826-8908-11603b01dac%d", i)
	}
	platform := withHistory(hard, "multi", scan.Counts{scan.Untriaged: 1, "BRAND NEW": 2})
	platform.Image.Platform = "linux/arm64"
	stale := withHistory(hard, "stale", scan.Counts{scan.Low: 3})
	stale.Result.CompletedAt = ago(4)
	kept := withHistory(hard, "kept", scan.Counts{scan.Medium: 1})
	kept.AsOf, kept.AsOfReason = ago(0.2), "throttled by ECR"
	gone := rendertest.Config("test/gone")
	gone.ID = "fc41dda8-f15e-4826-8908-11603b01dac9"
	o := report.Overview{Since: noon.Add(-24 * time.Hour), Now: noon, Reports: []report.Report{
		rendertest.ReportOf(amazon, withHistory(amazon, "2018.03", scan.Counts{})),
		rendertest.ReportOf(centos, withHistory(centos, "7", scan.Counts{scan.High: 7, scan.Medium: 20, scan.Low: 7},
			history.CountChange{At: ago(10), New: scan.Counts{scan.Medium: 4}, Fixed: scan.Counts{scan.High: 1}},
			history.CountChange{At: ago(0.5), New: scan.Counts{scan.High: 2}, Fixed: scan.Counts{scan.Low: 1}})),
		rendertest.ReportOf(ubuntu,
			rendertest.Image(ubuntu, "16.04", scan.Result{State: scan.Completed, CompletedAt: rendertest.Scanned, Counts: scan.Counts{scan.Medium: 8, scan.Low: 24, scan.Informational: 19}}),
			withHistory(ubuntu, "latest", scan.Counts{scan.Critical: 1, scan.Medium: 7}, history.CountChange{At: ago(0.4), Fixed: scan.Counts{scan.Low: 2}})),
		rendertest.ReportOf(hard,
			rendertest.Image(hard, "archived", scan.Result{State: scan.NotScanned, Reason: "archived"}),
			rendertest.Image(hard, "failed", scan.Result{State: scan.Failed, Reason: "UnsupportedImageError: <script>alert(1)</script>"}),
			kept, rendertest.Image(hard, "running", scan.Result{State: scan.InProgress}), stale, platform),
		rendertest.Failed(gone, &scan.Error{Code: scan.RepositoryNotFound, Message: "repository not found"}),
	}}
	for i := range o.Reports {
		for j := range o.Reports[i].Images {
			o.Reports[i].Images[j].Image.Digest = fmt.Sprint("sha256:", i, j)
		}
	}
	return o
}

func summaryPageOf(t *testing.T, o report.Overview, f scan.Filter, params url.Values, to Link) []byte {
	t.Helper()
	b, err := Summary(o, f, params, to)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Summary(o, f, params, to)
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("two calls with the same values returned different bytes: %v", err)
	}
	return b
}

func plainLink(path string, values url.Values) string {
	if len(values) == 0 {
		return "http://localhost:8080" + path
	}
	return "http://localhost:8080" + path + "?" + values.Encode()
}

func TestSummaryPage(t *testing.T) {
	rendertest.Golden(t, "page-summary.html", summaryPageOf(t, pageOverview(), scan.Filter{}, nil, linkTo))
	suppressed := pageOverview()
	suppressed.Reports[1].Images[0].Suppressed, suppressed.Reports[1].Images[0].Result.Suppressed = 3, 1
	suppressed.Reports[2].Images[0].Unsuppressed = true
	rendertest.Golden(t, "page-summary-suppressed.html", summaryPageOf(t, suppressed, scan.Filter{}, nil, linkTo))
	rendertest.Golden(t, "page-summary-empty.html", summaryPageOf(t, report.Overview{Since: noon.Add(-24 * time.Hour), Now: noon}, scan.Filter{}, nil, plainLink))
	filter := scan.Filter{Severity: scan.High, Repositories: []string{"test/centos", "test/ubuntu"}}
	params := url.Values{"severity": {"HIGH"}, "repository": filter.Repositories, "since": {"2019-10-01"}, "format": {"html"}}
	rendertest.Golden(t, "page-summary-filtered.html", summaryPageOf(t, pageOverview(), filter, params, linkTo))
	nothing := summaryPageOf(t, pageOverview(), scan.Filter{Repositories: []string{"test/none"}}, nil, linkTo)
	if !bytes.Contains(nothing, []byte("Nothing matches this filter")) || bytes.Contains(nothing, []byte("No findings")) || bytes.Contains(nothing, []byte("current result")) {
		t.Errorf("a filter that nothing matches: %s", nothing)
	}
}

func TestEmptySummaryPageExplainsHowToAddAConfig(t *testing.T) {
	empty := report.Overview{Since: noon.Add(-24 * time.Hour), Now: noon}
	deployed := string(summaryPageOf(t, empty, scan.Filter{}, nil, linkTo))
	if !strings.Contains(deployed, "export ECRSCANAPI_URL=$(make -s url)\ncurl ") || strings.Contains(strings.SplitAfter(deployed, "<pre>")[1], "k&amp;y") {
		t.Errorf("deployed: %s", deployed)
	}
}

// Only a completed scan without findings looks clean, and only a current result is not in the list of images without one.
func TestImagesWithoutACurrentResult(t *testing.T) {
	c := rendertest.Config("test/ubuntu")
	of := func(r scan.Result) report.Item { return rendertest.Image(c, "latest", r) }
	fresh := of(scan.Result{State: scan.Completed, CompletedAt: noon.Add(-47 * time.Hour), Counts: scan.Counts{}})
	stale, kept, continuous := fresh, fresh, fresh
	stale.Result.CompletedAt, kept.AsOf = noon.Add(-49*time.Hour), noon.Add(-time.Minute)
	continuous.Result.CompletedAt, continuous.Result.Enhanced, continuous.Result.Continuous, continuous.ReadAt = ago(90), true, true, noon
	onPush := continuous
	onPush.Result.Continuous = false
	for name, test := range map[string]struct {
		item    report.Item
		current bool
	}{
		"fresh": {fresh, true}, "continuous": {continuous, true}, "on push": {onPush, false}, "stale": {stale, false}, "kept": {kept, false},
		"never": {of(scan.Result{State: scan.NotScanned}), false}, "failed": {of(scan.Result{State: scan.Failed}), false},
		"running": {of(scan.Result{State: scan.InProgress}), false}, "gone": {of(scan.Result{State: scan.NoSuchTag}), false},
		"unread": {of(scan.Result{State: scan.Unread, Reason: "x"}), false}, "odd": {of(scan.Result{State: "unknown state"}), false},
	} {
		o := report.Overview{Since: noon.Add(-24 * time.Hour), Now: noon, Reports: []report.Report{rendertest.ReportOf(c, test.item)}}
		page := string(summaryPageOf(t, o, scan.Filter{}, nil, linkTo))
		if current := strings.Contains(page, "All images have a current result."); current != test.current {
			t.Errorf("%s: current %t", name, current)
		}
		if clean := strings.Contains(page, "no findings"); clean != (test.item.Result.State == scan.Completed) {
			t.Errorf("%s: clean %t", name, clean)
		}
	}
}

func TestMostSevereConfigsAreFirst(t *testing.T) {
	page := string(summaryPageOf(t, pageOverview(), scan.Filter{}, nil, linkTo))
	var order []string
	for _, match := range regexp.MustCompile(`<h3 [^>]*><a [^>]*>(.*?)</a>`).FindAllStringSubmatch(page, -1) {
		order = append(order, strings.ReplaceAll(match[1], "<wbr>", ""))
	}
	if got := strings.Join(order, " "); got != "test/ubuntu test/centos test/hard test/gone amazonlinux" {
		t.Errorf("order of the configs: %s", got)
	}
}

// The policy contains the hash of the page's style, and a page contains nothing that the policy forbids.
func TestPagesMatchTheirPolicy(t *testing.T) {
	for _, page := range []string{string(summaryPageOf(t, pageOverview(), scan.Filter{}, nil, linkTo)), string(findingsPageOf(t, rendertest.Sample(), linkTo))} {
		_, style, _ := strings.Cut(page, "<style>")
		style, _, _ = strings.Cut(style, "</style>")
		sum := sha256.Sum256([]byte(style))
		if !strings.Contains(Policy(), "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Errorf("the policy %s doesn't have the hash of the style", Policy())
		}
		if found := regexp.MustCompile(`<script|\sstyle=|\son[a-z]+=|javascript:|<img|<iframe|<base|@import`).FindString(page); found != "" {
			t.Errorf("the page has %s", found)
		}
		for _, link := range regexp.MustCompile(`<a [^>]*>`).FindAllString(page, -1) {
			ours := strings.Contains(link, `href="`+rendertest.API) || strings.Contains(link, `href="#`)
			if isExternal := strings.Contains(link, `rel="noreferrer"`); isExternal == ours {
				t.Errorf("an external link without noreferrer, or an own link with it: %s", link)
			}
			if strings.Contains(link, "k%26y") != strings.Contains(link, rendertest.API) {
				t.Errorf("an own link without the key, or an external one with it: %s", link)
			}
		}
	}
}

// A page of very many images says how many are not on the page, and is within the maximum size.
func TestSizeOfSummaryPage(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	o := report.Overview{Since: noon.Add(-24 * time.Hour), Now: noon}
	for i := range 20 {
		c := rendertest.Config(fmt.Sprintf("test/%s%d", strings.Repeat("long-", 40), i))
		var images []report.Item
		for n := range 500 {
			images = append(images, rendertest.Image(c, fmt.Sprintf("t%d-%s", n, strings.Repeat("x", 100)), scan.Result{State: scan.Failed, Reason: strings.Repeat("<>", 200)}))
		}
		o.Reports = append(o.Reports, rendertest.ReportOf(c, images...))
	}
	page := summaryPageOf(t, o, scan.Filter{}, nil, linkTo)
	if n := rendertest.JSONSize(page); n > render.MaxSent {
		t.Errorf("%d bytes", n)
	}
	if !bytes.Contains(page, []byte("10000 images of 20 configs")) || !bytes.Contains(page, []byte("not on this page")) {
		t.Error("the page does not say how many images are missing")
	}
}

func BenchmarkSummaryPage(b *testing.B) {
	o := report.Overview{Since: noon.Add(-24 * time.Hour), Now: noon}
	for i := range 20 {
		c := rendertest.Config(fmt.Sprintf("test/r%d", i))
		var images []report.Item
		for n := range 50 {
			images = append(images, withHistory(c, fmt.Sprintf("t%d", n), scan.Counts{scan.High: n, scan.Low: 3}, history.CountChange{At: ago(3), New: scan.Counts{scan.High: 1}}))
		}
		o.Reports = append(o.Reports, rendertest.ReportOf(c, images...))
	}
	for b.Loop() {
		if _, err := Summary(o, scan.Filter{}, nil, linkTo); err != nil {
			b.Fatal(err)
		}
	}
}

// An image with two tags counts once in the totals.
func TestDigestWithTwoTagsCountsOnce(t *testing.T) {
	c := rendertest.Config("test/app")
	change := history.CountChange{At: ago(0.5), New: scan.Counts{scan.High: 2}, Fixed: scan.Counts{scan.Low: 1}}
	v1, latest := withHistory(c, "v1", scan.Counts{scan.High: 7}, change), withHistory(c, "latest", scan.Counts{scan.High: 7}, change)
	o := report.Overview{Since: noon.Add(-24 * time.Hour), Now: noon, Reports: []report.Report{rendertest.ReportOf(c, v1, latest)}}
	page := string(summaryPageOf(t, o, scan.Filter{}, nil, linkTo))
	for _, text := range []string{"<strong>7</strong> High", "7 High <small>in 2 of 2 images", "2 new <small>1 resolved", "6 findings on 2019-09-12, 7 now"} {
		if !strings.Contains(page, text) {
			t.Errorf("%q is not in %s", text, page)
		}
	}
}

// Without a completed scan nothing is known of the findings.
func TestNoFindingsNeedACompletedScan(t *testing.T) {
	c := rendertest.Config("test/app")
	for name, r := range map[string]report.Report{"no images": rendertest.ReportOf(c), "not scanned": rendertest.ReportOf(c, rendertest.Image(c, "1", scan.Result{State: scan.NotScanned}))} {
		page := string(summaryPageOf(t, report.Overview{Now: noon, Reports: []report.Report{r}}, scan.Filter{}, nil, linkTo))
		if strings.Contains(page, "No findings") || strings.Contains(page, "All images have a current result") || !strings.Contains(page, "No image has a completed scan.") {
			t.Errorf("%s: %s", name, page)
		}
	}
}

// The links of a row lead to the findings of its image only: a tag can have several images, and an image without a tag has only its digest.
func TestRowLeadsToItsImage(t *testing.T) {
	c := rendertest.Config("test/app")
	arm, byDigest, odd := withHistory(c, "v1", scan.Counts{scan.High: 1}), withHistory(c, "x", scan.Counts{scan.High: 1}), withHistory(c, "v2", scan.Counts{scan.High: 1})
	arm.Image.Platform, odd.Image.Platform = "linux/arm64", "linux/\u202e"
	byDigest.Image.Tag = byDigest.Image.Digest
	o := report.Overview{Since: ago(1), Now: noon, Reports: []report.Report{rendertest.ReportOf(c, arm, byDigest, odd)}}
	page := string(summaryPageOf(t, o, scan.Filter{}, nil, plainLink))
	path := `http://localhost:8080/findings/` + c.ID + "?"
	for _, query := range []string{
		"format=html&amp;platform=linux%2Farm64&amp;tag=v1", "platform=linux%2Farm64&amp;tag=v1", "format=html&amp;tag=v2",
		"digest=" + url.QueryEscape(byDigest.Image.Digest), "digest=" + url.QueryEscape(byDigest.Image.Digest) + "&amp;format=html",
	} {
		if !strings.Contains(page, `href="`+path+query+`"`) {
			t.Errorf("no link with %s: %s", query, page)
		}
	}
}

// A filter that excludes images does not make the rest look free of findings, and images without findings of the severity stay known.
func TestFilterIsNoAllClear(t *testing.T) {
	c := rendertest.Config("test/app", "v1", "v2", "old", "failed")
	old := withHistory(c, "old", scan.Counts{scan.Low: 1})
	old.Result.CompletedAt = ago(9)
	failed := rendertest.Image(c, "failed", scan.Result{State: scan.Failed})
	v1, v2 := withHistory(c, "v1", scan.Counts{scan.Low: 1}), withHistory(c, "v2", scan.Counts{})
	for i, item := range []*report.Item{&v1, &v2, &old, &failed} {
		item.Image.Digest = fmt.Sprint("sha256:", i)
	}
	high, ofTag := scan.Filter{Severity: scan.High}, scan.Filter{Severity: scan.High, Tags: []string{"none"}}
	for name, test := range map[string]struct {
		items  []report.Item
		filter scan.Filter
		want   []string
	}{
		"current":        {[]report.Item{v1, v2}, high, []string{"Nothing matches this filter", "No completed scan of the 2 selected images has a finding of severity HIGH and above. <a"}},
		"not current":    {[]report.Item{v1, old}, high, []string{"Nothing matches this filter", "and above. Without a current result: 1 of 2 images."}},
		"a failed image": {[]report.Item{v1, v2, failed}, high, []string{"No match <small>in 2 completed scans of 3 images. Without a current result: 1 of 3 images."}},
		"only failed":    {[]report.Item{failed}, high, []string{"Not known yet <small>No image has a completed scan."}},
		"no image":       {[]report.Item{v1, v2}, ofTag, []string{"Nothing matches this filter", "No watched image has this repository, owner, tag, platform or digest. <a"}},
		"others match":   {[]report.Item{withHistory(c, "v3", scan.Counts{scan.High: 1}), old}, high, []string{"None <small>All images that match the filter have a current result."}},
		"no filter":      {[]report.Item{v2, failed}, scan.Filter{}, []string{"No findings <small>in 1 completed scan of 2 images. Without a current result: 1 of 2 images."}},
	} {
		o := report.Overview{Since: ago(1), Now: noon, Reports: []report.Report{rendertest.ReportOf(c, test.items...)}}
		page := string(summaryPageOf(t, o, test.filter, nil, linkTo))
		for _, want := range test.want {
			if !strings.Contains(page, want) {
				t.Errorf("%s: no %q in %s", name, want, page)
			}
		}
		if strings.Contains(page, "All images have a current result") {
			t.Errorf("%s: an all-clear", name)
		}
	}
}

// Each config has the same columns, with each filter and for each severity.
func TestColumnsAreTheSameEverywhere(t *testing.T) {
	c := rendertest.Config("test/app")
	for name, counts := range map[string]scan.Counts{"none": {}, "one": {scan.Informational: 2}, "several": {scan.High: 1, scan.Undefined: 2, "BRAND NEW": 3}} {
		o := report.Overview{Since: ago(1), Now: noon, Reports: []report.Report{rendertest.ReportOf(c, withHistory(c, "v1", counts))}}
		page := summaryPageOf(t, o, scan.Filter{}, nil, linkTo)
		head, body := elements(t, page, "thead")[0], elements(t, page, "tbody")[0]
		if got := textOf(head); got != "ImageFindingsCriticalHighMediumLowOtherChangeLast scanFeed" {
			t.Errorf("%s: %q", name, got)
		}
		if want := fmt.Sprintf("0%d00%d", counts[scan.High], sumOf(counts)-counts[scan.High]); !strings.Contains(textOf(body), want) {
			t.Errorf("%s: %q without %s", name, textOf(body), want)
		}
	}
}

// With 1,000 configs, or with many images, the page stays small. It says what is not on it.
func TestLargeSummaryPageStaysQuick(t *testing.T) {
	overview := func(configs, images int) report.Overview {
		o := report.Overview{Since: ago(1), Now: noon}
		for i := range configs {
			c := rendertest.Config(fmt.Sprintf("team-%d/service-%d", i%9, i))
			c.ID = fmt.Sprintf("fc41dda8-f15e-4826-8908-%012d", i)
			var items []report.Item
			for n := range images {
				item := withHistory(c, fmt.Sprintf("v1.%d", n), scan.Counts{scan.High: n, scan.Low: 1 + i%7}, history.CountChange{At: ago(3), New: scan.Counts{scan.Low: 1}})
				item.Image.Digest = fmt.Sprintf("sha256:%032d%032d", i, n)
				items = append(items, item)
			}
			o.Reports = append(o.Reports, rendertest.ReportOf(c, items...))
		}
		return o
	}
	for _, test := range []struct {
		configs, images int
		want            []string
	}{
		{1000, 5, []string{"5000 images of 1000 configs", "Show 950 more configs"}},
		{50, 100, []string{"5000 images of 50 configs", "76 more are not on this page"}},
		{1, 1200, []string{"Show 1175 more images of"}},
		{4000, 1, []string{"4000 images of 4000 configs", "1550 more configs not on this page"}},
	} {
		page := summaryPageOf(t, overview(test.configs, test.images), scan.Filter{}, nil, linkTo)
		if elements := bytes.Count(page, []byte("<")) / 2; len(page) > 1_800_000 || elements > 30_000 {
			t.Errorf("%d configs of %d images: %d bytes, %d elements", test.configs, test.images, len(page), elements)
		}
		for _, want := range test.want {
			if !bytes.Contains(page, []byte(want)) {
				t.Errorf("%d configs of %d images: no %q", test.configs, test.images, want)
			}
		}
	}
}

// Only the images that are on the page get texts and links, so that a page of 100,000 images is quick.
func TestLinksAreMadeOfListedImagesOnly(t *testing.T) {
	c := rendertest.Config("test/app")
	overview := func(images int, r scan.Result) report.Overview {
		items := make([]report.Item, images)
		for i := range items {
			items[i] = withHistory(c, fmt.Sprintf("v%d", i), r.Counts, history.CountChange{At: ago(0.5), New: scan.Counts{scan.High: 1}})
			items[i].Result, items[i].Image.Digest = r, fmt.Sprintf("sha256:%064d", i)
		}
		return report.Overview{Since: ago(1), Now: noon, Reports: []report.Report{rendertest.ReportOf(c, items...)}}
	}
	for name, r := range map[string]scan.Result{
		"current": {State: scan.Completed, Counts: scan.Counts{scan.High: 1}, CompletedAt: ago(1)},
		"stale":   {State: scan.Completed, Counts: scan.Counts{scan.High: 1}, CompletedAt: ago(9)},
		"failed":  {State: scan.Failed, Reason: "UnsupportedImageError"},
	} {
		links := func(images int) int {
			made := 0
			count := func(path string, values url.Values) string { made++; return plainLink(path, values) }
			summaryPageOf(t, overview(images, r), scan.Filter{}, nil, count)
			return made
		}
		if few, many := links(1500), links(4000); many != few || few > 10_000 {
			t.Errorf("%s: %d links of 1,500 images, and %d of 4,000", name, few, many)
		}
	}
}

// A repository that can't be read is said in its own header, and not in a box within a box.
func TestConfigWithoutImagesHasNoInnerBox(t *testing.T) {
	gone := rendertest.Failed(rendertest.Config("test/gone"), &scan.Error{Code: scan.RepositoryNotFound})
	page := string(summaryPageOf(t, report.Overview{Now: noon, Reports: []report.Report{gone}}, scan.Filter{}, nil, linkTo))
	if !strings.Contains(page, `<span class="state">Repository not found</span>`) || strings.Contains(page, `class="empty"`) || strings.Contains(page, "<table") {
		t.Error(page)
	}
}

// What is known of an image is in its row: suppressed findings, its use and its last pull, and why its result is not current.
func TestRowSaysWhatIsKnown(t *testing.T) {
	c := rendertest.Config("test/app")
	one := withHistory(c, "v1", scan.Counts{scan.High: 1})
	one.Result.Suppressed, one.Result.InUse, one.Image.LastPulled = 3, 2, ago(1)
	one.AsOf, one.AsOfReason = ago(0.5), "throttled by ECR"
	page := summaryPageOf(t, report.Overview{Now: noon, Reports: []report.Report{rendertest.ReportOf(c, one)}}, scan.Filter{}, nil, linkTo)
	row := textOf(elements(t, page, "tbody")[0])
	for _, want := range []string{"3 suppressed", "in use 2 running tasks or pods", "last pulled 2019-10-01 12:00", "Outdated as of 2019-10-02 00:00: throttled by ECR"} {
		if !strings.Contains(row, want) {
			t.Errorf("no %q in %q", want, row)
		}
	}
}

// A row without changes says nothing about them.
func TestRowWithoutChanges(t *testing.T) {
	c := rendertest.Config("test/app")
	page := string(summaryPageOf(t, report.Overview{Since: ago(1), Now: noon, Reports: []report.Report{rendertest.ReportOf(c, withHistory(c, "v1", scan.Counts{scan.High: 1}))}}, scan.Filter{}, nil, linkTo))
	if !strings.Contains(page, `<td role="cell" class="change"></td>`) {
		t.Error(page)
	}
}

func TestPartsOfNames(t *testing.T) {
	for name, want := range map[string]string{
		"":                      "",
		"3ubuntu10.2":           "3ubuntu10.|2",
		"test/ubuntu:latest":    "test/|ubuntu:|latest",
		"1:2.4.47-2+deb9u1~rc":  "1:|2.|4.|47-|2+|deb9u1~|rc",
		strings.Repeat("é", 45): strings.Repeat("é", 20) + "|" + strings.Repeat("é", 20) + "|" + strings.Repeat("é", 5),
		"libssl3, libcrypto3":   "libssl3,| libcrypto3",
		"\xff/\xffa":            "\xff/|\xffa",
	} {
		if got := strings.Join(parts(name), "|"); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

// If a filter selects no image, the page says nothing of images. Configs that can't be read are shown, because their images are not known.
func TestFilterOfNoImage(t *testing.T) {
	c := rendertest.Config("test/app")
	gone := rendertest.Failed(rendertest.Config("test/gone"), &scan.Error{Code: scan.RepositoryNotFound})
	o := report.Overview{Since: ago(1), Now: noon, Reports: []report.Report{rendertest.ReportOf(c, withHistory(c, "v1", scan.Counts{scan.High: 1})), gone}}
	page := string(summaryPageOf(t, o, scan.Filter{Tags: []string{"none"}}, nil, linkTo))
	if !strings.Contains(page, "No watched image has this repository, owner, tag, platform or digest.") || !strings.Contains(page, "Repository not found") ||
		strings.Contains(page, "No image has a completed scan") || strings.Contains(page, `class="card`) {
		t.Error(page)
	}
}

// The card with the counts says how many findings are suppressed, also if nothing else is left. An image with two tags counts once.
func TestSummaryCardCountsSuppressed(t *testing.T) {
	o := pageOverview()
	for i := range o.Reports {
		for k := range o.Reports[i].Images {
			item := &o.Reports[i].Images[k]
			item.Result.Counts, item.Suppressed = nil, 0
		}
	}
	o.Reports = append(o.Reports, o.Reports[1])
	o.Reports[1].Images[0].Suppressed, o.Reports[1].Images[0].Result.Suppressed = 3, 2
	worst := func(f scan.Filter) string {
		page := string(summaryPageOf(t, o, f, nil, linkTo))
		_, rest, _ := strings.Cut(page, `id="worst"`)
		card, _, _ := strings.Cut(rest, "</section>")
		if card == "" {
			return page
		}
		return card
	}
	if card := worst(scan.Filter{}); !strings.Contains(card, "No findings") || !strings.Contains(card, ">5 suppressed</a>") || !strings.Contains(card, "suppressed=only") {
		t.Error(card)
	}
	if page := worst(scan.Filter{Severity: scan.Low}); !strings.Contains(page, "5 suppressed, of all severities") && !strings.Contains(page, "Suppressed findings, of all severities: 5.") {
		t.Error(page)
	}
	o.Reports[1].Images[0].Result.Counts = scan.Counts{scan.High: 1}
	if card := worst(scan.Filter{}); !strings.Contains(card, "1 High") || !strings.Contains(card, ">5 suppressed</a>") {
		t.Error(card)
	}
}
