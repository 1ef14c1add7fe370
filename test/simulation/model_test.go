package simulation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/history"
)

// event is a change that the feeds must report once, with its title. Its date must be between from and to.
type event struct {
	kind, title, pkg string
	label            labelID
	from, to         time.Time
}

type labelID struct {
	repo ecr.RepositoryID
	name string
}

// tag returns the label without its platform.
func (id labelID) tag() string {
	tag, _, _ := strings.Cut(id.name, " ")
	return tag
}

// tally is how one scan changed the counts.
type tally struct {
	at         time.Time
	new, fixed map[string]int
}

// label is what the model knows of a label from the scans that completed while the label pointed to the scanned
// image.
type label struct {
	labelID
	digest    string   // empty if the label does not exist
	final     *scanned // the result of a basic scan of the digest, which cannot change for a day
	scan      *scanned
	of        string    // the digest that was scanned
	lastDate  time.Time // of the last change
	known     content
	fixed     map[findingKey]resolution
	hidden    map[findingKey]bool // not found since the scan type changed
	episodes  map[findingKey]int
	past      []pastEpisode
	ever      map[findingKey]bool // all findings of its scans
	named     map[findingKey]bool // those whose titles name the package
	failing   time.Time
	waitFrom  time.Time // no scan was expected before: there was no image, or Inspector scanned it
	inspected bool      // Inspector scanned it when the model last observed it
	removedAs string    // the change that says that it does not exist
	tallies   []tally
}

// pastEpisode is an episode of a finding that was followed by another one. Its entry stays as resolved.
type pastEpisode struct {
	findingKey
	number             int
	severity, raisedTo string
	ended              time.Time // at the earliest
}

// resolution is when a finding was resolved, and its severity.
type resolution struct {
	severity string
	from, to time.Time
}

// model computes the expected changes from the state of the world.
type model struct {
	*world
	labels map[labelID]*label
	events []event
}

// advance advances the clock by slightly more than a quarter of a day, so that no image is due exactly when it is
// observed.
func (t *model) advance(round int) {
	before := time.Duration(1+t.random.IntN(4)) * time.Hour
	t.Advance(before)
	t.world.randomEvents(round)
	t.Advance(6*time.Hour - before + time.Duration(1+t.random.IntN(9))*time.Minute)
	if t.endOutage == nil {
		t.observe()
	}
}

// read reads all feeds and the summary, as a reader does each day.
func (t *model) read(r *reader, subscriptions []subscription) {
	if t.endOutage == nil {
		t.observe()
	}
	now := t.Now()
	r.readChanges("/changes", now)
	for _, s := range subscriptions {
		var own []*label
		for id, l := range t.labels {
			if s.covers(id) {
				own = append(own, l)
			}
		}
		r.readChanges(s.feed+"/changes", now)
		r.findings(s.feed, own, now)
	}
	for _, ago := range []string{"24h", "7d", "29d"} {
		r.summary(ago, t)
	}
}

// slack is how much the date of a change may differ from the time of the event, because each change gets its own
// second.
const slack = 2 * time.Minute

// maxScanAge is the age of the last scan after which an image counts as not scanned.
const maxScanAge = 48 * time.Hour

// observe updates the labels from the state of the world. It is called whenever the service reads ECR successfully.
func (t *model) observe() {
	now := t.Now()
	for repo, pointed := range t.world.labels {
		for name, digest := range pointed {
			id := labelID{repo, name}
			l := t.labels[id]
			if l == nil {
				l = &label{labelID: id, known: content{}, fixed: map[findingKey]resolution{}, hidden: map[findingKey]bool{}, episodes: map[findingKey]int{}, ever: map[findingKey]bool{}, named: map[findingKey]bool{}}
				t.labels[id] = l
			}
			t.update(l, digest, now)
		}
	}
	for id, l := range t.labels {
		if t.world.labels[id.repo][id.name] == "" && l.digest != "" {
			t.remove(l, now)
		}
	}
}

