package suppress

import (
	"slices"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// EachEnd calls use with the end of each suppression that can have set a finding of an image aside, or one of its packages. It may call use more than once with an end.
func (s Scope) EachEnd(image *scan.Image, f *scan.Finding, use func(time.Time)) {
	if s.IsEmpty() {
		return
	}
	names, parts := namesOf(f), partsOf(f)
	s.each(image, names, parts, func(one *rule) {
		if one.end != noEnd && one.matchesAllButParts(image, names, one.end-1) && slices.ContainsFunc(parts, one.matchesPart) {
			use(time.Unix(one.end, 0).UTC())
		}
	})
}

// Each calls use once with each suppression that is active at a moment and matches a finding of an image: at least one of its packages, if it has several.
func (s Scope) Each(image *scan.Image, f *scan.Finding, at time.Time, use func(*Suppression)) {
	if s.IsEmpty() {
		return
	}
	names, parts, now := namesOf(f), partsOf(f), at.Unix()
	var used []*rule
	s.each(image, names, parts, func(one *rule) {
		if !one.matchesAllButParts(image, names, now) || !slices.ContainsFunc(parts, one.matchesPart) || slices.Contains(used, one) {
			return
		}
		used = append(used, one)
		use(one.Suppression)
	})
}
