package ecr

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"ecr-continuous-scan/internal/awslocal"
)

// Options says how an embedded ECR behaves; the zero value is sensible.
type Options struct {
	Now       func() time.Time // time.Now, when nil
	ScanTime  time.Duration    // how long a scan takes: 2 s when zero, no time when negative
	ScanQuota int              // scans per registry, Region and 24 h: 100,000 when zero
}

// ECR is an embedded ECR: all registries and Regions, in memory. Calls over
// HTTP take the Region from their signature's scope. All methods are safe for
// concurrent use.
type ECR struct {
	*awslocal.Traffic

	now       func() time.Time
	scanTime  time.Duration
	scanQuota int

	mu           sync.Mutex
	repositories map[RepositoryID]*repository
	kinds        map[registryID]ScanType
	quotas       map[registryID]*quota
}

// New returns an ECR without repositories.
func New(o Options) *ECR {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &ECR{
		Traffic:      awslocal.NewTraffic(o.Now, ecrFault),
		now:          o.Now,
		scanTime:     max(cmp.Or(o.ScanTime, defaultScanTime), 0),
		scanQuota:    cmp.Or(o.ScanQuota, defaultScanQuota),
		repositories: map[RepositoryID]*repository{},
		kinds:        map[registryID]ScanType{},
		quotas:       map[registryID]*quota{},
	}
}

// SetScanType makes a registry's scanning in a Region basic, as it is at first,
// or enhanced. Results of the other kind are hidden, not lost.
func (e *ECR) SetScanType(region, registry string, kind ScanType) {
	id := RepositoryID{Region: region, Registry: registry}.WithDefaults()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kinds[id.registry()] = kind
}

func (e *ECR) kind(id RepositoryID) ScanType {
	if kind, ok := e.kinds[id.registry()]; ok {
		return kind
	}
	return Basic
}

// Now is the time by the registry's clock.
func (e *ECR) Now() time.Time { return e.now() }

// PutRepository creates a repository or changes its settings; its images stay.
func (e *ECR) PutRepository(id RepositoryID, info Repository) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.repository(id)
	if info.CreatedAt.IsZero() {
		info.CreatedAt = r.info.CreatedAt
	}
	r.info = info
}

// repository returns a repository, created if need be.
func (e *ECR) repository(id RepositoryID) *repository {
	id = id.WithDefaults()
	r, ok := e.repositories[id]
	if !ok {
		r = newRepository(id, Repository{CreatedAt: e.now()})
		e.repositories[id] = r
	}
	return r
}

// DeleteRepository deletes a repository with its images, if there is one.
func (e *ECR) DeleteRepository(id RepositoryID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.repositories, id.WithDefaults())
}

// PutImage pushes an image into a repository, created if need be, and returns
// its digest. The image's tags are taken from the images that have them. When
// the digest is there already, only the tags are added.
func (e *ECR) PutImage(id RepositoryID, img Image) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.repository(id)
	now := e.now()
	img.normalise(r, now)
	stored, known := r.byDigest[img.Digest]
	if !known {
		stored = &image{seq: r.nextSeq, def: img}
		stored.def.Tags = nil
		r.nextSeq++
		r.order = append(r.order, stored)
		r.byDigest[img.Digest] = stored
		stored.adopt()
		e.scanPushed(r, stored)
	}
	for _, tag := range img.Tags {
		r.tag(stored, tag)
	}
	return img.Digest
}

// scanPushed starts the scan that a push into a scan-on-push repository brings.
func (e *ECR) scanPushed(r *repository, img *image) {
	if !r.info.ScanOnPush || e.kind(r.id) == Enhanced || !img.def.ScannedAt.IsZero() || img.def.unscannable() != "" {
		return
	}
	if e.quotaOf(r.id).take(e.now(), e.scanQuota) {
		e.start(img, img.def.PushedAt)
	}
}

func (e *ECR) quotaOf(id RepositoryID) *quota {
	q, ok := e.quotas[id.registry()]
	if !ok {
		q = &quota{}
		e.quotas[id.registry()] = q
	}
	return q
}

