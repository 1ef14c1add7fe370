package rescan

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// Scanner reads from ECR and starts scans.
type Scanner interface {
	refresh.Registry
	// StartScan starts a scan of an image that is not an index. Errors: also ScannedRecently, NotScannable and
	// EnhancedScanning.
	StartScan(ctx context.Context, repo scan.Repository, digest string) error
	// IsCovered reports whether a filter of the registry selects the repository for enhanced scanning.
	IsCovered(ctx context.Context, repo scan.Repository) (bool, error)
	// Repositories returns the repositories of a registry.
	Repositories(ctx context.Context, in scan.Registry) ([]scan.ListedRepository, error)
}

// RecordWriter reads and writes records. Its errors have the code Unavailable unless a method documents others.
type RecordWriter interface {
	// Records reads as for requests, and also repairs: it moves invalid objects away and rebuilds an invalid record
	// from its histories.
	refresh.Records
	// Save writes a record if the stored record has the same Version. It returns the new version, or "" when another
	// writer has stored a newer record.
	Save(ctx context.Context, repo scan.Repository, r history.Record) (version string, err error)
	// AddHistories stores histories. It returns the new name, or the error, of each one.
	AddHistories(ctx context.Context, repo scan.Repository, histories []history.History) (names []string, errs []error)
	// Sweep deletes unused histories of a repository: those that neither r nor earlier names and that are not new. A
	// request can still use the record before, which has the earlier names, and another visit can still add a new history
	// to the record. It checks the histories that were stored at or after since, the time of the last sweep. It returns the labels of the images whose history is missing or invalid, and the new names, by label, of
	// histories that it moved. The record must be saved with these names before the next sweep.
	Sweep(ctx context.Context, repo scan.Repository, r history.Record, earlier []string, since history.Stamp) (lost []string, moved map[string]string, err error)
	// Repositories returns the repositories that have a record or a history.
	Repositories(ctx context.Context) ([]scan.Repository, error)
	// Remove deletes the record and all histories of a repository.
	Remove(ctx context.Context, repo scan.Repository) error
	// SavePatterns stores what a schedule found for the patterns of configs, if the stored value has the same Version.
	// Otherwise it returns false.
	SavePatterns(ctx context.Context, p history.Patterns) (isSaved bool, err error)
}

// StoredConfigs reads and packs the stored configs.
type StoredConfigs interface {
	// List returns all configs. Errors: Unavailable when the store can't be read.
	List(ctx context.Context) ([]scan.Config, error)
	// Stored returns the config with an id, as it was stored at a moment after since. Errors: NotFound only when no object
	// is stored for the id. Unavailable when the object is invalid, access to it is denied, or it can't be read now.
	Stored(ctx context.Context, id string, since time.Time) (scan.Config, error)
	// Pack stores one object with copies of all configs, if it is missing or outdated. It makes the next List of a new
	// process faster, and nothing depends on it. Errors: Unavailable.
	Pack(ctx context.Context) error
}

// Visitor visits repositories. It lists the images that the configs watch, records ECR's results, and starts the
// scans that are due. Only a Visitor writes records. Its fields must not change after the first use. Its methods are
// safe for concurrent use, but there must be only one visit of a repository at a time.
type Visitor struct {
	Configs StoredConfigs
	Scanner Scanner
	Records RecordWriter
	// Suppressions can be nil: then nothing is set aside.
	Suppressions refresh.SuppressionReader
	Queue        Queue
	Now          func() time.Time
	Log          *slog.Logger
}

func (v *Visitor) source() refresh.Source {
	return refresh.Source{Registry: v.Scanner, Records: v.Records, Suppressions: v.Suppressions, Now: v.Now, Log: v.Log}
}

// Margins before the deadline of a visit. From stopMargin on, the visit starts no new work. From saveMargin on, it
// saves nothing.
const (
	stopMargin = 15 * time.Second
	saveMargin = time.Second
)

