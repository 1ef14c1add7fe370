package durability

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// rounds are enough to see what is 30 days old leave; .ci/run does 1,000.
var rounds = flag.Int("rounds", 150, "how often the world changes while two visits of one repository overlap")

const every = 7 * time.Hour // so that nothing becomes 30 days old just when a round begins

// Hours pass and the world changes, again and again; then two visits of the same repository and two readers work at once while S3 and ECR are
// disturbed. The record is always that of one of the visits. After one more visit that nothing disturbs, the record, the feeds and their ids
// are those of visits with a store of their own, which nothing ever disturbed.
func TestVisitsThatOverlap(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // little is kept, and much is thrown away
	synctest.Test(t, func(t *testing.T) {
		o := newOverlap(t)
		start := time.Now()
		for round := range *rounds {
			time.Sleep(time.Until(start.Add(time.Duration(round+1) * every)))
			o.disturbed(round)
			diff := o.undisturbed(round%4 == 0)
			if diff != "" || round%50 == 49 {
				diff += cmp.Diff(remembered(t, o.alone), remembered(t, o.s3))
			}
			if diff != "" {
				t.Fatalf("round %d: the feed and the record (-single +two):\n%s", round, diff)
			}
		}
		conflicts := 0
		for _, w := range o.writers {
			conflicts += strings.Count(w.log.String(), errConflict)
		}
		if conflicts < *rounds/10 {
			t.Errorf("of %d rounds, visits met in %d", *rounds, conflicts)
		}
		if n := len(keys(t, o.s3, "set-aside/")); n > 0 {
			t.Errorf("%d objects were set aside", n)
		}
		if n := len(keys(t, o.s3, "record/")); n > 200 {
			t.Errorf("%d objects are kept", n)
		}
	})
}

// overlap is a world in which two writers visit one repository at once, on one bucket. calm visits there too, when nothing disturbs it; single
// has a bucket of its own.
type overlap struct {
	*upheaval
	t            *testing.T
	writers      []*writer
	alone        *awslocal.S3
	single, calm *awstest.Service
	configs      []string
}

func newOverlap(t *testing.T) *overlap {
	u := &upheaval{world: newWorld(t), random: rand.New(rand.NewPCG(20261125, 1))}
	o := &overlap{upheaval: u, t: t, alone: newS3(t), calm: u.service()}
	o.single = (&process{}).service(o.alone, u.ecr)
	for _, skew := range []time.Duration{time.Hour, -time.Hour} {
		o.writers = append(o.writers, newWriter(t, u, skew))
	}
	for _, s := range []*awstest.Service{o.single, o.calm} {
		o.configs = []string{addConfig(t, s, repo).ID, addConfig(t, s, repo, "t1", "t2", "nowhere").ID}
	}
	return o
}

// disturbed changes the world, and lets two visits and two readers work while S3 and ECR are disturbed.
func (o *overlap) disturbed(round int) {
	began := time.Now()
	o.change()
	o.disturb()
	workAtOnce(o.t, o.writers, o.configs)
	o.s3.Calm()
	o.ecr.Calm()
	if took := time.Since(began); took > 20*time.Minute { // or hour() is wrong
		o.t.Fatalf("round %d took %s", round, took)
	}
	ofOne(o.t, o.world, o.writers)
	time.Sleep(refresh.Trust)
}

// undisturbed has both buckets visited, and tells how what is told of them differs. No scan is started before both have seen the one before it.
func (o *overlap) undisturbed(starts bool) (diff string) {
	startNone := o.ecr.Disturb(noStarts)
	visit(o.t, o.single)
	visit(o.t, o.calm)
	startNone()
	diff = cmp.Diff(read(o.t, o.single), read(o.t, o.calm)) + cmp.Diff(ids(o.t, o.single), ids(o.t, o.calm))
	if starts {
		visit(o.t, o.single)
		visit(o.t, o.calm)
	}
	return diff
}

// noStarts makes ECR refuse to start scans.
var noStarts = awslocal.Fault{Operation: "StartImageScan", Code: "LimitExceededException"} // read only

// errConflict is what the log says of a visit that met another.
const errConflict = "another visit has stored the record"

// writer is a process that visits. It sees to it that a visit stores the record only over what it loaded or has stored itself.
type writer struct {
	*awstest.Service
	*testing.T
	log log

	mu sync.Mutex
	// version is that of the record which the visit loaded or stored last, and attempted tells that it has tried to store one.
	version   string
	attempted bool
	// stored are the bodies of the records that the visit stored.
	stored []string
}

func newWriter(t *testing.T, u *upheaval, skew time.Duration) *writer {
	w := &writer{T: t}
	p := &process{skew: skew, loses: u.sometimes(20), saw: w.saw, log: w.log.logger()}
	w.Service = p.service(u.s3, u.ecr)
	return w
}

