package rescan

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// Scanner is what a visit asks of ECR.
type Scanner interface {
	refresh.Registry
	// StartScan asks ECR to scan an image that is no index. Further error codes are ScannedRecently, NotScannable and EnhancedScanning.
	StartScan(ctx context.Context, repo scan.Repository, digest string) error
}

// RecordWriter stores records. Its errors have the code Unavailable unless it says otherwise.
type RecordWriter interface {
	// Records is as for readers, but what is broken is set aside: a broken record is rebuilt from its histories.
	refresh.Records
	// Save writes a record if the one that is stored has its Version. It gives the new version, or none when another has been written since.
	Save(ctx context.Context, repo scan.Repository, r history.Record) (version string, err error)
	// AddHistory stores a history under a name of its own, which it gives.
	AddHistory(ctx context.Context, repo scan.Repository, h history.History) (name string, err error)
	// Sweep removes the histories of a repository that neither the record names nor an earlier one, which somebody may be reading, and that
	// are too old to be about to be named. It gives the labels of the images whose history is lost or broken.
	Sweep(ctx context.Context, repo scan.Repository, r, earlier history.Record) (lost []string, err error)
	// Repositories are those that have a record or a history.
	Repositories(ctx context.Context) ([]scan.Repository, error)
	// Remove removes the record of a repository with all histories.
	Remove(ctx context.Context, repo scan.Repository) error
}

// StoredConfigs gives the stored configs to the schedule and to visits.
type StoredConfigs interface {
	// List is every config. Errors: Unavailable when the store as a whole can't be read.
	List(ctx context.Context) ([]scan.Config, error)
	// Stored is the config that is stored under an id. Errors: NotFound only when nothing is stored there; Unavailable when what is there is
	// refused, is broken, or can't be read now.
	Stored(ctx context.Context, id string) (scan.Config, error)
}

// Visitor visits repositories: it lists what the configs watch, records what ECR says, and starts the scans that are due. It is the only
// writer of records. Its fields are set once; its methods may be called side by side, for one repository one after another.
type Visitor struct {
	Configs StoredConfigs
	Scanner Scanner
	Records RecordWriter
	Queue   Queue
	Now     func() time.Time
	Log     *slog.Logger
}

func (v *Visitor) source() refresh.Source {
	return refresh.Source{Registry: v.Scanner, Records: v.Records, Now: v.Now, Log: v.Log}
}

// Margins: a visit begins no new work in the last stopMargin before its deadline, and saveMargin is what is left when all is saved.
const (
	stopMargin = 15 * time.Second
	saveMargin = time.Second
)

// visit is one visit under way.
type visit struct {
	*Visitor
	*refresh.Refresher
	message Received
	log     *slog.Logger
	// saving ends last, calls before it, and stop when no more work is to be begun.
	saving, calls, stop context.Context
	// configs watch the repository; ids has those too that can't be read now, and unreadable is why one can't.
	configs    []scan.Config
	ids        []string
	unreadable error
	// readOnly tells that the record is of a later format: nothing is stored.
	readOnly bool
	// saved is when the record was saved last, or loaded.
	saved time.Time
	// begin is when the visit began, by S3's clock, and loaded the record of then.
	begin  history.Stamp
	loaded history.Record
	work   *work
}

// errConflict ends a visit: another writer has stored the record meanwhile, and knows as much.
var errConflict = errors.New("the record was written by another visit")

// Visit visits the repository of a message, and returns before ctx's deadline. What goes wrong stands in the report and the log; what is left to
// do is sent as one more message, or is done by a later visit.
func (v *Visitor) Visit(ctx context.Context, m Received) VisitReport {
	saving, cancelSaving := refresh.Before(ctx, saveMargin, 16)
	defer cancelSaving()
	calls, cancelCalls := refresh.CallsBefore(ctx)
	defer cancelCalls()
	stop, cancelStop := refresh.Before(ctx, stopMargin, 2)
	defer cancelStop()
	w := &visit{
		Visitor: v, message: m, saving: saving, calls: calls, stop: stop,
		log: v.Log.With(append(refresh.RepositoryAttrs(m.Repo()), "continues", m.Continues)...),
	}
	report := VisitReport{Tally: newTally(), Known: Known{Findings: scan.Counts{}}}
	outcome, err := w.do()
	if w.work != nil {
		report.Tally, report.Known = w.work.tally, w.work.known
	}
	report.Outcome, report.Configs = outcome, len(w.configs)
	if outcome == VisitFailed {
		report.Code, report.Reason = scan.CodeOf(err), scan.MessageOf(err)
	}
	w.logReport(ctx, report, err)
	return report
}

