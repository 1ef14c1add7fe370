package report

import (
	"slices"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// Narrow returns the reports that a summary with this filter shows. It keeps images that match the repositories, owners and tags of the filter. It
// keeps only counts that reach the severity, and removes images without any such count. Images without a result and configs that can't be read are
// kept, because their findings are unknown. Narrow does not change its argument. It uses only the filters of [scan.SummaryFilters].
func Narrow(reports []Report, f scan.Filter) []Report {
	if f.IsZero() {
		return reports
	}
	var kept []Report
	for _, r := range reports {
		if !f.MatchesConfig(r.Config) || !f.MatchesRepository(r.Repository) {
			continue
		}
		had := len(r.Images)
		r.Images = slices.DeleteFunc(matchingItems(r.Images, f), func(i Item) bool {
			return i.Condition().State == scan.Completed && f.Severity != "" && len(f.Counts(i.Result.Counts)) == 0
		})
		for i := range r.Images {
			r.Images[i].Result.Counts = f.Counts(r.Images[i].Result.Counts)
			r.Images[i].Changes = narrowChanges(r.Images[i].Changes, f)
		}
		if had == 0 || len(r.Images) > 0 {
			kept = append(kept, r)
		}
	}
	return kept
}

// narrowImages removes the images whose repository or tag does not match the filter.
func narrowImages(reports []Report, f scan.Filter) {
	if !f.NarrowsImages() {
		return
	}
	for i := range reports {
		reports[i].Images = matchingItems(reports[i].Images, f)
	}
}

// matchingItems returns a new list of the items whose image matches the filter.
func matchingItems(items []Item, f scan.Filter) []Item {
	var kept []Item
	for _, item := range items {
		if f.MatchesImage(item.Image) {
			kept = append(kept, item)
		}
	}
	return kept
}

func narrowChanges(changes []history.CountChange, f scan.Filter) []history.CountChange {
	kept := make([]history.CountChange, len(changes))
	for i, c := range changes {
		kept[i] = history.CountChange{At: c.At, New: f.Counts(c.New), Fixed: f.Counts(c.Fixed), Suppressed: f.Counts(c.Suppressed)}
	}
	return kept
}

// matchesChange returns the function that reports whether a change matches the filter. Changes that are about scanning, a repository or a suppression are excluded
// only by a filter for findings.
func matchesChange(f scan.Filter) func(history.Change) bool {
	listsOthers := !f.NarrowsFindings()
	return func(c history.Change) bool {
		if c.Finding.Name == "" {
			return listsOthers
		}
		found := c.Finding
		found.Severity = c.HighestSeverity()
		return f.Matches(found)
	}
}
