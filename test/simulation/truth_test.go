package simulation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

// event is a piece of news that a reader must be told, once: what it says, and between which times it is to be dated.
type event struct {
	kind, title, pkg string
	label            labelID
	from, to         time.Time
}

type labelID struct {
	repo ecr.RepositoryID
	name string
}

// tag is the label without its platform.
func (id labelID) tag() string {
	tag, _, _ := strings.Cut(id.name, " ")
	return tag
}

// tally is what one scan changed in the counts.
type tally struct {
	at         time.Time
	new, fixed map[string]int
}

// label is what is known of a label from the scans that were completed while it pointed to what they scanned.
type label struct {
	labelID
	digest    string   // empty while there is none
	final     *scanned // what a basic scan of the digest found, which can't change for a day
	scan      *scanned
	of        string // the digest that was scanned
	told      time.Time
	known     content
	fixed     map[flaw]fate
	hidden    map[flaw]bool
	episodes  map[flaw]int
	failing   time.Time
	floor     time.Time // before which no scan was to be waited for: there was no image, or Inspector watched it
	inspected bool      // Inspector watched it when it was looked at last
	tallies   []tally
}

// fate is when a finding was no longer found, and how bad it was.
type fate struct {
	severity string
	from, to time.Time
}

// truth is what happened, as the world shows it.
type truth struct {
	*world
	labels map[labelID]*label
	events []event
}

// live lets a little more than a quarter of a day pass, so that nothing is due at the very second of a look.
func (t *truth) live(round int) {
	before := time.Duration(1+t.random.IntN(4)) * time.Hour
	t.Later(before)
	t.world.live(round)
	t.Later(6*time.Hour - before + time.Duration(1+t.random.IntN(9))*time.Minute)
	if t.calm == nil {
		t.look()
	}
}

// read is the daily look of a reader at everything.
func (t *truth) read(r *reader, subscriptions []subscription) {
	if t.calm == nil {
		t.look()
	}
	now := t.Now()
	r.news("/changes", now)
	for _, s := range subscriptions {
		var own []*label
		for id, l := range t.labels {
			if s.watches(id) {
				own = append(own, l)
			}
		}
		r.news(s.feed+"/changes", now)
		r.findings(s.feed, own, now)
	}
	for _, ago := range []string{"24h", "7d", "29d"} {
		r.summary(ago, t)
	}
}

// slack is how far an event may be from its time: each has a second of its own.
const slack = 2 * time.Minute

// toolong is how long an image may be without a scan.
const toolong = 48 * time.Hour

// look looks at the whole world. It is called whenever the service looks at it, and can.
func (t *truth) look() {
	now := t.Now()
	for repo, pointed := range t.world.labels {
		for name, digest := range pointed {
			id := labelID{repo, name}
			l := t.labels[id]
			if l == nil {
				l = &label{labelID: id, known: content{}, fixed: map[flaw]fate{}, hidden: map[flaw]bool{}, episodes: map[flaw]int{}}
				t.labels[id] = l
			}
			t.seen(l, digest, now)
		}
	}
	for id, l := range t.labels {
		if t.world.labels[id.repo][id.name] == "" && l.digest != "" {
			t.recovered(l, now)
			t.attended(l, now)
			l.digest, l.inspected, l.final = "", false, nil
		}
	}
}

// seen is a look at a label that points to something.
func (t *truth) seen(l *label, digest string, now time.Time) {
	if l.digest == "" {
		l.floor = now
	} else if l.digest != digest {
		t.recovered(l, now)
	}
	if l.digest != digest {
		l.final = nil
	}
	l.digest = digest
	s := t.asked(digest, now)
	inspected := s != nil && !s.failed && s.enhanced
	if l.inspected || inspected {
		t.attended(l, now)
		l.floor = now
	}
	l.inspected = inspected
	switch {
	case s == nil:
		l.final = nil
	case s.failed && l.failing.IsZero():
		l.failing = now
		t.tell(l, "SCAN FAILED", "[SCAN FAILED] image %s can't be scanned", now, now)
	case !s.failed:
		if l.final = nil; !s.enhanced {
			l.final = s
		}
		t.recovered(l, now)
		t.completed(l, digest, s, now)
	}
}

