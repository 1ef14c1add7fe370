package usecases

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// suppressedMonth is a month of two images whose findings and suppressions change at random. A reader reads before and after each visit.
type suppressedMonth struct {
	*suppressing
	t      *testing.T
	random *rand.Rand
	// present are the packages of the findings of the last scan, by image and name.
	present map[string]map[string]string
	// seen are the ids of entries that the reader has, and hidden says which findings were suppressed when it last read.
	seen   map[string]bool
	hidden map[string]bool
	// happened counts what the month had.
	happened map[string]int
}

// isSuppressed is the slow rule for these suppressions: each has a pattern of packages and a tag, which can be empty.
func (m *suppressedMonth) isSuppressed(tag, pkg string) bool {
	return slices.ContainsFunc(m.suppressions.all, func(s suppress.Suppression) bool {
		return s.IsActive(m.at) && (s.Tag == "" || s.Tag == tag) && strings.HasPrefix(pkg, strings.TrimSuffix(s.Package, "*"))
	})
}

// scanAll completes a scan of both images, with other findings than before.
func (m *suppressedMonth) scanAll() {
	for i, tag := range []string{"a", "b"} {
		found := map[string]string{}
		for n := range 6 {
			name := fmt.Sprintf("CVE-%d", n)
			if _, had := m.present[tag][name]; m.random.IntN(10) < 2 != had {
				found[name] = []string{"linux-a", "linux-b", "openssl"}[n%3]
			}
		}
		m.present[tag] = found
		result := completed(m.service, time.Duration(i+1)*time.Minute, scan.Counts{scan.High: len(found)})
		for _, name := range slices.Sorted(maps.Keys(found)) {
			result.Findings = append(result.Findings, scan.Finding{Name: name, Package: found[name], Severity: scan.High})
		}
		m.registry.results[fmt.Sprint(i+1)] = result
	}
}

// changeSuppressions adds, deletes or replaces a suppression.
func (m *suppressedMonth) changeSuppressions() {
	all := m.suppressions.all
	i := slices.IndexFunc(all, func(s suppress.Suppression) bool { return s.IsCurrent() && s.IsActive(m.at) })
	switch n := m.random.IntN(4); {
	case n < 2 || i < 0:
		m.suppress(fmt.Sprint("s", len(all)), time.Duration(m.random.IntN(3))*20*time.Hour, func(s *suppress.Suppression) {
			s.Package, s.Tag = []string{"linux*", "linux-a", "open*"}[m.random.IntN(3)], []string{"", "a", "b"}[m.random.IntN(3)]
		})
	case n == 2:
		all[i].Deleted = m.at.Unix()
		m.happened["deletion"]++
	default:
		id, created := all[i].ID, all[i].Created
		all[i].Replaced = m.at.Unix()
		m.suppress(id, 0, func(s *suppress.Suppression) {
			s.Created, s.Updated, s.Package, s.Tag = created, m.at.Unix(), "linux-b", "a"
		})
		m.happened["replacement"]++
	}
}

// read reads the findings and checks them. isNew says whether a scan can have added findings since the last read.
func (m *suppressedMonth) read(isNew bool) (entries string) {
	m.t.Helper()
	want := map[string]bool{}
	suppressed, hidden := map[string]int{}, map[string]bool{}
	for tag, found := range m.present {
		for name, pkg := range found {
			if key := tag + " " + name; m.isSuppressed(tag, pkg) {
				suppressed[tag]++
				hidden[key] = true
			} else {
				want[key] = true
			}
		}
	}
	l := findings(m.t, m.service, "1", report.View{})
	var lines []string
	for _, e := range l.Entries {
		key, id := e.Images[0].Label()+" "+e.Finding.Name, l.EntryID(e).String()
		lines = append(lines, fmt.Sprint(key, " ", id, " ", e.Published.Unix(), " ", e.Updated.Unix()))
		if e.Resolved.IsZero() && !want[key] {
			m.t.Errorf("%v: %s is listed", m.at, key)
		}
		if e.Resolved.IsZero() {
			delete(want, key)
		}
		switch cameBack := m.hidden[key]; {
		case cameBack && e.Resolved.IsZero() && m.seen[id]:
			m.t.Errorf("%v: %s came back with an id that the reader has", m.at, key)
		case !cameBack && !m.seen[id] && !isNew:
			m.t.Errorf("%v: %s is unread, but nothing happened to it", m.at, key)
		case cameBack:
			m.happened["came back"]++
		}
		m.seen[id] = true
	}
	for key := range want {
		m.t.Errorf("%v: %s is missing", m.at, key)
	}
	o, err := m.Summary(m.t.Context(), time.Time{})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, item := range o.Reports[0].Images {
		tag := item.Image.Tag
		if n := item.Result.Counts[scan.High]; n != len(m.present[tag])-suppressed[tag] || item.Suppressed != suppressed[tag] || item.Unsuppressed {
			m.t.Errorf("%v: %s has %d findings and %d suppressed ones, want %d and %d", m.at, tag, n, item.Suppressed, len(m.present[tag])-suppressed[tag], suppressed[tag])
		}
		for _, c := range item.Changes {
			for _, n := range slices.Concat(slices.Collect(maps.Values(c.New)), slices.Collect(maps.Values(c.Fixed))) {
				if n < 0 {
					m.t.Errorf("%v: %s has the change %+v", m.at, tag, c)
				}
			}
		}
	}
	m.hidden = hidden
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// A month with suppressions that begin and end: what is listed and counted is always what no suppression matches, and a finding is unread exactly when it is new
// or comes back.
func TestMonthOfSuppressions(t *testing.T) {
	happened := map[string]int{}
	for seed := range uint64(20) {
		m := &suppressedMonth{newSuppressing(t), t, rand.New(rand.NewPCG(seed, 0)), map[string]map[string]string{"a": {}, "b": {}}, map[string]bool{}, map[string]bool{}, happened}
		m.configs.set(config("1", "app"))
		for day := range 30 {
			m.advance(24 * time.Hour)
			m.scanAll()
			m.scheduleAndVisit(t)
			m.read(true)
			for range 1 + m.random.IntN(2) {
				m.advance(2 * time.Hour)
				m.changeSuppressions()
				m.advance(2 * time.Hour)
				before := m.read(false)
				m.scheduleAndVisit(t)
				if after := m.read(false); after != before {
					t.Errorf("seed %d, day %d: the visit changed the entries\n%s\nbefore\n%s", seed, day, after, before)
				}
			}
			if t.Failed() {
				t.Fatalf("seed %d, day %d, suppressions %+v", seed, day, m.suppressions.all)
			}
		}
	}
	for _, what := range []string{"deletion", "replacement", "came back"} {
		if happened[what] < 10 {
			t.Errorf("%d times: %s", happened[what], what)
		}
	}
}
