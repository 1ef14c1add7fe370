package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"ecr-continuous-scan/internal/pace"
)

// object is a stored object. now is the Date header of S3's response. It is also set if there is no object.
type object struct {
	body    []byte
	version string
	now     time.Time
}

// errTruncated means that a response body ended too early.
var errTruncated = errors.New("the response body was truncated")

// getObject reads an object. If etag is not empty and identifies the object's current version, it returns an error with the
// code NotModified. It reads at most maxBytes+1 bytes, so that the caller can detect a body that is too long.
func getObject(ctx context.Context, client *s3.Client, bucket, key, etag string, maxBytes int64) (object, error) {
	in := s3.GetObjectInput{Bucket: &bucket, Key: &key}
	if etag != "" {
		in.IfNoneMatch = &etag
	}
	return get(ctx, client, in, maxBytes)
}

// get is like getObject, for any conditions and ranges.
func get(ctx context.Context, client *s3.Client, in s3.GetObjectInput, maxBytes int64) (object, error) {
	retryer := client.Options().Retryer
	for attempt := 1; ; attempt++ {
		o, err := fetchObject(ctx, client, in, maxBytes)
		if !errors.Is(err, errTruncated) || attempt >= retryer.MaxAttempts() { // the SDK retries a failed call, but not a failed read of its body
			return o, err
		}
		if wait, stop := retryer.RetryDelay(attempt, err); stop != nil || pace.Sleep(ctx, wait) != nil {
			return o, err
		}
	}
}

func fetchObject(ctx context.Context, client *s3.Client, in s3.GetObjectInput, maxBytes int64) (object, error) {
	out, err := client.GetObject(ctx, &in)
	if err != nil {
		return object{now: responseDate(err)}, err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, maxBytes+1))
	if err != nil {
		return object{}, fmt.Errorf("%w: %w", errTruncated, err)
	}
	now, _ := awsmiddleware.GetServerTime(out.ResultMetadata)
	return object{body: body, version: aws.ToString(out.ETag), now: now}, nil
}

// putObject writes an object if the stored object still has this version, or if there is none and the version is empty. It returns the new version.
// Otherwise the error is one for which isWriteConflict returns true.
func putObject(ctx context.Context, client *s3.Client, bucket, key, contentType, version string, body []byte) (string, error) {
	in := s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(body), ContentType: &contentType}
	if version == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &version
	}
	out, err := client.PutObject(ctx, &in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ETag), nil
}

// responseDate returns the Date header of S3's error response. It is zero if there was no response.
func responseDate(err error) time.Time {
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok && response.Response != nil {
		if date, err := http.ParseTime(response.Response.Header.Get("Date")); err == nil {
			return date
		}
	}
	return time.Time{}
}

// isWriteConflict reports whether S3 rejected a conditional write because its condition is false or because another
// write is in progress.
func isWriteConflict(err error) bool {
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

func isCode(err error, code string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && api.ErrorCode() == code
}