func (w *writer) visit(ctx context.Context, configs []string) {
	w.mu.Lock()
	w.version, w.attempted, w.stored = "", false, nil
	w.mu.Unlock()
	w.Service.Visitor.Visit(ctx, rescan.Received{Message: rescan.NewMessage(repo, configs...), ID: "m", Sent: time.Now()})
}

func (w *writer) saw(r *http.Request, body []byte, answer *http.Response) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !strings.HasSuffix(r.URL.Path, indexKey) {
		return
	}
	isPut, version := r.Method == http.MethodPut, answer.Header.Get("ETag")
	switch {
	case isPut && answer.StatusCode == http.StatusOK:
		if over := r.Header.Get("If-Match"); over != w.version || over == "" && r.Header.Get("If-None-Match") != "*" {
			w.Errorf("a visit that knows version %q of the record stores one over %q", w.version, over)
		}
		w.version, w.stored, w.attempted = version, append(w.stored, string(body)), true
	case isPut:
		w.attempted = true
	case !w.attempted && version != "":
		w.version = version
	}
}

// ofOne checks that the record that is stored is that of one of the visits, if they stored any.
func ofOne(t *testing.T, w *world, writers []*writer) {
	t.Helper()
	var stored []string
	for _, one := range writers {
		stored = append(stored, one.stored[max(0, len(one.stored)-1):]...)
	}
	if len(stored) > 0 && !slices.Contains(stored, string(get(t, w.s3, indexKey))) {
		t.Error("the record is that of no visit")
	}
}

// workAtOnce lets two visits and two readers work. What they can't do is done later.
func workAtOnce(t *testing.T, writers []*writer, configs []string) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for _, w := range writers {
		wg.Go(func() { w.visit(ctx, configs) })
	}
	wg.Go(func() { _, _ = writers[0].Reader.Summary(ctx, time.Time{}) })
	wg.Go(func() { _, _ = writers[1].Reader.AllFindings(ctx, report.View{}) })
	wg.Wait()
}

// ids are the ids of all findings, and what scans changed in words, sorted. The id of a change has its date, which ECR does not always give.
func ids(t *testing.T, w *awstest.Service) []string {
	t.Helper()
	found, err := w.Reader.AllFindings(t.Context(), report.View{})
	if err != nil {
		t.Fatal(err)
	}
	changes, err := w.Reader.AllChanges(t.Context(), report.View{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range found.Entries {
		all = append(all, found.EntryID(e).String())
	}
	for _, c := range changes.Changes {
		if !c.Scan.IsZero() {
			all = append(all, fmt.Sprintf("%s %s %s#%d %s>%s, scan %s at %s", c.Image.Label(), c.Kind, c.Finding.Name, c.Finding.Episode, c.From, c.To,
				hour(history.StampOf(c.Scan)), hour(history.StampOf(c.At))))
		}
	}
	slices.Sort(all)
	return all
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
func (u *upheaval) image(tags ...string) ecr.Image {
	u.pushes++
	i := ecr.Image{Tags: tags, Digest: fmt.Sprintf("sha256:%064x", u.pushes)}
	if u.random.IntN(3) > 0 {
		i.ScannedAt = time.Now()
	}
	u.scan(&i)
	return i
}

func (u *upheaval) scan(i *ecr.Image) {
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
			u.ecr.PutImage(ecrID(repo), ecr.Image{Digest: digest, Tags: []string{u.tag()}})
		}
	case what < 8:
		if u.random.IntN(4) == 0 {
			u.kind = !u.kind
			u.ecr.SetScanType("", "", map[bool]ecr.ScanType{false: ecr.Basic, true: ecr.Enhanced}[u.kind])
		}
	default:
		u.rescanOne(what < 10)
	}
}

func (u *upheaval) put(i ecr.Image) {
	u.digests = append(u.digests, u.ecr.PutImage(ecrID(repo), i))
}

func (u *upheaval) index() {
	one, other := u.image(), u.image()
	u.put(one)
	u.put(other)
	u.ecr.PutImage(ecrID(repo), ecr.Image{Tags: []string{"multi"}, Children: []ecr.Child{
		{Digest: one.Digest, OS: "linux", Arch: "amd64"}, {Digest: other.Digest, OS: "linux", Arch: "arm64"},
	}})
}

func (u *upheaval) state(digest string) (ecr.ImageState, bool) {
	states := u.ecr.Images(ecrID(repo))
	at := slices.IndexFunc(states, func(s ecr.ImageState) bool { return s.Digest == digest })
	if at < 0 {
		return ecr.ImageState{}, false
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
	_ = u.ecr.UpdateImage(ecrID(repo), digest, func(i *ecr.Image) {
		u.scan(i)
		i.ScannedAt = time.Now()
		if fails {
			i.ScanStatus = "FAILED"
		}
	})
}

// disturb makes S3 and ECR fail in one way or another.
func (u *upheaval) disturb() {
	u.ecr.Disturb(noStarts)
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