// remove removes a label. What was wrong with its image does not end with it.
func (t *model) remove(l *label, now time.Time) {
	isLate := now.Truncate(time.Second).After(l.lateAt()) && !l.inspected
	if isLate {
		t.addNotScanned(l)
	}
	if l.scan != nil || isLate || !l.failing.IsZero() {
		kind, text := "TAG GONE", "[TAG GONE] the repository no longer has image %s"
		for name := range t.world.labels[l.repo] {
			if (labelID{l.repo, name}).tag() == l.tag() {
				kind, text = "PLATFORM GONE", "[PLATFORM GONE] the tag no longer has image %s"
			}
		}
		t.addEvent(l, kind, text, now, now)
		l.removedAs = kind
	}
	l.digest, l.inspected, l.final, l.failing = "", false, nil, time.Time{}
}

// update updates a label that points to a digest.
func (t *model) update(l *label, digest string, now time.Time) {
	if l.digest == "" {
		l.waitFrom = now
		switch l.removedAs {
		case "TAG GONE":
			t.addEvent(l, "TAG GONE, OVER", "[TAG BACK] the repository has image %s again", now, now)
		case "PLATFORM GONE":
			t.addEvent(l, "PLATFORM GONE, OVER", "[PLATFORM BACK] the tag has image %s again", now, now)
		}
		l.removedAs = ""
	}
	if l.digest != digest {
		l.final = nil
	}
	l.digest = digest
	s := t.resultOf(digest, now)
	inspected := s != nil && !s.failed && s.enhanced
	if l.inspected || inspected {
		t.endWait(l, now)
		l.waitFrom = now
	}
	l.inspected = inspected
	switch {
	case s == nil:
		l.final = nil
	case s.failed && l.failing.IsZero():
		l.failing = now
		t.addEvent(l, "SCAN FAILED", "[SCAN FAILED] image %s can't be scanned", now, now)
	case !s.failed:
		if l.final = nil; !s.enhanced {
			l.final = s
		}
		t.endFailures(l, now)
		t.addScan(l, digest, s, now)
	}
}

// resultOf returns the result that the service knows for a digest. For a day after a basic scan, the service does
// not read it again, unless it does not know the scan for one of the labels.
func (t *model) resultOf(digest string, now time.Time) *scanned {
	var final *scanned
	for _, l := range t.labels {
		if l.digest == digest && l.final != nil {
			final = l.final
		}
	}
	if final == nil || !now.Truncate(time.Second).Before(final.at.Truncate(time.Second).Add(day)) {
		return t.visible(t.images[digest])
	}
	for repo, pointed := range t.world.labels {
		for name, to := range pointed {
			if l := t.labels[labelID{repo, name}]; to == digest && (l == nil || l.of != digest || l.scan != final) {
				return t.visible(t.images[digest])
			}
		}
	}
	return final
}

// endFailures ends a period of failed scans.
func (t *model) endFailures(l *label, now time.Time) {
	if !l.failing.IsZero() {
		t.addEvent(l, "SCAN FAILED, OVER", "[SCAN RECOVERED] the scans of image %s no longer fail", l.failing, now)
		l.failing = time.Time{}
	}
}

// lateAt returns when the image counts as not scanned.
func (l *label) lateAt() time.Time {
	from := l.waitFrom
	if l.scan != nil && !l.scan.enhanced && l.scan.at.After(from) {
		from = l.scan.at
	}
	return from.Truncate(time.Second).Add(maxScanAge)
}

// endWait ends the wait for a scan, because there is one or none is expected any more.
func (t *model) endWait(l *label, at time.Time) {
	if late := l.lateAt(); at.Truncate(time.Second).After(late) {
		t.addNotScanned(l)
		t.addEvent(l, "NOT SCANNED, OVER", "[SCANNED AGAIN] image %s was scanned again", at, at)
	}
}

func (t *model) addNotScanned(l *label) {
	t.addEvent(l, "NOT SCANNED", "[NOT SCANNED] image %s has had no completed scan for 2 days", l.lateAt(), l.lateAt())
}

