package awslocal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3bolt"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// lockWait is how long NewS3 waits for a file that another process has open, for example because that process is just
// ending.
const lockWait = time.Second

// S3 is an embedded S3 with one bucket. Clients must use path-style addresses. The SDKs do so if the host is an IP address.
type S3 struct {
	*Traffic

	handler http.Handler
	store   gofakes3.Backend
	close   func() error
	now     func() time.Time // for the Date header; nil: net/http's time
	// writes is locked by a conditional delete, which gofakes3 does not have: no write may come between its condition and the delete.
	writes sync.RWMutex
}

// NewS3 returns an S3 that stores its objects in a file. It creates the file and the bucket if they don't exist. The caller
// must call Close to release the file.
func NewS3(file, bucket string) (*S3, error) {
	db, err := bolt.Open(file, 0o600, &bolt.Options{Timeout: lockWait})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: another process has it open; stop that process or use another folder", file)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	s, err := newS3(s3bolt.New(db), bucket, db.Close)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", file, err), db.Close())
	}
	return s, nil
}

// NewMemoryS3 returns an S3 with a bucket that stores its objects in memory.
func NewMemoryS3(bucket string) (*S3, error) {
	return newS3(s3mem.New(), bucket, func() error { return nil })
}

// NewMemoryS3OnClock is like NewMemoryS3, but the times of its responses and objects are those of the clock now.
func NewMemoryS3OnClock(bucket string, now func() time.Time) (*S3, error) {
	clock := timeSource{now}
	s, err := newS3(s3mem.New(s3mem.WithTimeSource(clock)), bucket, func() error { return nil }, gofakes3.WithTimeSource(clock))
	if err != nil {
		return nil, err
	}
	s.now = now
	return s, nil
}

// timeSource is a clock as gofakes3 needs it.
type timeSource struct{ now func() time.Time }

func (t timeSource) Now() time.Time                        { return t.now() }
func (t timeSource) Since(earlier time.Time) time.Duration { return t.now().Sub(earlier) }

func newS3(store gofakes3.Backend, bucket string, closeStore func() error, options ...gofakes3.Option) (*S3, error) {
	if err := gofakes3.ValidateBucketName(bucket); err != nil {
		return nil, fmt.Errorf("bucket name %q: %w", bucket, err)
	}
	exists, err := store.BucketExists(bucket)
	if err != nil {
		return nil, fmt.Errorf("check whether bucket %s exists: %w", bucket, err)
	}
	if !exists {
		if err := store.CreateBucket(bucket); err != nil {
			return nil, fmt.Errorf("create bucket %s: %w", bucket, err)
		}
	}
	// No limit of the clock skew: in simulations, the client and this server use different clocks.
	options = append(options, gofakes3.WithTimeSkewLimit(0), gofakes3.WithLogger(gofakes3.DiscardLog()))
	server := gofakes3.New(s3Backend{store}, options...)
	return &S3{Traffic: NewTraffic(time.Now, s3Fault), handler: server.Server(), store: store, close: closeStore}, nil
}

// Close releases the file. No call may be in progress.
func (s *S3) Close() error { return s.close() }

