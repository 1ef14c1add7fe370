// Package ecrscan asks Amazon ECR about the images of a repository. Everything that is peculiar to ECR lives here: which calls answer what,
// what its errors and scan states mean, and how findings of basic and of enhanced scanning are read.
//
// It decides nothing: what is due, shown or listed is the domain's business (package scan). The SDK's types don't leave it.
package ecrscan

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"

	"ecr-continuous-scan/internal/awsretry"
	"ecr-continuous-scan/internal/scan"
)

// CallsAtOnce is how many calls to ECR may be under way in one registry and Region. Each Region has its own bound, so that one that
// doesn't answer holds up no other.
const CallsAtOnce = 64

// Client answers for every registry and Region. It implements [scan.Registry].
type Client struct {
	ecr        *ecr.Client
	startRetry aws.Retryer

	mu    sync.Mutex
	slots map[place]chan struct{}
}

type place struct{ registry, region string }

// New makes a client that signs with cfg's credentials; the Region is taken from each repository.
func New(cfg aws.Config) *Client {
	return &Client{
		ecr:        ecr.NewFromConfig(cfg, func(o *ecr.Options) { o.Retryer = awsretry.New() }),
		startRetry: startRetryer{awsretry.New()},
		slots:      make(map[place]chan struct{}),
	}
}

// startRetryer doesn't retry LimitExceededException. The SDK takes it for throttling, but StartImageScan means by it that the image was
// scanned within 24 hours, or the registry too often: no wait of ours changes that answer.
type startRetryer struct{ aws.RetryerV2 }

func (r startRetryer) IsErrorRetryable(err error) bool {
	return !isCode(err, limitExceeded) && !scannedRecently(err) && r.RetryerV2.IsErrorRetryable(err)
}

// call runs one call to ECR within the bound of its registry and Region, and gives it the repository's Region.
func call[In, Out any](ctx context.Context, c *Client, repo scan.Repository, op func(context.Context, In, ...func(*ecr.Options)) (Out, error),
	in In, options ...func(*ecr.Options),
) (Out, error) {
	var none Out
	slots := c.slotsOf(repo)
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return none, classify(repo, ctx.Err())
	}
	out, err := op(ctx, in, append(options, func(o *ecr.Options) { o.Region = repo.Region })...)
	if err != nil {
		return none, classify(repo, err)
	}
	return out, nil
}

func (c *Client) slotsOf(repo scan.Repository) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := place{repo.Registry, repo.Region}
	if c.slots[at] == nil {
		c.slots[at] = make(chan struct{}, CallsAtOnce)
	}
	return c.slots[at]
}
