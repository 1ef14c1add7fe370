package page

import (
	"strings"
	"testing"

	"ecr-continuous-scan/internal/figures"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/rendertest"
)

// knownFor returns an image whose counts are known for some days.
func knownFor(c scan.Config, tag string, days float64, counts scan.Counts, changes ...history.CountChange) report.Item {
	item := withHistory(c, tag, counts, changes...)
	item.Image.Digest, item.KnownSince = "sha256:"+tag, ago(days)
	return item
}

func trendOf(most int, items ...report.Item) *trendline {
	return newTrendline(figures.Trend([]report.Report{rendertest.ReportOf(rendertest.Config("test/app"), items...)}, noon), most)
}

// Each known day has a bar, also one without findings. A day of which nothing is known has none.
func TestTrendOfKnownDays(t *testing.T) {
	c := rendertest.Config("test/app")
	counts := scan.Counts{scan.High: 1, scan.Low: 9}
	failed := rendertest.Image(c, "1", scan.Result{State: scan.Failed})
	for name, test := range map[string]struct {
		items       []report.Item
		all, severe int // bars
		words       string
	}{
		"now only":            {[]report.Item{knownFor(c, "a", 0.5, counts)}, 1, 1, "10 findings now, not known before"},
		"20 days":             {[]report.Item{knownFor(c, "a", 20, counts, history.CountChange{At: ago(3.5), New: scan.Counts{scan.High: 1}})}, 21, 4, "9 findings on 2019-09-12, 10 now"},
		"none of them":        {[]report.Item{knownFor(c, "a", 2, scan.Counts{})}, 3, 0, "0 findings on 2019-09-30, 0 now"},
		"one more image":      {[]report.Item{knownFor(c, "a", 9, counts), knownFor(c, "b", 0.5, scan.Counts{scan.Low: 1})}, 10, 10, "10 findings in 1 image on 2019-09-23, 11 in 2 images now"},
		"longer than 30 days": {[]report.Item{knownFor(c, "a", 90, counts)}, 31, 31, "10 findings on 2019-09-02, 10 now"},
		"not known":           {[]report.Item{failed}, 0, 0, ""},
	} {
		trend := trendOf(10, test.items...)
		if trend == nil {
			if test.all > 0 {
				t.Errorf("%s: no chart", name)
			}
			continue
		}
		if all, severe := strings.Count(trend.All, "M"), strings.Count(trend.Severe, "M"); all != test.all || severe != test.severe || trend.Words != test.words {
			t.Errorf("%s: %d bars, %d of them with severe findings, %q", name, all, severe, trend.Words)
		}
		if trend.From != "2019-09-02" || trend.To != "2019-10-02" {
			t.Errorf("%s: the axis is from %s to %s", name, trend.From, trend.To)
		}
		if test.all == 1 && !strings.HasPrefix(trend.All, "M241.2 40v-36.0h5.6v36.0z") {
			t.Errorf("%s: today is not at the right end: %s", name, trend.All)
		}
	}
}

// The last day is now. If its counts are not known, the chart does not show the last known ones as those of now.
func TestTrendThatIsNotKnownNow(t *testing.T) {
	days := []figures.TrendDay{{At: ago(2), Images: 1, Counts: scan.Counts{scan.Low: 3}}, {At: ago(1), Images: 1, Counts: scan.Counts{scan.Low: 4}}, {At: noon}}
	if trend := newTrendline(days, 4); trend.Words != "3 findings on 2019-09-30, not known now" || strings.Count(trend.All, "M") != 2 {
		t.Errorf("%+v", trend)
	}
}

// All charts of a page have the same scale, so that a small config does not look like a large one.
func TestTrendsHaveOneScale(t *testing.T) {
	large, small := rendertest.Config("test/large"), rendertest.Config("test/small")
	o := report.Overview{Since: ago(1), Now: noon, Reports: []report.Report{
		rendertest.ReportOf(large, knownFor(large, "1", 9, scan.Counts{scan.High: 36}, history.CountChange{At: ago(2.5), Fixed: scan.Counts{scan.High: 4}})),
		rendertest.ReportOf(small, knownFor(small, "1", 9, scan.Counts{scan.High: 4})),
	}}
	page := string(summaryPageOf(t, o, scan.Filter{}, nil, linkTo))
	if n := strings.Count(page, ">40</text>"); n != 2 {
		t.Errorf("%d axes up to 40", n)
	}
	for _, want := range []string{"v-36.0h", "v-32.4h", "v-3.6h", ">2019-09-02</text>", ">2019-10-02</text>", "Highest number of findings: 40 on 2019-09-23."} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in %s", want, page)
		}
	}
}
