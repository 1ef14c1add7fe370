package usecases

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ecr-continuous-scan/internal/gate"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

// fakeRegistry is a registry in memory that counts its calls.
type fakeRegistry struct {
	now    func() time.Time // if set, a scan is refused while one is in progress and for 24 hours after it
	mu     sync.Mutex
	images map[string][]scan.Image // by repository name
	// notWatched is the number of untagged images of each repository. hidden are the tags that a listing of all tags lacks,
	// because they move while its pages are read; nil means that it is read in one page.
	notWatched *int
	parts      map[string]bool // untagged parts of indexes
	hidden     map[string]bool
	results    map[string]scan.Result // by digest
	start      map[string]error       // by digest
	fail       map[string]error       // by repository name or digest
	calls      map[string]int         // by "call key"
	order      []string               // the calls in order
	// repositories are those that a listing of a registry returns. Their errors have the key "repositories <registry> <region>".
	repositories []scan.ListedRepository
	block        func(ctx context.Context, digest string)
	list         func()                  // called during a listing
	starts       func()                  // called during the start of a scan
	scans        bool                    // a started scan is in progress
	byDigest     map[string][]scan.Image // untagged images
	uncovered    bool                    // no filter of enhanced scanning covers a repository
}

// count counts a call, or returns an error if the context allows no more calls.
func (f *fakeRegistry) count(ctx context.Context, call, key string) error {
	if err := scan.UseCall(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[call+" "+key]++
	f.order = append(f.order, call+" "+key)
	return nil
}

// takeCalls returns the calls since its last call and resets the counts.
func (f *fakeRegistry) takeCalls() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls, f.order = nil, nil
	return calls
}

func (f *fakeRegistry) Images(ctx context.Context, repo scan.Repository, wanted scan.Wanted) (scan.Listing, error) {
	tags := wanted.Tags
	if err := f.count(ctx, "images", repo.Name); err != nil {
		return scan.Listing{}, err
	}
	if f.list != nil {
		f.list()
	}
	if err := f.fail[repo.Name]; err != nil {
		return scan.Listing{}, err
	}
	l := scan.Listing{Images: slices.Clone(f.images[repo.Name])}
	if len(tags) == 0 {
		l.NotWatched, l.Parts, l.IsPaged = f.notWatched, f.parts, f.hidden != nil
	}
	l.Images = slices.DeleteFunc(l.Images, func(i scan.Image) bool {
		return scan.IsUntagged(i.Tag) && !wanted.Untagged || len(tags) == 0 && f.hidden[i.Tag] || len(tags) > 0 && !slices.Contains(tags, i.Tag)
	})
	for i := range l.Images {
		l.Images[i].Repository = repo
	}
	return l, nil
}

func (f *fakeRegistry) Repositories(ctx context.Context, in scan.Registry) ([]scan.ListedRepository, error) {
	key := in.ID + " " + in.Region
	if err := f.count(ctx, "repositories", key); err != nil {
		return nil, err
	}
	if err := f.fail["repositories "+key]; err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(f.repositories), func(r scan.ListedRepository) bool { return r.In() != in }), nil
}

