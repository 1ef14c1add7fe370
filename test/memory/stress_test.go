package memory

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/scan"
)

// rounds are enough to see what is 30 days old leave; .ci/run does 1,000.
var rounds = flag.Int("rounds", 150, "how often the world changes while three processes write the same record")

const every = 7 * time.Hour // so that nothing becomes 30 days old just when a round begins

// Hours pass and the world changes, again and again; then two readers and a scan run work at once while S3 and ECR are disturbed. The record
// must be what a single writer with a store of its own wrote, who saw the same world, and so must the feed.
func TestThreeWritersAreAsGoodAsOne(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // little is kept, and much is thrown away
	synctest.Test(t, func(t *testing.T) {
		u := &upheaval{world: newWorld(t), random: rand.New(rand.NewPCG(20261125, 1))}
		alone := newS3(t)
		single := (&process{}).watch(alone, u.ecr)
		writers := make([]*scan.Watch, 3)
		for i := range writers {
			writers[i] = (&process{skew: time.Duration(i-1) * time.Hour, loses: u.sometimes(20)}).watch(u.s3, u.ecr)
		}
		calm := u.watch()
		for _, w := range []*scan.Watch{single, calm} {
			addConfig(t, w, repo)
			addConfig(t, w, repo, "t1", "t2", "nowhere")
		}
		start := time.Now()
		for round := range *rounds {
			began := start.Add(time.Duration(round+1) * every)
			time.Sleep(time.Until(began))
			u.change()
			u.disturb()
			workAtOnce(t, writers)
			u.s3.Calm()
			u.ecr.Calm()
			if took := time.Since(began); took > 20*time.Minute { // or hour() is wrong
				t.Fatalf("round %d took %s", round, took)
			}
			time.Sleep(scan.Trust)
			diff := cmp.Diff(read(t, single), read(t, calm))
			if round%4 == 0 { // no scan is started before both have seen the one before it
				run(t, single)
				run(t, calm)
			}
			if diff != "" {
				t.Fatalf("round %d: the feed (-single +three):\n%s\nthe record:\n%s", round, diff, cmp.Diff(remembered(t, alone), remembered(t, u.s3)))
			}
			if round%50 == 49 {
				if diff := cmp.Diff(remembered(t, alone), remembered(t, u.s3)); diff != "" {
					t.Fatalf("round %d: the record (-single +three):\n%s", round, diff)
				}
			}
		}
		if n := len(keys(t, u.s3, "set-aside/")); n > 0 {
			t.Errorf("%d objects were set aside", n)
		}
		if n := len(keys(t, u.s3, "record/")); n > 200 {
			t.Errorf("%d objects are kept", n)
		}
	})
}

// workAtOnce lets a run and two readers work. What they can't do is done later.
func workAtOnce(t *testing.T, writers []*scan.Watch) {
	var wg sync.WaitGroup
	for i, work := range []func(context.Context, *scan.Watch){
		func(ctx context.Context, w *scan.Watch) { _, _ = w.Run(ctx) },
		func(ctx context.Context, w *scan.Watch) { _, _ = w.Summary(ctx, time.Time{}) },
		func(ctx context.Context, w *scan.Watch) { _, _ = w.AllFindings(ctx, scan.View{}) },
	} {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			work(ctx, writers[i])
		})
	}
	wg.Wait()
}

// upheaval changes a world at random.
type upheaval struct {
	*world
	mu      sync.Mutex
	random  *rand.Rand
	digests []string
	pushes  int
	kind    bool
}

// sometimes is true in so many percent of the times.
func (u *upheaval) sometimes(percent int) func() bool {
	random := rand.New(rand.NewPCG(uint64(percent), 2))
	return func() bool {
		u.mu.Lock()
		defer u.mu.Unlock()
		return random.IntN(100) < percent
	}
}

func (u *upheaval) tag() string { return fmt.Sprintf("t%d", u.random.IntN(3)) }

// found is what a scan may find.
func (u *upheaval) found() string {
	var found []string
	for _, name := range "ABCDE" {
		if u.random.IntN(2) == 0 {
			severities := scan.Severities()
			found = append(found, fmt.Sprintf("%c:%s", name, severities[u.random.IntN(4)]))
		}
	}
	return strings.Join(found, " ")
}

// image is one with findings of both kinds of scanning.
func (u *upheaval) image(tags ...string) awslocal.Image {
	u.pushes++
	i := awslocal.Image{Tags: tags, Digest: fmt.Sprintf("sha256:%064x", u.pushes)}
	if u.random.IntN(3) > 0 {
		i.ScannedAt = time.Now()
	}
	u.scan(&i)
	return i
}

