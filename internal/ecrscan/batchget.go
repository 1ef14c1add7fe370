package ecrscan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"ecr-continuous-scan/internal/scan"
)

// Limits of the answers of BatchGetImage, in bytes. An answer with 100 manifests of the maximum size would not fit into the
// memory of a function, and the sizes are not known before. A larger answer is not read: the manifests are then read in smaller
// groups, and at last one by one.
const (
	maxAnswer       = 3 << 20
	maxSingleAnswer = 12 << 20 // in JSON, a manifest can be almost three times as long
	maxAnswers      = 24 << 20 // of all calls at the same time
)

// manifestReader reads manifests of a repository. receive is called once for each digest, with its position in the list. It is
// called concurrently.
type manifestReader struct {
	*Client
	repo     scan.Repository
	accepted []string // media types
	digests  []string // sorted
	receive  func(i int, text string, err error)
}

// readAll reads the manifests of all digests.
func (r *manifestReader) readAll(ctx context.Context) {
	var g errgroup.Group
	for first := 0; first < len(r.digests); first += idsPerCall {
		r.start(ctx, &g, first, min(first+idsPerCall, len(r.digests)), maxAnswer)
	}
	_ = g.Wait() // each digest has its own error
}

// start reads the manifests from first to last with one call. If the answer is too large, or the call fails with an error that
// one of them may cause, it reads them in smaller groups.
func (r *manifestReader) start(ctx context.Context, g *errgroup.Group, first, last int, limit int64) {
	g.Go(func() error {
		answer := &answerMemory{all: r.answers, limit: limit}
		defer answer.release()
		out, err := r.get(ctx, r.digests[first:last], answer)
		large, isTooLarge := errors.AsType[*tooLargeError](err)
		code := scan.CodeOf(err)
		switch n := last - first; {
		case err == nil:
			r.receiveAll(out, first, last)
		case isTooLarge && n > 1:
			r.split(ctx, g, first, last, int(min(int64(n), large.size/maxAnswer+1)), maxSingleAnswer)
		case isTooLarge && limit < maxSingleAnswer:
			r.start(ctx, g, first, last, maxSingleAnswer)
		case n > 1 && (code == scan.Internal || code == scan.ImageNotFound):
			r.split(ctx, g, first, last, 2, limit)
		default:
			for i := first; i < last; i++ {
				r.receive(i, "", callFailure(err))
			}
		}
		return nil
	})
}

// split reads the manifests from first to last in parts. limit applies to a part of one manifest.
func (r *manifestReader) split(ctx context.Context, g *errgroup.Group, first, last, parts int, limit int64) {
	size := (last - first + parts - 1) / parts
	if size > 1 {
		limit = maxAnswer
	}
	for ; first < last; first += size {
		r.start(ctx, g, first, min(first+size, last), limit)
	}
}

// get calls BatchGetImage. The error contains a [tooLargeError] if the answer is too large.
func (r *manifestReader) get(ctx context.Context, digests []string, answer *answerMemory) (*ecr.BatchGetImageOutput, error) {
	in := ecr.BatchGetImageInput{
		RepositoryName: &r.repo.Name, RegistryId: &r.repo.Registry, ImageIds: make([]types.ImageIdentifier, len(digests)), AcceptedMediaTypes: r.accepted,
	}
	for i := range digests {
		in.ImageIds[i].ImageDigest = &digests[i]
	}
	return call(ctx, r.Client, r.repo, getImages, func(ctx context.Context, in *ecr.BatchGetImageInput, options ...func(*ecr.Options)) (*ecr.BatchGetImageOutput, error) {
		return r.ecr.BatchGetImage(ctx, in, append(options, func(o *ecr.Options) { o.HTTPClient = limitedClient{o.HTTPClient, answer} })...)
	}, &in)
}

