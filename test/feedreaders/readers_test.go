//go:build feedreaders

package feedreaders

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/feedrules"
)

// feeds returns the feeds that readers subscribe to: path and query, with the number of entries before the first
// rescan. The new finding of a test is HIGH and in openssl of one image of test/ubuntu, so that it adds one entry
// to each feed.
func (s *service) feeds() map[string]int {
	ubuntu := "/findings/" + s.ids["test/ubuntu"]
	counts := map[string]int{ubuntu: 80, ubuntu + "?tag=latest&key=a%26b": 29, ubuntu + "?severity=MEDIUM": 15, "/findings/all": 80 + 34}
	for _, by := range []string{ubuntu + "?by=vulnerability", "/findings/all?by=vulnerability"} {
		body, err := io.ReadAll(get(s.t, s.url+by).Body)
		if err != nil {
			s.t.Fatal(err)
		}
		counts[by] = len(feedrules.Atom(s.t, body).Entries)
	}
	counts[ubuntu+"/changes"], counts["/changes"] = 0, 0 // the baseline is not a change
	return counts
}

// reading is a reader's subscription to a feed.
type reading struct {
	name string
	read subscription
	kept int // expected number of entries
}

func (r reading) check(t *testing.T, when string, kept, unread int) {
	t.Helper()
	if k, u := r.read(t); k != kept || u != unread {
		t.Errorf("%s %s: %d entries kept and %d unread, want %d and %d", r.name, when, k, u, kept, unread)
	}
}

func TestReaders(t *testing.T) {
	s := start(t)
	var all []reading
	for path, count := range s.feeds() {
		for name, subscribe := range readers() {
			all = append(all, reading{name + " " + path, subscribe(t, s.url+path), count})
		}
		json := path + "?format=json"
		if strings.Contains(path, "?") {
			json = path + "&format=json"
		}
		all = append(all, reading{"gofeed " + json, gofeedAny(t, s.url+json), count})
	}
	each := func(when string, more, unread int) {
		t.Run(when, func(t *testing.T) {
			for _, r := range all {
				t.Run(r.name, func(t *testing.T) {
					t.Parallel()
					if unread < 0 {
						r.check(t, when, r.kept, r.kept)
					} else {
						r.check(t, when, r.kept+more, unread)
					}
				})
			}
		})
	}
	each("the first time", 0, -1)
	each("without a scan", 0, 0)
	s.rescan()
	each("after a scan without new findings", 0, 0)
	s.addVulnerability("test/ubuntu", "latest", "CVE-2026-99999")
	s.rescan()
	each("after a scan with one new finding", 1, 1)
}

// The packages of npm remember nothing, so that one reading of each feed is enough.
func TestReadersOfNpm(t *testing.T) {
	s := start(t)
	counts := s.feeds()
	var urls []string
	for path := range counts {
		urls = append(urls, s.url+path)
	}
	for name, feeds := range readWithNpm(t, urls) {
		for path, count := range counts {
			ids := map[string]bool{}
			for _, e := range feeds[s.url+path] {
				ids[e[0]] = true
				if date, err := time.Parse(time.RFC3339, e[3]); err != nil || date.IsZero() || !strings.HasPrefix(e[1], "[") || !strings.HasPrefix(e[2], "http") {
					t.Errorf("%s %s: entry %q", name, path, e)
				}
			}
			if len(ids) != count {
				t.Errorf("%s %s: %d entries, want %d", name, path, len(ids), count)
			}
		}
	}
}

func TestReadersImportTheList(t *testing.T) {
	s := start(t)
	body, err := io.ReadAll(get(t, s.url+"/findings?key=a%26b&severity=medium").Body)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	list := write(t, home, "feeds.opml", string(body))
	feeds := feedrules.OPML(t, body)
	if len(feeds) != 6 { // the findings and the changes of two configs and of all configs
		t.Fatalf("%d feeds in %s", len(feeds), body)
	}

	urls, config := filepath.Join(home, "urls"), write(t, home, "config", "")
	run(t, home, "newsboat", "-u", urls, "-C", config, "-c", filepath.Join(home, "cache.db"), "-i", list)
	newsboatHas, err := os.ReadFile(urls)
	if err != nil {
		t.Fatal(err)
	}
	sfeedHas := run(t, home, "sh", "-c", "sfeed_opml_import < feeds.opml")
	r2e := []string{"-c", filepath.Join(home, "r2e"), "-d", filepath.Join(home, "r2e.json")}
	run(t, home, "r2e", append(r2e, "new", "me@example.org")...)
	run(t, home, "r2e", append(r2e, "opmlimport", list)...)
	rss2emailHas := run(t, home, "r2e", append(r2e, "list")...)
	for reader, has := range map[string]string{"newsboat": string(newsboatHas), "sfeed": sfeedHas, "rss2email": rss2emailHas} {
		for _, f := range feeds {
			if !strings.Contains(has, f.XMLURL) {
				t.Errorf("%s imported %s, which lacks %s", reader, has, f.XMLURL)
			}
		}
	}
	for _, f := range feeds {
		if kept, _ := newsboat(t, f.XMLURL)(t); (kept == 0) != strings.HasSuffix(f.Title, ", what changed: severity MEDIUM and above") {
			t.Errorf("the imported feed %s has %d entries", f.XMLURL, kept)
		}
	}
}

