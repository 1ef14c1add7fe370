package s3store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/uuid"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// Limits of reading and writing packs.
const (
	// historyReadsAtOnce is the maximum number of parts of packs that one process reads concurrently.
	historyReadsAtOnce = 32
	// maxPart is the size in bytes from which a part has no further history. So a request does not have many large packs in
	// memory. maxGap is the maximum number of unneeded bytes between two histories of a part: reading them takes less time
	// than another call.
	maxPart = 512 << 10
	maxGap  = 64 << 10
	// maxPack is the size in bytes from which a pack gets no further history.
	maxPack = 4 << 20
)

// place is where a history is stored: in a range of bytes of a pack. A pack is an object that has the stored forms of
// several histories, one after the other.
type place struct {
	pack           string
	offset, length int64
}

// name returns the name of a history: the UUID of the pack, and the range of bytes.
func (p place) name() string {
	return p.pack + "/" + strconv.FormatInt(p.offset, 10) + "+" + strconv.FormatInt(p.length, 10)
}

// parseName reverses name. Version 1.0.0 stored each history in an object of its own: then the name is only a UUID, and the
// length is 0.
func parseName(name string) (place, bool) {
	pack, within, isRange := strings.Cut(name, "/")
	p := place{pack: pack}
	if len(pack) != len(uuid.Nil.String()) || uuid.Validate(pack) != nil {
		return place{}, false
	}
	if !isRange {
		return p, true
	}
	offset, length, _ := strings.Cut(within, "+")
	from, err := strconv.ParseUint(offset, 10, 31)
	n, lengthErr := strconv.ParseUint(length, 10, 31)
	p.offset, p.length = int64(from), int64(n)
	return p, err == nil && lengthErr == nil && n > 0 && n <= maxStored && p.name() == name
}

// part is a range of bytes of a pack that is read with one call. If to is 0, it is the whole object.
type part struct {
	pack     string
	from, to int64
	wanted   []wanted
}

// wanted is a history of a part, and its index in the list of the caller.
type wanted struct {
	place
	index int
}

// partsOf returns the parts to read, and the indexes of the names that are not valid.
func partsOf(names []string) (parts []part, invalid []int) {
	all := make([]wanted, 0, len(names))
	for i, name := range names {
		if p, ok := parseName(name); ok {
			all = append(all, wanted{p, i})
		} else {
			invalid = append(invalid, i)
		}
	}
	slices.SortFunc(all, func(a, b wanted) int { return cmp.Or(strings.Compare(a.pack, b.pack), cmp.Compare(a.offset, b.offset)) })
	for _, w := range all {
		end := w.offset + w.length
		if len(parts) > 0 {
			last := &parts[len(parts)-1]
			if last.pack == w.pack && last.to > 0 && w.length > 0 && w.offset <= last.to+maxGap && end-last.from <= maxPart {
				last.to, last.wanted = max(last.to, end), append(last.wanted, w)
				continue
			}
		}
		if w.length == 0 {
			end = 0
		}
		parts = append(parts, part{w.pack, w.offset, end, []wanted{w}})
	}
	return parts, invalid
}

// Histories implements [refresh.Records]. It calls use concurrently for histories that are not in the same part of a pack.
func (s *Records) Histories(ctx context.Context, repo scan.Repository, names []string, use func(i int, h history.History, err error)) {
	s.histories(ctx, repo, names, func(i int, _ []byte, h history.History, err error) { use(i, h, err) })
}

// Histories implements [rescan.RecordWriter]. It copies a broken history to SetAsidePrefix.
func (s *RecordWriter) Histories(ctx context.Context, repo scan.Repository, names []string, use func(i int, h history.History, err error)) {
	s.histories(ctx, repo, names, func(i int, stored []byte, h history.History, err error) {
		if errors.Is(err, errBroken) {
			if failed := s.setAside(ctx, folder(repo)+names[i], stored, err); failed != nil {
				err = failed
			}
		}
		use(i, h, err)
	})
}

// histories is like Histories, and also passes the stored form. For a broken history, the NotFound error wraps errBroken.
func (s *Records) histories(ctx context.Context, repo scan.Repository, names []string, use func(i int, stored []byte, h history.History, err error)) {
	s.storedHistories(ctx, repo, names, func(i int, stored []byte, err error) {
		if err != nil {
			use(i, stored, history.History{}, err)
			return
		}
		u, isUsed := s.unpackers.Get().(*unpacker)
		if !isUsed {
			u = new(unpacker)
		}
		h, err := decodeHistory(u, folder(repo)+names[i], stored)
		s.unpackers.Put(u)
		use(i, stored, h, err)
	})
}