// ServeHTTP handles one call of the S3 REST API.
func (s *S3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := s3Call(r)
	if s.now != nil {
		w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
	}
	s.Serve(w, r, call, func(w http.ResponseWriter) {
		if err := decodeChunked(r); err != nil {
			writeS3Error(w, http.StatusBadRequest, err.Code, err.Message)
			return
		}
		switch {
		case call.Operation == "DeleteObject" && r.Header.Get("If-Match") != "":
			s.writes.Lock()
			defer s.writes.Unlock()
			if !s.matches(call.Resource, r.Header.Get("If-Match")) {
				writeS3Error(w, http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
				return
			}
		case call.Operation == "PutObject":
			s.writes.RLock()
			defer s.writes.RUnlock()
		}
		s.handler.ServeHTTP(w, r)
	})
}

// matches reports whether an object exists and has the ETag.
func (s *S3) matches(path, etag string) bool {
	bucket, key, _ := strings.Cut(path, "/")
	o, err := s.store.HeadObject(bucket, key)
	return err == nil && (etag == "*" || etag == gofakes3.FormatETag(o.Hash))
}

func s3Call(r *http.Request) Call {
	path := strings.TrimPrefix(r.URL.Path, "/")
	_, key, _ := strings.Cut(path, "/")
	query := r.URL.Query()
	call := Call{Operation: r.Method, Resource: path}
	switch {
	case key != "":
		call.Operation = map[string]string{
			http.MethodGet: "GetObject", http.MethodPut: "PutObject",
			http.MethodHead: "HeadObject", http.MethodDelete: "DeleteObject",
		}[r.Method]
	case r.Method == http.MethodGet && query.Get("list-type") == "2":
		call.Operation = "ListObjectsV2"
	case r.Method == http.MethodHead:
		call.Operation = "HeadBucket"
	case r.Method == http.MethodPost && query.Has("delete"):
		call.Operation = "DeleteObjects"
	}
	return call
}

// s3Fault sends the error of a fault. Missing fields of the fault get S3's defaults.
func s3Fault(w http.ResponseWriter, _ Call, f Fault) {
	if f.Code == "" {
		f.Code = "InternalError"
		if f.PerSecond > 0 || f.Status == http.StatusServiceUnavailable {
			f.Code, f.Status = "SlowDown", http.StatusServiceUnavailable
		}
	}
	if f.Status == 0 {
		f.Status = map[string]int{
			"AccessDenied": http.StatusForbidden, "NoSuchBucket": http.StatusNotFound, "NoSuchKey": http.StatusNotFound,
			"InternalError": http.StatusInternalServerError, "SlowDown": http.StatusServiceUnavailable,
		}[f.Code]
	}
	f.Status = cmp.Or(f.Status, http.StatusBadRequest)
	if f.Message == "" {
		f.Message = map[string]string{
			"AccessDenied": "Access Denied", "SlowDown": "Please reduce your request rate.",
			"InternalError": "We encountered an internal error. Please try again.",
			"NoSuchBucket":  "The specified bucket does not exist",
		}[f.Code]
	}
	writeS3Error(w, f.Status, f.Code, f.Message)
}

func writeS3Error(w http.ResponseWriter, status int, code, message string) {
	body, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: message})
	if err != nil {
		panic(fmt.Sprintf("awslocal: encode an S3 error: %v", err)) // can't happen: both fields are strings
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = w.Write(body) // an error means that the client has disconnected
}

// s3Backend corrects differences between gofakes3's backends and S3.
type s3Backend struct{ gofakes3.Backend }

// lastByte is greater than any byte of a key, because keys are UTF-8. A prefix followed by lastByte sorts after all keys with
// that prefix.
const lastByte = "\xff"

// ListBucket groups keys by common prefix and splits the list into pages in the same way as S3. It lists the backend without
// a delimiter, because with one the backends can list a common prefix twice.
func (o s3Backend) ListBucket(bucket string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	if prefix == nil {
		prefix = &gofakes3.Prefix{}
	}
	list := gofakes3.NewObjectList()
	plain := &gofakes3.Prefix{HasPrefix: prefix.HasPrefix, Prefix: prefix.Prefix}
	chunk := int64(gofakes3.MaxBucketKeys)
	if page.MaxKeys > 0 {
		chunk = page.MaxKeys + 1 // one more, to detect whether another page follows
	}
	last, listed := page.Marker, int64(0) // last sorts after everything that is listed so far
	for {
		part := gofakes3.ListBucketPage{Marker: last, HasMarker: last != "", MaxKeys: chunk}
		found, err := o.Backend.ListBucket(bucket, plain, part)
		if err != nil {
			return nil, err
		}
		for _, object := range found.Contents {
			if object.Key <= last {
				continue // belongs to the common prefix that was just listed
			}
			if page.MaxKeys > 0 && listed == page.MaxKeys {
				list.IsTruncated, list.NextMarker = true, last
				return list, nil
			}
			listed++
			if group := commonPrefix(object.Key, prefix); group != "" {
				list.AddPrefix(group)
				last = group + lastByte
				continue
			}
			list.Add(object)
			last = object.Key
		}
		if int64(len(found.Contents)) < chunk {
			return list, nil
		}
	}
}

