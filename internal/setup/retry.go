package setup

import (
	"errors"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// How often calls to AWS are tried again, the same for every service.
const (
	attempts   = 3
	maxBackoff = 4 * time.Second
)

// newRetryer has no retry quota, unlike the SDK's: that one is shared by all calls of a client, so a burst of failures, or one dead Region,
// would use up the retries of everything else. Attempts, back-off, the bound on calls and the context's deadline bound the retries instead.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.MaxBackoff = maxBackoff
		o.RateLimiter = ratelimit.None
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(cutOff))
	})
}

// cutOff tells an answer whose connection ended in the middle; the SDK retries only one that had not begun.
func cutOff(err error) aws.Ternary {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}
