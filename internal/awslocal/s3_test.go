package awslocal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/test/ecrclient"
)

const bucket = "scan-configs"

func serveS3(t *testing.T, h http.Handler) *s3.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return s3.New(s3.Options{
		Region: awslocal.DefaultRegion, BaseEndpoint: aws.String(server.URL), HTTPClient: server.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""), Retryer: aws.NopRetryer{},
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported, // the defaults of config.LoadDefaultConfig
		Logger: logging.LoggerFunc(func(_ logging.Classification, format string, args ...any) {
			t.Errorf("the SDK logs: "+format, args...)
		}),
	})
}

// forFileAndMemory runs a test with an S3 in a file and with one in memory.
func forFileAndMemory(t *testing.T, test func(*testing.T, *awslocal.S3)) {
	t.Run("file", func(t *testing.T) {
		s, err := awslocal.NewS3(filepath.Join(t.TempDir(), "s3.db"), bucket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		test(t, s)
	})
	t.Run("memory", func(t *testing.T) {
		s, err := awslocal.NewMemoryS3(bucket)
		if err != nil {
			t.Fatal(err)
		}
		test(t, s)
	})
}

func put(ctx context.Context, c *s3.Client, key, body string) error {
	_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(body), ContentType: aws.String("application/json")})
	return err
}

func get(ctx context.Context, c *s3.Client, key string) (string, error) {
	out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(out.Body)
	return string(body), errors.Join(err, out.Body.Close())
}

// list reads all pages of a listing. It returns keys and common prefixes, sorted.
func list(ctx context.Context, c *s3.Client, in s3.ListObjectsV2Input) (keys []string, pages int, err error) {
	in.Bucket = aws.String(bucket)
	for p := s3.NewListObjectsV2Paginator(c, &in); p.HasMorePages(); pages++ {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, 0, err
		}
		listed := []string{}
		for _, o := range page.Contents {
			listed = append(listed, *o.Key)
		}
		for _, p := range page.CommonPrefixes {
			listed = append(listed, *p.Prefix)
		}
		if int(aws.ToInt32(page.KeyCount)) != len(listed) {
			return nil, 0, fmt.Errorf("page of %d has KeyCount %d", len(listed), aws.ToInt32(page.KeyCount))
		}
		slices.Sort(listed)
		keys = append(keys, listed...)
	}
	return keys, pages, nil
}

func TestS3Objects(t *testing.T) {
	forFileAndMemory(t, func(t *testing.T, s *awslocal.S3) {
		c, ctx := serveS3(t, s), t.Context()
		if err := put(ctx, c, "a.json", "one"); err != nil {
			t.Fatal(err)
		}
		if body, err := get(ctx, c, "a.json"); body != "one" || err != nil {
			t.Errorf("got %q, %v", body, err)
		}
		// The second object has another checksum and no Content-Type. It must not get those of the first object.
		_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("a.json"), Body: strings.NewReader("two"),
			ChecksumAlgorithm: "SHA256", Metadata: map[string]string{"by": "test"}})
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("a.json")})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(out.Body)
		if err := errors.Join(err, out.Body.Close()); string(body) != "two" || err != nil {
			t.Errorf("got %q, %v", body, err)
		}
		if out.Metadata["by"] != "test" || aws.ToString(out.ContentType) == "application/json" || time.Since(*out.LastModified) > time.Minute {
			t.Errorf("metadata %v, type %s, modified %s", out.Metadata, aws.ToString(out.ContentType), out.LastModified)
		}
		part, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("a.json"), Range: aws.String("bytes=1-")},
			func(o *s3.Options) { o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired }) // a range has no checksum
		if err != nil {
			t.Fatal(err)
		}
		defer part.Body.Close()
		if body, err := io.ReadAll(part.Body); string(body) != "wo" || err != nil {
			t.Errorf("range: %q, %v", body, err)
		}
		head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("a.json")})
		if err != nil || aws.ToInt64(head.ContentLength) != 3 || *head.ETag != *out.ETag {
			t.Errorf("head %+v, %v", head, err)
		}

		_, err = c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy"), CopySource: aws.String(bucket + "/a.json")})
		if err != nil {
			t.Fatal(err)
		}
		if body, err := get(ctx, c, "copy"); body != "two" || err != nil {
			t.Errorf("copy: %q, %v", body, err)
		}
		for range 2 {
			if _, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("a.json")}); err != nil {
				t.Errorf("delete: %v", err)
			}
		}
		_, err = get(ctx, c, "a.json")
		if got := ecrclient.FailureOf(err); got.Code != "NoSuchKey" || got.Status != 404 {
			t.Errorf("missing key: %+v", got)
		}
		_, err = c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("another-bucket")})
		if got := ecrclient.FailureOf(err); got.Code != "NoSuchBucket" || got.Status != 404 {
			t.Errorf("missing bucket: %+v", got)
		}
	})
}

