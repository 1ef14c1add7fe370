package setup

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// The limits of retries of a call to AWS, for every service. The waits before the six attempts are 2.3 seconds together, so a
// call succeeds in spite of an outage of two seconds. A call that gets no response waits much longer, so it has fewer attempts.
const (
	attempts         = 6 // including the first one
	attemptsInTime   = 3 // of a call whose attempts time out
	firstBackoff     = 100 * time.Millisecond
	maxBackoff       = 800 * time.Millisecond
	maxShareOfJitter = 4 // a wait is longer by a random part, of at most this fraction
)

// newRetryer returns a retryer without a retry quota. The SDK's default has a quota for all calls of a client, so a burst of errors, or
// an outage of one Region, would use up the retries of all other calls. Retries are limited by the number of attempts, the backoff, the
// limit of concurrent calls and the deadline of the context.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.Backoff = retry.BackoffDelayerFunc(backoff)
		o.RateLimiter = ratelimit.None
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(isTruncated))
	})
}

// backoff returns the time to wait after an attempt that failed with err. The SDK's own times are at most 50 and 100 ms, which is
// shorter than most outages. If S3, SQS or ECR returns a longer time in X-Amz-Retry-After, the SDK waits for that time. backoff
// returns err if there is to be no other attempt.
func backoff(attempt int, err error) (time.Duration, error) {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() && attempt >= attemptsInTime {
		return 0, err
	}
	wait := min(firstBackoff<<min(attempt-1, attempts), maxBackoff)
	return wait + rand.N(wait/maxShareOfJitter), nil
}

// isTruncated makes an error retryable if the connection closed in the middle of a response. The SDK retries only if it closed before
// the response began.
func isTruncated(err error) aws.Ternary {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}
