package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// RunReport is what one scan run did. Images that several configs watch are counted once.
type RunReport struct {
	// Configs is how many configs there are; ConfigsFailed how many of them could not be read as a whole, and ConfigsLeft how many the run
	// did not come to before its time was up.
	Configs       int `json:"configs"`
	ConfigsFailed int `json:"configsFailed"`
	ConfigsLeft   int `json:"configsLeft"`
	Tally
	Known
	// NextDue is when the next of the images that were scanned within 24 hours may be scanned again, if there is one.
	NextDue *time.Time `json:"nextDue,omitempty"`
	// Problems tells of each config with something failed or left, the first hundred of them.
	Problems []ConfigRun `json:"problems"`
	// ProblemsOmitted counts the further ones. Each stands in the log.
	ProblemsOmitted int `json:"problemsOmitted,omitempty"`
}

// ConfigRun is what one scan run did for one config.
type ConfigRun struct {
	ID         string `json:"id"`
	Region     string `json:"region"`
	Registry   string `json:"registry"`
	Repository string `json:"repository"`
	// Error is why the config could not be read as a whole.
	Error string `json:"error,omitempty"`
	Tally
}

// Tally counts images by what happened to them.
type Tally struct {
	// Images is the sum of the counts below, without Artifacts.
	Images int `json:"images"`
	// Started is how many scans were started.
	Started int `json:"started"`
	// Recent is how many were scanned within 24 hours, so that ECR would refuse them.
	Recent int `json:"scannedWithin24h"`
	// InProgress is how many are being scanned already.
	InProgress int `json:"inProgress"`
	// NotScannable counts, by reason, what can't be scanned.
	NotScannable map[string]int `json:"notScannable"`
	// Failed counts, by reason, what could have been scanned and was not.
	Failed map[string]int `json:"failed"`
	// Left is how many were not reached before the time was up. Those that are due still are so at the next run.
	Left int `json:"left"`
	// Artifacts is how many tags were left out since they are no images.
	Artifacts int `json:"artifacts"`
}

// outcome is what a scan run did with one image.
type outcome struct {
	kind   outcomeKind
	reason string
	// due is when a recent image may be scanned again; zero when unknown.
	due time.Time
}

type outcomeKind int

const (
	started outcomeKind = iota
	recent
	running
	notScannable
	failed
	left
)

const maxProblems = 100

// errLeft marks a config that a run did not reach before its time was up.
var errLeft = &Error{Code: Unavailable, Message: "left for the next run: the time was up"}

// Margins: a run begins no new work in the last stopMargin before its deadline, and the calls of a run or a reader that are under way end at
// callMargin before it, so that there is time to write down what was learned, and to report.
const (
	stopMargin = 15 * time.Second
	callMargin = 3 * time.Second
	// reportMargin is what is left of a run when all is written down.
	reportMargin = time.Second
)

// Run starts the scan of every image that is due. What happens to one image or config stands in the report and the log; the error is for a
// run that can't work as a whole: configs unreadable, or every config failed. It returns before ctx's deadline and counts what it left.
func (w *Watch) Run(ctx context.Context) (RunReport, error) {
	calls, stop, cancel := runTimes(ctx)
	defer cancel()
	configs, err := w.Configs.List(calls)
	if err != nil {
		return RunReport{}, fmt.Errorf("scan run: can't read the configs: %w", err)
	}
	starts := newStarter(w, stop)
	var tidied sync.WaitGroup
	tidied.Go(func() { w.tidy(calls, stop, configs) })
	visits := starts.startAll(ctx, calls, configs)
	tidied.Wait()
	report := w.report(ctx, visits)
	report.Known = starts.known
	if report.Configs > 0 && report.ConfigsFailed == report.Configs {
		return report, fmt.Errorf("scan run: every config failed, the first with: %w", visits[0].Err)
	}
	return report, nil
}

// runTimes derives from ctx's deadline, if it has one, the context for calls and the one that ends when no more work is to be begun. A
// deadline that is nearer than the margins is split in halves instead.
func runTimes(ctx context.Context) (calls, stop context.Context, cancel func()) {
	calls, cancelCalls := early(ctx, callMargin, 4)
	stop, cancelStop := early(ctx, stopMargin, 2)
	return calls, stop, func() { cancelStop(); cancelCalls() }
}

