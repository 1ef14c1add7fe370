package feed

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/feedrules"
	"ecr-continuous-scan/test/rendertest"
)

func TestOPML(t *testing.T) {
	url := rendertest.API + "/findings/fc41dda8-f15e-4826-8908-11603b01dac4?key=a%26b%3C"
	high := report.View{Filter: scan.Filter{Severity: scan.High}}
	ubuntu, amazonlinux := rendertest.Config("test/ubuntu", "16.04", "latest"), rendertest.Config("amazonlinux")
	list, err := OPML([]Subscription{
		{Listing: report.Listing{Config: &ubuntu}, URL: url}, {Listing: report.Listing{Config: &ubuntu, IsChangeFeed: true}, URL: url + "&changes"},
		{Listing: report.Listing{Config: &amazonlinux, View: high}, URL: url + "&severity=HIGH"},
		{Listing: report.Listing{View: high}, URL: rendertest.API + "/findings/all?severity=HIGH", Home: rendertest.API + "/summary"},
	})
	if err != nil {
		t.Fatal(err)
	}
	rendertest.Golden(t, "feeds.opml", list)
	if feeds := feedrules.OPML(t, list); len(feeds) != 4 || feeds[0].XMLURL != url || feeds[0].Text != "ECR repository test/ubuntu in us-west-2" {
		t.Errorf("feeds %+v", feeds)
	}
	amazonlinux.Name, amazonlinux.Owner, ubuntu.Owner = `R&D "base"`, "<platform>", "<platform>"
	list, err = OPML([]Subscription{{Listing: report.Listing{Config: &amazonlinux}, URL: url}, {Listing: report.Listing{Config: &ubuntu}, URL: url + "&2"}})
	if feeds := feedrules.OPML(t, list); err != nil || feeds[0].Text != `R&D "base": ECR repository amazonlinux in us-west-2` ||
		!strings.Contains(string(list), `description="Owner: &lt;platform&gt;"`) || !strings.Contains(string(list), `description="Tags: [16.04] [latest]. Owner: &lt;platform&gt;"`) {
		t.Errorf("with a name and an owner: %v, %s", err, list)
	}
	list, err = OPML(nil)
	if feeds := feedrules.OPML(t, list); err != nil || len(feeds) != 0 {
		t.Errorf("without configs: %s", list)
	}
}

// Some feed readers name their feeds by their titles. So each title is different from the others, and has no more than it needs for that.
func TestTitlesOfFeeds(t *testing.T) {
	of := func(id, registry, region, repository string, tags ...string) Subscription {
		return Subscription{Listing: report.Listing{Config: &scan.Config{ID: id, Registry: registry, Region: region, Repository: repository, Tags: tags}}}
	}
	subscriptions := []Subscription{
		of("1", "1", "r", "unique"), of("2", "1", "r", "app"), of("3", "2", "r", "app"), of("4", "1", "other", "app"),
		of("5", "1", "r", "tags"), of("6", "1", "r", "tags", "a", "b"), of("7", "1", "r", "twice", "a"), of("8", "1", "r", "twice", "a"),
		of("9", "1", "r", "team/web"), of("10", "1", "r", "team-web"), {},
	}
	want := []string{
		"ECR repository unique in r", "ECR repository app in r, registry 1", "ECR repository app in r, registry 2", "ECR repository app in other",
		"ECR repository tags in r, all tags", "ECR repository tags in r, tags [a] [b]", "ECR repository twice in r, scan ID 7", "ECR repository twice in r, scan ID 8",
		"ECR repository team/web in r, scan ID 9", "ECR repository team-web in r, scan ID 10", "ECR image scan findings",
	}
	if diff := cmp.Diff(want, titlesOf(subscriptions)); diff != "" {
		t.Errorf("titles (-want +got):\n%s", diff)
	}
}
