package durability

import (
	"context"
	"crypto/md5" // S3's version of an object
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

// rounds is large enough that changes are deleted after 30 days. .ci/run uses 1,000.
var rounds = flag.Int("rounds", 150, "number of rounds in which two visits of one repository overlap")

const every = 7 * time.Hour // nothing becomes exactly 30 days old when a round begins

// In each round, hours pass and images change. Then two visits of one repository and two reads run at the same
// time, while S3 and ECR have faults. The stored record is always that of one of the two visits. After one more
// visit without faults, the record, the feeds and their ids equal those of a second bucket that never had faults or
// overlapping visits.
func TestVisitsThatOverlap(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // the test creates much garbage and little live memory
	synctest.Test(t, func(t *testing.T) {
		o := newOverlap(t)
		start := time.Now()
		for round := range *rounds {
			time.Sleep(time.Until(start.Add(time.Duration(round+1) * every)))
			o.disturbed(round)
			diff := o.undisturbed(round%4 == 0)
			if diff != "" || round%50 == 49 {
				diff += cmp.Diff(recordLines(t, o.singleS3), recordLines(t, o.s3))
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
			t.Errorf("in %d rounds, there were only %d conflicts of visits", *rounds, conflicts)
		}
		if n := len(keys(t, o.s3, "set-aside/")); n > 0 {
			t.Errorf("%d objects were set aside", n)
		}
		if n := len(keys(t, o.s3, "record/")); n > 40 {
			t.Errorf("%d objects are stored, want at most 40", n)
		}
	})
}

// overlap has two writers that visit one repository at the same time in one bucket. healthy visits in the same
// bucket without faults. single has its own bucket, singleS3.
type overlap struct {
	*randomWorld
	t               *testing.T
	writers         []*writer
	singleS3        *awslocal.S3
	single, healthy *awstest.Service
	configs         []string
}

func newOverlap(t *testing.T) *overlap {
	u := &randomWorld{world: newWorld(t), random: rand.New(rand.NewPCG(20261125, 1))}
	o := &overlap{randomWorld: u, t: t, singleS3: newS3(t), healthy: u.service()}
	o.single = (&process{}).service(o.singleS3, u.ecr)
	for _, skew := range []time.Duration{time.Hour, -time.Hour} {
		o.writers = append(o.writers, newWriter(t, u, skew))
	}
	for _, s := range []*awstest.Service{o.single, o.healthy} {
		o.configs = []string{addConfig(t, s, repo).ID, addConfig(t, s, repo, "t1", "t2", "nowhere").ID}
	}
	return o
}

// disturbed changes images, then runs two visits and two reads at the same time while S3 and ECR have faults.
func (o *overlap) disturbed(round int) {
	began := time.Now()
	o.change()
	o.disturb()
	visitAndRead(o.t, o.writers, o.configs)
	o.s3.ClearFaults()
	o.ecr.ClearFaults()
	if took := time.Since(began); took > 20*time.Minute { // dates that hour() compares must not differ by more
		o.t.Fatalf("round %d took %s", round, took)
	}
	checkRecordOfOneVisit(o.t, o.world, o.writers)
	time.Sleep(refresh.ListingMaxAge)
}

// undisturbed visits both buckets without faults and returns the difference between their feeds. No scan starts
// before both buckets have the result of the previous one.
func (o *overlap) undisturbed(starts bool) (diff string) {
	startNone := o.ecr.InjectFault(noStarts)
	visit(o.t, o.single)
	visit(o.t, o.healthy)
	startNone()
	diff = cmp.Diff(read(o.t, o.single), read(o.t, o.healthy)) + cmp.Diff(ids(o.t, o.single), ids(o.t, o.healthy))
	if starts {
		visit(o.t, o.single)
		visit(o.t, o.healthy)
	}
	return diff
}

// noStarts is a fault that makes ECR refuse to start scans.
var noStarts = awslocal.Fault{Operation: "StartImageScan", Code: "LimitExceededException"} // read only

// errConflict is the log message of a visit that ends because another visit has stored the record.
const errConflict = "another visit has stored the record"

// writer is a process that visits. It checks that each visit replaces only the version of the record that it loaded
// or stored itself.
type writer struct {
	*awstest.Service
	*testing.T
	// reads is a second process that reads at the same time.
	reads *awstest.Service
	log   log

	mu sync.Mutex
	// version is the version of the record that the visit has loaded or stored last. attempted is true after the
	// visit has tried to store one.
	version   string
	attempted bool
	// tried are the versions of the records that the visit tried to store. If the other visit has stored the same record, both may
	// replace it.
	tried map[string]bool
	// stored are the bodies of the records that the visit has stored.
	stored []string
}

func newWriter(t *testing.T, u *randomWorld, skew time.Duration) *writer {
	w := &writer{T: t}
	p := &process{skew: skew, losesResponse: u.sometimes(20), onResponse: w.checkVersion, log: w.log.logger()}
	w.Service, w.reads = p.service(u.s3, u.ecr), (&process{skew: skew}).service(u.s3, u.ecr)
	return w
}

func (w *writer) visit(ctx context.Context, configs []string) {
	w.mu.Lock()
	w.version, w.tried, w.attempted, w.stored = "", map[string]bool{}, false, nil
	w.mu.Unlock()
	w.Service.Visitor.Visit(ctx, rescan.Received{Message: rescan.NewMessage(repo, configs...), ID: "m", Sent: time.Now()})
}

func (w *writer) checkVersion(r *http.Request, body []byte, answer *http.Response) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !strings.HasSuffix(r.URL.Path, indexKey) {
		return
	}
	isPut, version := r.Method == http.MethodPut, answer.Header.Get("ETag")
	switch {
	case isPut && answer.StatusCode == http.StatusOK:
		if over := r.Header.Get("If-Match"); over != w.version && !w.tried[over] || over == "" && r.Header.Get("If-None-Match") != "*" {
			w.Errorf("a visit with version %q of the record replaced version %q", w.version, over)
		}
		w.version, w.stored, w.attempted = version, append(w.stored, string(body)), true
	case isPut:
		w.attempted, w.tried[fmt.Sprintf("\"%x\"", md5.Sum(body))] = true, true
	case !w.attempted && version != "":
		w.version = version
	}
}

// checkRecordOfOneVisit checks that the stored record was stored last by one of the visits, unless none stored one.
func checkRecordOfOneVisit(t *testing.T, w *world, writers []*writer) {
	t.Helper()
	var stored []string
	for _, one := range writers {
		stored = append(stored, one.stored[max(0, len(one.stored)-1):]...)
	}
	if len(stored) > 0 && !slices.Contains(stored, string(get(t, w.s3, indexKey))) {
		t.Error("no visit has stored this record")
	}
}

// visitAndRead runs two visits and two reads at the same time. Later rounds do what they could not do.
func visitAndRead(t *testing.T, writers []*writer, configs []string) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for _, w := range writers {
		wg.Go(func() { w.visit(ctx, configs) })
	}
	wg.Go(func() { _, _ = writers[0].reads.Reader.Summary(ctx, time.Time{}) })
	wg.Go(func() { checkReadable(t, writers[1].reads) })
	wg.Wait()
}

