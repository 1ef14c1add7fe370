// Package s3store keeps scan configs and records in an S3 bucket: a config is the JSON object <scanid>.json at the bucket's root, records lie
// below record/, and what is broken of them below set-aside/. Everything else in the bucket is neither read nor touched.
//
// It keeps nothing in memory, so that every function sees the same configs at once. The rules of a config are the domain's (package scan).
package s3store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/scan"
)

// CallsAtOnce is how many objects are read side by side.
const CallsAtOnce = 128

// maxObject bounds what is read of an object, in bytes. A config with a thousand of the longest tags has 131,000.
const maxObject = 256 << 10

// maxCreated is the end of the year 9999 in Unix seconds: no feed can write a later time.
const maxCreated = 253402300799

const suffix = ".json"

// Configs reads the configs in one bucket. It implements [report.ConfigReader], [rescan.StoredConfigs] and
// [httpapi.ConfigStore].
type Configs struct {
	s3     *s3.Client
	bucket string
	log    *slog.Logger
}

// ConfigWriter reads and writes configs. It implements [httpapi.ConfigStore].
type ConfigWriter struct{ *Configs }

// NewConfigWriter makes the writer of a bucket that exists.
func NewConfigWriter(client *s3.Client, bucket string, log *slog.Logger) ConfigWriter {
	return ConfigWriter{NewConfigs(client, bucket, log)}
}

// NewConfigs makes the reader of a bucket that exists.
func NewConfigs(client *s3.Client, bucket string, log *slog.Logger) *Configs {
	return &Configs{s3: client, bucket: bucket, log: log}
}

// errForeign marks an object that is no config of ours, or not any more.
var errForeign = errors.New("not a scan config")

// List implements [report.ConfigReader]. Objects that are no configs are logged and left out. One that can't be read for now fails the list: a
// config that goes missing from the answer would look deleted, or its images clean.
func (s *Configs) List(ctx context.Context) ([]scan.Config, error) {
	ids, err := s.ids(ctx)
	if err != nil {
		return nil, err
	}
	found := make([]*scan.Config, len(ids))
	refused := make([]error, len(ids))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(CallsAtOnce)
	for i, id := range ids {
		g.Go(func() error {
			c, err := s.read(gctx, id)
			switch {
			case err == nil:
				found[i] = &c
			case errors.Is(err, errForeign):
				s.log.WarnContext(ctx, "left alone an object that is no scan config", "bucket", s.bucket, "key", id+suffix, "error", err)
			case scan.CodeOf(err) == scan.NotFound: // deleted since it was listed
			case scan.CodeOf(err) == scan.NoAccess:
				refused[i] = err
			default:
				return err
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return s.gather(ctx, ids, found, refused)
}

// gather tells one odd object that S3 refuses to give out from a function that may read none.
func (s *Configs) gather(ctx context.Context, ids []string, found []*scan.Config, refused []error) ([]scan.Config, error) {
	configs := make([]scan.Config, 0, len(ids))
	var refusal error
	for i, id := range ids {
		if found[i] != nil {
			configs = append(configs, *found[i])
		}
		if refused[i] != nil {
			refusal = refused[i]
			s.log.WarnContext(ctx, "left alone an object that S3 does not give out", "bucket", s.bucket, "key", id+suffix, "error", refusal)
		}
	}
	if refusal != nil && len(configs) == 0 {
		return nil, unavailable("read the scan configs", refusal)
	}
	scan.SortConfigs(configs)
	return configs, nil
}

// ids lists the names at the root that can be configs, page by page. The delimiter keeps whatever lies under prefixes out of the pages.
func (s *Configs) ids(ctx context.Context) ([]string, error) {
	pages := s3.NewListObjectsV2Paginator(s.s3, &s3.ListObjectsV2Input{
		Bucket: &s.bucket, Delimiter: aws.String("/"),
		// Without it one key with a control character, which XML can't hold, would make every list fail. The keys of configs need no decoding.
		EncodingType: types.EncodingTypeUrl,
	})
	var ids []string
	foreign, example := 0, ""
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, unavailable("list the scan configs", err)
		}
		for _, object := range page.Contents {
			key := aws.ToString(object.Key)
			if id, ok := strings.CutSuffix(key, suffix); ok && scan.ValidID(id) {
				ids = append(ids, id)
				continue
			}
			foreign, example = foreign+1, key
		}
	}
	if foreign > 0 {
		s.log.InfoContext(ctx, "left alone objects that are no scan configs", "bucket", s.bucket, "objects", foreign, "oneOfThem", example)
	}
	return ids, nil
}

// Get implements [report.ConfigReader].
func (s *Configs) Get(ctx context.Context, id string) (scan.Config, error) {
	c, err := s.read(ctx, id)
	switch {
	case errors.Is(err, errForeign):
		s.log.WarnContext(ctx, "left alone an object that is no scan config", "bucket", s.bucket, "key", id+suffix, "error", err)
		return scan.Config{}, notFound(err)
	case scan.CodeOf(err) == scan.NoAccess:
		return scan.Config{}, unavailable("read a scan config", err)
	}
	return c, err
}

// Stored implements [rescan.StoredConfigs].
func (s *Configs) Stored(ctx context.Context, id string) (scan.Config, error) {
	c, err := s.read(ctx, id)
	if err != nil && scan.CodeOf(err) != scan.NotFound {
		return scan.Config{}, unavailable("read scan config "+id, err)
	}
	return c, err
}

// Put implements [httpapi.ConfigStore].
func (s ConfigWriter) Put(ctx context.Context, c scan.Config) error {
	body, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encode scan config %s: %w", c.ID, err)
	}
	_, err = s.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: aws.String(c.ID + suffix), Body: bytes.NewReader(body), ContentType: aws.String("application/json"),
	})
	if err != nil {
		return unavailable("store scan config "+c.ID, err)
	}
	return nil
}

