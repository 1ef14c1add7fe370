package render

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/rendertest"
)

func TestBadge(t *testing.T) {
	c, now := rendertest.Config("test/ubuntu"), rendertest.Scanned.Add(time.Hour)
	fresh := func(tag string, counts scan.Counts) report.Item {
		item := rendertest.Image(c, tag, scan.Result{State: scan.Completed, CompletedAt: rendertest.Scanned, Counts: counts})
		item.Image.Digest = tag
		return item
	}
	old := fresh("old", scan.Counts{})
	old.Result.CompletedAt = rendertest.Scanned.Add(-48 * time.Hour)
	oldBad := fresh("old", scan.Counts{scan.Low: 2})
	oldBad.Result.CompletedAt = time.Time{}
	waiting := rendertest.Image(c, "new", scan.Result{State: scan.NotScanned, Counts: scan.Counts{}})
	same := fresh("v1", scan.Counts{scan.High: 7})
	same.Image.Tag = "v2"
	for name, test := range map[string]struct {
		report report.Report
		want   string
		clean  bool
	}{
		"clean":              {rendertest.ReportOf(c, fresh("v1", scan.Counts{}), fresh("v2", scan.Counts{scan.High: 0})), "no findings", true},
		"findings":           {rendertest.ReportOf(c, fresh("v1", scan.Counts{scan.High: 7, scan.Low: 1}), fresh("v2", scan.Counts{scan.High: 2})), "9 HIGH", false},
		"one image, twice":   {rendertest.ReportOf(c, fresh("v1", scan.Counts{scan.High: 7}), same), "7 HIGH", false},
		"never scanned":      {rendertest.ReportOf(c, waiting), "not scanned", false},
		"one not scanned":    {rendertest.ReportOf(c, fresh("v1", scan.Counts{}), waiting), "not scanned", false},
		"some, but findings": {rendertest.ReportOf(c, fresh("v1", scan.Counts{scan.Low: 3}), waiting), "3 LOW, incomplete", false},
		"stale":              {rendertest.ReportOf(c, fresh("v1", scan.Counts{}), old), "stale", false},
		"stale findings":     {rendertest.ReportOf(c, oldBad, waiting), "2 LOW, incomplete, stale", false},
		"no images":          {rendertest.ReportOf(c), "no images", false},
		"gone":               {rendertest.Failed(c, &scan.Error{Code: scan.RepositoryNotFound}), "repository not found", false},
		"unreadable":         {rendertest.Failed(c, io.EOF), "unavailable", false},
		"unknown severity":   {rendertest.ReportOf(c, fresh("v1", scan.Counts{"<B>&\"": 1})), "1 <B>&\"", false},
	} {
		svg := Badge(test.report, now)
		var parsed struct {
			XMLName xml.Name
			Label   string   `xml:"aria-label,attr"`
			Title   string   `xml:"title"`
			Texts   []string `xml:"g>text"`
		}
		if err := xml.Unmarshal(svg, &parsed); err != nil || parsed.XMLName.Space != "http://www.w3.org/2000/svg" || len(parsed.Texts) != 2 {
			t.Fatalf("%s: %v in %s", name, err, svg)
		}
		if parsed.Texts[1] != test.want || parsed.Title != "image scan: "+test.want || parsed.Label != parsed.Title || strings.Contains(string(svg), green) != test.clean {
			t.Errorf("%s: %s", name, svg)
		}
		for _, private := range []string{c.ID, c.Registry, "test/ubuntu", c.Region} {
			if strings.Contains(string(svg), private) {
				t.Errorf("%s: %s is in %s", name, private, svg)
			}
		}
	}
	rendertest.Golden(t, "badge.svg", Badge(rendertest.ReportOf(c, fresh("v1", scan.Counts{scan.High: 7})), now))
}

// An image without a completed scan never gets a clean badge.
func TestBadgeOfImagesWithoutACompletedScan(t *testing.T) {
	c := rendertest.Config("test/hard")
	for _, state := range []scan.State{scan.NotScanned, scan.InProgress, scan.Failed, scan.NoSuchTag, scan.Unread, scan.Refused, "", "unknown state"} {
		if svg := string(Badge(rendertest.ReportOf(c, rendertest.Image(c, "x", scan.Result{State: state, CompletedAt: rendertest.Scanned, Counts: scan.Counts{}})), rendertest.Scanned)); !strings.Contains(svg, ">not scanned<") {
			t.Errorf("state %q: %s", state, svg)
		}
	}
}