// early ends before ctx by a margin, or by the given part of the time that is left if that is less. It has no deadline if ctx has none.
func early(ctx context.Context, margin time.Duration, part int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline.Add(-min(margin, time.Until(deadline)/time.Duration(part))))
}

// Known is what a run learned of the images before it did anything with them.
type Known struct {
	// Findings is the sum of the findings that the images' last scans had, by severity.
	Findings Counts `json:"findings"`
	// OldestScan is when the image whose last scan is the longest ago was scanned. Images without a scan have no age, and those under enhanced
	// scanning are left out: they are scanned again when there is a reason, however long that takes.
	OldestScan *time.Time `json:"oldestScan,omitempty"`
}

// starter starts the scans of one run, or of one function's part of it.
type starter struct {
	*Watch
	// stop ends when no more work is to be begun.
	stop context.Context
	// rooms bound the images under way.
	rooms *rooms
	// books are what is remembered of the repositories.
	books *ledgers
	// enhanced has each place that refused to start scans by hand. It lasts for the run alone, since the setting can be changed back.
	enhanced sync.Map

	mu    sync.Mutex
	known Known
}

func newStarter(w *Watch, stop context.Context) *starter {
	return &starter{Watch: w, stop: stop, rooms: newRooms(imagesAtOnce), books: w.writers(), known: Known{Findings: Counts{}}}
}

// over tells that no more work is to be begun.
func (s *starter) over() bool { return s.stop.Err() != nil }

// know takes in the last result of an image. It is called once for each.
func (s *starter) know(result Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if result.State == Completed && !result.Enhanced {
		s.known.OldestScan = earlier(s.known.OldestScan, result.CompletedAt)
	}
	for severity, n := range result.Counts {
		s.known.Findings[severity] += n
	}
}

// visit remembers what the last scan of an image found, and starts another if it is due. The image is given once for each of its labels.
func (s *starter) visit(ctx context.Context, same []Image) outcome {
	image := same[0]
	switch {
	case s.over():
		return outcome{kind: left}
	case image.Err != nil:
		return s.failed(ctx, image, image.Err)
	case image.Kind == Missing:
		return outcome{kind: failed, reason: string(Missing)}
	case image.Kind != PlainImage:
		return outcome{kind: notScannable, reason: string(image.Kind)}
	}
	book := s.books.of(image.Repository)
	result := book.look(ctx, same, book.news())
	s.know(result)
	switch due := result.dueAt(); {
	case result.State == InProgress:
		return outcome{kind: running}
	case result.Enhanced:
		return outcome{kind: notScannable, reason: string(EnhancedScanning)}
	case due.After(s.Now()):
		return outcome{kind: recent, due: due}
	}
	// A result that can't be read is no reason not to scan: ECR itself refuses what it scanned within 24 hours.
	return s.start(ctx, image, book)
}

func (s *starter) start(ctx context.Context, image Image, book *ledger) outcome {
	if s.over() {
		return outcome{kind: left}
	}
	if _, enhanced := s.enhanced.Load(image.Repository.place()); enhanced {
		return outcome{kind: notScannable, reason: string(EnhancedScanning)}
	}
	err := s.Registry.StartScan(ctx, image.Repository, image.Digest)
	if err != nil {
		return s.failed(ctx, image, err)
	}
	book.started(image)
	return outcome{kind: started}
}

// failed is what became of an image whose scan was not started for the reason err.
func (s *starter) failed(ctx context.Context, image Image, err error) outcome {
	switch code := CodeOf(err); {
	case code == ScannedRecently:
		return outcome{kind: recent}
	case code == EnhancedScanning:
		s.enhanced.Store(image.Repository.place(), true)
		return outcome{kind: notScannable, reason: string(EnhancedScanning)}
	case code == NotScannable, code == ImageNotFound && image.Platform != "":
		return outcome{kind: notScannable, reason: MessageOf(err)}
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		return outcome{kind: left}
	}
	s.logImage(ctx, "can't start the scan of an image", image, err)
	return outcome{kind: failed, reason: MessageOf(err)}
}

