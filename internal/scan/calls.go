package scan

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
)

// ErrNotVisited is the error for a repository or an image that no visit has read yet, and that the current request
// may not read from ECR because it has used all its calls.
var ErrNotVisited = &Error{Code: Unavailable, Message: "not visited yet"}

// IsNotVisited reports whether err is [ErrNotVisited]: ECR was not called.
func IsNotVisited(err error) bool { return errors.Is(err, ErrNotVisited) }

// callLimitKey is the context key of the number of remaining calls.
type callLimitKey struct{}

// WithCalls returns a context that allows n calls to ECR.
func WithCalls(ctx context.Context, n int64) context.Context {
	remaining := new(atomic.Int64)
	remaining.Store(n)
	return context.WithValue(ctx, callLimitKey{}, remaining)
}

// UseCall reduces the number of calls that ctx allows by one. It returns [ErrNotVisited] when no calls remain. A
// context without a limit allows any number of calls.
func UseCall(ctx context.Context) error {
	remaining, isLimited := ctx.Value(callLimitKey{}).(*atomic.Int64)
	if isLimited && remaining.Add(-1) < 0 {
		return ErrNotVisited
	}
	return nil
}

// RemainingCalls returns the number of calls that ctx still allows, or math.MaxInt when ctx has no limit.
func RemainingCalls(ctx context.Context) int {
	remaining, isLimited := ctx.Value(callLimitKey{}).(*atomic.Int64)
	if !isLimited {
		return math.MaxInt
	}
	return int(max(0, remaining.Load()))
}