// commonPrefix returns the common prefix under which a key is listed, or "" if the key itself is listed.
func commonPrefix(key string, p *gofakes3.Prefix) string {
	if !p.HasDelimiter {
		return ""
	}
	head, _, ok := strings.Cut(key[len(p.Prefix):], p.Delimiter)
	if !ok {
		return ""
	}
	return p.Prefix + head + p.Delimiter
}

// metadataKey is the only metadata key of an object in a backend. Its value contains all metadata as JSON. When an object is
// overwritten, the backends keep the old object's metadata keys that the new object doesn't have. Without this wrapper, the
// new object could have the checksum or content type of the old one.
const metadataKey = "Kept"

// PutObject stores an object. Like S3, it returns NoSuchKey if there is a condition If-Match and the object doesn't exist.
func (o s3Backend) PutObject(bucket, key string, meta map[string]string, input io.Reader, size int64,
	conditions *gofakes3.PutConditions) (gofakes3.PutObjectResult, error) {
	metadata := map[string]string{}
	for name, value := range meta {
		if !strings.HasPrefix(name, "X-Amz-") || strings.HasPrefix(name, "X-Amz-Meta-") {
			metadata[name] = value
		}
	}
	result, err := o.Backend.PutObject(bucket, key, map[string]string{metadataKey: MustJSON(metadata)}, input, size, conditions)
	if gofakes3.HasErrorCode(err, gofakes3.ErrPreconditionFailed) && conditions != nil && conditions.IfMatch != nil {
		if _, missing := o.Backend.HeadObject(bucket, key); gofakes3.HasErrorCode(missing, gofakes3.ErrNoSuchKey) {
			return result, missing
		}
	}
	return result, err
}

// CopyObject copies an object with GetObject and PutObject of this type, so that the metadata is converted.
func (o s3Backend) CopyObject(fromBucket, from, toBucket, to string, meta map[string]string) (gofakes3.CopyObjectResult, error) {
	return gofakes3.CopyObject(o, fromBucket, from, toBucket, to, meta)
}

// HeadObject returns an object's metadata.
func (o s3Backend) HeadObject(bucket, key string) (*gofakes3.Object, error) {
	obj, err := o.Backend.HeadObject(bucket, key)
	if err != nil {
		return nil, err
	}
	return obj, restoreMeta(obj)
}

// GetObject returns an object with a checksum. SDKs verify the checksum and log a warning if it is missing.
func (o s3Backend) GetObject(bucket, key string, part *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	obj, err := o.Backend.GetObject(bucket, key, part)
	if err != nil {
		return nil, err
	}
	if err := restoreMeta(obj); err != nil || part != nil {
		return obj, err
	}
	body, err := io.ReadAll(obj.Contents)
	if err := errors.Join(err, obj.Contents.Close()); err != nil {
		return nil, fmt.Errorf("read object %s: %w", key, err)
	}
	obj.Contents = io.NopCloser(bytes.NewReader(body))
	obj.Metadata["X-Amz-Checksum-Crc32"] = crc32Of(body)
	obj.Metadata["X-Amz-Checksum-Type"] = "FULL_OBJECT"
	return obj, nil
}

func restoreMeta(obj *gofakes3.Object) error {
	meta := map[string]string{}
	if encoded, ok := obj.Metadata[metadataKey]; ok {
		if err := json.Unmarshal([]byte(encoded), &meta); err != nil {
			return fmt.Errorf("metadata of object %s: %w", obj.Name, err)
		}
	}
	obj.Metadata = meta
	return nil
}
