package suppress

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// Rules finds the suppressions that match a finding. Its methods are safe for concurrent use.
//
// Each suppression is in one place: under its digest, or in the index of its repository, or in the index for all repositories if its repository is a
// pattern. So a finding is compared with few of them, even if there are 10,000.
type Rules struct {
	List
	// moments are the sorted times, in Unix seconds, at which what is set aside changes, and at which an end is announced.
	moments      []int64
	byDigest     map[string][]*rule
	byRepository map[string]*index
	everywhere   index
	// noScope are the rules of all repositories. scoped are the others that are not in byRepository. Neither contains rules with a digest.
	noScope, scoped []*rule
	// withDigest are the rules with a digest.
	withDigest []*rule
}

// rule is a suppression with its texts in the form in which they are compared, and its times in Unix seconds.
type rule struct {
	*Suppression
	vulnerability, pkg, path string
	begin, end               int64
}

// noEnd is the end of a rule without an end.
const noEnd = math.MaxInt64

// NewRules returns the rules of a list: also of suppressions that have ended, which were active before.
func NewRules(l List) *Rules {
	r := &Rules{List: l, byDigest: make(map[string][]*rule), byRepository: make(map[string]*index)}
	for i := range l.All {
		s := &l.All[i]
		one := &rule{s, normalName(s.Vulnerability), normalPackage(s.Package), normalPath(s.Path), s.Begin().Unix(), noEnd}
		if end := s.End(); !end.IsZero() {
			one.end = end.Unix()
		}
		if one.begin < one.end {
			r.add(one)
			r.moments = append(r.moments, one.begin)
		}
		if one.end != noEnd {
			r.moments = append(r.moments, one.end, one.end-int64(Notice/time.Second))
		}
	}
	slices.Sort(r.moments)
	return r
}

// Notice is how long before its end the end of a suppression is announced.
const Notice = 7 * 24 * time.Hour

// Around returns the last moment until at, and the first one after it, at which what the suppressions do changes. Each is zero if there is none.
func (r *Rules) Around(at time.Time) (last, next time.Time) {
	if r == nil {
		return last, next
	}
	i, _ := slices.BinarySearch(r.moments, at.Unix()+1)
	if i > 0 {
		last = time.Unix(r.moments[i-1], 0).UTC()
	}
	if i < len(r.moments) {
		next = time.Unix(r.moments[i], 0).UTC()
	}
	return last, next
}

func (r *Rules) add(one *rule) {
	isPattern := strings.Contains(one.Repository, "*")
	switch {
	case one.Digest != "":
		r.byDigest[one.Digest], r.withDigest = append(r.byDigest[one.Digest], one), append(r.withDigest, one)
	case one.Repository != "" && !isPattern:
		if r.byRepository[one.Repository] == nil {
			r.byRepository[one.Repository] = &index{}
		}
		r.byRepository[one.Repository].add(one)
	case one.Repository == "" && one.Registry == "" && one.Region == "":
		r.everywhere.add(one)
		r.noScope = append(r.noScope, one)
	default:
		r.everywhere.add(one)
		r.scoped = append(r.scoped, one)
	}
}

// The case of letters does not matter in the names of vulnerabilities and packages.
func normalName(s string) string    { return strings.ToUpper(s) }
func normalPackage(s string) string { return strings.ToLower(s) }

// normalPath returns a path without its first slash: scanners differ in whether they report it.
func normalPath(s string) string { return strings.TrimPrefix(s, "/") }

// matches is [scan.MatchesPattern], and an empty pattern matches everything.
func matches(pattern, s string) bool { return pattern == "" || scan.MatchesPattern(pattern, s) }

func (r *rule) isActive(at int64) bool { return r.begin <= at && at < r.end }

// coversRepository reports whether the rule can match findings of a repository.
func (r *rule) coversRepository(repo scan.Repository) bool {
	return matches(r.Repository, repo.Name) && matches(r.Registry, repo.Registry) && matches(r.Region, repo.Region)
}

// coversImage reports whether the rule can match findings of an image of a repository that it covers.
func (r *rule) coversImage(image *scan.Image) bool {
	return matches(r.Tag, image.Tag) && (r.Digest == "" || r.Digest == image.Digest || r.Digest == image.Index || r.Digest == image.LastIndex)
}

// digestsOf returns the digests under which rules can match an image. A scan that was recorded while another index listed the image keeps what is set
// aside until the next scan: only a scan can tell the findings as new.
func digestsOf(image *scan.Image) [3]string {
	return [...]string{image.Digest, image.Index, image.LastIndex}
}

// part is what rules are compared with: a package of a finding, in all versions of it that an image has.
type part struct {
	name     string
	versions []string
	path     string
}

func (r *rule) matchesPart(p part) bool {
	if !matches(r.pkg, p.name) || r.Path != "" && (p.path == "" || !scan.MatchesPattern(r.path, p.path)) {
		return false
	}
	isOther := func(version string) bool { return !scan.MatchesPattern(r.Version, version) }
	return r.Version == "" || len(p.versions) > 0 && !slices.ContainsFunc(p.versions, isOther)
}

