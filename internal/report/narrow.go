package report

import (
	"slices"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// Narrow is what a summary shows of the reports: images of a repository and with a tag of the filter, and of those that have counts only such
// as reach its severity, with those counts and their changes. An image without a result stays, since nobody knows what it holds, and so does
// a config that can't be read. The reports that it is given stay as they are. Only [SummaryFilters] are looked at.
func Narrow(reports []Report, f scan.Filter) []Report {
	if f.IsZero() {
		return reports
	}
	var kept []Report
	for _, r := range reports {
		if !f.MatchesRepository(r.Config.Repository) {
			continue
		}
		had := len(r.Images)
		r.Images = slices.DeleteFunc(matchingItems(r.Images, f), func(i Item) bool {
			return i.Result.State == scan.Completed && f.Severity != "" && len(f.Counts(i.Result.Counts)) == 0
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

// narrowImages leaves out the images that the filter leaves out whatever they hold.
func narrowImages(reports []Report, f scan.Filter) {
	if !f.NarrowsImages() {
		return
	}
	for i := range reports {
		reports[i].Images = matchingItems(reports[i].Images, f)
	}
}

// matchingItems are copies of those items whose image the filter lets through.
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
		kept[i] = history.CountChange{At: c.At, New: f.Counts(c.New), Fixed: f.Counts(c.Fixed)}
	}
	return kept
}

// tells reports whether the filter lets a change through. The watch's own news is held back only by a filter for certain findings.
func tells(f scan.Filter, c history.Change) bool {
	if c.Finding.Name == "" {
		return !f.NarrowsFindings()
	}
	found := c.Finding
	found.Severity = c.Worst()
	return f.Matches(found)
}