func TestS3ConditionalRequests(t *testing.T) {
	forFileAndMemory(t, func(t *testing.T, s *awslocal.S3) {
		c, ctx := serveS3(t, s), t.Context()
		putIf := func(key, match, noneMatch string) ecrclient.Failure {
			in := &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(match + noneMatch)}
			if match != "" {
				in.IfMatch = &match
			}
			if noneMatch != "" {
				in.IfNoneMatch = &noneMatch
			}
			_, err := c.PutObject(ctx, in)
			f := ecrclient.FailureOf(err)
			f.Message = ""
			return f
		}
		failed := ecrclient.Failure{Code: "PreconditionFailed", Status: 412}
		if f := putIf("a", `"0123"`, ""); f != (ecrclient.Failure{Code: "NoSuchKey", Status: 404}) {
			t.Errorf("If-Match of a missing object: %+v", f)
		}
		if f := putIf("a", "", "*"); f != (ecrclient.Failure{}) {
			t.Errorf("If-None-Match of a missing object: %+v", f)
		}
		if f := putIf("a", "", "*"); f != failed {
			t.Errorf("If-None-Match of an object: %+v", f)
		}
		if f := putIf("a", `"0123"`, ""); f != failed {
			t.Errorf("If-Match of another object: %+v", f)
		}
		head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("a")})
		if err != nil {
			t.Fatal(err)
		}
		if f := putIf("a", *head.ETag, ""); f != (ecrclient.Failure{}) {
			t.Errorf("If-Match of the object: %+v", f)
		}
		_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("a"), IfNoneMatch: aws.String(`"` + strings.Repeat("0", 32) + `"`)})
		if err != nil {
			t.Errorf("If-None-Match get of another: %v", err)
		}
		_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("a"), IfMatch: head.ETag})
		if f := ecrclient.FailureOf(err); f.Code != failed.Code || f.Status != failed.Status {
			t.Errorf("delete with If-Match of an earlier object: %+v", f)
		}
		if head, err = c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("a")}); err != nil {
			t.Fatal(err)
		}
		if _, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("a"), IfMatch: head.ETag}); err != nil {
			t.Errorf("delete with If-Match: %v", err)
		}
		if _, err = c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("a")}); err == nil {
			t.Error("the object was not deleted")
		}

		// Of concurrent writers with If-None-Match, exactly one succeeds.
		var won atomic.Int32
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if putIf("race", "", "*") == (ecrclient.Failure{}) {
					won.Add(1)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%d writers won", won.Load())
		}
	})
}

