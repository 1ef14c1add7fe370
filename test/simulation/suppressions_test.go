package simulation

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/test/awstest"
)

// suppression is what the model knows of a suppression. Its patterns are names and beginnings of names.
type suppression struct {
	id, pkg, version, tag string
	until                 time.Time
}

// matches reports whether the suppression matches a finding of a tag.
func (s suppression) matches(tag string, f openFinding) bool {
	is := func(pattern, name string) bool {
		start, isPattern := strings.CutSuffix(pattern, "*")
		return pattern == "" || pattern == name || isPattern && strings.HasPrefix(name, start)
	}
	return is(s.pkg, f.pkg) && is(s.version, f.version) && is(s.tag, tag)
}

// openFinding is a finding of the last scan of a tag.
type openFinding struct{ pkg, version string }

// suppressedMonth is a repository whose findings and suppressions change at random, and a model of what its reader must be told: each finding that becomes visible
// is new once, and nothing else is. It knows nothing of episodes and histories.
type suppressedMonth struct {
	*reader
	*awstest.AWS
	random *rand.Rand
	feed   string
	// found are the findings of the last scans, by tag and name.
	found        map[string]map[string]openFinding
	suppressions []suppression
	// visible are the findings that the reader was shown when it last read. told are the ids of all changes, and of all entries of findings, that it has.
	visible  map[string]bool
	told     map[string]bool
	happened map[string]int
}

// scanResults makes the next scans find something else.
func (m *suppressedMonth) scanResults() {
	for _, tag := range []string{"a", "b"} {
		next := map[string]openFinding{}
		for n := range 6 {
			name := fmt.Sprintf("CVE-2026-%d", n)
			was, had := m.found[tag][name]
			if m.random.IntN(10) < 2 != had {
				if !had || m.random.IntN(10) < 2 {
					was = openFinding{[]string{"linux-a", "linux-b", "openssl"}[n%3], fmt.Sprint(m.random.IntN(3), ".0")}
				}
				next[name] = was
			}
		}
		m.found[tag] = next
		findings := []ecr.Finding{}
		for _, name := range slices.Sorted(maps.Keys(next)) {
			findings = append(findings, ecr.Finding{Name: name, Severity: "HIGH", Attributes: []ecr.Attribute{
				{Key: "package_name", Value: next[name].pkg}, {Key: "package_version", Value: next[name].version},
			}})
		}
		if err := m.ECR.UpdateImage(app, tag, func(i *ecr.Image) { i.Findings = findings }); err != nil {
			m.Fatal(err)
		}
	}
}

// changeSuppressions adds, replaces or deletes a suppression, as a user does.
func (m *suppressedMonth) changeSuppressions() {
	draft := suppression{pkg: []string{"linux*", "linux-a", "open*"}[m.random.IntN(3)], version: []string{"", "", "1*"}[m.random.IntN(3)], tag: []string{"", "a", "b"}[m.random.IntN(3)]}
	body := map[string]string{"package": draft.pkg, "reason": "the month says so"}
	if hours := m.random.IntN(3) * 20; hours > 0 {
		draft.until = m.Now().UTC().Truncate(time.Second).Add(time.Duration(hours) * time.Hour)
		body["until"] = draft.until.Format(time.RFC3339)
	}
	for name, value := range map[string]string{"version": draft.version, "tag": draft.tag} {
		if value != "" {
			body[name] = value
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		m.Fatal(err)
	}
	n := m.random.IntN(5)
	switch {
	case len(m.suppressions) == 0 || n < 2:
		var added struct{ ID string }
		if err := json.Unmarshal([]byte(m.call("POST", "/suppressions", string(text))), &added); err != nil {
			m.Fatal(err)
		}
		draft.id = added.ID
		m.suppressions = append(m.suppressions, draft)
		m.happened["added"]++
	case n == 2: // also one that has ended
		draft.id = m.suppressions[0].id
		m.call("PUT", "/suppressions/"+draft.id, string(text))
		m.suppressions[0] = draft
		m.happened["replaced"]++
	default:
		m.call("DELETE", "/suppressions/"+m.suppressions[0].id, "")
		m.suppressions = m.suppressions[1:]
		m.happened["deleted"]++
	}
}

// isSuppressed is the slow rule.
func (m *suppressedMonth) isSuppressed(tag string, f openFinding) bool {
	return slices.ContainsFunc(m.suppressions, func(s suppression) bool {
		return (s.until.IsZero() || m.Now().Before(s.until)) && s.matches(tag, f)
	})
}

// read reads what a user reads, and compares it with the model. It returns the entries as text. isFirst means that the first scan is the baseline.
func (m *suppressedMonth) read(isFirst bool) string {
	m.Helper()
	visible, counts := map[string]bool{}, map[string][2]int{}
	for _, tag := range []string{"a", "b"} {
		for name, f := range m.found[tag] {
			count := counts[tag]
			if m.isSuppressed(tag, f) {
				count[1]++
				m.happened["suppressed"]++
			} else {
				visible[tag+" found "+name] = true
				count[0]++
			}
			counts[tag] = count
		}
	}
	var lines, open, unread, news []string
	for _, e := range m.pages(m.feed) {
		lines = append(lines, strings.Join([]string{e.Title, e.ID, e.Updated, e.Published}, " "))
		key, isOpen := strings.CutPrefix(e.Title, "[HIGH] in image team/app:")
		key = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(key, " in linux-a"), " in linux-b"), " in openssl")
		if isOpen {
			open = append(open, key)
		}
		if !m.told[e.ID] && !isFirst {
			unread = append(unread, key)
		}
		m.told[e.ID] = true
	}
	for _, e := range m.pages(m.feed + "/changes") {
		lines = append(lines, strings.Join([]string{e.Title, e.ID, e.Updated, e.Published}, " "))
		if key, isNew := strings.CutPrefix(e.Title, "[NEW] [HIGH] in image team/app:"); isNew && !m.told[e.ID] {
			news = append(news, key)
		}
		m.told[e.ID] = true
	}
	var want []string
	for key := range visible {
		if !m.visible[key] && !isFirst {
			want = append(want, key)
		}
	}
	for _, list := range [][]string{open, unread, news, want} {
		slices.Sort(list)
	}
	at := m.Now().UTC().Format(time.RFC3339)
	if all := slices.Sorted(maps.Keys(visible)); !slices.Equal(open, all) {
		m.Errorf("%s: listed (-want +got):\n%s", at, cmp.Diff(all, open))
	}
	if !slices.Equal(unread, want) {
		m.Errorf("%s: unread in the feed of findings (-want +got):\n%s", at, cmp.Diff(want, unread))
	}
	if !slices.Equal(news, want) {
		m.Errorf("%s: new in the change feed (-want +got):\n%s", at, cmp.Diff(want, news))
	}
	m.happened["told as new"] += len(want)
	m.visible = visible
	m.compareCounts(counts)
	return strings.Join(lines, "\n")
}