func (t *model) addEvent(l *label, kind, title string, from, to time.Time) {
	t.events = append(t.events, event{
		kind: kind, title: fmt.Sprintf(title, l.repo.Name+":"+l.name), label: l.labelID, from: from.Add(-slack), to: to.Add(slack),
	})
}

// addScan adds the changes of a completed scan.
func (t *model) addScan(l *label, digest string, s *scanned, now time.Time) {
	again := l.scan != nil && l.of == digest && l.scan.enhanced == s.enhanced
	if again && !s.enhanced && !s.at.After(l.scan.at) {
		return
	}
	if !s.enhanced && (l.scan == nil || s.at.After(l.scan.at)) {
		if s.at.Truncate(time.Second).After(l.lateAt()) {
			t.endWait(l, s.at)
		} else if now.After(l.lateAt()) { // the scan was in time, but the service could not read it in time
			t.endWait(l, now)
			l.waitFrom = now
		}
	}
	if l.scan != nil && l.scan.at.After(l.waitFrom) {
		l.waitFrom = l.scan.at // s may be older
	}
	sameKind := l.scan != nil && l.scan.enhanced == s.enhanced
	l.scan, l.of = s, digest
	at := s.at
	for _, f := range s.found {
		if s.enhanced {
			at = slices.MaxFunc([]time.Time{at, f.first, f.changed}, time.Time.Compare)
		}
	}
	from, to := at.Add(-slack), at.Add(slack)
	if s.enhanced {
		from = l.lastDate // Inspector's dates may be up to an hour old
	}
	if at = at.Truncate(time.Second); !at.After(l.lastDate) {
		at, from, to = now, l.lastDate.Add(-slack), now.Add(slack)
	}
	d := diff{label: l, silent: !sameKind, from: from, to: to, tally: tally{at, map[string]int{}, map[string]int{}}}
	d.scan(s.found)
	if d.dated || at != now {
		l.lastDate = at
	}
	if !sameKind {
		l.tallies = nil
		return
	}
	l.tallies = append(l.tallies, d.tally)
	t.events = append(t.events, d.events...)
}

// diff is the changes of one scan.
type diff struct {
	*label
	silent   bool // the scan type changed, so only new findings are changes
	dated    bool // a change got a date
	from, to time.Time
	events   []event
	tally    tally
}

func (d *diff) scan(found content) {
	d.nameNew(found)
	for f, is := range found {
		was, present := d.known[f]
		_, wasFixed := d.fixed[f]
		up := rank(is.severity) - rank(was.severity)
		switch {
		case wasFixed, d.hidden[f] && !d.silent:
			if fixed := d.fixed[f]; wasFixed {
				d.past = append(d.past, pastEpisode{f, d.episodes[f], fixed.severity, "", fixed.from})
			}
			d.episodes[f]++
			fallthrough
		case !present && !d.hidden[f]:
			d.dated = true
			d.addEvent("NEW", fmt.Sprintf("[NEW] [%s] in image %%s found %s", is.severity, d.nameOf(f)), f, "", is.severity)
		case d.silent:
		case up > 0:
			d.past = append(d.past, pastEpisode{f, d.episodes[f], was.severity, is.severity, d.from})
			d.episodes[f]++
			d.addEvent("SEVERITY RAISED", fmt.Sprintf("[SEVERITY RAISED] [%s] in image %%s found %s, was %s", is.severity, d.nameOf(f), was.severity), f, was.severity, is.severity)
		default:
			if up < 0 {
				d.addEvent("SEVERITY LOWERED", fmt.Sprintf("[SEVERITY LOWERED] [%s] in image %%s found %s, was %s", is.severity, d.nameOf(f), was.severity), f, was.severity, is.severity)
			}
			if d.label.scan.enhanced && is.fix && !was.fix {
				d.addEvent("FIX AVAILABLE", fmt.Sprintf("[FIX AVAILABLE] [%s] in image %%s for %s", is.severity, d.nameOf(f)), f, "", "")
			}
		}
		delete(d.fixed, f)
		delete(d.hidden, f)
	}
	for f, was := range d.known {
		if _, present := found[f]; present {
			continue
		}
		if d.silent {
			d.hidden[f] = true
			continue
		}
		d.fixed[f] = resolution{was.severity, d.from, d.to}
		d.addEvent("FIXED", fmt.Sprintf("[FIXED] [%s] in image %%s: %s is no longer found", was.severity, d.nameOf(f)), f, was.severity, "")
	}
	d.known = maps.Clone(found)
	if !d.label.scan.enhanced {
		for f, is := range d.known {
			is.fix = false
			d.known[f] = is
		}
	}
}

