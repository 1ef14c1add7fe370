package s3store

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/go-json-experiment/json" // encoding/json takes three times as long to read a record
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// RecordPrefix is what the keys of everything begin with that is remembered: record/<registry>/<region>/<repository>/index for a repository, and
// beside it the histories of its images. In a repository's name each / is a ~, which no name has. SetAsidePrefix is where what is broken goes.
const (
	RecordPrefix   = "record/"
	SetAsidePrefix = "set-aside/"
)

// Format is the version of the form of what is stored. It is in the first line of each object; what has a later one is left alone.
const Format = 1

// Bounds of what is read of a stored object, in bytes: as it is stored, and as it is without compression.
const (
	maxStored   = 32 << 20
	maxUnpacked = 128 << 20
)

const (
	indexName = "index"
	magic     = "ecr-continuous-scan record "
)

// sweepAge is how old a history must be to be removed when its record doesn't name it: younger, its writer may be about to write the record.
const sweepAge = time.Hour

// Records reads what is recorded. It implements [refresh.Records], and stores nothing.
type Records struct {
	s3     *s3.Client
	bucket string
	kept   kept
}

// NewRecords makes the reader of a bucket that exists.
func NewRecords(client *s3.Client, bucket string) *Records {
	return &Records{s3: client, bucket: bucket}
}

// RecordWriter reads and writes what is recorded. It implements [rescan.RecordWriter].
type RecordWriter struct {
	*Records
	log *slog.Logger
	// zips are gzip writers to be used again: each takes most of a MiB, and a visit stores a history for each image.
	zips sync.Pool
}

// NewRecordWriter makes the writer of a bucket that exists.
func NewRecordWriter(client *s3.Client, bucket string, log *slog.Logger) *RecordWriter {
	return &RecordWriter{Records: NewRecords(client, bucket), log: log}
}

// index is the stored form of a record.
type index struct {
	Begin    history.Stamp    `json:"begin"`
	Configs  []string         `json:"configs"`
	Failure  history.Failure  `json:"failure"`
	Images   images           `json:"images"`
	Listed   history.Stamp    `json:"listed"`
	Gone     history.Stamp    `json:"gone"`
	Absences []history.Period `json:"absences"`
	Changed  history.Stamp    `json:"changed"`
	Swept    history.Stamp    `json:"swept"`
	Taken    history.Seconds  `json:"taken"`
}

func folder(repo scan.Repository) string {
	return RecordPrefix + repo.Registry + "/" + repo.Region + "/" + strings.ReplaceAll(repo.Name, "/", "~") + "/"
}

// errBroken marks an object that is none of ours, or not any more; errNewer one of a later format.
var (
	errBroken = errors.New("not a record")
	errNewer  = errors.New("written by a later version of this service")
)

// Load implements [refresh.Records]. A record that is broken is Unavailable.
func (s *Records) Load(ctx context.Context, repo scan.Repository) (history.Record, error) {
	r, o, err := s.load(ctx, repo)
	if errors.Is(err, errBroken) {
		return history.Record{}, recordError("read", folder(repo)+indexName, fmt.Errorf("%w, %d bytes: a visit rebuilds it", err, len(o.body)))
	}
	return r, err
}

// load is Load with the object that was read. A further error is errBroken.
func (s *Records) load(ctx context.Context, repo scan.Repository) (history.Record, object, error) {
	key := folder(repo) + indexName
	last := s.kept.of(key)
	o, err := getObject(ctx, s.s3, s.bucket, key, last.Version, maxStored)
	switch {
	case isCode(err, "NotModified"):
		last.Now = o.now
		return last, o, nil
	case isCode(err, "NoSuchKey"):
		return history.Record{Now: o.now}, o, nil
	case err != nil:
		return history.Record{}, o, recordError("read", key, err)
	}
	var x index
	switch err := unpack(o.body, &x); {
	case errors.Is(err, errNewer):
		return history.Record{}, o, laterFormat("the repository", key, err)
	case err != nil:
		return history.Record{}, o, err
	}
	r := x.record(o)
	s.kept.keep(key, r)
	return r, o, nil
}

func laterFormat(of, key string, cause error) error {
	return &scan.Error{
		Code: scan.Unavailable, Message: "what is recorded of " + of + " was written by a later version of this service",
		Err: fmt.Errorf("%s: %w: %w", key, history.ErrLaterFormat, cause),
	}
}

