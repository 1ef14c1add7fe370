package report

import (
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// divided is the history of an image, divided by what suppressions set aside: told has the findings that are not set aside, aside those that are, and
// whole has both.
type divided struct {
	whole, told, aside history.History
	// by returns the suppression that sets a finding aside, or nil.
	by func(*scan.Finding) *suppress.Suppression
}

// divide divides the history of an image.
func divide(r *refresh.Refresher, image *scan.Image, h history.History) divided {
	now := r.Clock().Time()
	d := divided{whole: h, told: h, by: func(f *scan.Finding) *suppress.Suppression { return r.Scope.Of(image, f, now) }}
	if r.Scope.Covers(image, now) {
		d.told, d.aside = h.Apart(func(f *scan.Finding) bool { return d.by(f) != nil })
	}
	return d
}

// bySuppression returns the suppression that sets a finding aside, also one of Amazon Inspector, or nil.
func (d divided) bySuppression(f *history.TrackedFinding) *suppress.Suppression {
	if f.Status == history.Suppressed {
		return suppress.Inspector()
	}
	return d.by(&f.Finding)
}

// selected returns the part of the history that a filter selects.
func (d divided) selected(f scan.Filter) history.History {
	switch f.Suppressed {
	case scan.IncludeSuppressed:
		return d.whole
	case scan.OnlySuppressed:
		return d.aside
	}
	return d.told
}

// nameReasons says in each change of a finding that is set aside why it is.
func (d divided) nameReasons(scans [][]history.Change) {
	for _, changes := range scans {
		for i := range changes {
			if s := d.by(&changes[i].Finding); s != nil {
				changes[i].Reason = "suppressed: " + s.Reason
			}
		}
	}
}