// visit is the state of one visit.
type visit struct {
	*Visitor
	*refresh.Refresher
	message Received
	log     *slog.Logger
	// stopCtx ends when the visit must not start new work. callCtx for calls to ECR ends later, and saveCtx for
	// saving ends last.
	saveCtx, callCtx, stopCtx context.Context
	// configs are the readable configs that watch the repository. ids are their ids and those of configs that can't
	// be read now. configErr is the error of one that can't be read.
	configs   []scan.Config
	ids       []string
	configErr error
	// readOnly means that a later version wrote the record, or that the suppressions can't be read. The visit then stores nothing.
	readOnly bool
	// saved is when the record was last saved or loaded.
	saved time.Time
	// begin is the start of the visit by S3's clock.
	begin history.Stamp
	// loaded is the version of the record at that time, histories are the names of its histories, and swept is when the last
	// sweep was. The other data of that record is not kept, because it can be large.
	loaded    string
	histories []string
	swept     history.Stamp
	// mustSave means that the record has changes that no reader sees and that must be saved: marks of starts, and new names
	// of histories.
	mustSave bool
	work     *work
}

// errConflict means that another writer has stored the record during the visit. The visit then ends, because the
// other writer has the same data from ECR.
var errConflict = errors.New("another visit has stored the record")

