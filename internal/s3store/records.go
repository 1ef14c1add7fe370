package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// RecordPrefix is the key prefix of all records and histories. The record of a repository has the key
// record/<registry>/<region>/<repository>/index. The packs with the histories of its images have the same prefix and a UUID
// as name. In the repository's name each / is replaced by ~, which ECR does not allow in names. SetAsidePrefix is the key
// prefix of copies of broken objects.
const (
	RecordPrefix   = "record/"
	SetAsidePrefix = "set-aside/"
)

const indexName = "index"

// Records reads records and histories. It implements [refresh.Records]. It writes nothing.
type Records struct {
	s3     *s3.Client
	bucket string
	cache  recordCache
	// reads is a semaphore that limits how many parts of packs are read concurrently.
	reads chan struct{}
	// unpackers has the unpackers of histories that are not in use.
	unpackers sync.Pool
}

// NewRecords returns a reader for an existing bucket.
func NewRecords(client *s3.Client, bucket string) *Records {
	return &Records{s3: client, bucket: bucket, reads: make(chan struct{}, historyReadsAtOnce)}
}

// RecordWriter reads and writes records and histories. It implements [rescan.RecordWriter].
type RecordWriter struct {
	*Records
	log *slog.Logger
	packer
}

// NewRecordWriter returns a RecordWriter for an existing bucket.
func NewRecordWriter(client *s3.Client, bucket string, log *slog.Logger) *RecordWriter {
	return &RecordWriter{Records: NewRecords(client, bucket), log: log}
}

// storedRecord is the stored form of a [history.Record].
type storedRecord struct {
	Begin        history.Stamp        `json:"begin"`
	Configs      []string             `json:"configs"`
	Failure      history.Failure      `json:"failure"`
	Unfinished   bool                 `json:"unfinished"`
	Images       storedImages         `json:"images"`
	Listed       history.Stamp        `json:"listed"`
	NotWatched   *int                 `json:"notWatched"`
	NotCovered   bool                 `json:"notCovered"`
	Selections   []history.Selection  `json:"selections"`
	First        history.Stamp        `json:"first"`
	MissingSince history.Stamp        `json:"gone"`
	Absences     []history.Period     `json:"absences"`
	Appeared     history.Stamp        `json:"appeared"`
	Dates        []history.ChangeDate `json:"dates"`
	Changed      history.Stamp        `json:"changed"`
	Swept        history.Stamp        `json:"swept"`
	Returned     history.Stamp        `json:"returned,omitempty"`
	Examined     []history.Stamp      `json:"examined,omitempty"`
	UsedSeconds  history.SecondSet    `json:"taken"`
}

func folder(repo scan.Repository) string {
	return RecordPrefix + repo.Registry + "/" + repo.Region + "/" + strings.ReplaceAll(repo.Name, "/", "~") + "/"
}

// Load implements [refresh.Records]. The error for a broken record is Unavailable.
func (s *Records) Load(ctx context.Context, repo scan.Repository) (history.Record, error) {
	r, o, err := s.load(ctx, repo)
	if errors.Is(err, errBroken) {
		return history.Record{}, recordError("read", folder(repo)+indexName, fmt.Errorf("%w, %d bytes: the next visit rebuilds it", err, len(o.body)))
	}
	return r, err
}

// load is like Load, but also returns the object that was read. For a broken record it returns errBroken.
func (s *Records) load(ctx context.Context, repo scan.Repository) (history.Record, object, error) {
	key := folder(repo) + indexName
	last := s.cache.load(key)
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
	var x storedRecord
	switch err := unpack(o.body, &x); {
	case errors.Is(err, errNewer):
		return history.Record{}, o, laterFormat("record of the repository", key, err)
	case err != nil:
		return history.Record{}, o, err
	}
	r := x.record(o)
	s.cache.save(key, r)
	return r, o, nil
}

