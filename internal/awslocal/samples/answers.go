package samples

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

// page is one response: a whole answer, or one page of it.
type page struct {
	doc         document
	isAnswer    bool // false for a list of findings
	id          ecr.RepositoryID
	tag, digest string // at least one of them
}

// answer is what ECR said about an image at one time, joined from its pages.
type answer struct {
	id          ecr.RepositoryID
	tag, digest string
	completedAt time.Time
	ecr.Image
	hasStatus bool
	isAnswer  bool
	hasEnd    bool           // the last page is there
	pages     int            // the number of pages
	seen      map[string]int // the page of each finding, by its JSON text
}

// recording collects the answers of all files before the images are pushed.
type recording struct {
	defaultScanTime time.Time // completion time of scans without a time
	answers         []*answer
}

// add adds a page to the answer that it belongs to, or as a new answer.
func (rec *recording) add(p page) {
	at := slices.IndexFunc(rec.answers, func(a *answer) bool { return a.has(p) })
	if at < 0 {
		rec.answers = append(rec.answers, &answer{id: p.id, seen: map[string]int{}})
		at = len(rec.answers) - 1
	}
	rec.answers[at].join(p)
}

// has reports whether a page belongs to the answer: it is of the same scan of the same image. A page may lack the digest, the tag or
// the time.
func (a *answer) has(p page) bool {
	same := func(a, b string) bool { return a == "" || b == "" || a == b }
	sameImage := a.id == p.id && same(a.digest, p.digest) && same(a.tag, p.tag) && (a.digest == p.digest || a.tag == p.tag)
	at := p.completedAt()
	return sameImage && (a.completedAt.Equal(at) || at.IsZero() && !a.hasEnd)
}

func (p page) completedAt() time.Time {
	if p.doc.Scan == nil {
		return time.Time{}
	}
	return p.doc.Scan.CompletedAt.Time
}

// join adds a page. It ignores a finding that another page already contains.
func (a *answer) join(p page) {
	a.pages++
	a.digest, a.tag = cmp.Or(a.digest, p.digest), cmp.Or(a.tag, p.tag)
	a.isAnswer = a.isAnswer || p.isAnswer
	a.hasEnd = a.hasEnd || p.doc.NextToken == ""
	if status := p.doc.Status; status != nil {
		a.hasStatus = true
		if status.Status != "COMPLETE" {
			a.ScanStatus, a.ScanDescription = status.Status, status.Description
		}
	}
	scan := p.doc.Scan
	if scan == nil {
		return
	}
	a.NotReady = scan.Counts == nil && scan.CompletedAt.IsZero() && p.isAnswer && len(scan.Findings)+len(scan.Enhanced) == 0
	if !scan.CompletedAt.IsZero() {
		a.completedAt, a.ScannedAt, a.SourceUpdatedAt = scan.CompletedAt.Time, scan.CompletedAt.Time, scan.SourceUpdatedAt.Time
	}
	if total(scan.Counts) > total(a.Counts) { // ECR's documentation does not say which page has the counts of the whole image
		a.Counts = scan.Counts
	}
	if scan.Findings != nil && a.Findings == nil {
		a.Findings = []ecr.Finding{}
	}
	if scan.Enhanced != nil && a.Enhanced == nil {
		a.Enhanced = []ecr.EnhancedFinding{}
	}
	for _, f := range slices.Concat(scan.Findings, scan.Enhanced) {
		a.addFinding(f)
	}
}

func (a *answer) addFinding(f recordedFinding) {
	if at, known := a.seen[f.raw]; known && at != a.pages {
		return
	}
	a.seen[f.raw] = a.pages
	if f.enhanced == nil {
		a.Findings = append(a.Findings, f.basic)
		return
	}
	a.Enhanced = append(a.Enhanced, *f.enhanced)
}

func total(counts map[string]int) int {
	sum := 0
	for n := range maps.Values(counts) {
		sum += n
	}
	return sum
}

// setDefaults sets the fields that the responses do not contain.
func (a *answer) setDefaults(old time.Time) {
	a.Recorded = true
	if len(a.Findings) == 0 && len(a.Enhanced) > 0 {
		a.Findings = nil // a list of enhanced findings was read as the field findings
	}
	if a.Enhanced != nil && !a.hasStatus && a.Findings == nil {
		a.ScanStatus, a.ScanDescription = "ACTIVE", ecr.ActiveDescription
	}
	if a.ScannedAt.IsZero() && a.isAnswer {
		for _, f := range a.Enhanced {
			for _, at := range []time.Time{f.UpdatedAt.Time, f.LastObservedAt.Time} {
				if at.After(a.ScannedAt) {
					a.ScannedAt = at
				}
			}
		}
	}
	if a.ScannedAt.IsZero() {
		a.ScannedAt = old
	}
	a.Cut = !a.hasEnd || total(a.Counts) > len(a.Findings)+len(a.Enhanced)
	a.Digest = a.digest
	if a.Digest == "" {
		a.Digest = ecr.DigestOf(a.id.Registry + "/" + a.id.Name + ":" + a.tag + "@")
	}
}

// put pushes the images and returns their repositories. Of several answers for one digest, the newest counts. A tag is on the image
// of its newest answer, because it moved there. An image that was recorded without a tag has its digest as its tag, so that
// each config of the repository watches it. A tag can't have a colon.
func (rec *recording) put(e *ecr.ECR) []ecr.RepositoryID {
	slices.SortStableFunc(rec.answers, func(a, b *answer) int { return a.completedAt.Compare(b.completedAt) })
	type place struct {
		id   ecr.RepositoryID
		name string
	}
	newest, holder := map[place]*answer{}, map[place]string{}
	for _, a := range rec.answers {
		a.setDefaults(rec.defaultScanTime)
		newest[place{a.id, a.Digest}] = a
		if a.tag != "" {
			holder[place{a.id, a.tag}] = a.Digest
		}
	}
	named := map[place]bool{}
	for tag, digest := range holder {
		image := newest[place{tag.id, digest}]
		image.Tags = append(image.Tags, tag.name)
	}
	for _, a := range rec.answers {
		named[place{a.id, a.Digest}] = named[place{a.id, a.Digest}] || a.tag != ""
	}
	var ids []ecr.RepositoryID
	for _, a := range rec.answers {
		at := place{a.id, a.Digest}
		if newest[at] != a {
			continue
		}
		if !named[at] {
			a.Tags = []string{strings.Replace(a.Digest, ":", "-", 1)}
		}
		e.PutImage(a.id, a.Image)
		if !slices.Contains(ids, a.id) {
			ids = append(ids, a.id)
		}
	}
	return ids
}
