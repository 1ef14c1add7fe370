package s3store

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// sweepAge is the minimum age of an unreferenced pack before a sweep deletes it. The record that references a younger pack
// may not be saved yet.
const sweepAge = time.Hour

// Limits of merging.
const (
	// maxSmallPacks is the number of packs with less than smallPack bytes in use from which they are merged. So a repository
	// has few packs, and a history is copied only a few times.
	maxSmallPacks = 4
	smallPack     = 256 << 10
	// maxMerged is the maximum number of bytes that a sweep copies.
	maxMerged = 16 << 20
)

// usedPack is a pack that a record references.
type usedPack struct {
	// labels are the images whose history is in the pack, by the name of the history.
	labels map[string]string
	// inUse is the number of bytes of these histories, and size that of the object.
	inUse, size int64
	found       bool
	// changed is true if the object was written after the last sweep.
	changed bool
}

// usedPacks returns the packs that a record references, by name.
func usedPacks(r history.Record) map[string]*usedPack {
	packs := make(map[string]*usedPack)
	for label, image := range r.Images {
		if image.History == "" {
			continue
		}
		p, _ := parseName(image.History) // an invalid name is that of a history in a pack that does not exist
		if packs[p.pack] == nil {
			packs[p.pack] = &usedPack{labels: make(map[string]string)}
		}
		packs[p.pack].labels[image.History] = label
		packs[p.pack].inUse += p.length
	}
	return packs
}