func (f *fakeRegistry) Findings(ctx context.Context, _ scan.Repository, digest string) (scan.Result, error) {
	if err := f.count(ctx, "result", digest); err != nil {
		return scan.Result{}, err
	}
	if f.block != nil {
		f.block(ctx, digest)
	}
	if err := ctx.Err(); err != nil {
		return scan.Result{}, &scan.Error{Code: scan.Unavailable, Message: "no answer in time", Err: err}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fail[digest]; err != nil {
		return scan.Result{}, err
	}
	return f.results[digest], nil
}

func (f *fakeRegistry) StartScan(ctx context.Context, _ scan.Repository, digest string) error {
	if err := f.count(ctx, "start", digest); err != nil {
		return err
	}
	if f.starts != nil {
		f.starts()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if last := f.results[digest]; f.now != nil && f.start[digest] == nil && !last.Enhanced && (last.State == scan.InProgress || last.DueAt().After(f.now())) {
		return &scan.Error{Code: scan.ScannedRecently, Message: "scanned within 24 hours"}
	}
	if f.scans {
		f.results[digest] = scan.Result{State: scan.InProgress}
	}
	return f.start[digest]
}

// ImagesOf returns the images of byDigest.
func (f *fakeRegistry) ImagesOf(ctx context.Context, repo scan.Repository, digest string) ([]scan.Image, error) {
	if err := f.count(ctx, "digest", digest); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	images := slices.Clone(f.byDigest[digest])
	for i := range images {
		images[i].Repository = repo
	}
	return images, f.fail["digest"]
}

// IsCovered counts its calls as "covered". Its error is that of "covered" in fail.
func (f *fakeRegistry) IsCovered(ctx context.Context, repo scan.Repository) (bool, error) {
	if err := f.count(ctx, "covered", repo.Name); err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.uncovered, f.fail["covered"]
}

// fakeStore is a store of configs in memory.
type fakeStore struct {
	mu      sync.Mutex
	configs []scan.Config
	err     error
	refused map[string]error // the errors of configs that can't be read, by id
	since   time.Time        // of the last call of Stored
}

func (s *fakeStore) List(context.Context) ([]scan.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	return slices.Clone(s.configs), nil
}

func (s *fakeStore) LastDeleted(context.Context) (time.Time, error) { return time.Time{}, nil }

func (s *fakeStore) Get(_ context.Context, id string) (scan.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.configs {
		if c.ID == id {
			return c, nil
		}
	}
	return scan.Config{}, &scan.Error{Code: scan.NotFound}
}

func (s *fakeStore) Pack(context.Context) error { return nil }

func (s *fakeStore) Stored(ctx context.Context, id string, since time.Time) (scan.Config, error) {
	s.mu.Lock()
	s.since = since
	s.mu.Unlock()
	if err := s.refused[id]; err != nil {
		return scan.Config{}, err
	}
	return s.Get(ctx, id)
}

func (s *fakeStore) set(configs ...scan.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.configs = configs
}

// fakeRecords is a store of records in memory with versions as in S3.
type fakeRecords struct {
	now func() time.Time

	mu        sync.Mutex
	records   map[scan.Repository]history.Record
	histories map[string]history.History
	made      int      // the number of versions and names that were created
	saves     int      // the number of saves
	lost      []string // the labels that the next sweep returns
	patterns  history.Patterns
	listed    []string // the heads of RepositoriesIn
	// The errors of calls: by repository, by name of the history, and by label.
	load    map[scan.Repository]error
	history map[string]error
	add     map[string]error
	save    error
	pattern error // of Patterns
	// saving, if set, is called before each save, and loading before each load.
	saving, loading func()
}

func newFakeRecords(now func() time.Time) *fakeRecords {
	return &fakeRecords{
		now: now, records: map[scan.Repository]history.Record{}, histories: map[string]history.History{}, load: map[scan.Repository]error{}, history: map[string]error{}, add: map[string]error{},
	}
}

func (f *fakeRecords) Load(_ context.Context, repo scan.Repository) (history.Record, error) {
	if f.loading != nil {
		f.loading()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.load[repo]; err != nil {
		return history.Record{}, err
	}
	r := f.records[repo].Clone()
	r.Now = f.now().Truncate(time.Second) // as HTTP dates are
	return r, nil
}

func (f *fakeRecords) Histories(_ context.Context, _ scan.Repository, names []string, use func(int, history.History, error)) {
	for i, name := range names {
		h, err := f.read(name)
		use(i, h, err)
	}
}

func (f *fakeRecords) read(name string) (history.History, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.history[name]; err != nil {
		return history.History{}, err
	}
	h, known := f.histories[name]
	if !known {
		return history.History{}, &scan.Error{Code: scan.NotFound}
	}
	return h, nil
}

func (f *fakeRecords) Save(ctx context.Context, repo scan.Repository, r history.Record) (string, error) {
	if f.saving != nil {
		f.saving()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return "", &scan.Error{Code: scan.Unavailable, Err: ctx.Err()}
	case f.save != nil:
		return "", f.save
	case f.records[repo].Version != r.Version:
		return "", nil
	}
	f.made++
	f.saves++
	r.Version = fmt.Sprint("version", f.made)
	r.Images, r.UsedSeconds = maps.Clone(r.Images), slices.Clone(r.UsedSeconds)
	f.records[repo] = r
	return r.Version, nil
}

func (f *fakeRecords) AddHistories(_ context.Context, _ scan.Repository, histories []history.History) ([]string, []error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	names, errs := make([]string, len(histories)), make([]error, len(histories))
	for i, h := range histories {
		if errs[i] = f.add[scan.Image{Tag: h.Tag, Platform: h.Platform}.Label()]; errs[i] != nil {
			continue
		}
		f.made++
		names[i] = fmt.Sprint("history", f.made)
		f.histories[names[i]] = h
	}
	return names, errs
}

func (f *fakeRecords) Sweep(context.Context, scan.Repository, history.Record, []string, history.Stamp) ([]string, map[string]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	lost := f.lost
	f.lost = nil
	return lost, nil, nil
}

func (f *fakeRecords) Repositories(context.Context) ([]scan.Repository, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.records)), nil
}

func (f *fakeRecords) RepositoriesIn(_ context.Context, in scan.Registry, head string) ([]scan.Repository, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listed = append(f.listed, head)
	var found []scan.Repository
	for repo := range f.records {
		if repo.In() == in && strings.HasPrefix(repo.Name, head) {
			found = append(found, repo)
		}
	}
	return found, nil
}

func (f *fakeRecords) Patterns(context.Context) (history.Patterns, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.patterns
	p.Now = history.StampOf(f.now())
	return p, f.pattern
}

func (f *fakeRecords) SavePatterns(_ context.Context, p history.Patterns) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.Version != f.patterns.Version {
		return false, nil
	}
	f.made++
	p.Version = fmt.Sprint("patterns", f.made)
	f.patterns = p
	return true, nil
}