// report counts what happened, with one log line for each config and one for the run.
func (w *Watch) report(ctx context.Context, visits []Report[outcome]) RunReport {
	run := RunReport{Configs: len(visits), Tally: newTally(), Problems: []ConfigRun{}}
	counted := sharedRepositories(visits)
	artifacts := make(map[Repository]int)
	for _, v := range visits {
		c := ConfigRun{ID: v.Config.ID, Region: v.Config.Region, Registry: v.Config.Registry, Repository: v.Config.Repository, Tally: newTally()}
		if v.Err != nil {
			c.Error = MessageOf(v.Err)
			if errors.Is(v.Err, errLeft) {
				run.ConfigsLeft++
			} else {
				run.ConfigsFailed++
			}
		}
		own, elsewhere := make(imageSet, len(v.Images)), counted[v.Config.Repo()]
		for _, item := range v.Images {
			if !own.first(item.Image) {
				continue
			}
			c.add(item.Value)
			if elsewhere.first(item.Image) {
				run.add(item.Value)
				run.NextDue = earlier(run.NextDue, item.Value.due)
			}
		}
		c.Artifacts = v.Artifacts
		artifacts[v.Config.Repo()] = max(artifacts[v.Config.Repo()], v.Artifacts)
		run.addProblem(c)
		w.logConfig(ctx, c, v.Err)
	}
	for _, n := range artifacts {
		run.Artifacts += n
	}
	w.Log.InfoContext(ctx, "scan run", "configs", run.Configs, "configsFailed", run.ConfigsFailed, "configsLeft", run.ConfigsLeft, "tally", run.Tally)
	return run
}

// imageSet has images by what makes them one. A nil set keeps nothing: every image is new to it.
type imageSet map[string]bool

// first tells whether the image is new, and adds it.
func (s imageSet) first(image Image) bool {
	name := image.Digest
	if image.Kind != PlainImage {
		name = string(image.Kind) + " " + cmp.Or(image.Digest, image.Tag)
	}
	if s[name] {
		return false
	}
	if s != nil {
		s[name] = true
	}
	return true
}

// sharedRepositories has an empty set for each repository that more than one config watches; for the others none is worth its memory.
func sharedRepositories(visits []Report[outcome]) map[Repository]imageSet {
	configs := make(map[Repository]int)
	sets := make(map[Repository]imageSet)
	for _, v := range visits {
		repo := v.Config.Repo()
		if configs[repo]++; configs[repo] == 2 {
			sets[repo] = imageSet{}
		}
	}
	return sets
}

func (w *Watch) logConfig(ctx context.Context, c ConfigRun, err error) {
	attrs := []any{"config", c.ID, "registry", c.Registry, "region", c.Region, "repository", c.Repository, "tally", c.Tally}
	if err != nil {
		w.Log.WarnContext(ctx, "scan run of a config failed", append(attrs, "error", err)...)
		return
	}
	w.Log.InfoContext(ctx, "scan run of a config", attrs...)
}

func newTally() Tally { return Tally{NotScannable: map[string]int{}, Failed: map[string]int{}} }

func (t *Tally) add(o outcome) {
	t.Images++
	switch o.kind {
	case started:
		t.Started++
	case recent:
		t.Recent++
	case running:
		t.InProgress++
	case notScannable:
		t.NotScannable[o.reason]++
	case failed:
		t.Failed[o.reason]++
	case left:
		t.Left++
	}
}

// LogValue implements slog.LogValuer, with the names of the JSON form.
func (t Tally) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Int("images", t.Images), slog.Int("started", t.Started), slog.Int("scannedWithin24h", t.Recent), slog.Int("inProgress", t.InProgress),
		slog.Any("notScannable", t.NotScannable), slog.Any("failed", t.Failed), slog.Int("left", t.Left), slog.Int("artifacts", t.Artifacts),
	)
}

// ImagesFailed is the number of images that could have been scanned and were not.
func (t Tally) ImagesFailed() int {
	n := 0
	for _, of := range t.Failed {
		n += of
	}
	return n
}

func earlier(a *time.Time, b time.Time) *time.Time {
	if b.IsZero() || a != nil && !b.Before(*a) {
		return a
	}
	return &b
}

func (r *RunReport) addProblem(c ConfigRun) {
	switch {
	case c.Error == "" && len(c.Failed) == 0 && c.Left == 0:
	case len(r.Problems) < maxProblems:
		r.Problems = append(r.Problems, c)
	default:
		r.ProblemsOmitted++
	}
}
