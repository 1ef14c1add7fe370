// Package s3store reads and writes scan configs, records and suppressions in an S3 bucket. A config is the JSON object <id>.json at
// the bucket's root. Records have the prefix record/. Copies of broken records have the prefix set-aside/. All suppressions are in
// the object suppressions/all.json. The package ignores all other objects.
//
// All functions see a change of a config immediately: each list of configs reads the list of the objects in S3. An object
// is read again only if its ETag changed. The rules for configs are in package scan.
package s3store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/scan"
)

// CallsAtOnce is the maximum number of objects that are read concurrently. With the share of a processor that a function has, more calls
// at once take as long, and each new connection costs as much processor time as some calls.
const CallsAtOnce = 32

// maxObject is the maximum size of a config object, in bytes. A config with 1,000 tags of the maximum length has 131,000.
const maxObject = 256 << 10

// maxCreated is the end of the year 9999 in Unix seconds. Feeds cannot represent a later time.
const maxCreated = 253402300799

const suffix = ".json"

// deletedKey is the object with the time when a config was last deleted. Its name has the form of a config's, so that the
// permissions for configs are enough.
const deletedKey = "00000000-0000-0000-0000-000000000000" + suffix

// Configs reads the configs in one bucket. It implements [report.ConfigReader], [rescan.StoredConfigs] and
// [httpapi.ConfigStore].
type Configs struct {
	s3     *s3.Client
	bucket string
	log    *slog.Logger
	cache  configCache
}

// ConfigWriter reads and writes configs. It implements [httpapi.ConfigStore].
type ConfigWriter struct{ ConfigPacker }

// NewConfigWriter returns a ConfigWriter for an existing bucket.
func NewConfigWriter(client *s3.Client, bucket string, log *slog.Logger) ConfigWriter {
	return ConfigWriter{NewConfigPacker(NewConfigs(client, bucket, log))}
}

// NewConfigs returns a reader for an existing bucket.
func NewConfigs(client *s3.Client, bucket string, log *slog.Logger) *Configs {
	return &Configs{s3: client, bucket: bucket, log: log}
}

// errNotConfig means that an object is not a valid config.
var errNotConfig = errors.New("not a scan config")

// List implements [report.ConfigReader]. It logs and ignores objects that are not configs. It fails if an object can't be
// read at the moment: without that config in the result, the config would look deleted, or its images clean.
func (s *Configs) List(ctx context.Context) ([]scan.Config, error) {
	packed := s.prefetchPacked(ctx)
	defer packed.stop()
	objects, err := s.objects(ctx)
	if err != nil {
		return nil, err
	}
	s.cache.keep(objects)
	s.addPacked(ctx, objects, packed)
	found := make([]*scan.Config, len(objects))
	refused := make([]error, len(objects))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(CallsAtOnce)
	for i, o := range objects {
		if c, err, ok := s.cache.load(o); ok {
			found[i] = s.acceptConfig(ctx, o.id, c, err)
			continue
		}
		g.Go(func() error {
			c, err := s.read(gctx, o.id)
			switch {
			case err == nil || errors.Is(err, errNotConfig):
				found[i] = s.acceptConfig(ctx, o.id, c, err)
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
	return s.collectConfigs(ctx, objects, found, refused)
}

// acceptConfig returns the config, or nil if err says that the object is no config.
func (s *Configs) acceptConfig(ctx context.Context, id string, c scan.Config, err error) *scan.Config {
	if err != nil {
		s.log.WarnContext(ctx, "ignored object: not a scan config", "bucket", s.bucket, "key", id+suffix, "error", err)
		return nil
	}
	return &c
}

// collectConfigs sorts the configs. It ignores objects that S3 denies access to. It fails if S3 denied access and no
// config could be read, because then the function's own permissions are probably missing.
func (s *Configs) collectConfigs(ctx context.Context, objects []listedConfig, found []*scan.Config, refused []error) ([]scan.Config, error) {
	configs := make([]scan.Config, 0, len(objects))
	var refusal error
	for i, o := range objects {
		if found[i] != nil {
			configs = append(configs, *found[i])
		}
		if refused[i] != nil {
			refusal = refused[i]
			s.log.WarnContext(ctx, "ignored object: S3 denies access", "bucket", s.bucket, "key", o.id+suffix, "error", refusal)
		}
	}
	if refusal != nil && len(configs) == 0 {
		return nil, unavailable("read the scan configs", refusal)
	}
	scan.SortConfigs(configs)
	return configs, nil
}

// listedConfig is an object that can be a config: the id in its name, and its ETag and size in the list.
type listedConfig struct {
	id, etag string
	size     int64
}

// objects lists the objects at the root that can be configs. The delimiter excludes all objects below a prefix.
func (s *Configs) objects(ctx context.Context) ([]listedConfig, error) {
	pages := s3.NewListObjectsV2Paginator(s.s3, &s3.ListObjectsV2Input{
		Bucket: &s.bucket, Delimiter: aws.String("/"),
		// Without the encoding, one key with a control character would make the list fail, because XML can't represent it.
		// The keys of configs need no decoding.
		EncodingType: types.EncodingTypeUrl,
	})
	var found []listedConfig
	foreign, example := 0, ""
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, unavailable("list the scan configs", err)
		}
		for _, object := range page.Contents {
			key := aws.ToString(object.Key)
			if key == deletedKey {
				continue
			}
			if id, ok := strings.CutSuffix(key, suffix); ok && scan.ValidID(id) {
				found = append(found, listedConfig{id, aws.ToString(object.ETag), aws.ToInt64(object.Size)})
				continue
			}
			foreign, example = foreign+1, key
		}
	}
	if foreign > 0 {
		s.log.InfoContext(ctx, "ignored objects: not scan configs", "bucket", s.bucket, "objects", foreign, "oneOfThem", example)
	}
	return found, nil
}

// Get implements [report.ConfigReader].
func (s *Configs) Get(ctx context.Context, id string) (scan.Config, error) {
	c, err := s.read(ctx, id)
	return c, s.getError(ctx, id, err)
}

// getError returns the error of a call for one config whose object could not be read.
func (s *Configs) getError(ctx context.Context, id string, err error) error {
	switch {
	case errors.Is(err, errNotConfig):
		s.log.WarnContext(ctx, "ignored object: not a scan config", "bucket", s.bucket, "key", id+suffix, "error", err)
		return notFound(err)
	case scan.CodeOf(err) == scan.NoAccess:
		return unavailable("read a scan config", err)
	}
	return err
}

// Stored implements [rescan.StoredConfigs].
func (s *Configs) Stored(ctx context.Context, id string, since time.Time) (scan.Config, error) {
	c, err, isKnown := s.cache.loadSince(id, since)
	if !isKnown {
		c, err = s.read(ctx, id)
	}
	if err != nil && scan.CodeOf(err) != scan.NotFound {
		return scan.Config{}, unavailable("read scan config "+id, err)
	}
	return c, err
}

// Put implements [httpapi.ConfigStore].
func (s ConfigWriter) Put(ctx context.Context, c scan.Config) error {
	body, err := encode(c)
	if err != nil {
		return err
	}
	_, err = s.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: aws.String(c.ID + suffix), Body: bytes.NewReader(body), ContentType: aws.String("application/json"),
	})
	if err != nil {
		return unavailable("store scan config "+c.ID, err)
	}
	return nil
}

