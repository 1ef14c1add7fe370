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

// boundedCalls asks for one image with a context that has a bound of calls.
type boundedCalls struct {
	ctx    context.Context
	ecr    *ecr.ECR
	client *ecrscan.Client
	digest string
}

func newBoundedCalls(t *testing.T, most int64) *boundedCalls {
	e, c := start(t)
	digest := e.PutImage(id, ecr.Image{Tags: []string{"v1"}, ScannedAt: old})
	return &boundedCalls{scan.WithCalls(t.Context(), most), e, c, digest}
}

func (s *boundedCalls) list(tags []string) error {
	_, err := s.client.Images(s.ctx, repo, tags)
	return err
}

func (s *boundedCalls) read() error {
	_, err := s.client.Findings(s.ctx, repo, s.digest)
	return err
}

// A context with a bound makes so many calls and no more, whatever they ask for; what it can't ask any more is said to be not visited yet.
func TestBoundOfCalls(t *testing.T) {
	const most = 3
	for name, ask := range map[string]func(s *boundedCalls) error{
		"a list": func(s *boundedCalls) error { return s.list(nil) }, "named tags": func(s *boundedCalls) error { return s.list([]string{"v1"}) }, "a result": (*boundedCalls).read,
	} {
		t.Run(name, func(t *testing.T) {
			s := newBoundedCalls(t, most)
			for range most {
				if err := ask(s); err != nil {
					t.Fatal(err)
				}
			}
			err := ask(s)
			if scan.CodeOf(err) != scan.Unavailable || scan.MessageOf(err) != "not visited yet" {
				t.Errorf("after the last one: %v", err)
			}
			if calls := s.ecr.Count().Total(); calls != most {
				t.Errorf("%d calls, want %d", calls, most)
			}
		})
	}
}

// Calls side by side share the bound of their context.
func TestBoundOfCallsSideBySide(t *testing.T) {
	const most, asked = 20, 100
	s := newBoundedCalls(t, most)
	var all sync.WaitGroup
	errs := make([]error, asked)
	for i := range asked {
		all.Go(func() { errs[i] = s.read() })
	}
	all.Wait()
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	if calls := s.ecr.Count().Total(); calls != most || failed != asked-most {
		t.Errorf("%d calls and %d failures, want %d and %d", calls, failed, most, asked-most)
	}
}

// A list of many pages ends where its context has no call left: a part never passes for the whole.
func TestBoundOfCallsWithinAList(t *testing.T) {
	s := newBoundedCalls(t, 1)
	for i := range 1001 {
		s.ecr.PutImage(id, ecr.Image{Tags: []string{fmt.Sprint("t", i)}})
	}
	if err := s.list(nil); scan.CodeOf(err) != scan.Unavailable || s.ecr.Count().Total() != 1 {
		t.Errorf("%d calls, %v", s.ecr.Count().Total(), err)
	}
}

// Each repetition of a call that is throttled counts too: ECR counts it as well.
func TestBoundOfCallsThatAreThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, c := inProcess()
		digest := e.PutImage(id, ecr.Image{ScannedAt: time.Now()})
		e.Disturb(awslocal.Fault{Code: "ThrottlingException"})
		_, err := c.Findings(scan.WithCalls(t.Context(), 4), repo, digest)
		if scan.CodeOf(err) != scan.Unavailable || e.Count().Total() != 4 {
			t.Errorf("%d calls, %v", e.Count().Total(), err)
		}
	})
}
