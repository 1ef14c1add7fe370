package scan

import (
	"context"
	"errors"
	"maps"
	"time"
)

// commitEvery is how long a scan run keeps what it learned before it writes it down.
const commitEvery = 20 * time.Second

// commitSome writes what has changed if it was long ago that it did.
func (l *ledger) commitSome(ctx context.Context) {
	l.mu.Lock()
	due := l.Now().Sub(l.saved) >= commitEvery
	l.mu.Unlock()
	if due {
		l.commit(ctx)
	}
}

// sweepEvery is how often what a record no longer needs is removed.
const sweepEvery = 6 * time.Hour

// close writes what has changed; and removes what is no longer needed, if it was long ago that it did, while there is time for calls.
func (l *ledger) close(ctx, calls context.Context) {
	l.mu.Lock()
	now := l.clock()
	sweep := !l.blank && len(l.now.Images) > 0 && now > l.now.Swept.plus(sweepEvery)
	if sweep {
		l.now.Swept, l.now.touched = now, true
	}
	l.mu.Unlock()
	l.commit(ctx)
	if sweep {
		l.mu.Lock()
		base, first := l.base, l.first
		l.mu.Unlock()
		if err := l.Records.Sweep(calls, l.repo, base, first); err != nil {
			l.Log.WarnContext(ctx, "can't remove what is no longer needed of a record; the next run will", "registry", l.repo.Registry,
				"region", l.repo.Region, "repository", l.repo.Name, "error", err)
		}
	}
}

// Bounds of how often a record is written again when others write it too.
const savesPerCommit = 10

// commit writes what has changed. What can't be written is logged, and found again.
func (l *ledger) commit(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.blank || !l.now.touched {
		return
	}
	l.saved = l.Now()
	now := l.clock()
	l.now.forget(now)
	if showsOther(l.base, l.now) {
		l.now.Changed = l.base.later(now)
	} else if !l.learned() {
		return
	}
	var err error
	for range savesPerCommit {
		var version string
		if version, err = l.Records.Save(ctx, l.repo, l.now); err != nil {
			break
		}
		if version != "" {
			l.now.Version = version
			l.base = l.now
			l.now = l.base.clone()
			return
		}
		theirs, loadErr := l.Records.Load(ctx, l.repo)
		if loadErr != nil {
			err = loadErr
			break
		}
		l.now = merged(l.base, l.now, theirs)
		l.now.touched = true
		if showsOther(theirs, l.now) {
			l.now.Changed = theirs.later(now)
		}
		l.base, l.read = theirs, l.Now()
		if theirs.Now.IsZero() {
			l.base.Now = l.read
		}
		err = &Error{Code: Unavailable, Message: "it is written by others all the time"}
	}
	if !errors.Is(err, context.Canceled) {
		l.Log.WarnContext(ctx, "can't write what is to be remembered of a repository; it will be found again", "registry", l.repo.Registry,
			"region", l.repo.Region, "repository", l.repo.Name, "error", err)
	}
}

// learned tells whether anything was looked up that is worth writing down.
func (l *ledger) learned() bool {
	if l.base.Version == "" || l.now.Listed != l.base.Listed || l.now.Swept != l.base.Swept {
		return len(l.now.Images) > 0 || l.now.Gone > 0 || l.now.Listed > 0
	}
	return !maps.EqualFunc(l.base.Images, l.now.Images, func(a, b ImageRecord) bool { return a.Seen == b.Seen && a.Asked == b.Asked })
}
