package usecases

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// suppressedMonth is a month of two images whose findings and suppressions change at random. A reader reads before and after each visit.
type suppressedMonth struct {
	*suppressing
	t      *testing.T
	random *rand.Rand
	// present are the findings of the last scan, by image and name.
	present map[string]map[string]scan.Finding
	// seen are the ids of entries that the reader has, and hidden says which findings were suppressed when it last read.
	seen   map[string]bool
	hidden map[string]bool
	// visible are the others.
	visible map[string]bool
	// told are the ids of changes that the reader of the change feed has. shown are the findings that were not suppressed when it last read, and
	// aside those that were suppressed at any time since then.
	told         map[string]bool
	aside, shown map[string]bool
	// pushes is the number of digests.
	pushes int
	// happened counts what the month had.
	happened map[string]int
}

// image returns one of the two images.
func (m *suppressedMonth) image(tag string) *scan.Image {
	return &m.registry.images["app"][strings.Index("ab", tag)]
}

// isSuppressed is the slow rule for these suppressions: each has a pattern of packages. Its tag, version and digest can be empty.
func (m *suppressedMonth) isSuppressed(tag string, f scan.Finding) bool {
	image := m.image(tag)
	return slices.ContainsFunc(m.suppressions.all, func(s suppress.Suppression) bool {
		return s.IsActive(m.at) && (s.Tag == "" || s.Tag == tag) && (s.Version == "" || s.Version == f.Versions[0]) &&
			(s.Digest == "" || s.Digest == image.Digest || s.Digest == image.Index) && strings.HasPrefix(f.Package, strings.TrimSuffix(s.Package, "*"))
	})
}

// scanAll completes a scan of both images, with other findings than before.
func (m *suppressedMonth) scanAll() {
	for _, tag := range []string{"a", "b"} {
		found := map[string]scan.Finding{}
		for n := range 6 {
			name := fmt.Sprintf("CVE-%d", n)
			f, had := m.present[tag][name]
			switch isChange := m.random.IntN(10) < 2; {
			case isChange != had && !had:
				found[name] = scan.Finding{Name: name, Package: []string{"linux-a", "linux-b", "openssl"}[n%3], Versions: []string{"1"}, Severity: scan.High}
			case isChange != had:
				found[name] = f
			}
		}
		m.present[tag] = found
		m.complete(tag)
	}
}

// complete completes a scan of an image, which finds what is present.
func (m *suppressedMonth) complete(tag string) {
	found := m.present[tag]
	result := completed(m.service, time.Duration(1+strings.Index("ab", tag))*time.Minute, scan.Counts{scan.High: len(found)})
	for _, name := range slices.Sorted(maps.Keys(found)) {
		result.Findings = append(result.Findings, found[name])
	}
	m.registry.results[m.image(tag).Digest] = result
}

// push moves a tag to a new image with the same findings. Some of them are in other versions of their packages.
func (m *suppressedMonth) push(tag string) {
	m.pushes++
	image := m.image(tag)
	image.Digest = fmt.Sprintf("sha256:%064d", m.pushes)
	if image.Index != "" {
		image.Index = fmt.Sprintf("sha256:1%063d", m.pushes)
	}
	for name, f := range m.present[tag] {
		f.Versions = []string{fmt.Sprint(1 + (m.pushes+len(name)+int(name[4]))%2)}
		m.present[tag][name] = f
	}
	m.complete(tag)
	m.happened["push"]++
}

// changeSuppressions adds, deletes or replaces a suppression.
func (m *suppressedMonth) changeSuppressions() {
	all := m.suppressions.all
	i := slices.IndexFunc(all, func(s suppress.Suppression) bool { return s.IsCurrent() && s.IsActive(m.at) })
	switch n := m.random.IntN(4); {
	case n < 2 || i < 0:
		m.suppress(fmt.Sprint("s", len(all)), time.Duration(m.random.IntN(3))*20*time.Hour, func(s *suppress.Suppression) {
			tag := []string{"a", "b"}[m.random.IntN(2)]
			s.Package, s.Tag = []string{"linux*", "linux-a", "open*"}[m.random.IntN(3)], []string{"", tag}[m.random.IntN(2)]
			switch m.random.IntN(5) {
			case 0:
				s.Version = fmt.Sprint(1 + m.random.IntN(2))
			case 1:
				s.Digest = m.image(tag).Digest
			case 2:
				s.Digest = m.image(tag).Index
			}
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
		for name, f := range found {
			if key := tag + " " + name; m.isSuppressed(tag, f) {
				suppressed[tag]++
				hidden[key] = true
			} else {
				want[key] = true
			}
		}
	}
	shown := maps.Clone(want)
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
	m.hidden, m.visible = hidden, shown
	for key := range hidden {
		m.aside[key] = true
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// readChanges reads the changes after a visit: each finding that came back is told once.
func (m *suppressedMonth) readChanges() {
	m.t.Helper()
	l, err := m.Changes(m.t.Context(), "1", report.View{})
	if err != nil {
		m.t.Fatal(err)
	}
	unread := map[string]int{}
	for _, c := range l.Changes {
		if id := c.ID().String(); c.Kind == history.New && !m.told[id] {
			m.told[id] = true
			unread[c.Image.Label()+" "+c.Finding.Name]++
		}
	}
	for key := range m.visible {
		if want := map[bool]int{true: 1}[m.aside[key]]; (m.aside[key] || m.shown[key]) && unread[key] != want {
			m.t.Errorf("%v: %s is told %d times, want %d", m.at, key, unread[key], want)
		}
	}
	m.aside, m.shown = maps.Clone(m.hidden), m.visible
}

// A month with suppressions that begin and end: what is listed and counted is always what no suppression matches, and a finding is unread exactly when it is new
// or comes back.
func TestMonthOfSuppressions(t *testing.T) {
	happened := map[string]int{}
	for seed := range uint64(20) {
		m := &suppressedMonth{suppressing: newSuppressing(t), t: t, random: rand.New(rand.NewPCG(seed, 0)), seen: map[string]bool{}, told: map[string]bool{}, aside: map[string]bool{}, happened: happened}
		m.present = map[string]map[string]scan.Finding{"a": {}, "b": {}}
		m.configs.set(config("1", "app"))
		m.image("b").Index = "an index"
		m.push("a")
		m.push("b")
		for day := range 30 {
			m.advance(24 * time.Hour)
			m.scanAll()
			m.scheduleAndVisit(t)
			m.read(true)
			m.readChanges()
			for range 1 + m.random.IntN(2) {
				m.advance(2 * time.Hour)
				m.changeSuppressions()
				m.read(false)
				m.advance([]time.Duration{10 * time.Second, 2 * time.Hour}[m.random.IntN(2)]) // also a visit right after a change
				if m.random.IntN(2) == 0 {
					m.push([]string{"a", "b"}[m.random.IntN(2)])
					m.advance([]time.Duration{10 * time.Second, 10 * time.Minute}[m.random.IntN(2)])
				}
				before := m.read(false)
				m.scheduleAndVisit(t)
				if after := m.read(false); after != before {
					t.Errorf("seed %d, day %d: the visit changed the entries\n%s\nbefore\n%s", seed, day, after, before)
				}
				m.readChanges()
			}
			if t.Failed() {
				t.Fatalf("seed %d, day %d, suppressions %+v", seed, day, m.suppressions.all)
			}
		}
	}
	for _, what := range []string{"deletion", "replacement", "came back", "push"} {
		if happened[what] < 10 {
			t.Errorf("%d times: %s", happened[what], what)
		}
	}
}