// maxReplaceAttempts is how often Replace reads a config that other calls change at the same time.
const maxReplaceAttempts = 5

// Replace implements [httpapi.ConfigStore] with S3's conditional writes.
func (s ConfigWriter) Replace(ctx context.Context, id string, change func(stored scan.Config) (scan.Config, error)) error {
	var tried []byte
	for range maxReplaceAttempts {
		stored, o, err := s.readObject(ctx, id)
		if err != nil {
			return s.getError(ctx, id, err)
		}
		if bytes.Equal(o.body, tried) { // the SDK repeats a write whose response is lost, and the repeated write conflicts with the first one
			return nil
		}
		replaced, err := change(stored)
		if err != nil {
			return err
		}
		if tried, err = encode(replaced); err != nil {
			return err
		}
		_, err = putObject(ctx, s.s3, s.bucket, id+suffix, "application/json", o.version, tried)
		if err == nil {
			return nil
		}
		if !isWriteConflict(err) {
			return unavailable("replace scan config "+id, err)
		}
	}
	return unavailable("replace scan config "+id, errors.New("other calls change it at the same time"))
}

func encode(c scan.Config) ([]byte, error) {
	body, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode scan config %s: %w", c.ID, err)
	}
	return body, nil
}

// Delete implements [httpapi.ConfigStore]. It reads the object first, because S3's DeleteObject does not report whether
// the object existed. An object that is not a config is not deleted, and the error is NotFound. Two concurrent calls can
// both succeed. With a check, it uses S3's conditional deletes.
func (s ConfigWriter) Delete(ctx context.Context, id string, check func(stored scan.Config) error) error {
	in := s3.DeleteObjectInput{Bucket: &s.bucket, Key: aws.String(id + suffix)}
	for range maxReplaceAttempts {
		stored, o, err := s.readObject(ctx, id)
		if in.IfMatch != nil && scan.CodeOf(err) == scan.NotFound {
			s.recordDeletion(ctx, responseDate(err)) // the SDK repeated a delete whose response was lost
			return nil
		}
		if err != nil {
			return s.getError(ctx, id, err)
		}
		if check != nil {
			if err := check(stored); err != nil {
				return err
			}
			in.IfMatch = &o.version
		}
		out, err := s.s3.DeleteObject(ctx, &in)
		if isWriteConflict(err) {
			continue
		}
		if err != nil {
			return unavailable("delete scan config "+id, err)
		}
		now, _ := awsmiddleware.GetServerTime(out.ResultMetadata)
		s.recordDeletion(ctx, now)
		return nil
	}
	return unavailable("delete scan config "+id, errors.New("other calls change it at the same time"))
}

