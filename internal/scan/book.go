package scan

import (
	"cmp"
	"maps"
)

// book counts what a hop did, page by page.
type book struct {
	pages map[int]bookPage // by number
	seen  map[string]bool  // digests, and tags without one
}

type bookPage struct {
	tally    Tally
	finished bool
}

func newBook() *book { return &book{pages: map[int]bookPage{}, seen: map[string]bool{}} }

// enter adds a page. An image that several tags or pages share counts once.
func (b *book) enter(v visited) {
	tally := newTally()
	for _, report := range v.reports {
		tally.Artifacts += report.Artifacts
		for _, item := range report.Images {
			name := cmp.Or(item.Image.Digest, item.Image.Tag)
			if !b.seen[name] {
				b.seen[name] = true
				tally.add(item.Value)
			}
		}
	}
	b.pages[v.number] = bookPage{tally, v.finished()}
}

// finished is how many pages are finished with none before them that is not.
func (b *book) finished() int {
	n := 0
	for b.pages[n].finished {
		n++
	}
	return n
}

// plus is the sum of both.
func (t Tally) plus(u Tally) Tally {
	t.Images += u.Images
	t.Started += u.Started
	t.Recent += u.Recent
	t.InProgress += u.InProgress
	t.Left += u.Left
	t.Artifacts += u.Artifacts
	t.NotScannable = sums(t.NotScannable, u.NotScannable)
	t.Failed = sums(t.Failed, u.Failed)
	return t
}

func sums(a, b map[string]int) map[string]int {
	sum := make(map[string]int, len(a)+len(b))
	maps.Copy(sum, a)
	for reason, n := range b {
		sum[reason] += n
	}
	return sum
}

// without takes up to so many images off that are counted elsewhere already, as far as they may be those: in progress or scanned recently.
func (t Tally) without(again *int) Tally {
	running := min(*again, t.InProgress)
	recent := min(*again-running, t.Recent)
	t.InProgress -= running
	t.Recent -= recent
	t.Images -= running + recent
	*again -= running + recent
	return t
}