// Delete implements [httpapi.ConfigStore]. S3 itself doesn't tell whether there was anything to delete, so it is read first; an object that is
// no config is NotFound and stays. Of two calls at the same time both may have found it.
func (s ConfigWriter) Delete(ctx context.Context, id string) error {
	if _, err := s.Get(ctx, id); err != nil {
		return err
	}
	_, err := s.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: aws.String(id + suffix)})
	if err != nil {
		return unavailable("delete scan config "+id, err)
	}
	return nil
}

// read is one config. Errors: errForeign, NotFound, NoAccess when S3 refuses this object, Unavailable.
func (s *Configs) read(ctx context.Context, id string) (scan.Config, error) {
	if !scan.ValidID(id) {
		return scan.Config{}, notFound(nil)
	}
	o, err := getObject(ctx, s.s3, s.bucket, id+suffix, "", maxObject)
	if err != nil {
		return scan.Config{}, readError(id, err)
	}
	return decode(id, o.body)
}

func readError(id string, err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "NoSuchKey", "NotFound":
			return notFound(err)
		case "InvalidObjectState", "InvalidRequest": // in Glacier; encrypted by a key that must come with the request
			return fmt.Errorf("%w: %w", errForeign, err)
		case "AccessDenied": // of another account, encrypted by a key of another: or the function may read none
			return &scan.Error{Code: scan.NoAccess, Message: "S3 refuses the object", Err: err}
		}
	}
	return unavailable("read scan config "+id, err)
}

// decode reads a stored object. It is lenient about what the demo's functions let pass, an empty list of tags or one given twice, and
// strict about what would reach AWS.
func decode(id string, body []byte) (scan.Config, error) {
	if len(body) > maxObject {
		return scan.Config{}, fmt.Errorf("%w: larger than %d bytes", errForeign, maxObject)
	}
	var c scan.Config
	if err := json.Unmarshal(body, &c); err != nil {
		return scan.Config{}, fmt.Errorf("%w: %w", errForeign, err)
	}
	if c.Created < 0 || c.Created > maxCreated {
		return scan.Config{}, fmt.Errorf("%w: it was created in no year that can be written", errForeign)
	}
	if c.ID != id {
		return scan.Config{}, fmt.Errorf("%w: its id is not its name", errForeign)
	}
	c.Tags = distinct(c.Tags)
	if err := c.Validate(); err != nil {
		return scan.Config{}, fmt.Errorf("%w: %w", errForeign, err)
	}
	return c, nil
}

// distinct drops tags that are given twice; none at all is nil.
func distinct(tags []string) []string {
	var kept []string
	seen := make(map[string]bool, len(tags))
	for _, tag := range tags {
		if !seen[tag] {
			seen[tag] = true
			kept = append(kept, tag)
		}
	}
	return kept
}

func notFound(cause error) error {
	return &scan.Error{Code: scan.NotFound, Message: "There is no scan config with this id.", Err: cause}
}

func unavailable(doing string, cause error) error {
	return &scan.Error{
		Code: scan.Unavailable, Message: "The scan configs can't be read or written just now. Try again later.",
		Err: fmt.Errorf("%s: %w", doing, cause),
	}
}