// Visit visits the repository of a message and returns before ctx's deadline. Errors are in the report and the log.
// If images remain, it sends a message for another visit that continues with them.
func (v *Visitor) Visit(ctx context.Context, m Received) VisitReport {
	saveCtx, cancelSave := refresh.WithEarlierDeadline(ctx, saveMargin, 16)
	defer cancelSave()
	callCtx, cancelCalls := refresh.WithCallDeadline(ctx)
	defer cancelCalls()
	stopCtx, cancelStop := refresh.WithEarlierDeadline(ctx, stopMargin, 2)
	defer cancelStop()
	w := &visit{
		Visitor: v, message: m, saveCtx: saveCtx, callCtx: callCtx, stopCtx: stopCtx,
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

func (w *visit) logReport(ctx context.Context, r VisitReport, err error) {
	attrs := []any{"outcome", r.Outcome, "configs", r.Configs, "tally", r.Tally}
	if r.IsComplete() {
		attrs = append(attrs, "findings", r.Findings)
	}
	if r.IsComplete() && r.OldestScan != nil {
		attrs = append(attrs, "oldestScan", *r.OldestScan)
	}
	switch r.Outcome {
	case VisitFailed:
		w.log.WarnContext(ctx, "visit failed; the next schedule repeats it", append(attrs, "code", r.Code, "reason", r.Reason, "error", err)...)
	case VisitCutOff:
		w.log.ErrorContext(ctx, "visits stopped: too many continuations in a row; the next schedule continues", attrs...)
	default:
		w.log.InfoContext(ctx, "visit", attrs...)
	}
}

// do runs the visit and returns its outcome.
func (w *visit) do() (Outcome, error) {
	if err := w.open(); err != nil {
		return VisitFailed, err
	}
	readRules := w.readRules()
	defer readRules() // nothing of a visit goes on after it
	err := w.readConfigs()
	switch {
	case len(w.ids) == 0:
		return w.remove()
	case w.isStale() && w.coversConfigs():
		return VisitDropped, nil
	case err != nil:
		return VisitFailed, err
	}
	rules, rulesErr := readRules()
	if rulesErr != nil {
		w.readOnly = true // otherwise nobody could tell later which findings were set aside before this visit
	}
	if err := w.recordEnds(rules); err != nil {
		w.log.WarnContext(w.callCtx, "could not record which suppressions ended; the next visit does it", "error", err)
	}
	if err := w.list(); err != nil {
		if w.isOver(err) {
			return w.remove()
		}
		return VisitFailed, err
	}
	w.work = newWork(w)
	err = w.finish()
	switch {
	case errors.Is(err, errConflict):
		w.log.WarnContext(w.saveCtx, "visit ended: another visit has stored the record")
		return VisitEnded, nil
	case err != nil:
		return VisitFailed, err
	case rulesErr != nil, w.work.refusal != nil:
		return VisitFailed, cmp.Or(rulesErr, w.work.refusal)
	case w.work.tally.NotReached > 0:
		return w.sendContinuation()
	}
	return VisitEnded, nil
}

// readRules starts to read the suppressions, while the visit reads the configs. The function that it returns waits for them. They are nil if no ends
// have to be recorded.
func (w *visit) readRules() func() (*suppress.Rules, error) {
	if w.readOnly || w.loaded == "" {
		return func() (*suppress.Rules, error) { return nil, nil }
	}
	var rules *suppress.Rules
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		rules, err = w.source().Rules(w.callCtx)
	}()
	return func() (*suppress.Rules, error) {
		<-done
		return rules, err
	}
}

// recordEnds records the findings that came back because their suppressions ended.
func (w *visit) recordEnds(rules *suppress.Rules) error {
	if rules == nil {
		return nil
	}
	changed, err := endWriter{w.Refresher, w.Visitor.Records, w.callCtx, w.saveCtx, w.stopCtx}.record(rules)
	w.mustSave = w.mustSave || changed
	return err
}

// list lists the images that the configs watch. If this fails, it records the error.
func (w *visit) list() error {
	w.Record.Configs = w.ids
	if err := w.List(w.callCtx, w.configs, w.configErr != nil); err != nil {
		w.Record.SetFailure(err, w.Clock())
		if saveErr := w.save(); saveErr != nil {
			w.log.WarnContext(w.saveCtx, "could not record why the visit failed", "error", saveErr)
		}
		return err
	}
	if w.message.Created > 0 {
		w.Record.SetAppeared(history.Stamp(w.message.Created), w.Clock())
	}
	if w.configErr == nil {
		w.Trim(w.configs)
	}
	watches := scan.ByAny(w.SelectAll(w.configs), scan.Selection.Watches)
	w.Record.SetWatched(func(i *history.ImageRecord) bool {
		isKept := w.configErr != nil && i.Unwatched == 0 // the config that can't be read can watch it
		return isKept || watches(i.Tag)
	}, w.Clock())
	w.Record.SetVisited(w.begin)
	return nil
}

// isOver reports whether the repository was deleted so long ago that changes no longer list it, and no config names it. A
// pattern matches only repositories that exist.
func (w *visit) isOver(err error) bool {
	since := w.Stored.MissingSince
	isPattern := !slices.ContainsFunc(w.configs, func(c scan.Config) bool { return !c.IsPattern() })
	return isPattern && w.configErr == nil && scan.CodeOf(err) == scan.RepositoryNotFound && since > 0 && since.Plus(history.Retention) < w.Clock()
}

// finish handles the images and saves the record. If a sweep finds lost histories, it reads their findings again.
func (w *visit) finish() error {
	if err := w.work.run(); err != nil {
		return err
	}
	w.work.recordCoverage()
	w.Record.SetEnded(w.work.refusal, w.Clock())
	sweep := w.isSweepDue()
	switch {
	case w.loaded == "":
		w.Record.Swept = w.begin // a later sweep checks the histories of this first visit
	case sweep:
		w.Record.Swept = w.Clock()
	}
	if err := w.save(); err != nil || !sweep {
		return err
	}
	return w.sweep()
}

// sweep deletes unused histories, and moves others so that they need fewer objects. If histories are lost, it reads their
// findings again.
func (w *visit) sweep() error {
	lost, moved, err := w.Visitor.Records.Sweep(w.callCtx, w.Repo, w.Stored, w.histories, w.swept)
	if err != nil {
		w.log.WarnContext(w.saveCtx, "could not delete or merge histories; a later visit does it", "error", err)
	}
	for _, label := range lost {
		w.Record.DropHistory(label)
		delete(moved, label)
	}
	if len(lost)+len(moved) == 0 {
		return nil
	}
	w.Stored.MoveHistories(moved) // so that no reader takes it for a change
	w.Record.MoveHistories(moved)
	w.mustSave = w.mustSave || len(moved) > 0
	if len(lost) > 0 {
		if err := w.work.run(); err != nil {
			return err
		}
	}
	w.Record.SetEnded(w.work.refusal, w.Clock())
	return w.save()
}

// open loads the record. If a later version of the service wrote the record, the visit does not change it but still
// starts scans.
func (w *visit) open() error {
	r, err := w.source().Open(w.callCtx, w.message.Repo())
	if errors.Is(err, history.ErrLaterFormat) {
		w.log.ErrorContext(w.saveCtx, "the visit does not change the record: a later version wrote it", "error", err)
		w.readOnly = true
		r, err = refresh.NewRefresher(w.source(), w.message.Repo(), history.Record{}), nil
	}
	w.Refresher, w.saved = r, w.Visitor.Now()
	if err == nil {
		w.loaded, w.histories, w.swept, w.begin = r.Stored.Version, r.Stored.HistoryNames(), r.Stored.Swept, history.StampOf(r.Stored.Now)
		w.Record.AssignDates(w.Clock()) // before the visit uses other seconds, so that requests assign the same dates
	}
	return err
}

// isStale reports whether a visit that began after the message was sent has already listed the repository. It ignores
// a begin in the future, which a wrong clock can cause, so that it does not stop all visits. A visit that did not end does
// not count: its message is delivered again, and nothing else continues it.
func (w *visit) isStale() bool {
	begin := w.Stored.Begin
	return !w.Stored.Unfinished && begin <= w.Clock() && w.message.Sent.Before(begin.Time())
}

// coversConfigs reports whether the record has all images that the configs may watch. A message that was sent before the last
// visit can name a config that the last visit did not read, or that was replaced after the last visit had read it.
func (w *visit) coversConfigs() bool {
	read := make(map[string]bool, len(w.configs))
	for _, c := range w.configs {
		read[c.ID] = true
	}
	isNew := func(id string) bool { return !read[id] && !slices.Contains(w.Record.Configs, id) }
	return w.Record.Covers(w.configs) && !slices.ContainsFunc(w.ids, isNew)
}

// configsAtOnce is the maximum number of concurrent reads of configs.
const configsAtOnce = 32

// configMaxAge is how long before the visit a config can have been read. Visits of many repositories for one pattern then need few reads.
const configMaxAge = 10 * time.Second

// configsSince returns the time after which the configs must have been read. A config is stored before the message that it causes is sent.
func (w *visit) configsSince() time.Time {
	since := w.begin.Time().Add(-configMaxAge)
	if w.message.Sent.After(since) {
		return w.message.Sent
	}
	return since
}

// readConfigs reads the configs that the message or the record names, and selects those that watch the repository.
// Only a config that is no longer stored counts as deleted. If a config can't be read, its tags remain in the record.
func (w *visit) readConfigs() error {
	ids := slices.Concat(w.message.Configs, w.Record.Configs)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	configs, errs := make([]scan.Config, len(ids)), make([]error, len(ids))
	since := w.configsSince()
	var g errgroup.Group
	g.SetLimit(configsAtOnce)
	for i, id := range ids {
		g.Go(func() error {
			configs[i], errs[i] = w.Configs.Stored(w.callCtx, id, since)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	for i, err := range errs {
		switch {
		case err == nil && configs[i].Watches(w.Repo):
			w.configs, w.ids = append(w.configs, configs[i]), append(w.ids, ids[i])
		case err != nil && scan.CodeOf(err) != scan.NotFound:
			w.log.WarnContext(w.callCtx, "could not read a config; its tags remain in the record", "config", ids[i], "error", err)
			w.ids, w.configErr = append(w.ids, ids[i]), err
		}
	}
	if len(w.configs) == 0 && w.configErr != nil && len(w.Record.Images) == 0 {
		return w.configErr // the tags to list are unknown
	}
	return nil
}

// remove deletes the record of a repository that no config watches any more.
func (w *visit) remove() (Outcome, error) {
	if w.readOnly {
		return VisitEnded, nil
	}
	if err := w.Visitor.Records.Remove(w.saveCtx, w.Repo); err != nil {
		return VisitFailed, err
	}
	w.log.InfoContext(w.saveCtx, "deleted the record of a repository that no config watches any more")
	return VisitEnded, nil
}

// sweepEvery is the interval at which unused histories are deleted.
const sweepEvery = 6 * time.Hour

func (w *visit) isSweepDue() bool {
	return !w.readOnly && w.loaded != "" && len(w.Record.Images) > 0 && w.Clock() > w.Record.Swept.Plus(sweepEvery)
}

// saveEvery is the interval at which a visit saves the record.
const saveEvery = 20 * time.Second

// isSaveDue reports whether the last save was at least saveEvery ago.
func (w *visit) isSaveDue() bool { return w.Visitor.Now().Sub(w.saved) >= saveEvery }

// beginEvery is the interval at which the begin of the last visit is stored even if nothing else has changed.
const beginEvery = time.Hour

// save stores the record if data that responses show has changed, the configs have changed, the stored begin is old,
// scans were started, or another visit must continue. Errors: errConflict, or those of the store.
func (w *visit) save() error {
	w.saved = w.Visitor.Now()
	now := w.Clock()
	w.Record.Prune(now)
	w.Record.AssignDates(now)
	isVisible := history.HasVisibleChange(w.Stored, w.Record)
	isOld := w.Record.Begin > w.Stored.Begin.Plus(beginEvery) || w.Stored.Begin > w.Record.Begin
	mustSave := w.mustSave || w.Record.Unfinished != w.Stored.Unfinished || w.work != nil && w.work.hasNotReached()
	if w.readOnly || !isVisible && !isOld && !mustSave && w.Record.Swept == w.Stored.Swept && slices.Equal(w.Record.Configs, w.Stored.Configs) {
		return nil
	}
	if isVisible {
		w.Record.Changed = w.Stored.NextChange(now)
	}
	if err := w.store(&w.Record); err != nil {
		return err
	}
	w.Stored, w.mustSave = w.Record, false
	w.Record = w.Stored.Clone()
	return nil
}

// store stores a record and sets its new version. Errors: errConflict, or those of the store.
func (w *visit) store(r *history.Record) error {
	version, err := w.Visitor.Records.Save(w.saveCtx, w.Repo, *r)
	if err != nil {
		return err
	}
	if version == "" {
		return errConflict
	}
	r.Version, r.Now = version, w.Stored.Now
	return nil
}

// saveMarks marks in the record that the scans of groups are going to be started. It stores only the marks, so that responses do
// not change. Errors: errConflict, or those of the store; then nothing is marked.
func (w *visit) saveMarks(groups []refresh.Group) error {
	marked := w.Stored.Clone()
	mark(&marked, groups, w.Clock())
	if err := w.store(&marked); err != nil {
		return err
	}
	w.Record.ShareStarts(w.Stored, marked)
	w.Stored, w.Record.Version = marked, marked.Version
	return nil
}

func mark(r *history.Record, groups []refresh.Group, at history.Stamp) {
	for _, g := range groups {
		for _, image := range g {
			r.MarkStart(image, at)
		}
	}
}

// sendContinuation sends the message for the visit that continues this one.
func (w *visit) sendContinuation() (Outcome, error) {
	if w.message.Continues >= MaxContinuations {
		return VisitCutOff, nil
	}
	next := Sending{Message: w.message.Message, Once: w.message.ID}
	next.Continues++
	next.Configs = w.ids[:min(len(w.ids), maxConfigIDs)]
	if errs := w.Queue.Send(w.saveCtx, []Sending{next}); len(errs) > 0 && errs[0] != nil {
		w.log.WarnContext(w.saveCtx, "could not send the message that continues the visit; the next schedule sends one", "error", errs[0])
		return VisitEnded, nil
	}
	return VisitContinued, nil
}