func (f *fakeRecords) Remove(_ context.Context, repo scan.Repository) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.records, repo)
	return nil
}

// of returns the stored record of the repository with a name.
func (f *fakeRecords) of(repo string) history.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.records[config("", repo).Repo()]
}

// set changes a record as another writer does.
func (f *fakeRecords) set(repo string, change func(*history.Record)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.records[config("", repo).Repo()].Clone()
	change(&r)
	f.made++
	r.Version = fmt.Sprint("version", f.made)
	f.records[config("", repo).Repo()] = r
}

// fakeQueue delivers messages in the order in which they were sent.
type fakeQueue struct {
	now func() time.Time

	mu         sync.Mutex
	waiting    []rescan.Received
	sent       []rescan.Sending
	fail       func(rescan.Message) error
	waitingErr error
}

func (q *fakeQueue) Send(_ context.Context, sendings []rescan.Sending) []error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var errs []error
	for i, s := range sendings {
		if q.fail != nil && q.fail(s.Message) != nil {
			errs = append(errs, make([]error, len(sendings)-len(errs))...)
			errs[i] = q.fail(s.Message)
			continue
		}
		q.sent = append(q.sent, s)
		q.waiting = append(q.waiting, rescan.Received{Message: s.Message, ID: fmt.Sprint("message", len(q.sent)), Sent: q.now()})
	}
	return errs
}

func (q *fakeQueue) Waiting(context.Context) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting), q.waitingErr
}

