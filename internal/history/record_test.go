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

// recordedImage returns an image of a record.
func recordedImage(tag, digest string, seen Stamp, change ...func(*ImageRecord)) ImageRecord {
	i := ImageRecord{Tag: tag, Digest: digest, First: 1000, Seen: seen}
	for _, c := range change {
		c(&i)
	}
	return i
}

func recordOf(images ...ImageRecord) Record {
	r := Record{Images: make(map[string]*ImageRecord)}
	for _, i := range images {
		r.Images[i.Label()] = &i
	}
	return r
}

func withHistory(name string) func(*ImageRecord) {
	return func(i *ImageRecord) { i.History, i.EventCount = name, len(name) }
}

// A change of a clone must not change the original, because a visit compares the two.
func TestChangesOfACloneDoNotChangeTheOriginal(t *testing.T) {
	const now Stamp = 5_000_000
	changes := map[string]func(*Record){
		"image added":     func(r *Record) { r.UpdateImage(scan.Image{Tag: "new", Digest: "sha256:b"}, false, now) },
		"image pushed":    func(r *Record) { r.UpdateImage(scan.Image{Tag: "old", Digest: "sha256:b"}, false, now) },
		"image missing":   func(r *Record) { r.SetImageMissing("old", nil, now) },
		"pruned":          func(r *Record) { r.Prune(now) },
		"tags removed":    func(r *Record) { r.Keep(func(*ImageRecord) bool { return false }) },
		"scan started":    func(r *Record) { r.SetStarted(scan.Image{Tag: "old", Digest: "sha256:a"}, now) },
		"history dropped": func(r *Record) { r.DropHistory("old") },
		"second reserved": func(r *Record) { r.UsedSeconds.Reserve(100) },
	}
	for name, change := range changes {
		original := recordOf(recordedImage("old", "sha256:a", 100, withHistory("h")))
		original.UsedSeconds = SecondSet{{From: 100, Until: 100}}
		copied := original.Clone()
		change(&copied)
		untouched := recordOf(recordedImage("old", "sha256:a", 100, withHistory("h")))
		untouched.UsedSeconds = SecondSet{{From: 100, Until: 100}}
		if diff := cmp.Diff(untouched, original, cmpopts.IgnoreUnexported(Record{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if cmp.Equal(original, copied, cmpopts.IgnoreUnexported(Record{})) {
			t.Errorf("%s: the copy is unchanged", name)
		}
	}
	var none Record
	copied := none.Clone()
	copied.UpdateImage(scan.Image{Tag: "first", Digest: "sha256:a"}, false, now)
	if none.Images != nil || len(copied.Images) != 1 {
		t.Errorf("a record without images: %v, its copy %v", none.Images, copied.Images)
	}
}

// HasVisibleChange compares what requests show, not the times of listings and readings.
func TestHasVisibleChange(t *testing.T) {
	base := recordOf(recordedImage("a", "sha256:a", 2000))
	if HasVisibleChange(base, recordOf(recordedImage("a", "sha256:a", 3000, func(i *ImageRecord) { i.AnsweredAt, i.Read = 3000, 3000 }))) {
		t.Error("other times of listing and reading are a visible change")
	}
	for name, other := range map[string]Record{
		"another digest": recordOf(recordedImage("a", "sha256:b", 2000)),
		"another image":  recordOf(recordedImage("b", "sha256:a", 2000)),
		"one more":       recordOf(recordedImage("a", "sha256:a", 2000), recordedImage("b", "sha256:a", 2000)),
		"missing":        {Images: maps.Clone(base.Images), MissingSince: 5},
	} {
		if !HasVisibleChange(base, other) {
			t.Errorf("%s is no visible change", name)
		}
	}
}

func TestPrune(t *testing.T) {
	const month = Stamp(Retention / time.Second)
	const now = 2 * month
	r := recordOf(
		recordedImage("present", "d", now-60),
		recordedImage("not listed", "d", now-month-1),
		recordedImage("missing", "", now-month, func(i *ImageRecord) { i.Kind, i.MissingSince = scan.Missing, now-month }),
		recordedImage("long missing", "", now-month-60, func(i *ImageRecord) { i.Kind, i.MissingSince = scan.Missing, now-month-1 }),
		recordedImage("long missing, in a config", "", now-3600, func(i *ImageRecord) { i.Kind, i.MissingSince = scan.Missing, now-month-1 }),
	)
	r.Prune(now)
	if diff := cmp.Diff(map[string]bool{"present": true, "missing": true, "long missing, in a config": true}, keysOf(r.Images)); diff != "" {
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
		r.SetAnswer(scan.Result{State: scan.Failed}, 10_000+i*1000)
		r.SetAnswer(scan.Result{State: scan.Failed}, 10_000+i*1000+100)
		r.SetAnswer(scan.Result{State: scan.Completed, CompletedAt: (10_000 + i*1000 + 500).Time()}, 10_000+i*1000+600)
	}
	if n := len(r.Failures); n != maxPeriodsOfImage || r.FailedSince != 0 || r.Failures[n-1] != (Period{From: 109_000, Until: 109_500}) {
		t.Errorf("%d failures, failed %d: %v", n, r.FailedSince, r.Failures[n-1])
	}
	day := Stamp(86400)
	r = ImageRecord{First: day}
	r.SetHistory("h", History{Scan: Scan{Completed: 2 * day}}, 2*day)
	r.SetHistory("h", History{Scan: Scan{Completed: 9 * day}}, 9*day)
	r.SetHistory("h", History{Scan: Scan{Completed: 20 * day, Enhanced: true}}, 20*day)
	if diff := cmp.Diff([]Period{{From: 4 * day, Until: 9 * day}}, r.Gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}

// Each period without a scan is recorded once, with its start and its end.
func TestPeriodsWithoutAScan(t *testing.T) {
	plain := scan.Image{Tag: "v1", Digest: "sha256:a"}
	basic := func(day float64) scan.Result {
		return scan.Result{State: scan.Completed, CompletedAt: onDay(day).Time()}
	}
	// There is a scan on day 1. The key of each step is its day.
	type steps map[int]func(r *Record, now Stamp)
	answer := func(result scan.Result) func(*Record, Stamp) {
		return func(r *Record, now Stamp) {
			i := r.Image("v1")
			i.SetAnswer(result, now)
			i.SetHistory("h", History{Scan: Scan{Digest: "sha256:a", Completed: StampOf(result.CompletedAt), Enhanced: result.Enhanced}}, now)
			r.Put(i)
		}
	}
	for name, test := range map[string]struct {
		steps steps
		gaps  []Period
		since Stamp
	}{
		"nothing":                        {steps{}, nil, onDay(3)},
		"scanned again":                  {steps{5: answer(basic(4))}, []Period{{From: onDay(3), Until: onDay(4)}}, onDay(6)},
		"Inspector scans from day 5":     {steps{5: answer(asInspector(basic(1)))}, []Period{{From: onDay(3), Until: onDay(5)}}, 0},
		"Inspector scans until day 8":    {steps{2: answer(asInspector(basic(1))), 8: answer(basic(1)), 9: answer(basic(8.5))}, nil, onDay(10.5)},
		"a scan without a result":        {steps{5: answer(basic(2))}, []Period{{From: onDay(3), Until: onDay(5)}}, onDay(7)},
		"an older digest again":          {steps{5: answer(basic(0))}, nil, onDay(3)},
		"an older digest again, in time": {steps{2: answer(basic(0))}, nil, onDay(3)},
		"deleted and pushed again": {steps{
			5: func(r *Record, now Stamp) { r.SetImageMissing("v1", nil, now) },
			8: func(r *Record, now Stamp) { r.UpdateImage(plain, false, now) },
		}, []Period{{From: onDay(3), Until: onDay(5), CutOff: true}}, onDay(10)},
	} {
		r := Record{Images: map[string]*ImageRecord{}}
		r.UpdateImage(plain, false, onDay(1))
		test.steps[1] = answer(basic(1))
		for _, day := range slices.Sorted(maps.Keys(test.steps)) {
			test.steps[day](&r, onDay(float64(day)))
		}
		if i := r.Images["v1"]; !slices.Equal(i.Gaps, test.gaps) || i.unscannedSince(onDay(30)) != test.since {
			t.Errorf("%s: gaps %v, unscanned since %v, want %v and %v", name, i.Gaps, i.unscannedSince(onDay(30)), test.gaps, test.since)
		}
	}
}

// A list of all tags that changes nothing does not copy the images of a record: there can be 100,000.
func TestUnchangedListSharesTheImages(t *testing.T) {
	plain := scan.Image{Tag: "v1", Digest: "sha256:a"}
	stored := recordOf()
	stored.UpdateImage(plain, true, 5)
	again := stored.Clone()
	again.UpdateImage(plain, true, 6)
	again.Listed = 6
	if again.Images["v1"] != stored.Images["v1"] || !again.imagesShared || again.SeenAt(again.Image("v1")) != 6 {
		t.Errorf("a full list: %+v, shared: %t", again.Image("v1"), again.imagesShared)
	}
	again.UpdateImage(plain, false, 7)
	if again.Image("v1").Seen != 7 || stored.Image("v1").Seen != 5 {
		t.Errorf("a search for the tag: seen at %d, before at %d", again.Image("v1").Seen, stored.Image("v1").Seen)
	}
	plain.Digest = "sha256:b"
	again.UpdateImage(plain, true, 8)
	if again.Image("v1").Digest != "sha256:b" || stored.Image("v1").Digest != "sha256:a" {
		t.Error("a full list with another digest changed the stored record, or not the new one")
	}
}