// Newsboat keeps one entry for each id, whatever feed it is from. Feeds that overlap must stay whole. After a severity rose and a finding was resolved,
// newsboat shows both entries as resolved, and only the new entry as unread.
func TestFeedsThatOverlap(t *testing.T) {
	s := start(t)
	s.addVulnerability("test/ubuntu", "latest", "CVE-2026-11111")
	s.addVulnerability("test/ubuntu", "latest", "CVE-2026-22222")
	s.rescan()
	home := t.TempDir()
	var urls string
	counts := s.feeds()
	for path := range counts {
		urls += s.url + path + "\n"
	}
	flags := []string{"-u", write(t, home, "urls", urls), "-C", write(t, home, "config", ""), "-c", filepath.Join(home, "cache.db"), "-x"}
	read := func() (kept map[string]int, unread []string) {
		run(t, home, "newsboat", append(flags, "reload")...)
		var all [][3]any
		python(t, home, `
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(json.dumps(db.execute("select feedurl, title, unread from rss_item where deleted = 0 order by title").fetchall()))
db.execute("update rss_item set unread = 0")
db.commit()
`, &all, filepath.Join(home, "cache.db"))
		kept = make(map[string]int)
		for _, row := range all {
			path := strings.TrimPrefix(row[0].(string), s.url)
			kept[path]++
			if title := row[1].(string); path == "/findings/"+s.ids["test/ubuntu"] && strings.Contains(title, "CVE-2026-") {
				unread = append(unread, fmt.Sprint(title, " ", row[2]))
			}
		}
		return kept, unread
	}
	kept, _ := read()
	for path, count := range counts {
		switch { // two findings are new
		case strings.HasSuffix(path, "/changes"):
			count = 2
		case !strings.Contains(path, "by="):
			count += 2
		}
		if kept[path] != count {
			t.Errorf("%s: %d entries kept, want %d", path, kept[path], count)
		}
	}
	s.changeFindings("test/ubuntu", "latest", func(findings []ecr.Finding) []ecr.Finding {
		findings[1].Severity = "CRITICAL"
		return findings[1:]
	})
	s.rescan()
	want := []string{
		"[CRITICAL] in image test/ubuntu:latest found CVE-2026-11111 1", "[RESOLVED] [HIGH] in image test/ubuntu:latest found CVE-2026-11111 (now CRITICAL) 0",
		"[RESOLVED] [HIGH] in image test/ubuntu:latest found CVE-2026-22222 0",
	}
	if _, shown := read(); !slices.Equal(shown, want) {
		t.Errorf("newsboat shows %q, want %q", shown, want)
	}
}

// A suppression that begins makes nothing unread, except in the change feed that it was added. When it ends, each of its findings is unread once, also after
// the visit that records this.
func TestReadersOfSuppressions(t *testing.T) {
	s := start(t)
	path := "/findings/" + s.ids["test/ubuntu"]
	var found, changed []reading
	for _, name := range []string{"newsboat", "gofeed"} {
		subscribe := readers()[name]
		found = append(found, reading{name: name, read: subscribe(t, s.url+path)}, reading{name: name + " of groups", read: subscribe(t, s.url+path+"?by=vulnerability")})
		changed = append(changed, reading{name: name + " of changes", read: subscribe(t, s.url+path+"/changes")})
	}
	want := func(when string, ofFindings, ofChanges int) {
		t.Helper()
		for i, r := range append(slices.Clone(found), changed...) {
			unread := ofFindings
			if i >= len(found) {
				unread = ofChanges
			}
			if _, got := r.read(t); got != unread && unread >= 0 {
				t.Errorf("%s %s: %d unread, want %d", r.name, when, got, unread)
			}
		}
	}
	want("the first time", -1, 0)
	s.addVulnerability("test/ubuntu", "latest", "CVE-2026-99991")
	s.addVulnerability("test/ubuntu", "latest", "CVE-2026-99992")
	s.rescan()
	want("after a scan with two new findings", 2, 2)
	until := s.aws.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	body := strings.NewReader(`{"vulnerability":"CVE-2026-9999*","repository":"test/ubuntu","reason":"not reachable","until":"` + until + `"}`)
	response, err := http.Post(s.url+"/suppressions", "application/json", body)
	if err != nil || response.StatusCode != http.StatusCreated {
		t.Fatalf("%v, %v", response, err)
	}
	response.Body.Close()
	want("after the suppression began", 0, 1)
	s.aws.Advance(time.Hour + 10*time.Minute)
	want("after the suppression ended", 2, 2)
	if _, err := s.ScheduleAndVisit(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("after the next visit", 0, 0)
	s.rescan()
	want("after the next scan", 0, 0)
}
