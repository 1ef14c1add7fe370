package history

import (
	"fmt"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/scan"
)

// datesText returns the changes of a record that are not about findings, with their dates in seconds after dayZero.
func datesText(r *Record, now Stamp) map[string]string {
	all := make(map[string]string)
	add := func(label string, changes []Change) {
		for _, c := range changes {
			all[strings.TrimSpace(fmt.Sprintf("%s %s", label, c.Kind))] = fmt.Sprint(StampOf(c.At)-dayZero, " ", c.ID())
		}
	}
	add("", r.ChangesOf(scan.Repository{}))
	for label, i := range r.Images {
		add(label, i.ChangesOf(&scan.Image{Tag: i.Tag}, r.PresentUntil(now)))
	}
	return all
}

// Changes that happen at the same time get seconds of their own. Once assigned, they never change, and the ids do not depend on them.
func TestDatesOfChangesAboutScanning(t *testing.T) {
	r := Record{First: 1, Images: map[string]*ImageRecord{}}
	for _, tag := range []string{"a", "b", "c"} {
		r.Put(ImageRecord{Tag: tag, Kind: scan.PlainImage, First: dayZero.Plus(-MaxScanAge), Failures: []Period{{From: dayZero, Until: dayZero + 1}}})
	}
	r.UsedSeconds.Reserve(dayZero - 1)
	before := datesText(&r, dayZero)
	r.AssignDates(dayZero)
	want := map[string]string{
		"a NOT SCANNED": "0", "a SCAN FAILED": "-2", "b NOT SCANNED": "-3", "b SCAN FAILED": "-4", "c NOT SCANNED": "-5", "c SCAN FAILED": "-6",
		"a SCAN FAILED, OVER": "1", "b SCAN FAILED, OVER": "2", "c SCAN FAILED, OVER": "3",
	}
	got := datesText(&r, dayZero)
	for name, date := range want {
		gotDate, id, _ := strings.Cut(got[name], " ")
		_, idBefore, _ := strings.Cut(before[name], " ")
		if gotDate != date || id != idBefore {
			t.Errorf("%s: date %s, want %s, id %s, before %s", name, gotDate, date, id, idBefore)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	again := r.Clone()
	again.AssignDates(dayZero.Plus(Retention / 2))
	if now := datesText(&again, dayZero); fmt.Sprint(now) != fmt.Sprint(got) || HasVisibleChange(r, again) {
		t.Errorf("%v became %v", got, now)
	}
}

// A request between two visits assigns the same dates as the next visit, even if more images are unscanned until then.
func TestRequestAndVisitAssignTheSameDates(t *testing.T) {
	r := Record{First: 1, Images: map[string]*ImageRecord{}}
	for i := range 50 {
		tag := fmt.Sprintf("%02d", (i*7)%50)
		r.Put(ImageRecord{Tag: tag, Kind: scan.PlainImage, First: dayZero.Plus(-MaxScanAge) + Stamp(i/3)})
	}
	request := r.Clone()
	request.AssignDates(dayZero + 5)
	visit := r.Clone()
	visit.AssignDates(dayZero + 20)
	seen := map[string]bool{}
	all := datesText(&visit, dayZero+20)
	for name, date := range datesText(&request, dayZero+5) {
		if all[name] != date {
			t.Errorf("%s: %s in the request, %s in the visit", name, date, all[name])
		}
	}
	for name, date := range all {
		second, _, _ := strings.Cut(date, " ")
		if seen[second] {
			t.Errorf("%s has the date of another change", name)
		}
		seen[second] = true
	}
	if len(all) != 50 {
		t.Errorf("%d changes", len(all))
	}
}

// The dates of changes that are no longer recorded are deleted, and the repository's changes have dates too.
func TestDatesAreDeleted(t *testing.T) {
	r := Record{First: 1, Absences: []Period{{From: 100, Until: 200}}}
	r.Put(ImageRecord{Tag: "a", Kind: scan.Missing, First: 1, Statuses: []StatusEvent{{Kind: TagGone, At: 200}}})
	r.AssignDates(300)
	if got := datesText(&r, 300); len(got) != 3 || len(r.Dates) != 2 || len(r.Images["a"].Dates) != 1 || r.Dates[1].Date == r.Images["a"].Dates[0].Date {
		t.Errorf("%v, %v, %v", got, r.Dates, r.Images["a"].Dates)
	}
	r.Absences = nil
	i := r.Images["a"]
	i.Statuses = nil
	r.Put(*i)
	r.AssignDates(300)
	if len(r.Dates) != 0 || len(r.Images["a"].Dates) != 0 {
		t.Errorf("%v, %v", r.Dates, r.Images["a"].Dates)
	}
}