// do does the visit, and tells how it ended.
func (w *visit) do() (Outcome, error) {
	if err := w.open(); err != nil {
		return VisitFailed, err
	}
	if w.isStale() && w.knowsConfigs() {
		return VisitDropped, nil
	}
	if err := w.readConfigs(); err != nil {
		return VisitFailed, err
	}
	if len(w.ids) == 0 {
		return w.remove()
	}
	if err := w.list(); err != nil {
		return VisitFailed, err
	}
	w.work = newWork(w)
	err := w.finish()
	switch {
	case errors.Is(err, errConflict):
		w.log.WarnContext(w.saving, "visit ended: another visit has stored the record")
		return VisitEnded, nil
	case err != nil:
		return VisitFailed, err
	case w.work.refusal != nil:
		return VisitFailed, w.work.refusal
	case w.work.tally.Left > 0:
		return w.goOn()
	}
	return VisitEnded, nil
}

// list lists what the configs watch. Why it can't is recorded.
func (w *visit) list() error {
	tags := w.watched()
	w.Record.Configs = w.ids
	if err := w.List(w.calls, tags); err != nil {
		w.Record.SetFailure(err, w.Clock())
		if saveErr := w.save(); saveErr != nil {
			w.log.WarnContext(w.saving, "can't record why visits fail", "error", saveErr)
		}
		return err
	}
	w.Record.SetVisited(w.begin)
	if w.unreadable == nil && len(tags) > 0 {
		w.Record.KeepOnly(tags)
	}
	return nil
}

// finish does the work and saves it. What a sweep finds to be lost is read again at once.
func (w *visit) finish() error {
	if err := w.work.run(); err != nil {
		return err
	}
	w.Record.SetEnded(w.work.refusal, w.Clock())
	sweep := w.isSweepDue()
	if sweep {
		w.Record.Swept = w.Clock()
	}
	if err := w.save(); err != nil || !sweep {
		return err
	}
	lost, err := w.Visitor.Records.Sweep(w.calls, w.Repo, w.Stored, w.loaded)
	if err != nil {
		w.log.WarnContext(w.saving, "can't remove what a record no longer needs; a later visit does", "error", err)
	}
	for _, label := range lost {
		w.Record.DropHistory(label)
	}
	if len(lost) == 0 {
		return nil
	}
	if err := w.work.run(); err != nil {
		return err
	}
	return w.save()
}

// open loads the record. One of a later format is left alone: scans are started all the same.
func (w *visit) open() error {
	r, err := w.source().Open(w.calls, w.message.Repo())
	if errors.Is(err, history.ErrLaterFormat) {
		w.log.ErrorContext(w.saving, "the record is left alone; nothing is stored", "error", err)
		w.readOnly = true
		r, err = refresh.NewRefresher(w.source(), w.message.Repo(), history.Record{}), nil
	}
	w.Refresher, w.saved = r, w.Visitor.Now()
	if err == nil {
		w.loaded, w.begin = r.Stored, history.StampOf(r.Stored.Now)
	}
	return err
}

// isStale tells whether a visit that began after the message was sent has listed the repository already. A begin in the future comes of a
// clock that was wrong: it must not stop the visits.
func (w *visit) isStale() bool {
	begin := w.Stored.Begin
	return begin <= w.Clock() && w.message.Sent.Before(begin.Time())
}

// knowsConfigs tells whether the record has what the configs of the message watch. A message that was sent before the last visit may name a
// config of which that visit did not know.
func (w *visit) knowsConfigs() bool {
	tags := w.Record.Tags()
	for _, id := range w.message.Configs {
		if slices.Contains(w.Record.Configs, id) {
			continue
		}
		c, err := w.Configs.Stored(w.calls, id)
		isUnknown := func(tag string) bool { return !tags[tag] }
		switch {
		case scan.CodeOf(err) == scan.NotFound, err == nil && c.Repo() != w.Repo, err == nil && w.Record.HasListedAll():
		case err != nil, len(c.Tags) == 0, slices.ContainsFunc(c.Tags, isUnknown):
			return false
		}
	}
	return true
}

// configsAtOnce is how many configs are read side by side.
const configsAtOnce = 32