// Load implements [rescan.RecordWriter].
func (s *RecordWriter) Load(ctx context.Context, repo scan.Repository) (history.Record, error) {
	r, o, err := s.load(ctx, repo)
	if errors.Is(err, errBroken) {
		return s.rebuild(ctx, repo, folder(repo)+indexName, o, err)
	}
	return r, err
}

func newIndex(r history.Record) index {
	return index{
		Begin: r.Begin, Configs: r.Configs, Failure: r.Failure, Images: r.Images, Listed: r.Listed, Gone: r.Gone, Absences: r.Absences, Changed: r.Changed, Swept: r.Swept, Taken: r.Taken,
	}
}

func (x index) record(o object) history.Record {
	return history.Record{
		Begin: x.Begin, Configs: x.Configs, Failure: x.Failure, Images: x.Images, Listed: x.Listed, Gone: x.Gone, Absences: x.Absences,
		Changed: x.Changed, Swept: x.Swept, Taken: x.Taken, Version: o.version, Now: o.now,
	}
}

// rebuild sets a broken record aside and puts together what its histories tell. The visit stores it.
func (s *RecordWriter) rebuild(ctx context.Context, repo scan.Repository, key string, o object, cause error) (history.Record, error) {
	if err := s.setAside(ctx, key, o, cause); err != nil {
		return history.Record{}, err
	}
	r := history.Record{Images: make(map[string]history.ImageRecord), Version: o.version, Now: o.now}
	names, err := s.histories(ctx, repo)
	if err != nil {
		return history.Record{}, err
	}
	histories := make([]history.History, len(names))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(CallsAtOnce)
	for i, name := range names {
		g.Go(func() error {
			h, err := s.History(gctx, repo, name)
			if scan.CodeOf(err) == scan.NotFound {
				return nil
			}
			histories[i] = h
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return history.Record{}, err
	}
	latest := make(map[string]history.Stamp)
	for i, h := range histories {
		label := scan.Image{Tag: h.Tag, Platform: h.Platform}.Label()
		if h.Since > 0 && h.Told > latest[label] {
			latest[label] = h.Told
			r.Recall(names[i], h)
		}
	}
	return r, nil
}

// histories are the names of the histories of a repository.
func (s *RecordWriter) histories(ctx context.Context, repo scan.Repository) ([]string, error) {
	var names []string
	err := s.each(ctx, repo, func(name string, _ types.Object) {
		if name != indexName {
			names = append(names, name)
		}
	})
	return names, err
}

// setAside copies an object to where it is out of the way. What was there before of the same name is replaced.
func (s *RecordWriter) setAside(ctx context.Context, key string, o object, cause error) error {
	s.log.ErrorContext(ctx, "set aside an object that is broken or not of this service", "bucket", s.bucket, "key", key, "to", SetAsidePrefix+key, "error", cause)
	_, err := s.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.bucket, Key: aws.String(SetAsidePrefix + key), Body: bytes.NewReader(o.body)})
	if err != nil {
		return recordError("set aside", key, err)
	}
	return nil
}

// Save implements [rescan.RecordWriter] by S3's conditional writes.
func (s *RecordWriter) Save(ctx context.Context, repo scan.Repository, r history.Record) (string, error) {
	key := folder(repo) + indexName
	body, err := s.pack(newIndex(r))
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", key, err)
	}
	in := s3.PutObjectInput{Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(body), ContentType: aws.String("application/gzip")}
	if r.Version == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &r.Version
	}
	out, err := s.s3.PutObject(ctx, &in)
	switch {
	case err == nil:
		return aws.ToString(out.ETag), nil
	case !overtaken(err):
		return "", recordError("write", key, err)
	}
	return s.isSaved(ctx, key, body)
}

// isSaved tells whether it was this very record that came first: when the answer to a write is lost, the SDK writes again.
func (s *RecordWriter) isSaved(ctx context.Context, key string, want []byte) (string, error) {
	o, err := getObject(ctx, s.s3, s.bucket, key, "", maxStored)
	switch {
	case isCode(err, "NoSuchKey"):
		return "", nil
	case err != nil:
		return "", recordError("read", key, err)
	case bytes.Equal(o.body, want):
		return o.version, nil
	}
	return "", nil
}

// History implements [refresh.Records].
func (s *Records) History(ctx context.Context, repo scan.Repository, name string) (history.History, error) {
	h, _, err := s.history(ctx, repo, name)
	return h, err
}