// receiveAll passes on the manifests of an answer.
func (r *manifestReader) receiveAll(out *ecr.BatchGetImageOutput, first, last int) {
	received := make([]bool, last-first)
	take := func(id *types.ImageIdentifier, text string, err error) {
		if id == nil {
			return
		}
		if i, known := slices.BinarySearch(r.digests[first:last], aws.ToString(id.ImageDigest)); known && !received[i] {
			received[i] = true
			r.receive(first+i, text, err)
		}
	}
	for _, image := range out.Images {
		take(image.ImageId, aws.ToString(image.ImageManifest), nil)
	}
	for _, failure := range out.Failures {
		take(failure.ImageId, "", imageFailure(failure))
	}
	for i, known := range received {
		if !known {
			r.receive(first+i, "", permanentError("image index not found", nil))
		}
	}
}

// callFailure returns the error of indexes that can't be read because the call failed with err.
func callFailure(err error) error {
	switch scan.CodeOf(err) {
	case scan.NoAccess:
		reason := scan.MessageOf(err)
		if isCode(err, "AccessDeniedException") && !strings.Contains(reason, ":") {
			reason += " to ecr:" + string(getImages)
		}
		return permanentError("image index, "+reason, err)
	case scan.ImageNotFound, scan.RepositoryNotFound:
		return permanentError("image index not found", err)
	}
	if _, isTooLarge := errors.AsType[*tooLargeError](err); isTooLarge {
		return permanentError("broken image index", err)
	}
	return err
}

// imageFailure returns the error of an index that BatchGetImage did not return.
func imageFailure(f types.ImageFailure) error {
	cause := fmt.Errorf("%s: %s", f.FailureCode, aws.ToString(f.FailureReason))
	switch f.FailureCode {
	case types.ImageFailureCodeImageNotFound:
		return permanentError("image index not found", cause)
	case types.ImageFailureCodeImageInaccessible:
		return permanentError("image index not accessible", cause)
	case types.ImageFailureCodeUpstreamTooManyRequests, types.ImageFailureCodeUpstreamUnavailable:
		return &scan.Error{Code: scan.Unavailable, Message: "the upstream registry is unavailable", Err: cause}
	}
	return permanentError("image index, refused by ECR: "+string(f.FailureCode), cause)
}

// answerMemory is the memory for one answer, out of that for all answers.
type answerMemory struct {
	all         *semaphore.Weighted
	limit, held int64
}

// acquire waits until there is enough memory. It replaces the memory for the answer of an earlier attempt.
func (m *answerMemory) acquire(ctx context.Context, size int64) error {
	m.release()
	if err := m.all.Acquire(ctx, size); err != nil {
		return err
	}
	m.held = size
	return nil
}

func (m *answerMemory) release() {
	m.all.Release(m.held)
	m.held = 0
}

// tooLargeError is the error of an answer with more bytes than allowed. size is at least the limit.
type tooLargeError struct{ size int64 }

func (e *tooLargeError) Error() string { return fmt.Sprintf("an answer of %d bytes or more", e.size) }

// limitedClient limits the size of an answer. It acquires the memory when ECR has answered, so that a Region that does not
// answer does not block the others.
type limitedClient struct {
	ecr.HTTPClient
	answer *answerMemory
}

// Do implements [ecr.HTTPClient].
func (c limitedClient) Do(request *http.Request) (*http.Response, error) {
	response, err := c.HTTPClient.Do(request)
	if err != nil {
		return response, err
	}
	size, limit := response.ContentLength, c.answer.limit
	if size > limit {
		response.Body = &limitedBody{ReadCloser: response.Body, remaining: -1, size: size}
		return response, nil
	}
	if size < 0 {
		size = limit
	}
	if err := c.answer.acquire(request.Context(), size); err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	response.Body = &limitedBody{ReadCloser: response.Body, remaining: limit, size: limit}
	return response, nil
}

// limitedBody fails when it has more bytes than left.
type limitedBody struct {
	io.ReadCloser
	remaining, size int64
}

// Read implements [io.Reader].
func (b *limitedBody) Read(p []byte) (int, error) {
	if b.remaining < 0 {
		return 0, &tooLargeError{b.size}
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.remaining+1)])
	if b.remaining -= int64(n); b.remaining < 0 {
		return 0, &tooLargeError{b.size}
	}
	return n, err
}
