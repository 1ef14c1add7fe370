package s3store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"ecr-continuous-scan/internal/scan"
)

// MarkerPrefix is what the keys of markers begin with; the rest is that of the config.
const MarkerPrefix = "runs/"

// maxMarker bounds what is read of a marker, in bytes. One has 200.
const maxMarker = 4 << 10

// Markers keeps the markers of chains, an object each. It implements [scan.Markers].
type Markers struct {
	s3     *s3.Client
	bucket string
}

// NewMarkers makes the store of a bucket that exists.
func NewMarkers(client *s3.Client, bucket string) *Markers {
	return &Markers{s3: client, bucket: bucket}
}

func markerKey(config string) *string { return aws.String(MarkerPrefix + config + suffix) }

// Get implements [scan.Markers]. An object that is no marker is one of no chain, so that it is replaced when it has become old.
func (s *Markers) Get(ctx context.Context, config string) (scan.Marker, error) {
	out, err := s.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: markerKey(config)})
	if err != nil {
		return scan.Marker{}, markerError("read", config, err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, maxMarker))
	if err != nil {
		return scan.Marker{}, markerError("read", config, err)
	}
	var m scan.Marker
	if json.Unmarshal(body, &m) != nil {
		m = scan.Marker{}
	}
	m.Version, m.Written = aws.ToString(out.ETag), aws.ToTime(out.LastModified)
	return m, nil
}

// Put implements [scan.Markers] by S3's conditional writes.
func (s *Markers) Put(ctx context.Context, config string, m scan.Marker) (bool, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return false, fmt.Errorf("encode the marker of %s: %w", config, err)
	}
	in := s3.PutObjectInput{Bucket: &s.bucket, Key: markerKey(config), Body: bytes.NewReader(body), ContentType: aws.String("application/json")}
	if m.Version == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &m.Version
	}
	_, err = s.s3.PutObject(ctx, &in)
	switch {
	case err == nil:
		return true, nil
	case !overtaken(err):
		return false, markerError("store", config, err)
	}
	return s.isStored(ctx, config, body)
}

// isStored tells whether it was this very marker that came first: when the answer to a write is lost, the SDK writes again.
func (s *Markers) isStored(ctx context.Context, config string, want []byte) (bool, error) {
	m, err := s.Get(ctx, config)
	if scan.CodeOf(err) == scan.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	have, err := json.Marshal(m)
	return err == nil && bytes.Equal(have, want), nil
}

// Remove implements [scan.Markers].
func (s *Markers) Remove(ctx context.Context, config string) error {
	_, err := s.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: markerKey(config)})
	if err != nil {
		return markerError("remove", config, err)
	}
	return nil
}

// overtaken recognises S3's refusals of a write whose condition doesn't hold, or no longer, or may not because of another that is under way.
func overtaken(err error) bool {
	response, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok {
		return false
	}
	switch response.HTTPStatusCode() {
	case http.StatusPreconditionFailed, http.StatusConflict:
		return true
	case http.StatusNotFound:
		return isCode(err, "NoSuchKey")
	}
	return false
}

func markerError(doing, config string, cause error) error {
	code := scan.Unavailable
	if isCode(cause, "NoSuchKey") {
		code = scan.NotFound
	}
	return &scan.Error{
		Code: code, Message: "The marker of a scan run can't be read or written just now.",
		Err: fmt.Errorf("%s the marker of %s: %w", doing, config, cause),
	}
}

func isCode(err error, code string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && api.ErrorCode() == code
}