// next removes and returns the first message.
func (q *fakeQueue) next() (m rescan.Received, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return m, false
	}
	m, q.waiting = q.waiting[0], q.waiting[1:]
	return m, true
}

// service is the service in memory: configs, records, a queue and a registry.
type service struct {
	*report.Reader
	visitor  *rescan.Visitor
	registry *fakeRegistry
	configs  *fakeStore
	records  *fakeRecords
	queue    *fakeQueue
	log      *bytes.Buffer // must be read only when nothing runs
	// at is the current time, unless the service uses the clock of a synctest bubble.
	at time.Time
}

// newService returns a service with a fixed time. Only advance changes the time.
func newService(r *fakeRegistry, configs ...scan.Config) *service {
	w := &service{at: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	w.make(r, func() time.Time { return w.at }, configs)
	return w
}

// newServiceInBubble returns a service with the clock of a synctest bubble.
func newServiceInBubble(r *fakeRegistry, configs ...scan.Config) *service {
	w := &service{}
	w.make(r, time.Now, configs)
	return w
}

func (w *service) make(r *fakeRegistry, now func() time.Time, configs []scan.Config) {
	if r != nil {
		r.now = now
	}
	w.registry, w.configs, w.log = r, &fakeStore{configs: configs}, &bytes.Buffer{}
	w.records, w.queue = newFakeRecords(now), &fakeQueue{now: now}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	w.Reader = &report.Reader{Configs: w.configs, Source: refresh.Source{Registry: r, Records: w.records, Now: now, Log: log}}
	w.visitor = &rescan.Visitor{Configs: w.configs, Scanner: r, Records: w.records, Queue: w.queue, Now: now, Log: log}
}

func (w *service) advance(d time.Duration) { w.at = w.at.Add(d) }

// visit visits a repository with a message that has the ids of configs and is sent now.
func (w *service) visit(t *testing.T, repo string, ids ...string) rescan.VisitReport {
	t.Helper()
	return w.visitor.Visit(t.Context(), w.message(repo, ids...))
}

func (w *service) message(repo string, ids ...string) rescan.Received {
	return rescan.Received{Message: rescan.NewMessage(config("", repo).Repo(), ids...), ID: "by hand", Sent: w.visitor.Now()}
}

// scheduleAndVisit runs a schedule and then all visits, one after another. It returns the reports in order.
func (w *service) scheduleAndVisit(t *testing.T) []rescan.VisitReport {
	t.Helper()
	if _, err := w.visitor.Schedule(t.Context(), func(m rescan.Message) string { return m.Group() }); err != nil {
		t.Fatal(err)
	}
	var reports []rescan.VisitReport
	for m, ok := w.queue.next(); ok; m, ok = w.queue.next() {
		if m.Schedule == "" {
			reports = append(reports, w.visitor.Visit(t.Context(), m))
		} else if _, err := w.visitor.ScheduleConfig(t.Context(), m.Schedule, rescan.Message.Group); err != nil {
			t.Fatal(err)
		}
	}
	return reports
}

func config(id, repo string, tags ...string) scan.Config {
	return scan.Config{ID: id, Region: "us-west-2", Registry: "123456789012", Repository: repo, Tags: tags}
}

// configInOtherRegion returns a config for a repository in another Region.
func configInOtherRegion(id, repo string) scan.Config {
	c := config(id, repo)
	c.Region = "eu-west-1"
	return c
}

func completed(w *service, ago time.Duration, counts scan.Counts) scan.Result {
	return scan.Result{State: scan.Completed, Counts: counts, CompletedAt: w.Now().Add(-ago)}
}

// Gate evaluates the gate of a config, as the API does.
func (w *service) Gate(ctx context.Context, id string, g gate.Request) (gate.Result, error) {
	reports, err := w.ForGate(ctx, id, g.Filter, g.CanFail)
	if err != nil {
		return gate.Result{}, err
	}
	return gate.Evaluate(reports, g, w.Now()), nil
}