// readConfigs reads the configs that the message or the record names, and keeps those that watch the repository. One that can't be read keeps
// what it watched: only one that is not stored any more is deleted.
func (w *visit) readConfigs() error {
	ids := slices.Concat(w.message.Configs, w.Record.Configs)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	configs, errs := make([]scan.Config, len(ids)), make([]error, len(ids))
	var g errgroup.Group
	g.SetLimit(configsAtOnce)
	for i, id := range ids {
		g.Go(func() error {
			configs[i], errs[i] = w.Configs.Stored(w.calls, id)
			return nil
		})
	}
	_ = g.Wait() // each error stands beside its config
	for i, err := range errs {
		switch {
		case err == nil && configs[i].Repo() == w.Repo:
			w.configs, w.ids = append(w.configs, configs[i]), append(w.ids, ids[i])
		case err != nil && scan.CodeOf(err) != scan.NotFound:
			w.log.WarnContext(w.calls, "can't read a config; what it watched is kept", "config", ids[i], "error", err)
			w.ids, w.unreadable = append(w.ids, ids[i]), err
		}
	}
	if len(w.configs) == 0 && w.unreadable != nil && len(w.Record.Images) == 0 {
		return w.unreadable // nothing says what to list
	}
	return nil
}

// remove removes the record of a repository that no config watches any more.
func (w *visit) remove() (Outcome, error) {
	if w.readOnly {
		return VisitEnded, nil
	}
	if err := w.Visitor.Records.Remove(w.saving, w.Repo); err != nil {
		return VisitFailed, err
	}
	w.log.InfoContext(w.saving, "removed the record of a repository that no config watches any more")
	return VisitEnded, nil
}

// watched are the tags that are watched, none when it is all of them: those that the configs name, and with one that can't be read those
// too that the record has.
func (w *visit) watched() []string {
	tags := scan.WatchedTags(w.configs)
	isAll := len(w.configs) > 0 && len(tags) == 0
	if isAll || w.unreadable == nil {
		return tags
	}
	if w.Record.HasListedAll() {
		return nil
	}
	tags = slices.AppendSeq(tags, maps.Keys(w.Record.Tags()))
	slices.Sort(tags)
	return slices.Compact(tags)
}

// sweepEvery is how often the histories that the record does not need any more are removed.
const sweepEvery = 6 * time.Hour

func (w *visit) isSweepDue() bool {
	return !w.readOnly && len(w.Record.Images) > 0 && w.Clock() > w.Record.Swept.Plus(sweepEvery)
}

// saveEvery is how long a visit keeps what it learned before it saves it.
const saveEvery = 20 * time.Second

// isSaveDue tells whether the last save was long ago.
func (w *visit) isSaveDue() bool { return w.Visitor.Now().Sub(w.saved) >= saveEvery }

// beginEvery is how often the begin of the last visit is stored though nothing else has changed.
const beginEvery = time.Hour

// save stores the record if a reader would see a change, the configs have changed, the stored begin is old, or another visit is to go on from
// there. Errors: errConflict, or those of the store.
func (w *visit) save() error {
	w.saved = w.Visitor.Now()
	now := w.Clock()
	w.Record.Forget(now)
	shown := history.ShowsOther(w.Stored, w.Record)
	isOld := w.Record.Begin > w.Stored.Begin.Plus(beginEvery) || w.Stored.Begin > w.Record.Begin
	goesOn := w.work != nil && w.work.hasLeft()
	if w.readOnly || !shown && !isOld && !goesOn && w.Record.Swept == w.Stored.Swept && slices.Equal(w.Record.Configs, w.Stored.Configs) {
		return nil
	}
	if shown {
		w.Record.Changed = w.Stored.NextChange(now)
	}
	version, err := w.Visitor.Records.Save(w.saving, w.Repo, w.Record)
	if err != nil {
		return err
	}
	if version == "" {
		return errConflict
	}
	w.Record.Version, w.Record.Now = version, w.Stored.Now
	w.Stored = w.Record
	w.Record = w.Stored.Clone()
	return nil
}

// goOn sends the message of the visit that continues this one.
func (w *visit) goOn() (Outcome, error) {
	if w.message.Continues >= MaxContinuations {
		return VisitCutOff, nil
	}
	next := Sending{Message: w.message.Message, Once: w.message.ID}
	next.Continues++
	next.Configs = w.ids[:min(len(w.ids), maxConfigIDs)]
	if errs := w.Queue.Send(w.saving, []Sending{next}); len(errs) > 0 && errs[0] != nil {
		w.log.WarnContext(w.saving, "can't send the message that continues a visit; the next schedule does", "error", errs[0])
		return VisitEnded, nil
	}
	return VisitContinued, nil
}