func (r *rule) matchesName(names []string) bool {
	return r.vulnerability == "" || slices.ContainsFunc(names, func(name string) bool { return scan.MatchesPattern(r.vulnerability, name) })
}

// matchesAllButParts reports whether the rule is active, and matches a vulnerability with these names in some package of an image.
func (r *rule) matchesAllButParts(image *scan.Image, names []string, at int64) bool {
	return r.isActive(at) && r.coversRepository(image.Repository) && r.coversImage(image) && r.matchesName(names)
}

// partsOf returns the packages of a finding, at least one.
func partsOf(f *scan.Finding) []part {
	if len(f.Packages) == 0 {
		return []part{{normalPackage(f.Package), f.Versions, ""}}
	}
	parts := make([]part, len(f.Packages))
	for i, p := range f.Packages {
		parts[i] = part{normalPackage(p.Name), []string{p.Version}, normalPath(p.Path)}
	}
	return parts
}

// namesOf returns the names of a vulnerability.
func namesOf(f *scan.Finding) []string {
	names := make([]string, 0, 1+len(f.Related))
	names = append(names, normalName(f.Name))
	for _, name := range f.Related {
		names = append(names, normalName(name))
	}
	return names
}

// Scope is the rules that can match findings of one repository. The zero value has none.
type Scope struct {
	*Rules
	index *index // of the repository; can be nil
	// covering are the rules that cover the repository and are neither in noScope nor under a digest.
	covering []*rule
	// isEmpty means that no rule covers the repository.
	isEmpty bool
}

// IsEmpty reports whether no suppression can match findings of the repository.
func (s Scope) IsEmpty() bool { return s.Rules == nil || s.isEmpty }

// In returns the rules for a repository.
func (r *Rules) In(repo scan.Repository) Scope {
	s := Scope{Rules: r, index: r.byRepository[repo.Name]}
	candidates := r.scoped
	if s.index != nil {
		candidates = slices.Concat(candidates, s.index.all)
	}
	for _, one := range candidates {
		if one.coversRepository(repo) {
			s.covering = append(s.covering, one)
		}
	}
	s.isEmpty = len(s.covering)+len(r.noScope) == 0 && !slices.ContainsFunc(r.withDigest, func(one *rule) bool { return one.coversRepository(repo) })
	return s
}

// CoversRepository reports whether the suppression can match findings of a repository.
func (s Suppression) CoversRepository(repo scan.Repository) bool {
	return (&rule{Suppression: &s}).coversRepository(repo)
}

// Covers reports whether a suppression can match findings of an image at a moment.
func (s Scope) Covers(image *scan.Image, at time.Time) bool {
	if s.IsEmpty() {
		return false
	}
	now := at.Unix()
	covers := func(one *rule) bool { return one.isActive(now) && one.coversImage(image) }
	coversAll := func(one *rule) bool { return covers(one) && one.coversRepository(image.Repository) }
	if slices.ContainsFunc(s.noScope, covers) || slices.ContainsFunc(s.covering, covers) {
		return true
	}
	for _, digest := range digestsOf(image) {
		if slices.ContainsFunc(s.byDigest[digest], coversAll) {
			return true
		}
	}
	return false
}

// Ends returns the moments after one and until another at which suppressions ended that can match findings of the repository, earliest first.
func (s Scope) Ends(repo scan.Repository, after, until time.Time) []time.Time {
	if s.IsEmpty() {
		return nil
	}
	var ends []int64
	for _, rules := range [][]*rule{s.noScope, s.covering, s.withDigest} {
		for _, one := range rules {
			if one.end > after.Unix() && one.end <= until.Unix() && one.coversRepository(repo) {
				ends = append(ends, one.end)
			}
		}
	}
	slices.Sort(ends)
	times := make([]time.Time, 0, len(ends))
	for _, end := range slices.Compact(ends) {
		times = append(times, time.Unix(end, 0).UTC())
	}
	return times
}

// Of returns the suppression that sets a finding of an image aside at a moment, or nil. An enhanced finding is set aside only if each of its packages
// is matched. If several suppressions match, it is the one whose end brings the finding back.
func (s Scope) Of(image *scan.Image, f *scan.Finding, at time.Time) *Suppression {
	if s.IsEmpty() {
		return nil
	}
	names, parts, now := namesOf(f), partsOf(f), at.Unix()
	best := make([]*rule, len(parts))
	use := func(one *rule) {
		if !one.matchesAllButParts(image, names, now) {
			return
		}
		for i, p := range parts {
			if (best[i] == nil || compareEnds(one, best[i]) > 0) && one.matchesPart(p) {
				best[i] = one
			}
		}
	}
	s.each(image, names, parts, use)
	return firstEnd(best)
}

