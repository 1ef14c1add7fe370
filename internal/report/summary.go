package report

import (
	"context"
	"time"
)

// Overview is what was found in every image of every config.
type Overview struct {
	// Reports are in the order of the configs. What went wrong with one config or image stands in its report.
	Reports []Report
	// Now is when the overview was made, and Since the point from which its readers count what is new and what is fixed.
	Since, Now time.Time
}

// DefaultSince is how far back the overview looks for changes unless it is told otherwise.
const DefaultSince = 24 * time.Hour

// Summary is the overview of all configs, with what changed since a point in time; the zero time is DefaultSince ago. It fails only when the
// configs can't be read.
func (r *Reader) Summary(ctx context.Context, since time.Time) (Overview, error) {
	configs, err := r.Configs.List(ctx)
	if err != nil {
		return Overview{}, err
	}
	o := Overview{Since: since, Now: r.Now().UTC()}
	if since.IsZero() {
		o.Since = o.Now.Add(-DefaultSince)
	}
	q := request{Reader: r, scope: allConfigs}
	o.Reports = q.answer(ctx, configs)
	return o, nil
}
