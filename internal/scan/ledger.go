package scan

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// ledger is the record of one repository while it is worked with: what is known is taken from it, what is not is asked of ECR and goes into it.
// Its methods may be called side by side.
type ledger struct {
	*Watch
	repo Repository
	// blank is a ledger without a record, for want of a store or since it can't be used: everything is asked of ECR, and nothing is kept.
	blank bool
	// failure is why the record can't be used; opened tells that it was tried.
	failure error
	opened  sync.Once
	// read is when the record was read, by our own clock, whose spans alone are used; saved is when it was written.
	read, saved time.Time
	// doubting is a ledger of someone who wants to know what is true now.
	doubting bool
	// patient is a ledger of someone who would rather wait for ECR than make do with what is known.
	patient bool
	// full bounds how many findings are read of ECR side by side.
	full chan struct{}
	// folds is how many images may still be read with their findings by whoever needs no more than counts.
	folds *atomic.Int64

	mu    sync.Mutex
	first Record // as it was in the store when it was read
	base  Record // as it is in the store
	now   Record // as it will be
	// stale is why what is known of some images, by label, could not be asked again.
	stale map[string]error
	// down is why nothing is asked of ECR any more.
	down error
}

// ledgers are the ledgers of the repositories that a call works with.
type ledgers struct {
	*Watch
	// patient ledgers wait for ECR as long as the call may take.
	patient bool
	// doubting ledgers ask what may have changed, however fresh it is.
	doubting bool
	full     *rooms
	folds    atomic.Int64

	mu   sync.Mutex
	open map[Repository]*ledger
}

// Bounds of what is asked of ECR: of how many images in one place the findings are read at once, since they may be megabytes, and
// by a reader of the summary how many, so that one of thousands stays quick.
const (
	fullAtOnce   = 16
	foldsPerRead = 200
)

// readersPatience is how long a reader waits for ECR when there is a last good answer to give.
const readersPatience = 8 * time.Second

// readers are the ledgers for an answer to a reader.
func (w *Watch) readers() *ledgers {
	l := &ledgers{Watch: w, full: newRooms(fullAtOnce), open: make(map[Repository]*ledger)}
	l.folds.Store(foldsPerRead)
	return l
}

// writers are the ledgers for a scan run, which goes on whatever becomes of the record.
func (w *Watch) writers() *ledgers {
	return &ledgers{Watch: w, patient: true, full: newRooms(fullAtOnce), open: make(map[Repository]*ledger)}
}

// of is the ledger of a repository that was opened, or a blank one.
func (ls *ledgers) of(repo Repository) *ledger {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.open[repo]
	if l == nil {
		l = &ledger{Watch: ls.Watch, repo: repo, blank: true, patient: ls.patient, doubting: ls.doubting, read: ls.Now(), full: ls.full.of(repo.place()), folds: &ls.folds, stale: make(map[string]error)}
		l.base.Now = l.read
		l.now = l.base.clone()
		ls.open[repo] = l
	}
	return l
}

// begin opens the ledger of a repository, once.
func (ls *ledgers) begin(ctx context.Context, repo Repository) *ledger {
	l := ls.of(repo)
	l.opened.Do(func() { l.open(ctx) })
	return l
}

func (l *ledger) open(ctx context.Context) {
	if l.Records == nil {
		return
	}
	r, err := l.Records.Load(ctx, l.repo)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failure = err
		l.Log.ErrorContext(ctx, "can't read what is remembered of a repository", "registry", l.repo.Registry, "region", l.repo.Region,
			"repository", l.repo.Name, "error", err)
		return
	}
	l.blank, l.read, l.base = false, l.Now(), r
	if r.Now.IsZero() {
		l.base.Now = l.read
	}
	l.now, l.first, l.saved = l.base.clone(), l.base, l.read
}

// list tells what the tags of a repository point to, as [walker] wants it.
func (ls *ledgers) list(ctx context.Context, repo Repository, tags []string) ([]Image, error) {
	l := ls.begin(ctx, repo)
	if l.failure != nil { // whoever tells what is new must know what is old
		return nil, l.failure
	}
	return l.images(ctx, tags)
}

// clock is the time by S3's clock.
func (l *ledger) clock() Stamp { return StampOf(l.base.Now.Add(l.Now().Sub(l.read))) }
