package s3store

import (
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
)

// object is a stored object; now is S3's clock, which an answer that there is none has too.
type object struct {
	body    []byte
	version string
	now     time.Time
}

// errCut marks an answer whose body ended too early.
var errCut = errors.New("the answer was cut off")

// getObject reads an object unless it is the version that is known, if there is one: then the error has the code NotModified. Of a body that
// is longer than a maximum, in bytes, it gives one byte more than that.
func getObject(ctx context.Context, client *s3.Client, bucket, key, known string, most int64) (object, error) {
	o, err := fetchObject(ctx, client, bucket, key, known, most)
	if errors.Is(err, errCut) { // the SDK retries a call, but not the reading of its body
		o, err = fetchObject(ctx, client, bucket, key, known, most)
	}
	return o, err
}

func fetchObject(ctx context.Context, client *s3.Client, bucket, key, known string, most int64) (object, error) {
	in := s3.GetObjectInput{Bucket: &bucket, Key: &key}
	if known != "" {
		in.IfNoneMatch = &known
	}
	out, err := client.GetObject(ctx, &in)
	if err != nil {
		return object{now: dateOf(err)}, err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, most+1))
	if err != nil {
		return object{}, fmt.Errorf("%w: %w", errCut, err)
	}
	now, _ := awsmiddleware.GetServerTime(out.ResultMetadata)
	return object{body: body, version: aws.ToString(out.ETag), now: now}, nil
}

// dateOf is S3's clock when it refused something; zero when it did not answer.
func dateOf(err error) time.Time {
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok && response.Response != nil {
		if date, err := http.ParseTime(response.Response.Header.Get("Date")); err == nil {
			return date
		}
	}
	return time.Time{}
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

func isCode(err error, code string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && api.ErrorCode() == code
}
