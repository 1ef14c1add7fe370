package figures

import "ecr-continuous-scan/internal/report"

// ByConfig divides reports into those of each config.
func ByConfig(reports []report.Report) [][]report.Report {
	var divided [][]report.Report
	begin := 0
	for i := range reports {
		if i+1 == len(reports) || !reports[i].Config.IsPattern() || reports[i+1].Config.ID != reports[i].Config.ID {
			divided = append(divided, reports[begin:i+1:i+1])
			begin = i + 1
		}
	}
	return divided
}

// Overall returns the reports of one config as one, without images.
func Overall(reports []report.Report) report.Report {
	all := report.Report{Config: reports[0].Config, Repository: reports[0].Config.Repo()}
	for _, r := range reports {
		addCounts(&all, r)
	}
	return all
}

// addCounts adds the counts of what is not watched.
func addCounts(r *report.Report, other report.Report) {
	r.Artifacts, r.Older, r.Unused = r.Artifacts+other.Artifacts, r.Older+other.Older, r.Unused+other.Unused
	if other.NotWatched != nil {
		sum := *other.NotWatched
		if r.NotWatched != nil {
			sum += *r.NotWatched
		}
		r.NotWatched = &sum
	}
}