func (e *ECR) start(img *image, at time.Time) {
	takes := cmp.Or(img.def.ScanTime, e.scanTime)
	img.done = at.Add(max(takes, 0))
	img.starts++
}

func (r *repository) tag(img *image, tag string) {
	if old, ok := r.byTag[tag]; ok {
		if old == img {
			return
		}
		r.untag(old, tag)
	}
	r.byTag[tag] = img
	at, _ := slices.BinarySearch(img.def.Tags, tag)
	img.def.Tags = slices.Insert(slices.Clone(img.def.Tags), at, tag)
}

func (r *repository) untag(img *image, tag string) {
	delete(r.byTag, tag)
	img.def.Tags = slices.DeleteFunc(slices.Clone(img.def.Tags), func(t string) bool { return t == tag })
}

// UpdateImage lets change describe an image, found by digest or tag, anew. In a
// basic registry the change shows after the next scan, unless it sets another
// ScannedAt, which makes it what that scan has found. Digest, Tags and PushedAt
// stay as they are.
func (e *ECR) UpdateImage(id RepositoryID, ref string, change func(*Image)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	img, err := e.lookUp(id, ref)
	if err != nil {
		return err
	}
	img.settle(e.now())
	def := img.def
	change(&def)
	def.Digest, def.Tags, def.PushedAt = img.def.Digest, img.def.Tags, img.def.PushedAt
	rescanned := !def.ScannedAt.Equal(img.def.ScannedAt)
	img.def = def
	if rescanned {
		img.done = time.Time{}
		img.adopt()
	}
	return nil
}

// DeleteImage deletes, as ECR does, an image by its digest, or a tag and with
// an image's last tag the image.
func (e *ECR) DeleteImage(id RepositoryID, ref string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	img, err := e.lookUp(id, ref)
	if err != nil {
		return err
	}
	r := e.repository(id)
	if ref != img.def.Digest {
		r.untag(img, ref)
		if len(img.def.Tags) > 0 {
			return nil
		}
	}
	for _, tag := range img.def.Tags {
		delete(r.byTag, tag)
	}
	delete(r.byDigest, img.def.Digest)
	at := r.after(img.seq - 1)
	r.order = slices.Delete(r.order, at, at+1)
	return nil
}

// after returns the place in order of the first image behind seq.
func (r *repository) after(seq int64) int {
	at, _ := slices.BinarySearchFunc(r.order, seq+1, func(img *image, want int64) int { return int(img.seq - want) })
	return at
}

func (e *ECR) lookUp(id RepositoryID, ref string) (*image, error) {
	r, ok := e.repositories[id.WithDefaults()]
	if !ok {
		return nil, fmt.Errorf("embedded ECR: no repository %s", id.WithDefaults().arn())
	}
	img := cmp.Or(r.byDigest[ref], r.byTag[ref])
	if img == nil {
		return nil, fmt.Errorf("embedded ECR: no image %s in repository %s", ref, r.id.arn())
	}
	return img, nil
}

// ImageState is what became of an image.
type ImageState struct {
	Digest    string
	Tags      []string  // sorted
	ScannedAt time.Time // when its last scan completed; zero: never
	Starts    int       // scans started, on push or by a call
}

// Images returns the state of each image of a repository, oldest first.
func (e *ECR) Images(id RepositoryID) []ImageState {
	e.mu.Lock()
	defer e.mu.Unlock()
	r, ok := e.repositories[id.WithDefaults()]
	if !ok {
		return nil
	}
	now := e.now()
	states := make([]ImageState, len(r.order))
	for i, img := range r.order {
		img.settle(now)
		states[i] = ImageState{img.def.Digest, img.def.Tags, img.def.ScannedAt, img.starts}
	}
	return states
}

// Repositories returns which repositories there are, by Region, registry, name.
func (e *ECR) Repositories() []RepositoryID {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.SortedFunc(maps.Keys(e.repositories), func(a, b RepositoryID) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Registry, b.Registry), cmp.Compare(a.Name, b.Name))
	})
}
