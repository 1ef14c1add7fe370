package setup

import (
	"errors"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// The limits of retries of a call to AWS, for every service.
const (
	attempts   = 3 // including the first one
	maxBackoff = 4 * time.Second
)

// newRetryer returns a retryer without a retry quota. The SDK's default has a quota for all calls of a client, so a burst of errors, or
// an outage of one Region, would use up the retries of all other calls. Retries are limited by the number of attempts, the backoff, the
// limit of concurrent calls and the deadline of the context.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.MaxBackoff = maxBackoff
		o.RateLimiter = ratelimit.None
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(isTruncated))
	})
}

// isTruncated makes an error retryable if the connection closed in the middle of a response. The SDK retries only if it closed before
// the response began.
func isTruncated(err error) aws.Ternary {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}
