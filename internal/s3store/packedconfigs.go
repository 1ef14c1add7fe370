package s3store

import (
	"bytes"
	"context"
	"crypto/md5" // S3 uses it for ETags
	"encoding/hex"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/scan"
)

// PackedConfigsKey is the key of one object with copies of all objects of configs. A new process reads the list and this
// object instead of each config. The object can be missing, outdated or wrong: a copy counts only if the list has its id
// and its ETag, and the ETag is the MD5 hash of the copy. S3's ETags have this form if the bucket encrypts with S3's own
// keys (SSE-S3). In a bucket that encrypts with KMS keys no copy counts, and each config is read.
const PackedConfigsKey = "packed/configs"

const (
	// maxPackedConfigs is the maximum size of the packed configs, in bytes: compressed, and uncompressed. New processes read
	// further configs one by one.
	maxPackedConfigs = 8 << 20
	// minUnknown is the number of unknown configs from which on the packed configs are read.
	minUnknown = 8
	// packedTimeout is how long a request waits for the packed configs. After it, the configs are read one by one.
	packedTimeout = 2 * time.Second
)

// packedConfig is a copy of one object. Body is empty if the ETag is not the MD5 hash of the object: the next Pack then
// need not read the object again to learn this.
type packedConfig struct {
	ID   string `json:"id"`
	ETag string `json:"etag"`
	Body string `json:"body"`
}

func newPackedConfig(o listedConfig, body []byte) packedConfig {
	if p := (packedConfig{o.id, o.etag, string(body)}); p.isCopyOf(o) {
		return p
	}
	return packedConfig{ID: o.id, ETag: o.etag}
}

// isCopyOf reports whether the copy is the current content of an object.
func (p packedConfig) isCopyOf(o listedConfig) bool {
	sum := md5.Sum([]byte(p.Body))
	return p.ID == o.id && p.ETag == o.etag && strings.Trim(o.etag, `"`) == hex.EncodeToString(sum[:])
}

// packedRead is a read of the packed configs that has been started.
type packedRead struct {
	result <-chan []packedConfig
	cancel context.CancelFunc
}

// stop ends the read and waits until it has ended: nothing of a request goes on after its response.
func (r *packedRead) stop() {
	if r != nil {
		r.cancel()
		<-r.result
	}
}