func (u *upheaval) scan(i *awslocal.Image) {
	text := u.found()
	i.Findings, i.ScanStatus = findings(text), ""
	i.Enhanced = inspected(u.found())
	for at := range i.Enhanced {
		i.Enhanced[at].FixAvailable = []string{"YES", "NO"}[u.random.IntN(2)]
	}
}

// change is what happens in the world within some hours.
func (u *upheaval) change() {
	switch what := u.random.IntN(20); {
	case what < 3 || len(u.digests) == 0:
		u.put(u.image(u.tag()))
	case what < 4:
		u.index()
	case what < 5:
		_ = u.ecr.DeleteImage(ecrID(repo), u.tag()) // which may not be there
	case what < 7: // a tag moves to what was pushed before
		digest := u.digests[len(u.digests)-1-u.random.IntN(min(4, len(u.digests)))]
		if _, there := u.state(digest); there {
			u.ecr.PutImage(ecrID(repo), awslocal.Image{Digest: digest, Tags: []string{u.tag()}})
		}
	case what < 8:
		if u.random.IntN(4) == 0 {
			u.kind = !u.kind
			u.ecr.SetScanType("", "", map[bool]awslocal.ScanType{false: awslocal.Basic, true: awslocal.Enhanced}[u.kind])
		}
	default:
		u.rescanOne(what < 10)
	}
}

func (u *upheaval) put(i awslocal.Image) {
	u.digests = append(u.digests, u.ecr.PutImage(ecrID(repo), i))
}

func (u *upheaval) index() {
	one, other := u.image(), u.image()
	u.put(one)
	u.put(other)
	u.ecr.PutImage(ecrID(repo), awslocal.Image{Tags: []string{"multi"}, Children: []awslocal.Child{
		{Digest: one.Digest, OS: "linux", Arch: "amd64"}, {Digest: other.Digest, OS: "linux", Arch: "arm64"},
	}})
}

func (u *upheaval) state(digest string) (awslocal.ImageState, bool) {
	states := u.ecr.Images(ecrID(repo))
	at := slices.IndexFunc(states, func(s awslocal.ImageState) bool { return s.Digest == digest })
	if at < 0 {
		return awslocal.ImageState{}, false
	}
	return states[at], true
}

// rescanOne makes a scan of one of the latest images complete, unless one did within 24 hours: ECR makes none then.
func (u *upheaval) rescanOne(fails bool) {
	digest := u.digests[len(u.digests)-1-u.random.IntN(min(8, len(u.digests)))]
	state, there := u.state(digest)
	if !there || time.Since(state.ScannedAt) < scan.Rescan {
		return
	}
	_ = u.ecr.UpdateImage(ecrID(repo), digest, func(i *awslocal.Image) {
		u.scan(i)
		i.ScannedAt = time.Now()
		if fails {
			i.ScanStatus = "FAILED"
		}
	})
}

// disturb makes S3 and ECR fail in one way or another.
func (u *upheaval) disturb() {
	u.ecr.Disturb(awslocal.Fault{Operation: "StartImageScan", Code: "LimitExceededException"})
	for range u.random.IntN(4) {
		f := []awslocal.Fault{
			{Operation: "PutObject", Status: 500, Share: 0.4},
			{Operation: "PutObject", Status: 409, Code: "ConditionalRequestConflict", Share: 0.3},
			{Operation: "PutObject", Status: 412, Code: "PreconditionFailed", Share: 0.2},
			{Operation: "PutObject", Status: 500, After: u.random.IntN(5)},
			{Operation: "GetObject", Cut: true, Share: 0.3},
			{Operation: "GetObject", Status: 503, Share: 0.5},
			{Operation: "GetObject", Status: 500, After: u.random.IntN(8)},
			{Operation: "DeleteObject", Status: 500, Share: 0.5},
			{Delay: time.Duration(u.random.IntN(3000)) * time.Millisecond, Share: 0.3},
			{Drop: true, Share: 0.2},
		}[u.random.IntN(10)]
		u.s3.Disturb(f)
	}
	for range u.random.IntN(3) {
		f := []awslocal.Fault{
			{PerSecond: 2},
			{Status: 500, Share: 0.5},
			{Operation: "DescribeImageScanFindings", Status: 500, After: u.random.IntN(6)},
			{Operation: "DescribeImages", Status: 500},
			{Operation: "BatchGetImage", Status: 500},
			{Operation: "DescribeImageScanFindings", Cut: true, Share: 0.4},
			{Delay: time.Duration(u.random.IntN(2000)) * time.Millisecond, Share: 0.5},
		}[u.random.IntN(7)]
		u.ecr.Disturb(f)
	}
}
