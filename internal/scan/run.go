package scan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// Margins of a run: no new work is begun in the last stopMargin before the deadline, and calls under way end at callMargin before it, so
// that there is time to report.
const (
	stopMargin = 15 * time.Second
	callMargin = 3 * time.Second
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
	visits := w.startAll(calls, stop, configs)
	report := w.report(ctx, visits)
	if report.Configs > 0 && report.ConfigsFailed == report.Configs {
		return report, fmt.Errorf("scan run: every config failed, the first with: %w", visits[0].Err)
	}
	return report, nil
}

// runTimes derives from ctx's deadline, if it has one, the context for calls and the one that ends when no more work is to be begun. A
// deadline that is nearer than the margins is split in halves instead.
func runTimes(ctx context.Context) (calls, stop context.Context, cancel func()) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, ctx, func() {}
	}
	span := time.Until(deadline)
	calls, cancelCalls := context.WithDeadline(ctx, deadline.Add(-min(callMargin, span/4)))
	stop, cancelStop := context.WithDeadline(calls, deadline.Add(-min(stopMargin, span/2)))
	return calls, stop, func() { cancelStop(); cancelCalls() }
}

// start starts the scan of an image that several tags may share, if it is due.
func (w *Watch) start(ctx, stop context.Context, same []Image) outcome {
	image := same[0]
	switch image.Kind {
	case PlainImage:
	case Missing:
		return outcome{kind: failed, reason: string(Missing)}
	default:
		return outcome{kind: notScannable, reason: string(image.Kind)}
	}
	result, err := w.Registry.Result(ctx, image.Repository, image.Digest)
	if err == nil {
		switch due := result.dueAt(); {
		case result.State == InProgress:
			return outcome{kind: running}
		case result.Enhanced:
			return outcome{kind: notScannable, reason: "enhanced scanning"}
		case due.After(w.Now()):
			return outcome{kind: recent, due: due}
		}
	}
	if stop.Err() != nil {
		return outcome{kind: left}
	}
	// A result that can't be read is no reason not to scan: ECR itself refuses what it scanned within 24 hours.
	err = w.Registry.StartScan(ctx, image.Repository, image.Digest)
	switch CodeOf(err) {
	case "":
		return outcome{kind: started}
	case ScannedRecently:
		return outcome{kind: recent}
	case NotScannable:
		return outcome{kind: notScannable, reason: MessageOf(err)}
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return outcome{kind: left}
	}
	w.Log.WarnContext(ctx, "can't start the scan of an image",
		"registry", image.Repository.Registry, "region", image.Repository.Region, "repository", image.Repository.Name,
		"tag", image.Tag, "digest", image.Digest, "error", err)
	return outcome{kind: failed, reason: MessageOf(err)}
}

// report counts what happened, with one log line for each config and one for the run.
func (w *Watch) report(ctx context.Context, visits []Report[outcome]) RunReport {
	run := RunReport{Configs: len(visits), Tally: newTally(), Problems: []ConfigRun{}}
	type key struct {
		repo   Repository
		digest string
		tag    string
	}
	counted := make(map[key]bool)
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
		own := make(map[key]bool, len(v.Images))
		for _, item := range v.Images {
			k := key{repo: item.Image.Repository, digest: item.Image.Digest}
			if item.Image.Kind == Missing {
				k.tag = item.Image.Tag
			}
			if !own[k] {
				own[k] = true
				c.add(item.Value)
			}
			if !counted[k] {
				counted[k] = true
				run.add(item.Value)
				run.soonest(item.Value.due)
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

func (r *RunReport) soonest(due time.Time) {
	if !due.IsZero() && (r.NextDue == nil || due.Before(*r.NextDue)) {
		r.NextDue = &due
	}
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
