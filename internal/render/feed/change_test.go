package feed

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/feedrules"
	"ecr-continuous-scan/test/rendertest"
)

// everyChange returns a listing with a change of each kind.
func everyChange() report.Listing {
	c := rendertest.Config("test/ubuntu", "16.04")
	one := rendertest.Image(c, "16.04", scan.Result{State: scan.Completed})
	at := rendertest.Scanned
	next := func() time.Time { at = at.Add(-time.Second); return at }
	f := scan.Finding{
		Name: "CVE-2016-1585", Package: "apparmor", Versions: []string{"2.10"}, FixedIn: []string{"2.11"}, Score: "3.9", Vector: "AV:L/AC:L",
		URL: "http://people.ubuntu.com/~ubuntu-security/cve/CVE-2016-1585", Description: "In all versions of AppArmor mount rules are widened.\n\nWhen <compiled>.",
	}
	of := func(kind history.EventKind, from, to scan.Severity) history.Change {
		return history.Change{Kind: kind, At: next(), Repository: c.Repo(), Image: &one.Image, Finding: f, From: from, To: to}
	}
	l := rendertest.Listing(rendertest.ReportOf(c, one))
	l.IsChangeFeed = true
	l.Changes = []history.Change{
		of(history.New, "", scan.High), of(history.Fixed, scan.High, ""), of(history.Raised, scan.Medium, scan.High), of(history.Lowered, scan.High, scan.Low),
		of(history.FixAvailable, scan.High, scan.High),
	}
	rolled := history.Change{At: next(), Repository: c.Repo(), Image: &one.Image}
	for i := range 3 {
		change := of(history.New, "", scan.Low)
		change.Finding.Name = fmt.Sprintf("CVE-2020-%d", i)
		rolled.RolledUp = append(rolled.RolledUp, change)
	}
	rolled.RolledUp = append(rolled.RolledUp, of(history.Fixed, scan.Medium, ""))
	l.Changes = append(l.Changes, rolled)
	for _, kind := range []history.EventKind{history.Scanned, history.Unscanned, history.Recovered, history.Failing} {
		l.Changes = append(l.Changes, history.Change{Kind: kind, At: next(), Repository: c.Repo(), Image: &one.Image})
	}
	l.Changes[len(l.Changes)-1].Reason = "UnsupportedImageError: <x>"
	for _, kind := range []history.EventKind{history.RepositoryBack, history.RepositoryGone} {
		l.Changes = append(l.Changes, history.Change{Kind: kind, At: next(), Repository: c.Repo(), Since: at.Add(-time.Hour)})
	}
	for _, kind := range []history.EventKind{
		history.TagBack, history.TagGone, history.PlatformBack, history.PlatformGone, history.Restored, history.Archived, history.ImageAgain, history.NotImage,
		history.IndexRead, history.IndexUnread,
	} {
		l.Changes = append(l.Changes, history.Change{Kind: kind, At: next(), Repository: c.Repo(), Image: &one.Image})
	}
	l.Changes = append(l.Changes, rendertest.SuppressionChanges()...)
	l.Total = len(l.Changes)
	return l
}

func TestChangeFeed(t *testing.T) {
	links := Links{Self: here.Self + "/changes"}
	atom, err := Atom(everyChange(), links)
	if err != nil {
		t.Fatal(err)
	}
	rendertest.Golden(t, "changes.xml", atom)
	parsed := feedrules.Atom(t, atom)
	asJSON, err := JSON(everyChange(), links)
	if err != nil {
		t.Fatal(err)
	}
	rendertest.Golden(t, "changes.json", asJSON)
	items := feedrules.JSON(t, asJSON).Items
	if len(items) != len(parsed.Entries) || len(items) != len(everyChange().Changes) {
		t.Fatalf("%d entries as Atom, %d as JSON", len(parsed.Entries), len(items))
	}
	plain := everyChange()
	plain.IsChangeFeed = false
	if plain.FeedID() == everyChange().FeedID() {
		t.Error("the feed of changes has the same id as the feed of findings")
	}
}

// The ids of these changes are computed from the names that their kinds had before. They must stay as they are, or feed readers show old entries again.
func TestIDsOfEntriesWithNewTitles(t *testing.T) {
	want := map[string]string{
		"[SCANNED AGAIN]":   "urn:uuid:ed238341-b908-59f2-8526-86ae3b728cee",
		"[SCAN RECOVERED]":  "urn:uuid:5c941bc1-e205-522e-831b-4f52a334687a",
		"[REPOSITORY BACK]": "urn:uuid:4ab34c21-9991-5e0b-8572-868bb2683417",
	}
	for _, c := range everyChange().Changes {
		e := newChangeEntry(newSource(everyChange(), Links{}, 1000), c)
		for title, id := range want {
			if !strings.HasPrefix(e.title, title) {
				continue
			}
			if got := c.ID().URN(); got != id {
				t.Errorf("%s: id %s, want %s", e.title, got, id)
			}
			delete(want, title)
		}
	}
	if len(want) > 0 {
		t.Errorf("no entries with the titles %v", want)
	}
}

// A page of rolled up changes has all entries, with shorter texts, within the maximum size.
func TestSizeOfChangeFeed(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	l := everyChange()
	rolled := l.Changes[5]
	for i := range 3000 {
		change := rolled.RolledUp[0]
		change.Finding.Name = fmt.Sprintf("CVE-%d", i) + strings.Repeat("<&>", 60)
		rolled.RolledUp = append(rolled.RolledUp, change)
	}
	l.Changes = nil
	for i := range report.PageSize {
		one := rolled
		one.At = rendertest.Scanned.Add(-time.Duration(i) * time.Second)
		one.Repository.Name = fmt.Sprint("test/app", i)
		l.Changes = append(l.Changes, one)
	}
	feed, err := Atom(l, here)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(feed), "<entry>"); n != report.PageSize || rendertest.JSONSize(feed) > render.MaxSent {
		t.Errorf("%d entries in %d bytes", n, rendertest.JSONSize(feed))
	}
	feedrules.Atom(t, feed)
}
