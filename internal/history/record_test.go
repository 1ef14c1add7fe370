package history

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecr-continuous-scan/internal/scan"
)

// recorded is an image of a record.
func recordedImage(tag, digest string, seen Stamp, change ...func(*ImageRecord)) ImageRecord {
	i := ImageRecord{Tag: tag, Digest: digest, First: 1000, Seen: seen}
	for _, c := range change {
		c(&i)
	}
	return i
}

func recordOf(images ...ImageRecord) Record {
	r := Record{Images: make(map[string]ImageRecord)}
	for _, i := range images {
		r.Images[i.Label()] = i
	}
	return r
}

func withHistory(name string) func(*ImageRecord) {
	return func(i *ImageRecord) { i.History, i.News = name, len(name) }
}

// Whatever is done to a copy, the record stays as it was: it is what tells what was changed.
func TestCloneIsApart(t *testing.T) {
	const now Stamp = 5_000_000
	changes := map[string]func(*Record){
		"met":       func(r *Record) { r.Observe(scan.Image{Tag: "new", Digest: "sha256:b"}, now) },
		"moved":     func(r *Record) { r.Observe(scan.Image{Tag: "old", Digest: "sha256:b"}, now) },
		"left":      func(r *Record) { r.Unobserve("old", now) },
		"forgotten": func(r *Record) { r.Forget(now) },
		"kept only": func(r *Record) { r.KeepOnly([]string{"another"}) },
		"started":   func(r *Record) { r.SetStarted(scan.Image{Tag: "old", Digest: "sha256:a"}, now) },
		"lost":      func(r *Record) { r.DropHistory("old") },
		"dated":     func(r *Record) { r.Taken.Take(100) },
	}
	for name, change := range changes {
		original := recordOf(recordedImage("old", "sha256:a", 100, withHistory("h")))
		original.Taken = Seconds{{From: 100, Until: 100}}
		copied := original.Clone()
		change(&copied)
		untouched := recordOf(recordedImage("old", "sha256:a", 100, withHistory("h")))
		untouched.Taken = Seconds{{From: 100, Until: 100}}
		if diff := cmp.Diff(untouched, original, cmpopts.IgnoreUnexported(Record{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if cmp.Equal(original, copied, cmpopts.IgnoreUnexported(Record{})) {
			t.Errorf("%s: the copy is as it was", name)
		}
	}
	var none Record
	copied := none.Clone()
	copied.Observe(scan.Image{Tag: "first", Digest: "sha256:a"}, now)
	if none.Images != nil || len(copied.Images) != 1 {
		t.Errorf("of none: %v and %v", none.Images, copied.Images)
	}
}

// A record is told apart by what a reader sees, not by when things were looked up.
func TestShowsOther(t *testing.T) {
	base := recordOf(recordedImage("a", "sha256:a", 2000))
	if ShowsOther(base, recordOf(recordedImage("a", "sha256:a", 3000, func(i *ImageRecord) { i.Asked, i.Read = 3000, 3000 }))) {
		t.Error("a look shows")
	}
	for name, other := range map[string]Record{
		"another digest": recordOf(recordedImage("a", "sha256:b", 2000)),
		"another image":  recordOf(recordedImage("b", "sha256:a", 2000)),
		"one more":       recordOf(recordedImage("a", "sha256:a", 2000), recordedImage("b", "sha256:a", 2000)),
		"gone":           {Images: maps.Clone(base.Images), Gone: 5},
	} {
		if !ShowsOther(base, other) {
			t.Errorf("%s doesn't show", name)
		}
	}
}

func TestWhatIsForgotten(t *testing.T) {
	const month = Stamp(MemoryTime / time.Second)
	const now = 2 * month
	r := recordOf(
		recordedImage("there", "d", now-60),
		recordedImage("nobody looked", "d", now-month-1),
		recordedImage("gone", "", now-month, func(i *ImageRecord) { i.Kind, i.Left = scan.Missing, now-month }),
		recordedImage("long gone", "", now-month-60, func(i *ImageRecord) { i.Kind, i.Left = scan.Missing, now-month-1 }),
		recordedImage("long gone and named", "", now-3600, func(i *ImageRecord) { i.Kind, i.Left = scan.Missing, now-month-1 }),
	)
	r.Forget(now)
	if diff := cmp.Diff(map[string]bool{"there": true, "gone": true, "long gone and named": true}, keysOf(r.Images)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

func keysOf[V any](m map[string]V) map[string]bool {
	keys := make(map[string]bool)
	for k := range m {
		keys[k] = true
	}
	return keys
}

func TestPeriodsOfAnImage(t *testing.T) {
	r := ImageRecord{First: 1000}
	for i := range Stamp(100) {
		r.TakeAnswer(scan.Result{State: scan.Failed}, 10_000+i*1000)
		r.TakeAnswer(scan.Result{State: scan.Failed}, 10_000+i*1000+100)
		r.TakeAnswer(scan.Result{State: scan.Completed, CompletedAt: (10_000 + i*1000 + 500).Time()}, 10_000+i*1000+600)
	}
	if n := len(r.Failures); n != maxPeriodsOfImage || r.Failed != 0 || r.Failures[n-1] != (Period{109_000, 109_500}) {
		t.Errorf("%d failures, failed %d: %v", n, r.Failed, r.Failures[n-1])
	}
	day := Stamp(86400)
	r = ImageRecord{First: day}
	r.Remember("h", History{Scan: Scan{Completed: 2 * day}}, 2*day)
	r.Remember("h", History{Scan: Scan{Completed: 9 * day}}, 9*day)
	r.Remember("h", History{Scan: Scan{Completed: 20 * day, Enhanced: true}}, 20*day)
	if diff := cmp.Diff([]Period{{4 * day, 9 * day}}, r.Gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}

// That an image is not scanned is told once for each time that it isn't, from when that was so to when it no longer was.
func TestTimesWithoutAScan(t *testing.T) {
	plain := scan.Image{Tag: "v1", Digest: "sha256:a"}
	basic := func(day float64) scan.Result {
		return scan.Result{State: scan.Completed, CompletedAt: onDay(day).Time()}
	}
	// After a scan on day 1, each step is of the day of its key.
	type steps map[int]func(r *Record, now Stamp)
	answer := func(result scan.Result) func(*Record, Stamp) {
		return func(r *Record, now Stamp) {
			i := r.Images["v1"]
			i.TakeAnswer(result, now)
			i.Remember("h", History{Scan: Scan{"sha256:a", StampOf(result.CompletedAt), result.Enhanced}}, now)
			r.Images["v1"] = i
		}
	}
	for name, test := range map[string]struct {
		steps steps
		gaps  []Period
		late  Stamp
	}{
		"nothing":                    {steps{}, nil, onDay(3)},
		"scanned again":              {steps{5: answer(basic(4))}, []Period{{onDay(3), onDay(4)}}, onDay(6)},
		"Inspector takes over":       {steps{5: answer(asInspector(basic(1)))}, []Period{{onDay(3), onDay(5)}}, 0},
		"Inspector watched":          {steps{2: answer(asInspector(basic(1))), 8: answer(basic(1)), 9: answer(basic(8.5))}, nil, onDay(10.5)},
		"a scan that was hidden":     {steps{5: answer(basic(2))}, []Period{{onDay(3), onDay(5)}}, onDay(7)},
		"back to an older scan":      {steps{5: answer(basic(0))}, nil, onDay(3)},
		"back to an older one early": {steps{2: answer(basic(0))}, nil, onDay(3)},
		"deleted, and back": {steps{
			5: func(r *Record, now Stamp) { r.Unobserve("v1", now) },
			8: func(r *Record, now Stamp) { r.Observe(plain, now) },
		}, []Period{{onDay(3), onDay(5)}}, onDay(10)},
	} {
		r := Record{Images: map[string]ImageRecord{}}
		r.Observe(plain, onDay(1))
		test.steps[1] = answer(basic(1))
		for _, day := range slices.Sorted(maps.Keys(test.steps)) {
			test.steps[day](&r, onDay(float64(day)))
		}
		if i := r.Images["v1"]; !slices.Equal(i.Gaps, test.gaps) || i.late(onDay(30)) != test.late {
			t.Errorf("%s: gaps %v, late %v, want %v and %v", name, i.Gaps, i.late(onDay(30)), test.gaps, test.late)
		}
	}
}
