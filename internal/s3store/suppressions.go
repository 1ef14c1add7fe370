package s3store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/go-json-experiment/json" // encoding/json accepts an object that has a name twice
	"github.com/go-json-experiment/json/jsontext"

	"ecr-continuous-scan/internal/pace"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// SuppressionsKey is the object that has all suppressions, as JSON that people can read.
const SuppressionsKey = "suppressions/all.json"

// maxSuppressions is the maximum size of the object after a suppression was added or replaced. A deletion makes the object larger too, but must always
// be possible. So reads accept some more.
const (
	maxSuppressions     = 4 << 20
	maxSuppressionsRead = 5 << 20
)

// Suppressions reads the suppressions. It writes nothing.
type Suppressions struct {
	s3     *s3.Client
	bucket string

	mu    sync.Mutex
	last  suppress.List   // what was read last
	rules *suppress.Rules // of the list that was read last, or nil
}

// NewSuppressions returns a reader for an existing bucket.
func NewSuppressions(client *s3.Client, bucket string) *Suppressions {
	return &Suppressions{s3: client, bucket: bucket}
}

// Load returns all suppressions. It makes one call, and decodes the object only if it changed. The caller must not change the list. The error is
// Unavailable, also for an object that is not a list of suppressions: without the list it is not known what is set aside.
func (s *Suppressions) Load(ctx context.Context) (suppress.List, error) {
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	o, err := getObject(ctx, s.s3, s.bucket, SuppressionsKey, last.Version, maxSuppressionsRead)
	switch {
	case isCode(err, "NotModified"):
		return last, nil
	case isCode(err, "NoSuchKey"):
		return suppress.List{}, nil
	case err != nil:
		return suppress.List{}, suppressionsError("read", err)
	}
	all, err := decodeSuppressions(o.body)
	if err != nil {
		return suppress.List{}, suppressionsError("read", err)
	}
	l := suppress.List{All: all, Version: o.version}
	s.mu.Lock()
	s.last, s.rules = l, nil
	s.mu.Unlock()
	return l, nil
}

// Rules returns the rules of all suppressions. It implements [refresh.SuppressionReader]. The error is that of Load.
func (s *Suppressions) Rules(ctx context.Context) (*suppress.Rules, error) {
	l, err := s.Load(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rules == nil || s.rules.Version != l.Version {
		s.rules = suppress.NewRules(l)
	}
	return s.rules, nil
}

// decodeSuppressions is strict, so that a write never loses what this version does not know, and no suppression sets more aside than its author
// wrote.
func decodeSuppressions(body []byte) ([]suppress.Suppression, error) {
	if len(body) > maxSuppressionsRead {
		return nil, fmt.Errorf("larger than %d bytes", maxSuppressionsRead)
	}
	var all []suppress.Suppression
	if err := json.Unmarshal(body, &all, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	if len(all) > suppress.MaxCount {
		return nil, fmt.Errorf("more than %d suppressions", suppress.MaxCount)
	}
	current := make(map[string]bool, len(all))
	for i, s := range all {
		if err := checkStored(s); err != nil {
			return nil, fmt.Errorf("suppression %d: %w", i, err)
		}
		if s.IsCurrent() && current[s.ID] {
			return nil, fmt.Errorf("suppression %d: the id %s is not unique", i, s.ID)
		}
		current[s.ID] = current[s.ID] || s.IsCurrent()
		all[i].Until = s.Until.UTC()
	}
	return all, nil
}

func checkStored(s suppress.Suppression) error {
	if !scan.ValidID(s.ID) {
		return errors.New("the id is not a UUID in lower case")
	}
	if min(s.Created, s.Updated, s.Replaced, s.Deleted) < 0 || max(s.Created, s.Updated, s.Replaced, s.Deleted) > maxCreated {
		return errors.New("a time is not between 1970 and the year 9999")
	}
	return s.ValidateStored()
}

// SuppressionWriter reads and writes suppressions. It implements [httpapi.SuppressionStore].
type SuppressionWriter struct{ *Suppressions }

// NewSuppressionWriter returns a SuppressionWriter for an existing bucket.
func NewSuppressionWriter(client *s3.Client, bucket string) SuppressionWriter {
	return SuppressionWriter{NewSuppressions(client, bucket)}
}

// maxRewriteAttempts is how often Rewrite reads the list while other calls change it. Of all calls that write at the same time, one succeeds.
const maxRewriteAttempts = 20

// maxRewritePause is the maximum pause between two attempts.
const maxRewritePause = 200 * time.Millisecond

// Rewrite implements [httpapi.SuppressionStore] with S3's conditional writes.
func (s SuppressionWriter) Rewrite(ctx context.Context, change func(suppress.List) (suppress.List, error)) error {
	var tried []suppress.Suppression
	for range maxRewriteAttempts {
		stored, err := s.Load(ctx)
		if err != nil {
			return err
		}
		if tried != nil && slices.Equal(stored.All, tried) { // the SDK repeats a write whose response is lost, and the repeated write conflicts with the first one
			return nil
		}
		changed, err := change(stored)
		if err != nil || slices.Equal(stored.All, changed.All) {
			return err
		}
		tried = changed.All
		body, err := encodeSuppressions(tried)
		if err != nil {
			return err
		}
		if len(body) > maxSuppressions && len(tried) > len(stored.All) {
			return suppress.ErrFull
		}
		_, err = putObject(ctx, s.s3, s.bucket, SuppressionsKey, "application/json", stored.Version, body)
		if err == nil {
			return nil
		}
		if !isWriteConflict(err) {
			return suppressionsError("write", err)
		}
		if err := pace.Sleep(ctx, rand.N(maxRewritePause)); err != nil {
			return suppressionsError("write", err)
		}
	}
	return suppressionsError("write", errors.New("other calls change it at the same time"))
}

func encodeSuppressions(all []suppress.Suppression) ([]byte, error) {
	body, err := json.Marshal(all, jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("encode the suppressions: %w", err)
	}
	return append(body, '\n'), nil
}

func suppressionsError(doing string, cause error) error {
	return &scan.Error{
		Code: scan.Unavailable, Message: "The suppressions can't be read or written at the moment. Try again later.",
		Err: fmt.Errorf("%s %s: %w", doing, SuppressionsKey, cause),
	}
}
