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

// Options configures an embedded ECR. The zero value is valid.
type Options struct {
	Now       func() time.Time // if nil: time.Now
	ScanTime  time.Duration    // duration of a scan; if zero: 2 s; if negative: 0
	ScanQuota int              // scans per registry, Region and 24 h; if zero: 100,000
}

// ECR is an embedded ECR with all registries and Regions, in memory. The Region of an HTTP call is that in the credential
// scope of its signature. All methods are safe for concurrent use.
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
		Traffic:      awslocal.NewTraffic(o.Now, writeFault),
		now:          o.Now,
		scanTime:     max(cmp.Or(o.ScanTime, defaultScanTime), 0),
		scanQuota:    cmp.Or(o.ScanQuota, defaultScanQuota),
		repositories: map[RepositoryID]*repository{},
		kinds:        map[registryID]ScanType{},
		quotas:       map[registryID]*quota{},
	}
}

// SetScanType sets the type of scanning of a registry in a Region. The default is basic. Results of the other type are hidden,
// but not deleted.
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

// Now returns the time of the registry's clock.
func (e *ECR) Now() time.Time { return e.now() }

// PutRepository creates a repository, or changes the settings of an existing one without changing its images.
func (e *ECR) PutRepository(id RepositoryID, info Repository) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.repository(id)
	if info.CreatedAt.IsZero() {
		info.CreatedAt = r.info.CreatedAt
	}
	r.info = info
}

// repository returns a repository. It creates the repository if it doesn't exist.
func (e *ECR) repository(id RepositoryID) *repository {
	id = id.WithDefaults()
	r, ok := e.repositories[id]
	if !ok {
		r = newRepository(id, Repository{CreatedAt: e.now()})
		e.repositories[id] = r
	}
	return r
}

// DeleteRepository deletes a repository with its images. It does nothing if the repository doesn't exist.
func (e *ECR) DeleteRepository(id RepositoryID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.repositories, id.WithDefaults())
}

// PutImage pushes an image and returns its digest. It creates the repository if it doesn't exist. Tags that other images have
// are moved to the new image. If the repository already contains the digest, only the tags change.
func (e *ECR) PutImage(id RepositoryID, img Image) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.repository(id)
	now := e.now()
	img.setDefaults(r, now)
	stored, known := r.byDigest[img.Digest]
	if !known {
		stored = &image{seq: r.nextSeq, def: img}
		stored.def.Tags = nil
		r.nextSeq++
		r.order = append(r.order, stored)
		r.byDigest[img.Digest] = stored
		stored.resetResult()
		e.scanPushed(r, stored)
	}
	for _, tag := range img.Tags {
		r.tag(stored, tag)
	}
	return img.Digest
}

// scanPushed starts a scan of a pushed image if the repository has scan on push.
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
	duration := cmp.Or(img.def.ScanTime, e.scanTime)
	img.completesAt = at.Add(max(duration, 0))
	img.scansStarted++
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

// UpdateImage modifies the definition of the image with the digest or tag ref. With basic scanning, the new findings are
// visible after the next scan. If change sets another ScannedAt, they are visible immediately, as the result of a scan at
// that time. Changes of Digest, Tags and PushedAt are ignored.
func (e *ECR) UpdateImage(id RepositoryID, ref string, change func(*Image)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	img, err := e.findImage(id, ref)
	if err != nil {
		return err
	}
	img.finishDueScan(e.now())
	def := img.def
	change(&def)
	def.Digest, def.Tags, def.PushedAt = img.def.Digest, img.def.Tags, img.def.PushedAt
	rescanned := !def.ScannedAt.Equal(img.def.ScannedAt)
	img.def = def
	if rescanned {
		img.completesAt = time.Time{}
		img.resetResult()
	}
	return nil
}

// DeleteImage deletes the image with the digest ref, or the tag ref. Like ECR, it deletes an image with its last tag.
func (e *ECR) DeleteImage(id RepositoryID, ref string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	img, err := e.findImage(id, ref)
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
	at := r.firstAfter(img.seq - 1)
	r.order = slices.Delete(r.order, at, at+1)
	return nil
}

// firstAfter returns the index in order of the first image after seq.
func (r *repository) firstAfter(seq int64) int {
	at, _ := slices.BinarySearchFunc(r.order, seq+1, func(img *image, want int64) int { return int(img.seq - want) })
	return at
}

func (e *ECR) findImage(id RepositoryID, ref string) (*image, error) {
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

// ImageState is the current state of an image.
type ImageState struct {
	Digest       string
	Tags         []string  // sorted
	ScannedAt    time.Time // completion time of the last scan; zero: never scanned
	ScansStarted int       // by push or by StartImageScan
}

// Images returns the state of each image of a repository, in the order of the pushes.
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
		img.finishDueScan(now)
		states[i] = ImageState{img.def.Digest, img.def.Tags, img.def.ScannedAt, img.scansStarted}
	}
	return states
}

// Repositories returns the ids of all repositories, sorted by Region, registry and name.
func (e *ECR) Repositories() []RepositoryID {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.SortedFunc(maps.Keys(e.repositories), func(a, b RepositoryID) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Registry, b.Registry), cmp.Compare(a.Name, b.Name))
	})
}