// asked is what ECR is known to show of a digest. For a day after a basic scan nobody asks again, unless the scan is news to one of the labels.
func (t *truth) asked(digest string, now time.Time) *scanned {
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

// recovered ends a time of failures.
func (t *truth) recovered(l *label, now time.Time) {
	if !l.failing.IsZero() {
		t.tell(l, "SCAN FAILED, OVER", "[SCAN FAILED, OVER] the scans of image %s no longer fail", l.failing, now)
		l.failing = time.Time{}
	}
}

// lateAt is when it will be too long that an image had no scan.
func (l *label) lateAt() time.Time {
	from := l.floor
	if l.scan != nil && !l.scan.enhanced && l.scan.at.After(from) {
		from = l.scan.at
	}
	return from.Truncate(time.Second).Add(toolong)
}

// attended ends the wait for a scan: there is one, or none is to be waited for.
func (t *truth) attended(l *label, at time.Time) {
	if late := l.lateAt(); at.Truncate(time.Second).After(late) {
		t.late(l)
		t.tell(l, "NOT SCANNED, OVER", "[NOT SCANNED, OVER] image %s was scanned again", at, at)
	}
}

func (t *truth) late(l *label) {
	t.tell(l, "NOT SCANNED", "[NOT SCANNED] image %s has had no completed scan for 2 days", l.lateAt(), l.lateAt())
}

func (t *truth) tell(l *label, kind, title string, from, to time.Time) {
	t.events = append(t.events, event{
		kind: kind, title: fmt.Sprintf(title, l.repo.Name+":"+l.name), label: l.labelID, from: from.Add(-slack), to: to.Add(slack),
	})
}

// completed takes in a completed scan.
func (t *truth) completed(l *label, digest string, s *scanned, now time.Time) {
	again := l.scan != nil && l.of == digest && l.scan.enhanced == s.enhanced
	if again && !s.enhanced && !s.at.After(l.scan.at) {
		return
	}
	if !s.enhanced && (l.scan == nil || s.at.After(l.scan.at)) {
		if s.at.Truncate(time.Second).After(l.lateAt()) {
			t.attended(l, s.at)
		} else if now.After(l.lateAt()) { // it was in time, but could not be seen
			t.attended(l, now)
			l.floor = now
		}
	}
	if l.scan != nil && l.scan.at.After(l.floor) {
		l.floor = l.scan.at // s may be older
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
		from = l.told // Inspector dates what it saw within the hour
	}
	if at = at.Truncate(time.Second); !at.After(l.told) {
		at, from, to = now, l.told.Add(-slack), now.Add(slack)
	}
	d := diff{label: l, silent: !sameKind, from: from, to: to, tally: tally{at, map[string]int{}, map[string]int{}}}
	d.scan(s.found)
	if d.dated || at != now {
		l.told = at
	}
	if !sameKind {
		l.tallies = nil
		return
	}
	l.tallies = append(l.tallies, d.tally)
	t.events = append(t.events, d.events...)
}

// diff is what one scan changed.
type diff struct {
	*label
	silent   bool
	dated    bool // anything was given a date
	from, to time.Time
	events   []event
	tally    tally
}

func (d *diff) scan(found content) {
	for f, is := range found {
		was, there := d.known[f]
		_, wasFixed := d.fixed[f]
		up := rank(is.severity) - rank(was.severity)
		switch {
		case wasFixed, d.hidden[f] && !d.silent:
			d.episodes[f]++
			fallthrough
		case !there && !d.hidden[f]:
			d.dated = true
			d.tell("NEW", fmt.Sprintf("[NEW] [%s] in image %%s found %s", is.severity, f.name), f, "", is.severity)
		case d.silent:
		case up > 0:
			d.episodes[f]++
			d.tell("SEVERITY RAISED", fmt.Sprintf("[SEVERITY RAISED] [%s] in image %%s found %s, was %s", is.severity, f.name, was.severity), f, was.severity, is.severity)
		default:
			if up < 0 {
				d.tell("SEVERITY LOWERED", fmt.Sprintf("[SEVERITY LOWERED] [%s] in image %%s found %s, was %s", is.severity, f.name, was.severity), f, was.severity, is.severity)
			}
			if d.label.scan.enhanced && is.fix && !was.fix {
				d.tell("FIX AVAILABLE", fmt.Sprintf("[FIX AVAILABLE] [%s] in image %%s for %s", is.severity, f.name), f, "", "")
			}
		}
		delete(d.fixed, f)
		delete(d.hidden, f)
	}
	for f, was := range d.known {
		if _, there := found[f]; there {
			continue
		}
		if d.silent {
			d.hidden[f] = true
			continue
		}
		d.fixed[f] = fate{was.severity, d.from, d.to}
		d.tell("FIXED", fmt.Sprintf("[FIXED] [%s] in image %%s: %s is no longer found", was.severity, f.name), f, was.severity, "")
	}
	d.known = maps.Clone(found)
	if !d.label.scan.enhanced {
		for f, is := range d.known {
			is.fix = false
			d.known[f] = is
		}
	}
}

func (d *diff) tell(kind, title string, f flaw, from, to string) {
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

// told are all events up to now, those in it that last included.
func (t *truth) told() []event {
	whole := &truth{world: t.world, events: slices.Clone(t.events)}
	for _, l := range t.labels {
		if l.digest != "" && !l.inspected && t.Now().After(l.lateAt()) {
			whole.late(l)
		}
	}
	slices.SortFunc(whole.events, func(a, b event) int { return cmp.Or(a.from.Compare(b.from), cmp.Compare(a.title, b.title)) })
	return whole.events
}

// listed is what the findings of a label are to be told as, by flaw.
func (l *label) listed() map[flaw]string {
	all := make(map[flaw]string)
	if l.digest == "" || l.of != l.digest {
		return all // what it points to now has no result yet
	}
	for f, is := range l.known {
		all[f] = fmt.Sprintf("[%s] in image %s:%s found %s", is.severity, l.repo.Name, l.name, f.name)
	}
	for f, was := range l.fixed {
		all[f] = fmt.Sprintf("[RESOLVED] [%s] in image %s:%s found %s", was.severity, l.repo.Name, l.name, f.name)
	}
	return all
}
