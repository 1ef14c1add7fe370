package feed

import (
	"testing"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/feedrules"
	"ecr-continuous-scan/test/rendertest"
)

func TestOPML(t *testing.T) {
	url := rendertest.API + "/findings/fc41dda8-f15e-4826-8908-11603b01dac4?key=a%26b%3C"
	high := report.View{Filter: scan.Filter{Severity: scan.High}}
	list, err := OPML([]Subscription{
		{Config: rendertest.Config("test/ubuntu", "16.04", "latest"), URL: url}, {Config: rendertest.Config("amazonlinux"), View: high, URL: url + "&severity=HIGH"},
	})
	if err != nil {
		t.Fatal(err)
	}
	rendertest.Golden(t, "feeds.opml", list)
	if feeds := feedrules.OPML(t, list); len(feeds) != 2 || feeds[0].XMLURL != url || feeds[0].Text != "ECR repository test/ubuntu in us-west-2" {
		t.Errorf("feeds %+v", feeds)
	}
	list, err = OPML(nil)
	if feeds := feedrules.OPML(t, list); err != nil || len(feeds) != 0 {
		t.Errorf("without configs: %s", list)
	}
}
