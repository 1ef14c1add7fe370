// Package ecrscan asks Amazon ECR about the images of a repository. Everything that is peculiar to ECR lives here: which calls answer what,
// what its errors and scan states mean, and how findings of basic and of enhanced scanning are read.
//
// It decides nothing: what is due, shown or listed is the domain's business (package scan). The SDK's types don't leave it.
package ecrscan

import (
	"context"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"

	"ecr-continuous-scan/internal/scan"
)

// CallsAtOnce is how many calls of one operation may be under way in one registry and Region. Each has a bound of its own, so that a Region
// that doesn't answer holds up no other.
const CallsAtOnce = 64

// Client answers for every registry and Region. It implements [rescan.Scanner]. A call that ECR throttles is made again, ever more slowly,
// until its context ends: give each context a deadline.
type Client struct {
	ecr *ecr.Client

	mu       sync.Mutex
	limiters map[limited]*limiter
}

// limited is what ECR counts calls by.
type limited struct {
	registry, region string
	operation        operation
}

type operation string

const (
	describeImages operation = "DescribeImages"
	getImages      operation = "BatchGetImage"
	readScan       operation = "DescribeImageScanFindings"
	startScan      operation = "StartImageScan"
)

// New makes a client that signs with cfg's credentials; the Region is taken from each repository.
func New(cfg aws.Config) *Client {
	return &Client{
		ecr:      ecr.NewFromConfig(cfg, func(o *ecr.Options) { o.Retryer = retryer{o.Retryer} }),
		limiters: make(map[limited]*limiter),
	}
}

// retryer leaves what was throttled to the limiter, which knows of the other calls too. It doesn't retry LimitExceededException either: the
// SDK takes it for throttling, but StartImageScan means by it that the image was scanned within 24 hours, or the registry too often, and no
// wait of ours changes that answer.
type retryer struct{ aws.Retryer }

func (r retryer) IsErrorRetryable(err error) bool {
	return !isThrottling(err) && !isCode(err, limitExceeded) && !scannedRecently(err) && r.Retryer.IsErrorRetryable(err)
}

// call runs one call to ECR at the pace of its operation, registry and Region, and gives it the repository's Region.
func call[In, Out any](ctx context.Context, c *Client, repo scan.Repository, name operation,
	op func(context.Context, In, ...func(*ecr.Options)) (Out, error), in In,
) (Out, error) {
	var none Out
	var throttled error
	l := c.limiterOf(repo, name)
	for {
		if err := scan.TakeCall(ctx); err != nil {
			return none, err
		}
		epoch, err := l.acquire(ctx)
		if err != nil {
			return none, outOfTime(repo, err, throttled, l)
		}
		out, err := op(ctx, in, func(o *ecr.Options) { o.Region = repo.Region })
		again := isThrottling(err)
		l.release(epoch, again)
		switch {
		case err == nil:
			return out, nil
		case !again && throttled != nil && ctx.Err() != nil:
			return none, outOfTime(repo, err, throttled, l)
		case !again:
			return none, classify(repo, err)
		}
		throttled = err
	}
}

// outOfTime is the error of a call whose context ended, with err, before it was let through. It may not have had its first turn because
// others were throttled.
func outOfTime(repo scan.Repository, err, throttled error, l *limiter) error {
	if throttled != nil {
		err = fmt.Errorf("%w, after it was throttled: %w", err, throttled)
	}
	if throttled != nil || l.throttling() {
		return &scan.Error{Code: scan.Unavailable, Message: throttledMessage, Err: fmt.Errorf("%s: %w", repo, err)}
	}
	return classify(repo, err)
}

func (c *Client) limiterOf(repo scan.Repository, name operation) *limiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := limited{repo.Registry, repo.Region, name}
	if c.limiters[at] == nil {
		c.limiters[at] = newLimiter()
	}
	return c.limiters[at]
}