// ids returns the ids of all findings, sorted, and the changes by scans as texts. The id of a change is not used
// because it contains its date, which ECR does not always provide.
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

// randomWorld changes images at random.
type randomWorld struct {
	*world
	mu      sync.Mutex
	random  *rand.Rand
	digests []string
	pushes  int
	kind    bool
}

// sometimes returns a function that is true with the given probability in percent.
func (u *randomWorld) sometimes(percent int) func() bool {
	random := rand.New(rand.NewPCG(uint64(percent), 2))
	return func() bool {
		u.mu.Lock()
		defer u.mu.Unlock()
		return random.IntN(100) < percent
	}
}

func (u *randomWorld) tag() string { return fmt.Sprintf("t%d", u.random.IntN(3)) }

// found returns random findings of a scan.
func (u *randomWorld) found() string {
	var found []string
	for _, name := range "ABCDE" {
		if u.random.IntN(2) == 0 {
			severities := scan.Severities()
			found = append(found, fmt.Sprintf("%c:%s", name, severities[u.random.IntN(4)]))
		}
	}
	return strings.Join(found, " ")
}

// image returns an image with findings of basic and enhanced scanning.
func (u *randomWorld) image(tags ...string) ecr.Image {
	u.pushes++
	i := ecr.Image{Tags: tags, Digest: fmt.Sprintf("sha256:%064x", u.pushes)}
	if u.random.IntN(3) > 0 {
		i.ScannedAt = time.Now()
	}
	u.scan(&i)
	return i
}

func (u *randomWorld) scan(i *ecr.Image) {
	text := u.found()
	i.Findings, i.ScanStatus = findings(text), ""
	i.Enhanced = inspected(u.found())
	for at := range i.Enhanced {
		i.Enhanced[at].FixAvailable = []string{"YES", "NO"}[u.random.IntN(2)]
	}
}

// change makes one random change that could happen within some hours.
func (u *randomWorld) change() {
	switch what := u.random.IntN(20); {
	case what < 3 || len(u.digests) == 0:
		u.put(u.image(u.tag()))
	case what < 4:
		u.index()
	case what < 5:
		_ = u.ecr.DeleteImage(ecrID(repo), u.tag()) // the tag may not exist
	case what < 7: // a tag moves to an older image
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

func (u *randomWorld) put(i ecr.Image) {
	u.digests = append(u.digests, u.ecr.PutImage(ecrID(repo), i))
}

func (u *randomWorld) index() {
	one, other := u.image(), u.image()
	u.put(one)
	u.put(other)
	u.ecr.PutImage(ecrID(repo), ecr.Image{Tags: []string{"multi"}, Children: []ecr.Child{
		{Digest: one.Digest, OS: "linux", Arch: "amd64"}, {Digest: other.Digest, OS: "linux", Arch: "arm64"},
	}})
}

func (u *randomWorld) state(digest string) (ecr.ImageState, bool) {
	states := u.ecr.Images(ecrID(repo))
	at := slices.IndexFunc(states, func(s ecr.ImageState) bool { return s.Digest == digest })
	if at < 0 {
		return ecr.ImageState{}, false
	}
	return states[at], true
}

// rescanOne completes a scan of one of the latest images, unless its last scan is less than 24 hours old, as ECR
// does.
func (u *randomWorld) rescanOne(fails bool) {
	digest := u.digests[len(u.digests)-1-u.random.IntN(min(8, len(u.digests)))]
	state, there := u.state(digest)
	if !there || time.Since(state.ScannedAt) < scan.RescanInterval {
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

// disturb adds random faults to S3 and ECR.
func (u *randomWorld) disturb() {
	u.ecr.InjectFault(noStarts)
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
		u.s3.InjectFault(f)
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
		u.ecr.InjectFault(f)
	}
}