// TestS3Listing lists a bucket with 1,050 configs and keys with other prefixes, with different page sizes and options.
func TestS3Listing(t *testing.T) {
	t.Parallel() // mostly waits for retries
	keys := []string{"history/", "history/x", "zz/1", "zz/2", "~"}
	for i := range 1050 {
		keys = append(keys, fmt.Sprintf("%04d.json", i))
	}
	for i := range 30 {
		keys = append(keys, fmt.Sprintf("0500/%d", i), fmt.Sprintf("history/2026/%02d", i))
	}
	slices.Sort(keys)
	grouped := func(prefix string) []string {
		var want []string
		for _, key := range keys {
			rest, ok := strings.CutPrefix(key, prefix)
			if !ok {
				continue
			}
			if at := strings.Index(rest, "/"); at >= 0 {
				key = prefix + rest[:at+1]
			}
			want = append(want, key)
		}
		return slices.Compact(want)
	}
	forFileAndMemory(t, func(t *testing.T, s *awslocal.S3) {
		c, ctx := serveS3(t, s), t.Context()
		var all sync.WaitGroup
		for part := range slices.Chunk(keys, 300) {
			all.Go(func() {
				for _, key := range part {
					if err := put(ctx, c, key, "{}"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		tests := []struct {
			name  string
			in    s3.ListObjectsV2Input
			want  []string
			sizes []int32
		}{
			{"all", s3.ListObjectsV2Input{}, keys, []int32{0, 70, 1000}},
			{"root", s3.ListObjectsV2Input{Delimiter: aws.String("/")}, grouped(""), []int32{0, 50, 501, 502, 503, 1000}},
			{"below a prefix", s3.ListObjectsV2Input{Prefix: aws.String("history/")}, slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !strings.HasPrefix(k, "history/") }), []int32{0, 1, 3, 32}},
			{"grouped below a prefix", s3.ListObjectsV2Input{Prefix: aws.String("history/"), Delimiter: aws.String("/")}, grouped("history/"), []int32{0, 1, 2, 3}},
			{"part of a name", s3.ListObjectsV2Input{Prefix: aws.String("05"), Delimiter: aws.String("/")}, grouped("05"), []int32{0, 1, 5}},
			{"nothing", s3.ListObjectsV2Input{Prefix: aws.String("none/"), Delimiter: aws.String("/")}, nil, []int32{0, 1}},
			{"after a key", s3.ListObjectsV2Input{StartAfter: aws.String("1045.json"), Delimiter: aws.String("/")}, []string{"1046.json", "1047.json", "1048.json", "1049.json", "history/", "zz/", "~"}, []int32{0, 1, 2, 4, 5, 6, 7}},
			{"after the last key", s3.ListObjectsV2Input{StartAfter: aws.String("~~")}, nil, []int32{0}},
		}
		for _, test := range tests {
			for _, size := range test.sizes {
				if test.in.MaxKeys = nil; size > 0 {
					test.in.MaxKeys = aws.Int32(size)
				}
				got, pages, err := list(ctx, c, test.in)
				if err != nil {
					t.Fatalf("%s by %d: %v", test.name, size, err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%s by %d (-want +got):\n%s", test.name, size, diff)
				}
				if size == 0 {
					size = 1000
				}
				if want := max(1, (len(test.want)+int(size)-1)/int(size)); pages != want {
					t.Errorf("%s by %d: %d pages, want %d", test.name, size, pages, want)
				}
			}
		}
	})
}

func TestS3KeysWithSpecialCharacters(t *testing.T) {
	keys := []string{"..", "../x", "a//b", "//", " lead", "plus+and%41", "quo\"te'<&>", "ü/日本.json", "a?b#c", "back\\slash", "tilde~", strings.Repeat("k", 1024), "tab\tin", "end/"}
	forFileAndMemory(t, func(t *testing.T, s *awslocal.S3) {
		c, ctx := serveS3(t, s), t.Context()
		for _, key := range keys {
			if err := put(ctx, c, key, "body of "+key); err != nil {
				t.Errorf("put %q: %v", key, err)
			}
		}
		for _, key := range keys {
			if body, err := get(ctx, c, key); body != "body of "+key || err != nil {
				t.Errorf("get %q: %q, %v", key, body, err)
			}
		}
		got, _, err := list(ctx, c, s3.ListObjectsV2Input{MaxKeys: aws.Int32(3)})
		want := slices.Sorted(slices.Values(keys))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("listing, %v (-want +got):\n%s", err, diff)
		}
		for _, key := range keys {
			if _, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &key}); err != nil {
				t.Errorf("delete %q: %v", key, err)
			}
		}
		if got, _, err := list(ctx, c, s3.ListObjectsV2Input{}); len(got) != 0 || err != nil {
			t.Errorf("remaining objects: %q, %v", got, err)
		}
	})
}

func TestS3ObjectsSurviveARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s3.db")
	for i := range 3 {
		s, err := awslocal.NewS3(file, bucket)
		if err != nil {
			t.Fatal(err)
		}
		c := serveS3(t, s)
		got, _, err := list(t.Context(), c, s3.ListObjectsV2Input{})
		if err != nil || len(got) != i {
			t.Errorf("start %d: %q, %v", i, got, err)
		}
		if err := put(t.Context(), c, fmt.Sprint("key ", i), "x"); err != nil {
			t.Error(err)
		}
		if i == 0 {
			if _, err := awslocal.NewS3(file, bucket); err == nil || !strings.Contains(err.Error(), file+": another process has it open") {
				t.Errorf("opened twice: %v", err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestS3RejectsInvalidArguments(t *testing.T) {
	if _, err := awslocal.NewMemoryS3("Bad_Bucket"); err == nil || !strings.Contains(err.Error(), "Bad_Bucket") {
		t.Errorf("bad bucket: %v", err)
	}
	file := filepath.Join(t.TempDir(), "none", "s3.db")
	if _, err := awslocal.NewS3(file, bucket); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("no folder: %v", err)
	}
}

func TestS3Faults(t *testing.T) {
	tests := []struct {
		name  string
		fault awslocal.Fault
		want  ecrclient.Failure // of the first PutObject
		count string
	}{
		{"unavailable", awslocal.Fault{Status: 503, Calls: 1}, ecrclient.NewFailure("SlowDown", "Please reduce your request rate.", 503), "503"},
		{"server error", awslocal.Fault{Status: 500, Calls: 1}, ecrclient.NewFailure("InternalError", "We encountered an internal error. Please try again.", 500), "500"},
		{"denied", awslocal.Fault{Operation: "PutObject", Resource: bucket + "/a", Code: "AccessDenied", Calls: 1}, ecrclient.NewFailure("AccessDenied", "Access Denied", 403), "403"},
		{"dropped", awslocal.Fault{Drop: true, Calls: 1}, ecrclient.Failure{}, "dropped"},
		{"another key", awslocal.Fault{Resource: bucket + "/b", Status: 500}, ecrclient.Failure{}, ""},
		{"another operation", awslocal.Fault{Operation: "ListObjectsV2", Status: 500}, ecrclient.Failure{}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := awslocal.NewMemoryS3(bucket)
			if err != nil {
				t.Fatal(err)
			}
			s.InjectFault(test.fault)
			c := serveS3(t, s)
			err = put(t.Context(), c, "a", "body")
			if diff := cmp.Diff(test.want, ecrclient.FailureOf(err)); diff != "" || (err != nil) != (test.count != "") {
				t.Errorf("error %v differs (-want +got):\n%s", err, diff)
			}
			if err := put(t.Context(), c, "a", "body"); err != nil {
				t.Errorf("second try: %v", err)
			}
			count := s.Count()
			if count.Calls["PutObject"] != 2 || test.count != "" && count.Errors["PutObject"][test.count] != 1 {
				t.Errorf("count %+v", count)
			}
		})
	}
}

func TestS3TruncatedBody(t *testing.T) {
	s, err := awslocal.NewMemoryS3(bucket)
	if err != nil {
		t.Fatal(err)
	}
	c := serveS3(t, s)
	if err := put(t.Context(), c, "a", strings.Repeat("x", 1000)); err != nil {
		t.Fatal(err)
	}
	s.InjectFault(awslocal.Fault{Operation: "GetObject", Cut: true})
	if body, err := get(t.Context(), c, "a"); err == nil || len(body) != 500 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

// TestS3WritesNoLogs checks that gofakes3 does not write to the standard logger.
func TestS3WritesNoLogs(t *testing.T) {
	var out bytes.Buffer
	log.SetOutput(&out)
	defer log.SetOutput(log.Default().Writer())
	forFileAndMemory(t, func(t *testing.T, s *awslocal.S3) {
		c := serveS3(t, s)
		_ = put(t.Context(), c, "a", "x") // only the log matters here
		_, _ = get(t.Context(), c, "none")
		_, _, _ = list(t.Context(), c, s3.ListObjectsV2Input{})
	})
	if out.Len() > 0 {
		t.Errorf("logged: %s", out.String())
	}
}

// TestS3OnAFakeClock runs the SDK's client and the handler on a fake clock, without a socket.
func TestS3OnAFakeClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := awslocal.NewMemoryS3(bucket)
		if err != nil {
			t.Fatal(err)
		}
		s.InjectFault(awslocal.Fault{Delay: 15 * time.Millisecond})
		c := s3.New(s3.Options{
			Region: awslocal.DefaultRegion, BaseEndpoint: aws.String("http://s3.example"), UsePathStyle: true,
			Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
			HTTPClient:  &http.Client{Transport: awslocal.Transport{Handler: s}},
		})
		began := time.Now()
		for _, body := range []string{"", "x"} {
			if err := put(t.Context(), c, "a", body); err != nil {
				t.Fatal(err)
			}
			if got, err := get(t.Context(), c, "a"); got != body || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		}
		if took := time.Since(began); took != 60*time.Millisecond {
			t.Errorf("four calls took %s", took)
		}
	})
}

// The service takes the time from S3's Date header, and sweeps objects by their LastModified.
func TestMemoryS3OnAClock(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	s, err := awslocal.NewMemoryS3OnClock(bucket, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	defer server.Close()
	for _, call := range []struct{ method, path string }{{http.MethodPut, "/key"}, {http.MethodGet, "/key"}, {http.MethodGet, "/no-key"}, {http.MethodGet, "?list-type=2"}} {
		r, err := http.NewRequestWithContext(t.Context(), call.method, server.URL+"/"+bucket+call.path, strings.NewReader("text"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if date := response.Header.Get("Date"); err != nil || date != "Wed, 04 Mar 2026 05:06:07 GMT" {
			t.Errorf("%s %s: Date %q, %v", call.method, call.path, date, err)
		}
		if modified := response.Header.Get("Last-Modified"); call.method == http.MethodGet && call.path == "/key" && modified != "Wed, 04 Mar 2026 05:06:07 GMT" {
			t.Errorf("Last-Modified %q", modified)
		}
		if strings.HasPrefix(call.path, "?") && !strings.Contains(string(body), "<LastModified>2026-03-04T05:06:07") {
			t.Errorf("the list is %s", body)
		}
	}
}
