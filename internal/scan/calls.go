package scan

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
)

// ErrNotVisited is why nothing is known of a repository or an image: no visit has come to it yet.
var ErrNotVisited = &Error{Code: Unavailable, Message: "not visited yet"}

// IsNotAsked tells whether an error means that ECR was not asked: no visit has come yet, or the request has no calls left.
func IsNotAsked(err error) bool { return errors.Is(err, ErrNotVisited) }

// callsLeft is the key of a context's bound of calls.
type callsLeft struct{}

// WithCalls bounds how many calls to ECR may be made with a context.
func WithCalls(ctx context.Context, n int64) context.Context {
	left := new(atomic.Int64)
	left.Store(n)
	return context.WithValue(ctx, callsLeft{}, left)
}

// TakeCall takes one of the calls that a context has left. Errors: Unavailable when there is none. A context without a bound has any number.
func TakeCall(ctx context.Context) error {
	left, bounded := ctx.Value(callsLeft{}).(*atomic.Int64)
	if bounded && left.Add(-1) < 0 {
		return ErrNotVisited
	}
	return nil
}

// CallsLeft is how many calls a context has left, and a very large number when it has no bound.
func CallsLeft(ctx context.Context) int {
	left, bounded := ctx.Value(callsLeft{}).(*atomic.Int64)
	if !bounded {
		return math.MaxInt
	}
	return int(max(0, left.Load()))
}