func laterFormat(what, key string, cause error) error {
	return &scan.Error{
		Code: scan.Unavailable, Message: "the " + what + " was written by a later version of this service",
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

func newStoredRecord(r history.Record) storedRecord {
	return storedRecord{
		Begin: r.Begin, Configs: r.Configs, Failure: r.Failure, Unfinished: r.Unfinished, Images: r.Images, Listed: r.Listed, NotWatched: r.NotWatched, NotCovered: r.NotCovered, Selections: r.Selections, First: r.First, MissingSince: r.MissingSince, Absences: r.Absences, Appeared: r.Appeared, Dates: r.Dates, Changed: r.Changed, Swept: r.Swept, Returned: r.Returned, Examined: r.Examined, UsedSeconds: r.UsedSeconds,
	}
}

func (x storedRecord) record(o object) history.Record {
	return history.Record{
		Begin: x.Begin, Configs: x.Configs, Failure: x.Failure, Unfinished: x.Unfinished, Images: x.Images, Listed: x.Listed, NotWatched: x.NotWatched, NotCovered: x.NotCovered, Selections: x.Selections, First: x.First, MissingSince: x.MissingSince, Absences: x.Absences, Appeared: x.Appeared, Dates: x.Dates,
		Changed: x.Changed, Swept: x.Swept, Returned: x.Returned, Examined: x.Examined, UsedSeconds: x.UsedSeconds, Version: o.version, Now: o.now,
	}
}

// setAside copies an object to SetAsidePrefix. It overwrites an earlier copy of the same key.
func (s *RecordWriter) setAside(ctx context.Context, key string, body []byte, cause error) error {
	s.log.ErrorContext(ctx, "set aside a broken object", "bucket", s.bucket, "key", key, "to", SetAsidePrefix+key, "error", cause)
	_, err := s.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.bucket, Key: aws.String(SetAsidePrefix + key), Body: bytes.NewReader(body)})
	if err != nil {
		return recordError("set aside", key, err)
	}
	return nil
}

// formatOf returns the format of a stored record. Version 1.0.0 does not know packs: after a rollback it must leave a record
// with packs alone. Otherwise it would take the histories for lost.
func formatOf(r history.Record) int {
	for _, i := range r.Images {
		if strings.Contains(i.History, "/") {
			return packsFormat
		}
	}
	return 1
}

// Save implements [rescan.RecordWriter] with S3's conditional writes.
func (s *RecordWriter) Save(ctx context.Context, repo scan.Repository, r history.Record) (string, error) {
	key := folder(repo) + indexName
	body, err := s.pack(formatOf(r), newStoredRecord(r))
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", key, err)
	}
	return s.write(ctx, key, r.Version, body)
}

// write writes an object if the stored object has this version, or if there is none and the version is empty. It returns
// the new version, or "" if another writer has stored another object.
func (s *RecordWriter) write(ctx context.Context, key, version string, body []byte) (string, error) {
	written, err := putObject(ctx, s.s3, s.bucket, key, "application/gzip", version, body)
	switch {
	case err == nil:
		return written, nil
	case !isWriteConflict(err):
		return "", recordError("write", key, err)
	}
	return s.isSaved(ctx, key, body)
}

// isSaved returns the version of the stored record if its content is want, and an empty version otherwise. The SDK
// repeats a write whose response is lost, and the repeated write then conflicts with the first one.
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

// Remove implements [rescan.RecordWriter]. It deletes the record before the packs, so that no record references a
// deleted pack. If it fails, a later call finds and deletes the remaining packs.
func (s *RecordWriter) Remove(ctx context.Context, repo scan.Repository) error {
	names, err := s.packNames(ctx, repo)
	if err != nil {
		return err
	}
	if err := s.remove(ctx, repo, []string{indexName}); err != nil {
		return err
	}
	return s.remove(ctx, repo, names)
}

func recordError(doing, key string, cause error) error {
	code := scan.Unavailable
	if isCode(cause, "NoSuchKey") {
		code = scan.NotFound
	}
	return &scan.Error{
		Code: code, Message: "the stored record can't be read or written now", Err: fmt.Errorf("%s %s: %w", doing, key, cause),
	}
}