// History implements [rescan.RecordWriter]: one that is broken is set aside.
func (s *RecordWriter) History(ctx context.Context, repo scan.Repository, name string) (history.History, error) {
	h, o, err := s.history(ctx, repo, name)
	if errors.Is(err, errBroken) {
		if err := s.setAside(ctx, folder(repo)+name, o, err); err != nil {
			return history.History{}, err
		}
	}
	return h, err
}

// history is History with the object that was read. Its NotFound wraps errBroken when the object is broken.
func (s *Records) history(ctx context.Context, repo scan.Repository, name string) (history.History, object, error) {
	if uuid.Validate(name) != nil {
		return history.History{}, object{}, noHistory(fmt.Errorf("%q is no name of one", name))
	}
	key := folder(repo) + name
	o, err := getObject(ctx, s.s3, s.bucket, key, "", maxStored)
	if err != nil {
		return history.History{}, o, recordError("read", key, err)
	}
	var h history.History
	switch err := unpack(o.body, &h); {
	case errors.Is(err, errNewer):
		return history.History{}, o, laterFormat("the image", key, err)
	case err != nil:
		return history.History{}, o, noHistory(fmt.Errorf("%s: %w", key, err))
	}
	return h, o, nil
}

func noHistory(cause error) error {
	return &scan.Error{Code: scan.NotFound, Message: "no such history", Err: cause}
}

// AddHistory implements [rescan.RecordWriter].
func (s *RecordWriter) AddHistory(ctx context.Context, repo scan.Repository, h history.History) (string, error) {
	name := uuid.NewString()
	key := folder(repo) + name
	body, err := s.pack(h)
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", key, err)
	}
	_, err = s.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(body), ContentType: aws.String("application/gzip")})
	if err != nil {
		return "", recordError("write", key, err)
	}
	return name, nil
}

// Sweep implements [rescan.RecordWriter]. Histories are written once, so one that was written since the last sweep and before it was named is
// read, to see that nobody has broken it.
func (s *RecordWriter) Sweep(ctx context.Context, repo scan.Repository, r, earlier history.Record) ([]string, error) {
	needed := map[string]bool{indexName: true}
	labels := make(map[string]string, len(r.Images)) // of the histories that the record names
	for _, named := range []history.Record{earlier, r} {
		for _, image := range named.Images {
			needed[image.History] = true
		}
	}
	for label, image := range r.Images {
		if image.History != "" {
			labels[image.History] = label
		}
	}
	var unneeded, changed []string
	err := s.each(ctx, repo, func(name string, o types.Object) {
		switch at := aws.ToTime(o.LastModified); {
		case !needed[name] && at.Before(r.Now.Add(-sweepAge)):
			unneeded = append(unneeded, name)
		case labels[name] != "" && history.StampOf(at) < earlier.Swept:
			delete(labels, name) // it was there at the last sweep
		case labels[name] != "":
			changed = append(changed, name)
		}
	})
	if err != nil {
		return nil, err
	}
	whole, err := s.whole(ctx, repo, changed)
	if err != nil {
		return nil, err
	}
	for _, name := range whole {
		delete(labels, name)
	}
	return slices.Sorted(maps.Values(labels)), s.remove(ctx, repo, unneeded)
}

// whole are those histories that can be read. What is broken is set aside.
func (s *RecordWriter) whole(ctx context.Context, repo scan.Repository, names []string) ([]string, error) {
	var mu sync.Mutex
	var whole []string
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(CallsAtOnce)
	for _, name := range names {
		g.Go(func() error {
			_, err := s.History(ctx, repo, name)
			if scan.CodeOf(err) == scan.NotFound {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			whole = append(whole, name)
			return err
		})
	}
	return whole, g.Wait()
}

// Repositories implements [rescan.RecordWriter].
func (s *RecordWriter) Repositories(ctx context.Context) ([]scan.Repository, error) {
	prefixes := []string{RecordPrefix}
	for range 3 { // registry, Region, repository
		var below []string
		for _, prefix := range prefixes {
			found, err := s.folders(ctx, prefix)
			if err != nil {
				return nil, recordError("list", prefix, err)
			}
			below = append(below, found...)
		}
		prefixes = below
	}
	repositories := make([]scan.Repository, 0, len(prefixes))
	for _, prefix := range prefixes {
		parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(prefix, RecordPrefix), "/"), "/")
		repo := scan.Repository{Registry: parts[0], Region: parts[1], Name: strings.ReplaceAll(parts[2], "~", "/")}
		if (scan.Config{Registry: repo.Registry, Region: repo.Region, Repository: repo.Name}).Validate() == nil { // else it is somebody else's
			repositories = append(repositories, repo)
		}
	}
	return repositories, nil
}

