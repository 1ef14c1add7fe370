package refresh

import (
	"context"
	"time"
)

// callMargin is how long before a deadline calls that are under way end, so that there is time to answer, or to save what was learned.
const callMargin = 3 * time.Second

// CallsBefore is the context for calls to AWS of work that must end before ctx's deadline.
func CallsBefore(ctx context.Context) (context.Context, context.CancelFunc) {
	return Before(ctx, callMargin, 4)
}

// Before ends before ctx by a margin, or by the given part of the time that is left if that is less. It has no deadline if ctx has none.
func Before(ctx context.Context, margin time.Duration, part int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline.Add(-min(margin, time.Until(deadline)/time.Duration(part))))
}