func decodeHistory(u *unpacker, key string, stored []byte) (history.History, error) {
	var h history.History
	switch err := u.unpack(maxUnpacked, stored, &h); {
	case errors.Is(err, errNewer):
		return history.History{}, laterFormat("history of the image", key, err)
	case err != nil:
		return history.History{}, historyNotFound(fmt.Errorf("%s: %w", key, err))
	}
	return h, nil
}

// storedHistories calls use with the stored form of each history. It reads parts of packs concurrently.
func (s *Records) storedHistories(ctx context.Context, repo scan.Repository, names []string, use func(i int, stored []byte, err error)) {
	parts, invalid := partsOf(names)
	for _, i := range invalid {
		use(i, nil, historyNotFound(fmt.Errorf("%q is not a valid name of a history", names[i])))
	}
	var wg sync.WaitGroup
	for _, p := range parts {
		s.reads <- struct{}{}
		wg.Go(func() {
			defer func() { <-s.reads }()
			s.readPart(ctx, folder(repo)+p.pack, p, use)
		})
	}
	wg.Wait()
}

// readPart reads a part of a pack with one call, and calls use with each of its histories.
func (s *Records) readPart(ctx context.Context, key string, p part, use func(i int, stored []byte, err error)) {
	in := s3.GetObjectInput{Bucket: &s.bucket, Key: &key}
	if p.to > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", p.from, p.to-1))
	}
	o, err := get(ctx, s.s3, in, maxStored)
	switch {
	case isCode(err, "InvalidRange"):
		err = historyNotFound(fmt.Errorf("%s: %w: it is shorter than %d bytes", key, errBroken, p.from))
	case err != nil:
		err = recordError("read", key, err)
	}
	for _, w := range p.wanted {
		switch {
		case err != nil:
			use(w.index, nil, err)
		case w.length == 0:
			use(w.index, o.body, nil)
		default:
			size := int64(len(o.body)) // less than expected if the pack is broken
			use(w.index, o.body[min(w.offset-p.from, size):min(w.offset-p.from+w.length, size)], nil)
		}
	}
}

func historyNotFound(cause error) error {
	return &scan.Error{Code: scan.NotFound, Message: "no such history", Err: cause}
}

// AddHistories implements [rescan.RecordWriter]. It writes as few packs as possible.
func (s *RecordWriter) AddHistories(ctx context.Context, repo scan.Repository, histories []history.History) (names []string, errs []error) {
	names, errs = make([]string, len(histories)), make([]error, len(histories))
	packs := packWriter{RecordWriter: s, repo: repo}
	for i, h := range histories {
		stored, err := s.pack(1, h)
		if err != nil {
			errs[i] = fmt.Errorf("encode a history in %s: %w", folder(repo), err)
			continue
		}
		packs.add(ctx, stored, func(name string, err error) { names[i], errs[i] = name, err })
	}
	packs.store(ctx)
	return names, errs
}

// packWriter writes histories to new packs of a repository.
type packWriter struct {
	*RecordWriter
	repo scan.Repository
	// name, body and places are those of the pack that is not stored yet. done are called after it is stored.
	name   string
	body   bytes.Buffer
	places []place
	done   []func(name string, err error)
}

// add adds the stored form of a history. It calls done with its name after its pack is stored, or with the error. It stores
// a pack that is full.
func (p *packWriter) add(ctx context.Context, stored []byte, done func(name string, err error)) {
	if len(p.places) == 0 {
		p.name = uuid.NewString()
	}
	p.places = append(p.places, place{p.name, int64(p.body.Len()), int64(len(stored))})
	p.done = append(p.done, done)
	p.body.Write(stored)
	if p.body.Len() >= maxPack {
		p.store(ctx)
	}
}

// store writes the pack, unless it is empty. The next history begins another pack.
func (p *packWriter) store(ctx context.Context) {
	if len(p.places) == 0 {
		return
	}
	key := folder(p.repo) + p.name
	_, err := p.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &p.bucket, Key: &key, Body: bytes.NewReader(p.body.Bytes()), ContentType: aws.String("application/gzip")})
	if err != nil {
		err = recordError("write", key, err)
	}
	for i, done := range p.done {
		done(p.places[i].name(), err)
	}
	p.places, p.done = nil, nil
	p.body.Reset()
	if err != nil {
		p.body = bytes.Buffer{} // the HTTP client may still read the other one
	}
}
