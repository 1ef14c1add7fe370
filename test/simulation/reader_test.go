package simulation

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/mmcdole/gofeed/atom"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/feedrules"
	"ecr-continuous-scan/test/openapi"
)

// reader reads the feeds and the summary once a day. It remembers all entries and ids.
type reader struct {
	testing.TB
	api http.Handler
	// seen are the entries of each feed by id, as they were when they were first read.
	seen map[string]map[string]*atom.Entry
	// ids maps each episode of a finding to its entry's id, and each id to its episode.
	ids map[string]string
	// compared is the number of comparisons with the model.
	compared int
	parsed   int
}

func newReader(t testing.TB, service *awstest.Service) *reader {
	return &reader{
		TB: t, api: openapi.Handler(t, "", service.Handler("http://api.test")), seen: make(map[string]map[string]*atom.Entry), ids: make(map[string]string),
	}
}

func (r *reader) call(method, target, body string) string {
	r.Helper()
	request := httptest.NewRequest(method, "http://api.test"+target, strings.NewReader(body))
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	r.api.ServeHTTP(w, request)
	if w.Code >= http.StatusBadRequest {
		r.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
	return w.Body.String()
}

// addConfig stores a config and returns the path of its feed.
func (r *reader) addConfig(repository string, tags ...string) string {
	r.Helper()
	list, err := json.Marshal(tags)
	if err != nil {
		r.Fatal(err)
	}
	return r.post(repository, `"tags":`+string(list))
}

// post stores a config with more fields, and returns the path of its feed.
func (r *reader) post(repository, fields string) string {
	r.Helper()
	var c scan.Config
	draft := fmt.Sprintf(`{"region":%q,"registry":%q,"repository":%q,%s}`, app.Region, app.Registry, repository, fields)
	if err := json.Unmarshal([]byte(r.call("POST", "/configs", draft)), &c); err != nil {
		r.Fatal(err)
	}
	return "/findings/" + c.ID
}

// pages returns the entries of all pages of a feed.
func (r *reader) pages(target string) []*atom.Entry {
	r.Helper()
	var all []*atom.Entry
	for target != "" {
		feed := r.parse(r.call("GET", target, ""))
		all, target = append(all, feed.Entries...), ""
		for _, link := range feed.Links {
			if next, err := url.Parse(link.Href); link.Rel == "next" && err == nil {
				target = next.RequestURI()
			}
		}
	}
	return all
}

// parse parses a feed. It checks only every tenth feed against the rules of the format, because the check is slow.
func (r *reader) parse(body string) *atom.Feed {
	if r.parsed++; r.parsed%10 == 0 {
		return feedrules.Atom(r, []byte(body))
	}
	feed, err := (&atom.Parser{}).Parse(strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	return feed
}

// readChanges reads a feed of changes. Entries must not change, and must stay for 30 days.
func (r *reader) readChanges(feed string, now time.Time) {
	r.Helper()
	if r.seen[feed] == nil {
		r.seen[feed] = make(map[string]*atom.Entry)
	}
	present := make(map[string]bool)
	entries := r.pages(feed)
	r.checkEntries(feed, entries)
	for _, e := range entries {
		present[e.ID] = true
		if old := r.seen[feed][e.ID]; old == nil {
			r.seen[feed][e.ID] = e
		} else if old.Title != e.Title || old.Published != e.Published {
			r.Errorf("%s: %q of %s became %q of %s", feed, old.Title, old.Published, e.Title, e.Published)
		}
	}
	for id, e := range r.seen[feed] {
		if !present[id] && now.Sub(*e.PublishedParsed) < history.Retention {
			r.Errorf("%s: %q of %s is missing on %s", feed, e.Title, e.Published, now.UTC().Format(time.RFC3339))
			delete(r.seen[feed], id) // report it once
		}
	}
}

// findings reads a feed of findings and compares it with the findings of some labels.
func (r *reader) findings(feed string, labels []*label, now time.Time) {
	r.Helper()
	var want []expectedEntry
	for _, l := range labels {
		want = append(want, l.listed(now)...)
	}
	r.compareEntries(feed, want, now)
}

// compareEntries reads a feed of findings and compares its entries. The id of an entry must stay the same until its finding returns or gets a higher
// severity. Several episodes of a finding can have the same title: the later one was published later.
func (r *reader) compareEntries(feed string, want []expectedEntry, now time.Time) {
	r.Helper()
	entries := r.pages(feed)
	r.checkEntries(feed, entries)
	slices.SortStableFunc(entries, func(a, b *atom.Entry) int { return b.PublishedParsed.Compare(*a.PublishedParsed) })
	slices.SortStableFunc(want, func(a, b expectedEntry) int { return cmp.Compare(b.episode, a.episode) })
	for _, e := range entries {
		pkg := e.Categories[2].Term
		at := slices.IndexFunc(want, func(w expectedEntry) bool { return w.title == e.Title && (w.pkg == pkg || w.pkg == "") })
		if at < 0 {
			r.Errorf("%s lists %q (%s), updated %s, which is wrong on %s", feed, e.Title, pkg, e.Updated, now.UTC().Format(time.RFC3339))
			continue
		}
		r.checkID(fmt.Sprint(want[at].finding, want[at].episode), e.ID)
		want = slices.Delete(want, at, at+1)
		r.compared++
	}
	for _, w := range want {
		if !w.optional {
			r.Errorf("%s does not list %q (%s) on %s", feed, w.title, w.pkg, now.UTC().Format(time.RFC3339))
		}
	}
}

// checkEntries checks the rules for all feeds: ids and dates of entries are unique in a repository.
func (r *reader) checkEntries(feed string, entries []*atom.Entry) {
	r.Helper()
	ids, dates := make(map[string]string), make(map[string]string)
	for _, e := range entries {
		date := e.Updated + " " + repositoryOf(e.Title)
		if ids[e.ID] != "" || dates[date] != "" {
			r.Errorf("%s: %q has the id of %q or the date of %q, %s", feed, e.Title, ids[e.ID], dates[date], e.Updated)
		}
		ids[e.ID], dates[date] = e.Title, e.Title
	}
}

var repositoryName = regexp.MustCompile(`[a-z]+/[a-z0-9._-]+`)

// repositoryOf returns the repository in a title.
func repositoryOf(title string) string { return repositoryName.FindString(title) }

// checkID checks that an episode of a finding always has the same id, and that no other episode has it.
func (r *reader) checkID(episode, id string) {
	for _, pair := range [][2]string{{episode, id}, {id, episode}} {
		if old, known := r.ids[pair[0]]; known && old != pair[1] {
			r.Errorf("%s was %s and is %s", pair[0], old, pair[1])
		}
		r.ids[pair[0]] = pair[1]
	}
}

// summary reads the changes of the counts since a time and compares them with the model.
func (r *reader) summary(ago string, t *model) {
	r.Helper()
	var got struct {
		Since   time.Time
		Configs []struct {
			Repository string
			Images     []struct {
				Tag, Platform string
				New, Fixed    map[string]int
			}
		}
	}
	if err := json.Unmarshal([]byte(r.call("GET", "/summary?format=json&since="+ago, "")), &got); err != nil {
		r.Fatal(err)
	}
	for _, c := range got.Configs {
		for _, i := range c.Images {
			id := labelID{app, i.Tag}
			if i.Platform != "" {
				id.name += " (" + i.Platform + ")"
			}
			if id.repo.Name = c.Repository; i.New == nil {
				continue
			}
			added, fixed := t.labels[id].since(got.Since)
			if diff := gocmp.Diff([]map[string]int{added, fixed}, []map[string]int{i.New, i.Fixed}); diff != "" {
				r.Errorf("%v since %s (-want +got):\n%s", id, got.Since, diff)
			}
			r.compared++
		}
	}
}

// since adds up the changes after a time.
func (l *label) since(at time.Time) (added, fixed map[string]int) {
	added, fixed = map[string]int{}, map[string]int{}
	for _, one := range l.tallies {
		if one.at.After(at) {
			for severity, n := range one.new {
				added[severity] += n
			}
			for severity, n := range one.fixed {
				fixed[severity] += n
			}
		}
	}
	return added, fixed
}

// readChange is a change as the reader read it.
type readChange struct {
	title, pkg string
	at         time.Time
	rolledUp   bool
}

// changesOf returns the changes in some entries. An entry can contain several changes.
func (r *reader) changesOf(entries []*atom.Entry) []readChange {
	var all []readChange
	for _, e := range entries {
		one := readChange{title: e.Title, at: *e.PublishedParsed}
		if e.Categories[0].Term == "ROLLED UP" {
			all = append(all, r.rolledUpChanges(e)...)
			continue
		}
		if len(e.Categories) >= 4 {
			one.pkg = e.Categories[2].Term
		}
		all = append(all, one)
	}
	return all
}

// rolledUpChanges returns the changes in an entry that rolls up many changes.
func (r *reader) rolledUpChanges(e *atom.Entry) []readChange {
	rows := regexp.MustCompile(`<tr><th>([A-Z ]+)</th> <td>([A-Z]+) (\S+) ([^\s,<]+)[^<]*</td></tr>`).FindAllStringSubmatch(e.Content.Value, -1)
	image := regexp.MustCompile(`^(\d+) more changes in image (.*): \d`).FindStringSubmatch(e.Title)
	if image == nil || image[1] != strconv.Itoa(len(rows)) {
		r.Fatalf("%q has %d rows: %s", e.Title, len(rows), e.Content.Value)
	}
	var all []readChange
	for _, row := range rows {
		kind, severity, name, pkg := row[1], row[2], row[3], html.UnescapeString(row[4])
		title := fmt.Sprintf("[%s] [%s] in image %s", kind, severity, image[2])
		switch kind {
		case "FIXED":
			title += ": " + name + " is no longer found"
		case "FIX AVAILABLE":
			title += " for " + name
		default:
			title += " found " + name
		}
		all = append(all, readChange{title, pkg, *e.PublishedParsed, true})
	}
	return all
}

// compare compares the changes in the entries with those of the model: each must be there exactly once.
func (r *reader) compare(what string, happened []event, entries []*atom.Entry) {
	r.Helper()
	r.checkEnds(what, r.toldChanges(what, entries))
	unmatched := r.changesOf(entries)
	slices.SortFunc(unmatched, func(a, b readChange) int { return a.at.Compare(b.at) })
	for _, e := range happened {
		at := slices.IndexFunc(unmatched, e.matches)
		if at < 0 {
			r.Errorf("%s: missing %q (%s) of %s", what, e.title, e.pkg, e.to.UTC().Format(time.RFC3339))
			continue
		}
		unmatched = slices.Delete(unmatched, at, at+1)
		r.compared++
	}
	for _, one := range unmatched {
		r.Errorf("%s: %q (%s) of %s did not happen or is reported twice", what, one.title, one.pkg, one.at.Format(time.RFC3339))
	}
}

// matches reports whether a change that was read is this event.
func (e event) matches(one readChange) bool {
	title := e.title
	if one.rolledUp {
		title, _, _ = strings.Cut(title, ", was ")
		title = strings.Replace(title, " in "+e.pkg, "", 1)
	}
	return title == one.title && e.pkg == one.pkg && !one.at.Before(e.from) && !one.at.After(e.to)
}

func (r *reader) all(feed string) []*atom.Entry { return slices.Collect(maps.Values(r.seen[feed])) }
