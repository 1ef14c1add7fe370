package ecrscan_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/ecrscan"
	"ecr-continuous-scan/internal/scan"
)

// limitedCalls makes calls about one image with a context that limits their number.
type limitedCalls struct {
	ctx    context.Context
	ecr    *ecr.ECR
	client *ecrscan.Client
	digest string
}

func newLimitedCalls(t *testing.T, limit int64) *limitedCalls {
	e, c := start(t)
	digest := e.PutImage(id, ecr.Image{Tags: []string{"v1"}, ScannedAt: old})
	return &limitedCalls{scan.WithCalls(t.Context(), limit), e, c, digest}
}

func (s *limitedCalls) list(tags []string) error {
	_, err := s.client.Images(s.ctx, repo, scan.Wanted{Tags: tags})
	return err
}

func (s *limitedCalls) read() error {
	_, err := s.client.Findings(s.ctx, repo, s.digest)
	return err
}

// A context with a call limit allows exactly that number of calls of any operation. Further calls fail with "not visited yet".
func TestCallLimit(t *testing.T) {
	const limit = 3
	for name, call := range map[string]func(s *limitedCalls) error{
		"a list": func(s *limitedCalls) error { return s.list(nil) }, "named tags": func(s *limitedCalls) error { return s.list([]string{"v1"}) }, "a result": (*limitedCalls).read,
	} {
		t.Run(name, func(t *testing.T) {
			s := newLimitedCalls(t, limit)
			for range limit {
				if err := call(s); err != nil {
					t.Fatal(err)
				}
			}
			err := call(s)
			if scan.CodeOf(err) != scan.Unavailable || scan.MessageOf(err) != "not visited yet" {
				t.Errorf("after the last allowed call: %v", err)
			}
			if calls := s.ecr.Count().Total(); calls != limit {
				t.Errorf("%d calls, want %d", calls, limit)
			}
		})
	}
}

// Concurrent calls share the limit of their context.
func TestCallLimitOfConcurrentCalls(t *testing.T) {
	const limit, attempts = 20, 100
	s := newLimitedCalls(t, limit)
	var all sync.WaitGroup
	errs := make([]error, attempts)
	for i := range attempts {
		all.Go(func() { errs[i] = s.read() })
	}
	all.Wait()
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	if calls := s.ecr.Count().Total(); calls != limit || failed != attempts-limit {
		t.Errorf("%d calls and %d failures, want %d and %d", calls, failed, limit, attempts-limit)
	}
}

// A list of many pages fails when its context allows no more calls. It does not return a part.
func TestCallLimitWithinAList(t *testing.T) {
	s := newLimitedCalls(t, 1)
	for i := range 1001 {
		s.ecr.PutImage(id, ecr.Image{Tags: []string{fmt.Sprint("t", i)}})
	}
	if err := s.list(nil); scan.CodeOf(err) != scan.Unavailable || s.ecr.Count().Total() != 1 {
		t.Errorf("%d calls, %v", s.ecr.Count().Total(), err)
	}
}

// Each retry of a throttled call counts, because ECR counts it too.
func TestCallLimitCountsThrottledCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, c := newInProcess()
		digest := e.PutImage(id, ecr.Image{ScannedAt: time.Now()})
		e.InjectFault(awslocal.Fault{Code: "ThrottlingException"})
		_, err := c.Findings(scan.WithCalls(t.Context(), 4), repo, digest)
		if scan.CodeOf(err) != scan.Unavailable || e.Count().Total() != 4 {
			t.Errorf("%d calls, %v", e.Count().Total(), err)
		}
	})
}