// compareCounts compares the summary with the numbers of visible and suppressed findings of the tags.
func (m *suppressedMonth) compareCounts(want map[string][2]int) {
	m.Helper()
	var summary struct {
		Configs []struct {
			Images []struct {
				Tag        string
				Counts     map[string]int
				Suppressed int
			}
		}
	}
	if err := json.Unmarshal([]byte(m.call("GET", "/summary?format=json", "")), &summary); err != nil {
		m.Fatal(err)
	}
	for _, i := range summary.Configs[0].Images {
		if got := [2]int{i.Counts["HIGH"], i.Suppressed}; got != want[i.Tag] {
			m.Errorf("%s: %s has %d findings and %d suppressed ones, want %d", m.Now().UTC().Format(time.RFC3339), i.Tag, got[0], got[1], want[i.Tag])
		}
	}
}

// In a month in which suppressions begin, end, are replaced and deleted, a reader is told each finding that becomes visible exactly once and under an id that
// it does not have, and nothing else. A visit changes nothing that a reader saw before it.
func TestMonthOfSuppressions(t *testing.T) {
	happened := map[string]int{}
	for seed := range uint64(2) {
		if testing.Short() && seed > 0 {
			break
		}
		a := awstest.Start(t, ecr.Options{ScanTime: scanTime})
		service := awstest.NewService(awstest.Config(a.S3URL), awstest.Config(a.ECRURL), a.Now, awstest.Silent())
		service.Queue.Now = a.Now
		m := &suppressedMonth{reader: newReader(t, service), AWS: a, random: rand.New(rand.NewPCG(seed, 20)), found: map[string]map[string]openFinding{}, told: map[string]bool{}, happened: happened}
		m.api = service.Handler("http://api.test") // other tests compare such answers with openapi.yaml, which takes long
		for _, tag := range []string{"a", "b"} {
			a.ECR.PutImage(app, ecr.Image{Tags: []string{tag}, Manifest: tag})
		}
		m.feed = m.addConfig(app.Name)
		visit := func() {
			t.Helper()
			if visits, err := service.ScheduleAndVisit(t.Context()); err != nil || visits.Count(rescan.VisitEnded) != len(visits.Reports) {
				t.Fatalf("%v, %+v", err, visits)
			}
		}
		for day := range 30 {
			a.Advance(17 * time.Hour)
			if day > 0 { // suppressions have ended
				m.read(false)
			}
			m.scanResults()
			visit()
			a.Advance(2 * scanTime)
			visit()
			m.read(day == 0)
			for range 2 {
				a.Advance(2 * time.Hour)
				m.read(false)
				m.changeSuppressions()
				a.Advance(2 * time.Hour)
				before := m.read(false)
				visit()
				if after := m.read(false); after != before {
					t.Errorf("day %d: the visit changed the entries (-before +after):\n%s", day, cmp.Diff(before, after))
				}
			}
			if t.Failed() {
				t.Fatalf("seed %d, day %d, suppressions %+v", seed, day, m.suppressions)
			}
		}
	}
	t.Logf("%v", happened)
	for _, what := range []string{"added", "replaced", "deleted", "suppressed", "told as new"} {
		if happened[what] < 5 {
			t.Errorf("%d times: %s", happened[what], what)
		}
	}
}
