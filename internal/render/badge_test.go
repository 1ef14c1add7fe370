package render

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/scan"
)

func TestBadge(t *testing.T) {
	c, now := config("test/ubuntu"), scanned.Add(time.Hour)
	fresh := func(tag string, counts scan.Counts) scan.Item {
		item := image(c, tag, scan.Result{State: scan.Completed, CompletedAt: scanned, Counts: counts})
		item.Image.Digest = tag
		return item
	}
	old := fresh("old", scan.Counts{})
	old.Result.CompletedAt = scanned.Add(-48 * time.Hour)
	oldBad := fresh("old", scan.Counts{scan.Low: 2})
	oldBad.Result.CompletedAt = time.Time{}
	waiting := image(c, "new", scan.Result{State: scan.NotScanned, Counts: scan.Counts{}})
	same := fresh("v1", scan.Counts{scan.High: 7})
	same.Image.Tag = "v2"
	for name, test := range map[string]struct {
		report scan.Report
		want   string
		clean  bool
	}{
		"clean":              {report(c, fresh("v1", scan.Counts{}), fresh("v2", scan.Counts{scan.High: 0})), "no findings", true},
		"findings":           {report(c, fresh("v1", scan.Counts{scan.High: 7, scan.Low: 1}), fresh("v2", scan.Counts{scan.High: 2})), "9 HIGH", false},
		"one image, twice":   {report(c, fresh("v1", scan.Counts{scan.High: 7}), same), "7 HIGH", false},
		"never scanned":      {report(c, waiting), "not scanned", false},
		"one not scanned":    {report(c, fresh("v1", scan.Counts{}), waiting), "not scanned", false},
		"some, but findings": {report(c, fresh("v1", scan.Counts{scan.Low: 3}), waiting), "3 LOW, incomplete", false},
		"stale":              {report(c, fresh("v1", scan.Counts{}), old), "stale", false},
		"stale findings":     {report(c, oldBad, waiting), "2 LOW, incomplete, stale", false},
		"no images":          {report(c), "no images", false},
		"gone":               {scan.Report{Config: c, Err: &scan.Error{Code: scan.RepositoryNotFound}}, "repository not found", false},
		"unreadable":         {scan.Report{Config: c, Err: io.EOF}, "unavailable", false},
		"something new":      {report(c, fresh("v1", scan.Counts{"<B>&\"": 1})), "1 <B>&\"", false},
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
		for _, secret := range []string{c.ID, c.Registry, "test/ubuntu", c.Region} {
			if strings.Contains(string(svg), secret) {
				t.Errorf("%s: %s is in %s", name, secret, svg)
			}
		}
	}
	golden(t, "badge.svg", Badge(report(c, fresh("v1", scan.Counts{scan.High: 7})), now))
}

// Whatever the state is: nothing but completed scans looks clean.
func TestOnlyCompletedLooksCleanOnABadge(t *testing.T) {
	c := config("test/hard")
	for _, state := range []scan.State{scan.NotScanned, scan.InProgress, scan.Failed, scan.NoSuchTag, scan.Unread, scan.Refused, "", "unheard of"} {
		if svg := string(Badge(report(c, image(c, "x", scan.Result{State: state, CompletedAt: scanned, Counts: scan.Counts{}})), scanned)); !strings.Contains(svg, ">not scanned<") {
			t.Errorf("state %q: %s", state, svg)
		}
	}
}