// nameNew decides which titles name the package: those of vulnerabilities that the label had in another package when the finding was first recorded.
// Findings of Amazon Inspector have all packages.
func (l *label) nameNew(found content) {
	all := maps.Clone(l.ever)
	for f := range found {
		all[f] = true
	}
	for f := range found {
		for other := range all {
			if !l.ever[f] && other.name == f.name && other.pkg != f.pkg && other.pkg != inEvery && f.pkg != inEvery {
				l.named[f] = true
			}
		}
	}
	l.ever = all
}

// nameOf returns the name of a finding in titles.
func (l *label) nameOf(f findingKey) string {
	if l.named[f] {
		return f.name + " in " + f.pkg
	}
	return f.name
}

func (d *diff) addEvent(kind, title string, f findingKey, from, to string) {
	if d.silent {
		return
	}
	d.dated = true
	d.events = append(d.events, event{
		kind: kind, title: fmt.Sprintf(title, d.repo.Name+":"+d.name), pkg: f.pkg, label: d.labelID, from: d.from, to: d.to,
	})
	if to != "" {
		d.tally.new[to]++
	}
	if from != "" {
		d.tally.fixed[from]++
	}
}

func rank(severity string) int { return slices.Index(severities(), severity) }

// allEvents returns all events up to now, including periods without a scan that have not ended.
func (t *model) allEvents() []event {
	all := &model{world: t.world, events: slices.Clone(t.events)}
	for _, l := range t.labels {
		if l.digest != "" && !l.inspected && t.Now().After(l.lateAt()) {
			all.addNotScanned(l)
		}
	}
	slices.SortFunc(all.events, func(a, b event) int { return cmp.Or(a.from.Compare(b.from), cmp.Compare(a.title, b.title)) })
	return all.events
}

// expectedEntry is an entry that a feed of findings must list. It may be missing if it is optional. An
// empty package means any.
type expectedEntry struct {
	title, pkg, finding string
	episode             int
	optional            bool
}

// listed returns the expected entries of a label.
func (l *label) listed(now time.Time) []expectedEntry {
	if l.digest == "" || l.of != l.digest {
		return nil // the current digest has no result yet
	}
	var all []expectedEntry
	add := func(f findingKey, episode int, form, severity, raisedTo string, ended time.Time) {
		title := fmt.Sprintf(form, severity, l.repo.Name, l.name, l.nameOf(f))
		if raisedTo != "" {
			title += " (now " + raisedTo + ")"
		}
		all = append(all, expectedEntry{title, f.pkg, fmt.Sprint(l.labelID, f), episode, !ended.IsZero() && now.Sub(ended) > history.Retention-slack})
	}
	const open, resolved = "[%s] in image %s:%s found %s", "[RESOLVED] [%s] in image %s:%s found %s"
	for f, is := range l.known {
		add(f, l.episodes[f], open, is.severity, "", time.Time{})
	}
	for f, was := range l.fixed {
		add(f, l.episodes[f], resolved, was.severity, "", was.from)
	}
	for _, e := range l.past {
		add(e.findingKey, e.number, resolved, e.severity, e.raisedTo, e.ended)
	}
	return all
}