// prefetchPacked starts to read the packed configs if this process knows no config. It runs while the configs are listed.
// The caller must call stop.
func (s *Configs) prefetchPacked(ctx context.Context) *packedRead {
	if s.cache.isUsed() {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	result := make(chan []packedConfig, 1)
	go func() {
		result <- s.packedConfigs(ctx)
		close(result)
	}()
	return &packedRead{result, cancel}
}

// addPacked adds the copies of unknown configs to the cache.
func (s *Configs) addPacked(ctx context.Context, objects []listedConfig, prefetched *packedRead) {
	unknown := make(map[string]listedConfig)
	for _, o := range objects {
		if _, _, ok := s.cache.load(o); !ok {
			unknown[o.id] = o
		}
	}
	var packed []packedConfig
	switch {
	case len(unknown) == 0:
	case prefetched != nil:
		packed = <-prefetched.result
	case len(unknown) >= minUnknown:
		packed = s.packedConfigs(ctx)
	}
	for _, p := range packed {
		if o, ok := unknown[p.ID]; ok && p.isCopyOf(o) {
			c, err := decode(p.ID, []byte(p.Body))
			s.cache.save(o, c, err, time.Time{})
		}
	}
}

// packedConfigs reads the packed configs. It returns nil if they are missing or can't be read: the configs are then read
// one by one.
func (s *Configs) packedConfigs(ctx context.Context) []packedConfig {
	ctx, cancel := context.WithTimeout(ctx, packedTimeout)
	defer cancel()
	var packed []packedConfig
	o, err := getObject(ctx, s.s3, s.bucket, PackedConfigsKey, "", maxPackedConfigs)
	switch {
	case isCode(err, "NoSuchKey"):
		return nil
	case err == nil && len(o.body) > maxPackedConfigs:
		err = fmt.Errorf("larger than %d bytes", maxPackedConfigs)
	case err == nil:
		err = new(unpacker).unpack(maxPackedConfigs, o.body, &packed)
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		s.log.InfoContext(ctx, "ignored the packed configs; the next schedule writes them again", "bucket", s.bucket, "key", PackedConfigsKey, "error", err)
		return nil
	}
	return packed
}

// ConfigPacker reads configs and writes the packed configs. It implements [rescan.StoredConfigs].
type ConfigPacker struct {
	*Configs
	packer *packer
}

// NewConfigPacker returns a ConfigPacker for an existing bucket.
func NewConfigPacker(configs *Configs) ConfigPacker {
	return ConfigPacker{configs, &packer{}}
}

// Pack implements [rescan.StoredConfigs]. If two calls run at the same time, the later write stays.
func (s ConfigPacker) Pack(ctx context.Context) error {
	objects, err := s.objects(ctx)
	if err != nil {
		return err
	}
	stored := s.packedConfigs(ctx)
	packed, err := s.copies(ctx, objects, stored)
	if err != nil || maps.Equal(byID(packed), byID(stored)) {
		return err
	}
	body, err := s.packer.pack(1, packed)
	if err != nil {
		return fmt.Errorf("encode the packed configs: %w", err)
	}
	_, err = s.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: aws.String(PackedConfigsKey), Body: bytes.NewReader(body), ContentType: aws.String("application/gzip"),
	})
	if err != nil {
		return unavailable("store the packed configs", err)
	}
	return nil
}

// copies returns the copies of the objects that fit into maxPackedConfigs. It reads an object only if stored has no copy of it and there is room for one.
// Otherwise each call would read it.
func (s ConfigPacker) copies(ctx context.Context, objects []listedConfig, stored []packedConfig) ([]packedConfig, error) {
	known := byID(stored)
	copies := make([]packedConfig, len(objects))
	var size budget
	for i, o := range objects {
		p := known[o.id]
		if isKnown := p.isCopyOf(o) || p == (packedConfig{ID: o.id, ETag: o.etag}); isKnown && size.take(len(p.Body)) {
			copies[i] = p
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(CallsAtOnce)
	for i, o := range objects {
		if copies[i].ID != "" || o.size > maxObject || !size.take(int(o.size)) {
			continue
		}
		g.Go(func() error {
			read, err := getObject(gctx, s.s3, s.bucket, o.id+suffix, "", maxObject)
			if err != nil {
				if err = readError(o.id, err); scan.CodeOf(err) == scan.Unavailable {
					return err
				}
				return nil // deleted since it was listed, or not readable for this function
			}
			if p := newPackedConfig(o, read.body); read.version == o.etag && int64(len(read.body)) <= o.size {
				copies[i] = p
			}
			return nil
		})
	}
	err := g.Wait()
	return withoutEmpty(copies), err
}

func withoutEmpty(copies []packedConfig) []packedConfig {
	var packed []packedConfig
	for _, p := range copies {
		if p.ID != "" {
			packed = append(packed, p)
		}
	}
	return packed
}

func byID(packed []packedConfig) map[string]packedConfig {
	m := make(map[string]packedConfig, len(packed))
	for _, p := range packed {
		m[p.ID] = p
	}
	return m
}

// budget is the sum of the sizes of the copies.
type budget int

// entrySize is the maximum number of bytes of a copy besides its body, which JSON can make twice as long.
const entrySize = 128

// take reports whether a copy with a body of n bytes fits, and counts it if so.
func (b *budget) take(n int) bool {
	size := budget(2*n + entrySize)
	if *b+size > maxPackedConfigs {
		return false
	}
	*b += size
	return true
}
