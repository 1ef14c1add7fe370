package report

import (
	"context"
	"time"
)

// Overview contains the results of all images of all configs.
type Overview struct {
	// Reports is in the order of the configs. The error of a config or image is in its report.
	Reports []Report
	// Now is when the overview was made. New and fixed findings are counted from Since on.
	Since, Now time.Time
}

// DefaultSince is the time span for which changes are counted if the client gives no other.
const DefaultSince = 24 * time.Hour

// Summary returns the overview of all configs, with the changes since a time; the zero time means [DefaultSince] ago. It fails only when the configs
// can't be read.
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
	q.process = q.subtract
	o.Reports = q.buildReports(ctx, configs)
	return o, nil
}