// Sweep implements [rescan.RecordWriter]. It deletes unreferenced packs that are older than sweepAge, and returns the labels
// of the images whose history is missing or broken. Packs do not change after they are written. Therefore it reads only
// those that were written after the last sweep. It merges small packs and those with many unreferenced histories.
func (s *RecordWriter) Sweep(ctx context.Context, repo scan.Repository, r history.Record, earlier []string, since history.Stamp) (lost []string, moved map[string]string, err error) {
	packs, before := usedPacks(r), make(map[string]bool)
	for _, name := range earlier {
		p, _ := parseName(name)
		before[p.pack] = true
	}
	var unneeded []string
	err = s.forEachObject(ctx, repo, func(name string, o types.Object) {
		p, at := packs[name], aws.ToTime(o.LastModified)
		switch {
		case p != nil:
			p.found, p.size, p.changed = true, aws.ToInt64(o.Size), history.StampOf(at) >= since
		case name != indexName && !before[name] && at.Before(r.Now.Add(-sweepAge)):
			unneeded = append(unneeded, name)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	lost, err = s.lostHistories(ctx, repo, packs)
	if err != nil {
		return nil, nil, err
	}
	moved, err = s.merge(ctx, repo, packs)
	return lost, moved, errors.Join(err, s.remove(ctx, repo, unneeded))
}

// lostHistories returns the labels of the images whose history can't be read, and removes these histories from packs. It
// reads the packs that changed, and copies broken histories to SetAsidePrefix.
func (s *RecordWriter) lostHistories(ctx context.Context, repo scan.Repository, packs map[string]*usedPack) ([]string, error) {
	var names, lost []string
	byName := make(map[string]*usedPack)
	for key, p := range packs {
		switch {
		case !p.found:
			lost = slices.AppendSeq(lost, maps.Values(p.labels))
			delete(packs, key)
		case p.changed:
			for name := range p.labels {
				names, byName[name] = append(names, name), p
			}
		}
	}
	slices.Sort(names)
	var mu sync.Mutex
	var failed error
	s.Histories(ctx, repo, names, func(i int, _ history.History, err error) {
		if err == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		p := byName[names[i]]
		if scan.CodeOf(err) != scan.NotFound {
			failed = err
			return
		}
		lost = append(lost, p.labels[names[i]])
		delete(p.labels, names[i])
	})
	slices.Sort(lost)
	return lost, failed
}

// merge copies the histories of packs that are small, or mostly not in use, to as few new packs as possible. It returns the
// new names of the histories by label. The old packs are unreferenced after the record is saved.
func (s *RecordWriter) merge(ctx context.Context, repo scan.Repository, used map[string]*usedPack) (map[string]string, error) {
	names, labels := toMerge(used)
	stored := make([][]byte, len(names))
	var mu sync.Mutex
	var failed error
	s.storedHistories(ctx, repo, names, func(i int, body []byte, err error) {
		mu.Lock()
		defer mu.Unlock()
		stored[i], failed = bytes.Clone(body), cmp.Or(failed, err)
	})
	if failed != nil {
		return nil, failed
	}
	moved := make(map[string]string, len(names))
	packs := packWriter{RecordWriter: s, repo: repo}
	for i, body := range stored {
		packs.add(ctx, body, func(name string, err error) {
			if err == nil {
				moved[labels[i]] = name
			}
			failed = cmp.Or(failed, err)
		})
	}
	packs.store(ctx)
	return moved, failed
}

// toMerge returns the names of the histories to merge, and the labels of their images, sorted by label.
func toMerge(packs map[string]*usedPack) (names, labels []string) {
	var small, selected []*usedPack
	for _, key := range slices.Sorted(maps.Keys(packs)) {
		p := packs[key]
		p.inUse = cmp.Or(p.inUse, p.size) // an object of version 1.0.0
		switch {
		case p.inUse < smallPack:
			small = append(small, p)
		case 2*p.inUse < p.size:
			selected = append(selected, p)
		}
	}
	if len(small) > maxSmallPacks {
		selected = append(small, selected...)
	}
	byLabel := make(map[string]string)
	copied := int64(0)
	for _, p := range selected {
		if copied += p.inUse; copied > maxMerged {
			break
		}
		for name, label := range p.labels {
			byLabel[label] = name
		}
	}
	labels = slices.Sorted(maps.Keys(byLabel))
	for _, label := range labels {
		names = append(names, byLabel[label])
	}
	return names, labels
}

// rebuildsAtOnce is the maximum number of packs that are in memory while a record is rebuilt.
const rebuildsAtOnce = 8

// rebuild copies a broken record to SetAsidePrefix and returns a new record that is built from the histories. The visit
// saves it.
func (s *RecordWriter) rebuild(ctx context.Context, repo scan.Repository, key string, o object, cause error) (history.Record, error) {
	if err := s.setAside(ctx, key, o.body, cause); err != nil {
		return history.Record{}, err
	}
	r := history.Record{Images: make(map[string]*history.ImageRecord), Version: o.version, Now: o.now}
	packs, err := s.packNames(ctx, repo)
	if err != nil {
		return history.Record{}, err
	}
	var mu sync.Mutex
	latest := make(map[string]history.History) // by label, without findings
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(rebuildsAtOnce)
	for _, pack := range packs {
		g.Go(func() error {
			return s.forEachInPack(gctx, repo, pack, func(name string, h history.History) {
				mu.Lock()
				defer mu.Unlock()
				label := scan.Image{Tag: h.Tag, Platform: h.Platform}.Label()
				known, isKnown := latest[label]
				if h.Since > 0 && (!isKnown || cmp.Or(cmp.Compare(h.LastDate, known.LastDate), cmp.Compare(h.Completed, known.Completed)) > 0) {
					r.RestoreImage(name, h)
					h.Findings, h.Events = nil, nil
					latest[label] = h
				}
			})
		})
	}
	return r, g.Wait()
}

// packNames lists the names of the packs of a repository.
func (s *RecordWriter) packNames(ctx context.Context, repo scan.Repository) ([]string, error) {
	var names []string
	err := s.forEachObject(ctx, repo, func(name string, _ types.Object) {
		if name != indexName {
			names = append(names, name)
		}
	})
	return names, err
}

// forEachInPack calls use for each history of a pack. If the pack is broken, it copies it to SetAsidePrefix.
func (s *RecordWriter) forEachInPack(ctx context.Context, repo scan.Repository, pack string, use func(name string, h history.History)) error {
	key := folder(repo) + pack
	o, err := getObject(ctx, s.s3, s.bucket, key, "", maxStored)
	switch {
	case isCode(err, "NoSuchKey"):
		return nil
	case err != nil:
		return recordError("read", key, err)
	}
	for p, err := range members(o.body) {
		var h history.History
		if err == nil {
			h, err = decodeHistory(new(unpacker), key, o.body[p.offset:p.offset+p.length])
		}
		switch {
		case errors.Is(err, errBroken):
			if err := s.setAside(ctx, key, o.body, err); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			p.pack = pack
			use(p.name(), h)
		}
	}
	return nil
}

// members returns the places of the histories in the body of a pack: each is one gzip member. After an error it ends.
func members(body []byte) iter.Seq2[place, error] {
	return func(yield func(place, error) bool) {
		rest := bytes.NewReader(body)
		zip := new(gzip.Reader)
		for rest.Len() > 0 || len(body) == 0 {
			p := place{offset: rest.Size() - int64(rest.Len())}
			err := zip.Reset(rest)
			if err == nil {
				zip.Multistream(false)
				_, err = io.Copy(io.Discard, io.LimitReader(zip, maxUnpacked+1))
			}
			p.length = rest.Size() - int64(rest.Len()) - p.offset
			if err != nil {
				yield(p, errors.Join(errBroken, err))
				return
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// deletesAtOnce is the maximum number of objects that are deleted concurrently.
const deletesAtOnce = 32

func (s *RecordWriter) remove(ctx context.Context, repo scan.Repository, names []string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(deletesAtOnce)
	for _, name := range names {
		g.Go(func() error {
			key := folder(repo) + name
			if _, err := s.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &key}); err != nil {
				return recordError("delete", key, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// forEachObject calls visit for the record and each pack of a repository. It ignores objects with other names.
func (s *RecordWriter) forEachObject(ctx context.Context, repo scan.Repository, visit func(name string, o types.Object)) error {
	prefix := folder(repo)
	pages := s3.NewListObjectsV2Paginator(s.s3, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix, EncodingType: types.EncodingTypeUrl})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return recordError("list", prefix, err)
		}
		for _, o := range page.Contents {
			key := aws.ToString(o.Key)
			if name := key[len(key)-min(len(key), len(uuid.Nil.String())):]; key == prefix+indexName {
				visit(indexName, o)
			} else if key == prefix+name && uuid.Validate(name) == nil {
				visit(name, o)
			}
		}
	}
	return nil
}