// Remove implements [rescan.RecordWriter]. The record itself goes first, so that none is ever there that names histories that are not. What is left
// when this fails is found again.
func (s *RecordWriter) Remove(ctx context.Context, repo scan.Repository) error {
	names, err := s.histories(ctx, repo)
	if err != nil {
		return err
	}
	if err := s.remove(ctx, repo, []string{indexName}); err != nil {
		return err
	}
	return s.remove(ctx, repo, names)
}

// removesAtOnce is how many objects are removed side by side.
const removesAtOnce = 32

func (s *RecordWriter) remove(ctx context.Context, repo scan.Repository, names []string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(removesAtOnce)
	for _, name := range names {
		g.Go(func() error {
			key := folder(repo) + name
			if _, err := s.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &key}); err != nil {
				return recordError("remove", key, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// each visits the record and every history of a repository, but no object that somebody else put there.
func (s *RecordWriter) each(ctx context.Context, repo scan.Repository, visit func(name string, o types.Object)) error {
	prefix := folder(repo)
	pages := s3.NewListObjectsV2Paginator(s.s3, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix, EncodingType: types.EncodingTypeUrl})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return recordError("list", prefix, err)
		}
		for _, o := range page.Contents {
			key := aws.ToString(o.Key)
			if name := key[strings.LastIndex(key, "/")+1:]; name == indexName || uuid.Validate(name) == nil && len(name) == 36 {
				visit(name, o)
			}
		}
	}
	return nil
}

// folders are the prefixes that lie directly below one.
func (s *RecordWriter) folders(ctx context.Context, prefix string) ([]string, error) {
	pages := s3.NewListObjectsV2Paginator(s.s3, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix, Delimiter: aws.String("/"), EncodingType: types.EncodingTypeUrl})
	var found []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range page.CommonPrefixes {
			if name, err := url.PathUnescape(aws.ToString(p.Prefix)); err == nil {
				found = append(found, name)
			}
		}
	}
	return found, nil
}

// pack is the stored form of a value: a line that says what it is, and its JSON, compressed. What could not be read again isn't written.
func (s *RecordWriter) pack(v any) ([]byte, error) {
	var b bytes.Buffer
	zip, isUsed := s.zips.Get().(*gzip.Writer)
	if !isUsed {
		zip = gzip.NewWriter(nil)
	}
	defer s.zips.Put(zip)
	zip.Reset(&b)
	if _, err := fmt.Fprintf(zip, "%s%d\n", magic, Format); err != nil {
		return nil, err
	}
	text, err := json.Marshal(v, json.OmitZeroStructFields(true), json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, err
	}
	if _, err := zip.Write(text); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	if len(text) > maxUnpacked || b.Len() > maxStored {
		return nil, fmt.Errorf("%d bytes, and %d without compression, are too many", b.Len(), len(text))
	}
	return b.Bytes(), nil
}

// unpack reads what pack wrote. Errors: errNewer, errBroken.
func unpack(stored []byte, v any) error {
	if len(stored) > maxStored {
		return fmt.Errorf("%w: larger than %d bytes", errBroken, maxStored)
	}
	zip, err := gzip.NewReader(bytes.NewReader(stored))
	if err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	lines := bufio.NewReader(zip)
	line, err := lines.ReadSlice('\n') // of what is none of ours no more is read than a line's worth
	if err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	number, ours := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), magic)
	format, err := strconv.Atoi(number)
	switch {
	case !ours || err != nil || format < 1:
		return errBroken
	case format > Format:
		return fmt.Errorf("%w: format %d", errNewer, format)
	}
	text := io.LimitedReader{R: lines, N: maxUnpacked + 1}
	err = json.UnmarshalRead(&text, v, jsontext.AllowInvalidUTF8(true))
	switch {
	case text.N == 0:
		return fmt.Errorf("%w: larger than %d bytes without compression", errBroken, maxUnpacked)
	case err != nil:
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return nil
}

func recordError(doing, key string, cause error) error {
	code := scan.Unavailable
	if isCode(cause, "NoSuchKey") {
		code = scan.NotFound
	}
	return &scan.Error{
		Code: code, Message: "what is recorded can't be read or written now", Err: fmt.Errorf("%s %s: %w", doing, key, cause),
	}
}
