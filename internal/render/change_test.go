package render

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/feedrules"
)

// news is a listing of every kind of change.
func news() scan.Listing {
	c := config("test/ubuntu", "16.04")
	one := image(c, "16.04", scan.Result{State: scan.Completed})
	at := scanned
	next := func() time.Time { at = at.Add(-time.Second); return at }
	f := scan.Finding{
		Name: "CVE-2016-1585", Package: "apparmor", Versions: []string{"2.10"}, FixedIn: []string{"2.11"}, Score: "3.9", Vector: "AV:L/AC:L",
		URL: "http://people.ubuntu.com/~ubuntu-security/cve/CVE-2016-1585", Description: "In all versions of AppArmor mount rules are widened.\n\nWhen <compiled>.",
	}
	of := func(kind scan.EventKind, from, to scan.Severity) scan.Change {
		return scan.Change{Kind: kind, At: next(), Repository: c.Repo(), Image: &one.Image, Finding: f, From: from, To: to}
	}
	l := listing(report(c, one))
	l.News = true
	l.Changes = []scan.Change{
		of(scan.New, "", scan.High), of(scan.Fixed, scan.High, ""), of(scan.Raised, scan.Medium, scan.High), of(scan.Lowered, scan.High, scan.Low),
		of(scan.FixAvailable, scan.High, scan.High),
	}
	rolled := scan.Change{At: next(), Repository: c.Repo(), Image: &one.Image}
	for i := range 3 {
		change := of(scan.New, "", scan.Low)
		change.Finding.Name = fmt.Sprintf("CVE-2020-%d", i)
		rolled.Rolled = append(rolled.Rolled, change)
	}
	rolled.Rolled = append(rolled.Rolled, of(scan.Fixed, scan.Medium, ""))
	l.Changes = append(l.Changes, rolled)
	for _, kind := range []scan.EventKind{scan.Scanned, scan.Unscanned, scan.Recovered, scan.Failing} {
		l.Changes = append(l.Changes, scan.Change{Kind: kind, At: next(), Repository: c.Repo(), Image: &one.Image})
	}
	l.Changes[len(l.Changes)-1].Reason = "UnsupportedImageError: <x>"
	for _, kind := range []scan.EventKind{scan.RepositoryBack, scan.RepositoryGone} {
		l.Changes = append(l.Changes, scan.Change{Kind: kind, At: next(), Repository: c.Repo(), Since: at.Add(-time.Hour)})
	}
	l.Total = len(l.Changes)
	return l
}

func TestChangeFeed(t *testing.T) {
	links := Links{Self: here.Self + "/changes"}
	atom, err := Atom(news(), links)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "changes.xml", atom)
	parsed := feedrules.Atom(t, atom)
	asJSON, err := JSONFeed(news(), links)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "changes.json", asJSON)
	items := feedrules.JSON(t, asJSON).Items
	if len(items) != len(parsed.Entries) || len(items) != len(news().Changes) {
		t.Fatalf("%d entries as Atom, %d as JSON", len(parsed.Entries), len(items))
	}
	plain := news()
	plain.News = false
	if plain.FeedID() == news().FeedID() {
		t.Error("the feed of the changes has the id of that of the findings")
	}
}

// A page of nothing but rolled up changes has them all, shortened, and fits into an answer.
func TestChangeFeedStaysSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	l := news()
	rolled := l.Changes[5]
	for i := range 3000 {
		change := rolled.Rolled[0]
		change.Finding.Name = fmt.Sprintf("CVE-%d", i) + strings.Repeat("<&>", 60)
		rolled.Rolled = append(rolled.Rolled, change)
	}
	l.Changes = nil
	for i := range scan.PageSize {
		one := rolled
		one.At = scanned.Add(-time.Duration(i) * time.Second)
		one.Repository.Name = fmt.Sprint("test/app", i)
		l.Changes = append(l.Changes, one)
	}
	feed, err := Atom(l, here)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(feed), "<entry>"); n != scan.PageSize || sentSize(feed) > maxSent {
		t.Errorf("%d entries in %d bytes", n, sentSize(feed))
	}
	feedrules.Atom(t, feed)
}
