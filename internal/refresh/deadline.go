package refresh

import (
	"context"
	"time"
)

// callMargin is the time between the end of the last call to AWS and the deadline. In this time a request writes its
// response, or a visit saves the record.
const callMargin = 3 * time.Second

// WithCallDeadline returns the context for calls to AWS by work that must end before ctx's deadline.
func WithCallDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return WithEarlierDeadline(ctx, callMargin, 4)
}

// WithEarlierDeadline returns a context that ends before ctx's deadline by margin, or by 1/part of the remaining time
// if that is less. It has no deadline if ctx has none.
func WithEarlierDeadline(ctx context.Context, margin time.Duration, part int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline.Add(-min(margin, time.Until(deadline)/time.Duration(part))))
}