// firstEnd returns the suppression that ends first, or nil if a rule is missing.
func firstEnd(best []*rule) *Suppression {
	first := best[0]
	for _, one := range best {
		if one == nil {
			return nil
		}
		if compareEnds(one, first) < 0 {
			first = one
		}
	}
	if first == nil {
		return nil
	}
	return first.Suppression
}

// FirstEnd returns the suppression of a finding of several images: of two, the one that ends first. It is nil if one of them is nil.
func FirstEnd(a, b *Suppression) *Suppression {
	if a == nil || b == nil {
		return nil
	}
	endA, endB := a.End(), b.End()
	if endA.Equal(endB) && a.ID <= b.ID || !endA.Equal(endB) && (endB.IsZero() || !endA.IsZero() && endA.Before(endB)) {
		return a
	}
	return b
}

// Inspector returns the suppression of findings that Amazon Inspector suppresses. It is not stored, and has no id.
func Inspector() *Suppression { return &Suppression{Reason: "suppressed in Amazon Inspector"} }

// compareEnds sorts rules by their ends. The first one added is the last of those with the same end, so that the result of a search does not depend on
// its order.
func compareEnds(a, b *rule) int {
	return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(b.begin, a.begin), strings.Compare(b.ID, a.ID))
}

// each calls use with each rule that can match, and with some others. It may call use more than once with a rule.
func (s Scope) each(image *scan.Image, names []string, parts []part, use func(*rule)) {
	for _, digest := range digestsOf(image) {
		for _, one := range s.byDigest[digest] {
			use(one)
		}
	}
	s.everywhere.each(names, parts, use)
	if s.index != nil {
		s.index.each(names, parts, use)
	}
}

// index finds rules by the name of a vulnerability or of a package. Each rule is in one of the two.
type index struct {
	byName, byPackage nameIndex
	all               []*rule
}

// add adds a rule under the text that the fewest findings match: a whole name rather than a pattern, and a pattern with a longer part.
func (x *index) add(one *rule) {
	x.all = append(x.all, one)
	if precision(one.vulnerability) >= precision(one.pkg) {
		x.byName.add(one.vulnerability, one)
	} else {
		x.byPackage.add(one.pkg, one)
	}
}

func precision(pattern string) int {
	part, at := longestPart(pattern)
	if at == whole {
		return math.MaxInt
	}
	return len(part)
}

func (x *index) each(names []string, parts []part, use func(*rule)) {
	if len(x.all) == 0 {
		return
	}
	for _, name := range names {
		x.byName.each(name, use)
	}
	for i := range parts {
		if i == 0 || parts[i].name != parts[i-1].name {
			x.byPackage.each(parts[i].name, use)
		}
	}
}

// nameIndex finds patterns that can match a name: those whose longest part is in the name, at the right place. Without it, 10,000 patterns such as "*lib*"
// would be compared with each name.
type nameIndex struct {
	exact, heads, middles, tails            map[string][]*rule
	headLengths, middleLengths, tailLengths []int
	others                                  []*rule // patterns without any characters
}

func (x *nameIndex) add(pattern string, one *rule) {
	put := func(m *map[string][]*rule, lengths *[]int, key string) {
		if *m == nil {
			*m = make(map[string][]*rule)
		}
		(*m)[key] = append((*m)[key], one)
		if !slices.Contains(*lengths, len(key)) {
			*lengths = append(*lengths, len(key))
		}
	}
	part, place := longestPart(pattern)
	switch place {
	case whole:
		put(&x.exact, new([]int), part)
	case atStart:
		put(&x.heads, &x.headLengths, part)
	case atEnd:
		put(&x.tails, &x.tailLengths, part)
	case inside:
		put(&x.middles, &x.middleLengths, part)
	case nowhere:
		x.others = append(x.others, one)
	}
}

// place is where a part of a pattern must be in a name.
type place int

const (
	nowhere place = iota // the pattern has no characters
	whole
	atStart
	inside
	atEnd
)

// longestPart returns the longest part of a pattern between its asterisks. Of two, it is the first one.
func longestPart(pattern string) (longest string, at place) {
	parts := strings.Split(pattern, "*")
	for i, part := range parts {
		switch {
		case len(part) <= len(longest):
		case len(parts) == 1:
			longest, at = part, whole
		case i == 0:
			longest, at = part, atStart
		case i == len(parts)-1:
			longest, at = part, atEnd
		default:
			longest, at = part, inside
		}
	}
	return longest, at
}

func (x *nameIndex) each(name string, use func(*rule)) {
	for _, one := range x.exact[name] {
		use(one)
	}
	for _, n := range x.headLengths {
		if n <= len(name) {
			for _, one := range x.heads[name[:n]] {
				use(one)
			}
		}
	}
	for _, n := range x.tailLengths {
		if n <= len(name) {
			for _, one := range x.tails[name[len(name)-n:]] {
				use(one)
			}
		}
	}
	for _, n := range x.middleLengths {
		for i := range len(name) - n + 1 {
			for _, one := range x.middles[name[i:i+n]] {
				use(one)
			}
		}
	}
	for _, one := range x.others {
		use(one)
	}
}
