package s3store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// patternsKey is the key of what the schedules found for the patterns of configs.
const patternsKey = RecordPrefix + "patterns"

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
	return repositoriesOf(prefixes), nil
}

// RepositoriesIn implements [refresh.Records]. S3 returns up to 1,000 repositories on a page, however many objects they
// have.
func (s *Records) RepositoriesIn(ctx context.Context, in scan.Registry, head string) ([]scan.Repository, error) {
	prefix := strings.TrimSuffix(folder(scan.Repository{Registry: in.ID, Region: in.Region, Name: head}), "/")
	found, err := s.folders(ctx, prefix)
	if err != nil {
		return nil, recordError("list", prefix, err)
	}
	return repositoriesOf(found), nil
}

// repositoriesOf returns the repositories of folders. It ignores folders that another program wrote.
func repositoriesOf(folders []string) []scan.Repository {
	repositories := make([]scan.Repository, 0, len(folders))
	for _, f := range folders {
		parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(f, RecordPrefix), "/"), "/")
		repo := scan.Repository{Registry: parts[0], Region: parts[1], Name: strings.ReplaceAll(parts[2], "~", "/")}
		if repo.IsValid() {
			repositories = append(repositories, repo)
		}
	}
	return repositories
}

// folders lists the common prefixes that begin with a prefix and end with the next slash.
func (s *Records) folders(ctx context.Context, prefix string) ([]string, error) {
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

// maxPatterns is the maximum size of the object with the patterns in bytes: compressed, and uncompressed. Readers and schedules decode it, so it must
// be small in their memory. It has room for 10,000 configs with some exclusions.
const maxPatterns = 8 << 20

// storedPatterns is the stored form of [history.Patterns].
type storedPatterns struct {
	ByKey map[string]history.Pattern `json:"patterns"`
}

// Patterns implements [refresh.Records].
func (s *Records) Patterns(ctx context.Context) (history.Patterns, error) {
	p, o, err := s.patterns(ctx)
	if errors.Is(err, errBroken) {
		return p, recordError("read", patternsKey, fmt.Errorf("%w, %d bytes: the next schedule replaces it", err, len(o.body)))
	}
	return p, err
}

func (s *Records) patterns(ctx context.Context) (history.Patterns, object, error) {
	o, err := getObject(ctx, s.s3, s.bucket, patternsKey, "", maxPatterns)
	p := history.Patterns{Version: o.version, Now: history.StampOf(o.now)}
	switch {
	case isCode(err, "NoSuchKey"):
		return p, o, nil
	case err != nil:
		return p, o, recordError("read", patternsKey, err)
	}
	p.ByKey, err = unpackPatterns(o.body)
	if errors.Is(err, errNewer) {
		return p, o, laterFormat("list of patterns", patternsKey, err)
	}
	p.Clean()
	return p, o, err
}

// unpackPatterns reverses packPatterns. Errors: errNewer, errBroken.
func unpackPatterns(stored []byte) (map[string]history.Pattern, error) {
	if len(stored) > maxPatterns {
		return nil, fmt.Errorf("%w: larger than %d bytes", errBroken, maxPatterns)
	}
	var x storedPatterns
	if err := new(unpacker).unpack(maxPatterns, stored, &x); err != nil {
		return nil, err
	}
	return x.ByKey, nil
}

// packPatterns returns the stored form of what was found for patterns. It fails if unpackPatterns would not accept it.
func (p *packer) packPatterns(found map[string]history.Pattern) ([]byte, error) {
	body, err := p.pack(1, storedPatterns{found})
	if err == nil {
		_, err = unpackPatterns(body)
	}
	return body, err
}

// Patterns implements [rescan.RecordWriter]. It moves a broken object away. The result is then empty.
func (s *RecordWriter) Patterns(ctx context.Context) (history.Patterns, error) {
	p, o, err := s.patterns(ctx)
	if errors.Is(err, errBroken) {
		return history.Patterns{Version: p.Version, Now: p.Now}, s.setAside(ctx, patternsKey, o.body, err)
	}
	return p, err
}

// SavePatterns implements [rescan.RecordWriter].
func (s *RecordWriter) SavePatterns(ctx context.Context, p history.Patterns) (isSaved bool, err error) {
	body, err := s.packPatterns(p.ByKey)
	if err != nil {
		return false, fmt.Errorf("encode %s: %w", patternsKey, err)
	}
	version, err := s.write(ctx, patternsKey, p.Version, body)
	return version != "", err
}