// recordDeletion stores when a config was deleted. If it fails, only clients that poll by date see the deletion later.
func (s ConfigWriter) recordDeletion(ctx context.Context, at time.Time) {
	if err := s.putDeletion(ctx, at); err != nil {
		s.log.WarnContext(ctx, "could not store when a config was deleted", "bucket", s.bucket, "key", deletedKey, "error", err)
	}
}

// deletion is the stored time of the last deletion.
type deletion struct {
	Deleted time.Time `json:"deleted"`
}

func (s ConfigWriter) putDeletion(ctx context.Context, at time.Time) error {
	body, err := json.Marshal(deletion{at.UTC()})
	if err != nil {
		return err
	}
	_, err = s.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: aws.String(deletedKey), Body: bytes.NewReader(body), ContentType: aws.String("application/json"),
	})
	return err
}

// LastDeleted implements [report.ConfigReader].
func (s *Configs) LastDeleted(ctx context.Context) (time.Time, error) {
	o, err := getObject(ctx, s.s3, s.bucket, deletedKey, "", maxObject)
	switch {
	case isCode(err, "NoSuchKey"):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, unavailable("read when a scan config was last deleted", err)
	}
	var d deletion
	if err := json.Unmarshal(o.body, &d); err != nil {
		return time.Time{}, unavailable("read when a scan config was last deleted", err)
	}
	return d.Deleted, nil
}

// read returns one config. Errors: errNotConfig, NotFound, Unavailable, and NoAccess if S3 denies access to the object.
func (s *Configs) read(ctx context.Context, id string) (scan.Config, error) {
	c, _, err := s.readObject(ctx, id)
	return c, err
}

// readObject is like read. It also returns the object of the config.
func (s *Configs) readObject(ctx context.Context, id string) (scan.Config, object, error) {
	if !scan.ValidID(id) {
		return scan.Config{}, object{}, notFound(nil)
	}
	o, err := getObject(ctx, s.s3, s.bucket, id+suffix, "", maxObject)
	if err != nil {
		return scan.Config{}, object{}, readError(id, err)
	}
	c, err := decode(id, o.body)
	s.cache.save(listedConfig{id: id, etag: o.version}, c, err, o.now)
	return c, o, err
}

func readError(id string, err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "NoSuchKey", "NotFound":
			return notFound(err)
		case "InvalidObjectState", "InvalidRequest": // archived in Glacier; encrypted with a key that the request must contain
			return fmt.Errorf("%w: %w", errNotConfig, err)
		case "AccessDenied": // owned by another account, encrypted with a key of another account, or the function has no read permission
			return &scan.Error{Code: scan.NoAccess, Message: "S3 denies access to the object", Err: err}
		}
	}
	return unavailable("read scan config "+id, err)
}

// decode parses a stored config. It accepts what the demo's functions accepted: an empty list of tags and duplicate tags.
// It rejects invalid values that would be sent to AWS.
func decode(id string, body []byte) (scan.Config, error) {
	if len(body) > maxObject {
		return scan.Config{}, fmt.Errorf("%w: larger than %d bytes", errNotConfig, maxObject)
	}
	var c scan.Config
	if err := json.Unmarshal(body, &c); err != nil {
		return scan.Config{}, fmt.Errorf("%w: %w", errNotConfig, err)
	}
	if min(c.Created, c.Updated) < 0 || max(c.Created, c.Updated) > maxCreated {
		return scan.Config{}, fmt.Errorf("%w: created or updated is not between 1970 and the year 9999", errNotConfig)
	}
	if c.ID != id {
		return scan.Config{}, fmt.Errorf("%w: the id is not the object's name", errNotConfig)
	}
	c.Tags = distinct(c.Tags)
	if err := c.Validate(); err != nil {
		return scan.Config{}, fmt.Errorf("%w: %w", errNotConfig, err)
	}
	return c, nil
}

// distinct removes duplicate tags. It returns nil for an empty list.
func distinct(tags []string) []string {
	var unique []string
	seen := make(map[string]bool, len(tags))
	for _, tag := range tags {
		if !seen[tag] {
			seen[tag] = true
			unique = append(unique, tag)
		}
	}
	return unique
}

func notFound(cause error) error {
	return &scan.Error{Code: scan.NotFound, Message: "There is no scan config with this id.", Err: cause}
}

func unavailable(doing string, cause error) error {
	return &scan.Error{
		Code: scan.Unavailable, Message: "The scan configs can't be read or written at the moment. Try again later.",
		Err: fmt.Errorf("%s: %w", doing, cause),
	}
}
