// Package ecrscan calls Amazon ECR: it lists the images of a repository, reads scan results and starts scans. It contains
// everything that is specific to ECR: the calls, the meaning of errors and scan states, and the formats of the findings of
// basic and enhanced scanning.
//
// It contains no rules about which images are due or shown; see package scan. Its API uses no types of the SDK.
package ecrscan

import (
	"context"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"golang.org/x/sync/semaphore"

	"ecr-continuous-scan/internal/pace"
	"ecr-continuous-scan/internal/scan"
)

// CallsAtOnce is the maximum number of concurrent calls of one operation in one registry and Region. The limit is separate
// for each, so that a Region that doesn't respond does not block the others.
const CallsAtOnce = 64

// Client calls ECR in any registry and Region. It implements [rescan.Scanner]. It repeats a throttled call at a decreasing
// rate until the context ends. Therefore each context needs a deadline.
type Client struct {
	ecr   *ecr.Client
	roles *roles
	// answers limits the bytes of the answers with manifests that are read at the same time.
	answers *semaphore.Weighted

	mu       sync.Mutex
	limiters map[limiterKey]*pace.Limiter
}

// limiterKey identifies the calls that share one of ECR's rate limits.
type limiterKey struct {
	registry, region string
	operation        operation
}

type operation string

const (
	describeRepositories operation = "DescribeRepositories"
	describeImages       operation = "DescribeImages"
	getImages            operation = "BatchGetImage"
	readScan             operation = "DescribeImageScanFindings"
	startScan            operation = "StartImageScan"
	getScanning          operation = "BatchGetRepositoryScanningConfiguration"
)

// New returns a client that signs calls with cfg's credentials. The Region is that of the repository of each call.
func New(cfg aws.Config) *Client {
	return &Client{
		ecr:      ecr.NewFromConfig(cfg, func(o *ecr.Options) { o.Retryer = retryer{o.Retryer} }),
		answers:  semaphore.NewWeighted(maxAnswers),
		limiters: make(map[limiterKey]*pace.Limiter),
	}
}

// retryer does not retry throttled calls, because the limiter does so in coordination with other calls. It also does not
// retry LimitExceededException. The SDK treats that code as throttling, but StartImageScan returns it if the image was
// scanned within 24 hours or if the registry's scan quota is used up. A retry within seconds can't succeed. The client of STS
// retries its own calls.
type retryer struct{ aws.Retryer }

func (r retryer) IsErrorRetryable(err error) bool {
	return !isThrottling(err) && !isCode(err, limitExceeded) && !scannedRecently(err) && !isAssumeError(err) && r.Retryer.IsErrorRetryable(err)
}

// call calls ECR in the repository's Region, subject to the limiter of the operation, registry and Region.
func call[In, Out any](ctx context.Context, c *Client, repo scan.Repository, name operation,
	op func(context.Context, In, ...func(*ecr.Options)) (Out, error), in In,
) (Out, error) {
	var none Out
	var throttled error
	l := c.limiterOf(repo, name)
	for {
		if err := scan.UseCall(ctx); err != nil {
			return none, err
		}
		epoch, err := l.Acquire(ctx)
		if err != nil {
			return none, c.outOfTime(repo, err, throttled, l)
		}
		out, err := op(ctx, in, func(o *ecr.Options) {
			if o.Region = repo.Region; c.roles.isFor(repo.Registry) {
				o.Credentials = c.roles.of(repo.Registry)
			}
		})
		again := isThrottling(err)
		l.Release(epoch, again, retryAfter(err))
		switch {
		case err == nil:
			return out, nil
		case !again && throttled != nil && ctx.Err() != nil:
			return none, c.outOfTime(repo, err, throttled, l)
		case !again:
			return none, c.classify(repo, err)
		}
		throttled = err
	}
}

// outOfTime returns the error of a call whose context ended with err before ECR accepted it. The call may not have been
// sent at all, because other calls were throttled.
func (c *Client) outOfTime(repo scan.Repository, err, throttled error, l *pace.Limiter) error {
	if throttled != nil {
		err = fmt.Errorf("%w, after it was throttled: %w", err, throttled)
	}
	if throttled != nil || l.RecentlyThrottled() {
		return &scan.Error{Code: scan.Unavailable, Message: throttledMessage, Err: fmt.Errorf("%s: %w", repo, err)}
	}
	return c.classify(repo, err)
}

func (c *Client) limiterOf(repo scan.Repository, name operation) *pace.Limiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := limiterKey{repo.Registry, repo.Region, name}
	if c.limiters[at] == nil {
		c.limiters[at] = pace.NewLimiter(CallsAtOnce)
	}
	return c.limiters[at]
}
