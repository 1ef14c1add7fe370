package scan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
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

func TestMerged(t *testing.T) {
	base := recordOf(recordedImage("a", "sha256:a", 2000))
	later := recordOf(recordedImage("a", "sha256:a", 2500))
	mine := recordOf(recordedImage("a", "sha256:a", 2400, withHistory("mine")))
	theirs := recordOf(recordedImage("a", "sha256:a", 2300, withHistory("theirs")))
	moved := recordOf(recordedImage("a", "sha256:b", 2400))
	none := recordOf()
	at := func(r Record, listed Stamp) Record {
		r.Listed = listed
		return r
	}
	gone := func(since Stamp, absences ...Period) Record {
		r := recordOf()
		r.Gone, r.Absences = since, absences
		return r
	}
	for name, c := range map[string]struct{ base, mine, theirs, want Record }{
		"nothing":                             {base, base, base, base},
		"mine alone":                          {base, mine, base, mine},
		"theirs alone":                        {base, base, theirs, theirs},
		"both: theirs":                        {base, mine, theirs, recordOf(recordedImage("a", "sha256:a", 2400, withHistory("theirs")))},
		"they only looked":                    {base, mine, later, recordOf(recordedImage("a", "sha256:a", 2500, withHistory("mine")))},
		"I only looked":                       {base, later, theirs, recordOf(recordedImage("a", "sha256:a", 2500, withHistory("theirs")))},
		"I saw it move, they only looked":     {base, moved, later, moved},
		"I saw it move, they remembered":      {base, moved, theirs, recordOf(recordedImage("a", "sha256:b", 2400, withHistory("theirs")))},
		"both new":                            {none, mine, theirs, recordOf(recordedImage("a", "sha256:a", 2400, withHistory("theirs")))},
		"mine new":                            {none, mine, none, mine},
		"they saw it move, I remembered":      {base, mine, moved, recordOf(recordedImage("a", "sha256:b", 2400, withHistory("mine")))},
		"I removed it":                        {base, none, base, none},
		"I removed it, they changed it":       {base, none, theirs, theirs},
		"they removed it":                     {base, base, none, none},
		"they removed it, I listed it":        {base, at(later, 2500), at(none, 2100), at(none, 2100)},
		"I listed, they too":                  {base, at(later, 2500), at(base, 2600), at(later, 2600)},
		"they forgot some of what was listed": {at(base, 2200), at(later, 2200), at(base, 0), at(later, 0)},
		"I forgot some of what was listed":    {at(base, 2200), at(base, 0), at(later, 2200), at(later, 0)},
		"gone":                                {gone(0), gone(5), gone(0), gone(5)},
		"they saw it gone":                    {gone(0), gone(0), gone(5), gone(5)},
		"they saw it come back":               {gone(5), gone(5), gone(0, Period{5, 9}), gone(0, Period{5, 9})},
		"they saw it go and come back":        {gone(0), gone(0), gone(0, Period{5, 9}), gone(0, Period{5, 9})},
		"I saw it come back, they go and not": {gone(5), gone(0, Period{5, 9}), gone(5), gone(0, Period{5, 9})},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, merged(c.base, c.mine, c.theirs), cmpopts.IgnoreUnexported(Record{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Two writers that change different images lose nothing of each other, whoever comes first.
func TestMergedLosesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		base := recordOf()
		for i := range 12 {
			if random.IntN(4) > 0 {
				r := recordedImage(fmt.Sprint(i), "sha256:a", 2000)
				base.Images[r.Label()] = r
			}
		}
		mine, theirs, both := base.clone(), base.clone(), base.clone()
		for _, r := range []*Record{&mine, &theirs, &both} {
			r.own()
		}
		for i := range 12 {
			label := fmt.Sprint(i)
			writer := []Record{mine, theirs}[random.IntN(2)]
			switch random.IntN(4) {
			case 0:
				delete(writer.Images, label)
				delete(both.Images, label)
			case 1:
				writer.Images[label] = recordedImage(label, "sha256:b", 2100)
				both.Images[label] = writer.Images[label]
			case 2:
				writer.Images[label] = recordedImage(label, "sha256:a", 2200, withHistory("h"))
				both.Images[label] = writer.Images[label]
			}
		}
		for range 20 {
			mine.Taken.take(Stamp(5000 + random.IntN(30)))
			theirs.Taken.take(Stamp(5000 + random.IntN(30)))
		}
		both.Taken = mine.Taken.union(theirs.Taken)
		for name, got := range map[string]Record{"mine last": merged(base, mine, theirs), "theirs last": merged(base, theirs, mine)} {
			if diff := cmp.Diff(both, got, cmpopts.IgnoreUnexported(Record{})); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

// Whatever is done to a copy, the record stays as it was: it is what tells what was changed.
func TestCloneIsApart(t *testing.T) {
	const now Stamp = 5_000_000
	changes := map[string]func(*Record){
		"met":       func(r *Record) { r.observed(Image{Tag: "new", Digest: "sha256:b"}, now) },
		"moved":     func(r *Record) { r.observed(Image{Tag: "old", Digest: "sha256:b"}, now) },
		"left":      func(r *Record) { r.unobserved("old", now) },
		"forgotten": func(r *Record) { r.forget(now) },
		"merged":    func(r *Record) { *r = merged(*r, Record{}, *r) },
		"dated":     func(r *Record) { r.Taken.take(100) },
	}
	for name, change := range changes {
		original := recordOf(recordedImage("old", "sha256:a", 100))
		original.Taken = Seconds{{From: 100, Until: 100}}
		copied := original.clone()
		change(&copied)
		untouched := recordOf(recordedImage("old", "sha256:a", 100))
		untouched.Taken = Seconds{{From: 100, Until: 100}}
		if diff := cmp.Diff(untouched, original, cmpopts.IgnoreUnexported(Record{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if cmp.Equal(original, copied, cmpopts.IgnoreUnexported(Record{})) {
			t.Errorf("%s: the copy is as it was", name)
		}
	}
	var none Record
	copied := none.clone()
	copied.observed(Image{Tag: "first", Digest: "sha256:a"}, now)
	if none.Images != nil || len(copied.Images) != 1 {
		t.Errorf("of none: %v and %v", none.Images, copied.Images)
	}
}

// That findings were read is believed only of a writer whose answer and past are both kept: else they would be taken for told for hours.
func TestMergedFindingsRead(t *testing.T) {
	answer := func(low int) Answer {
		return Answer{State: Completed, Counts: Counts{Low: low}, Completed: 5, Enhanced: true}
	}
	writes := func(a Answer, read Stamp, history string) ImageRecord {
		return ImageRecord{Tag: "a", Digest: "sha256:a", Last: a, Read: read, History: history, Scan: Scan{"sha256:a", 5, true}}
	}
	base := writes(answer(1), 100, "old")
	for name, tt := range map[string]struct {
		one, other ImageRecord
		want       Stamp // of either order
	}{
		"one read":                     {writes(answer(2), 200, "new"), base, 200},
		"one counted":                  {writes(answer(2), 0, "old"), base, 0},
		"one read, the other counted":  {writes(answer(1), 200, "new"), writes(answer(2), 0, "old"), 0},
		"both read the same":           {writes(answer(1), 200, "old"), writes(answer(1), 300, "old"), 300},
		"both counted":                 {writes(answer(2), 0, "old"), writes(answer(2), 0, "old"), 0},
		"one read what both were told": {writes(answer(2), 200, "new"), writes(answer(2), 0, "old"), 200},
	} {
		for _, order := range [][2]ImageRecord{{tt.one, tt.other}, {tt.other, tt.one}} {
			if got := mergedImage(base, order[0], order[1]); got.Read != tt.want {
				t.Errorf("%s: %d, want %d: %+v", name, got.Read, tt.want, got)
			}
		}
	}
	unread := base
	unread.Read = 0
	older, newer := writes(answer(1), 200, "new"), writes(answer(2), 0, "old")
	for _, order := range [][2]ImageRecord{{older, newer}, {newer, older}} {
		if got := mergedImage(unread, order[0], order[1]); got.Last.Counts[Low] == 2 && got.Read != 0 {
			t.Errorf("unread before: %+v", got)
		}
	}
}

func TestTrusted(t *testing.T) {
	const now Stamp = 1_000_000
	hour := Stamp(time.Hour / time.Second)
	answer := func(state State, completed Stamp, enhanced bool) Answer {
		return Answer{State: state, Completed: completed, Enhanced: enhanced}
	}
	for name, c := range map[string]struct {
		last          Answer
		asked         Stamp
		read, startBy bool // by a reader, and to start a scan
	}{
		"never asked":                  {Answer{}, 0, false, false},
		"completed":                    {answer(Completed, now-23*hour, false), now - 23*hour, true, true},
		"completed, by a skewed clock": {answer(Completed, now+hour, false), now, true, true},
		"a day ago":                    {answer(Completed, now-24*hour, false), now - hour, false, false},
		"a day ago, just asked":        {answer(Completed, now-24*hour, false), now - 299, true, false},
		"enhanced":                     {answer(Completed, now-hour, true), now - 300, false, false},
		"enhanced, just asked":         {answer(Completed, now-hour, true), now - 299, true, false},
		"in progress":                  {answer(InProgress, 0, false), now - 300, false, false},
		"in progress, just asked":      {answer(InProgress, 0, false), now - 299, true, false},
		"failed, asked in the future":  {answer(Failed, 0, false), now + hour, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := ImageRecord{Last: c.last, Asked: c.asked}
			if got := r.trusted(now, false); got != c.read {
				t.Errorf("a reader trusts it: %t", got)
			}
			if got := r.trusted(now, true); got != c.startBy {
				t.Errorf("a run trusts it: %t", got)
			}
		})
	}
}

// A record is told apart by what a reader sees, not by when things were looked up.
func TestShowsOther(t *testing.T) {
	base := recordOf(recordedImage("a", "sha256:a", 2000))
	if showsOther(base, recordOf(recordedImage("a", "sha256:a", 3000, func(i *ImageRecord) { i.Asked, i.Read = 3000, 3000 }))) {
		t.Error("a look shows")
	}
	for name, other := range map[string]Record{
		"another digest": recordOf(recordedImage("a", "sha256:b", 2000)),
		"another image":  recordOf(recordedImage("b", "sha256:a", 2000)),
		"one more":       recordOf(recordedImage("a", "sha256:a", 2000), recordedImage("b", "sha256:a", 2000)),
		"gone":           {Images: maps.Clone(base.Images), Gone: 5},
	} {
		if !showsOther(base, other) {
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
		recordedImage("gone", "", now-month, func(i *ImageRecord) { i.Kind, i.Left = Missing, now-month }),
		recordedImage("long gone", "", now-month-60, func(i *ImageRecord) { i.Kind, i.Left = Missing, now-month-1 }),
		recordedImage("long gone and named", "", now-3600, func(i *ImageRecord) { i.Kind, i.Left = Missing, now-month-1 }),
	)
	r.forget(now)
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
		r.answered(Result{State: Failed}, 10_000+i*1000)
		r.answered(Result{State: Failed}, 10_000+i*1000+100)
		r.answered(Result{State: Completed, CompletedAt: (10_000 + i*1000 + 500).Time()}, 10_000+i*1000+600)
	}
	if n := len(r.Failures); n != maxPeriodsOfImage || r.Failed != 0 || r.Failures[n-1] != (Period{109_000, 109_500}) {
		t.Errorf("%d failures, failed %d: %v", n, r.Failed, r.Failures[n-1])
	}
	day := Stamp(86400)
	r = ImageRecord{First: day}
	r.remember("h", History{Scan: Scan{Completed: 2 * day}}, 2*day)
	r.remember("h", History{Scan: Scan{Completed: 9 * day}}, 9*day)
	r.remember("h", History{Scan: Scan{Completed: 20 * day, Enhanced: true}}, 20*day)
	if diff := cmp.Diff([]Period{{4 * day, 9 * day}}, r.Gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}

// That an image is not scanned is told once for each time that it isn't, from when that was so to when it no longer was.
func TestTimesWithoutAScan(t *testing.T) {
	plain := Image{Tag: "v1", Digest: "sha256:a"}
	basic := func(day float64) Result { return Result{State: Completed, CompletedAt: onDay(day).Time()} }
	// After a scan on day 1, each step is of the day of its key.
	type steps map[int]func(r *Record, now Stamp)
	answer := func(result Result) func(*Record, Stamp) {
		return func(r *Record, now Stamp) {
			i := r.Images["v1"]
			i.answered(result, now)
			i.remember("h", History{Scan: Scan{"sha256:a", StampOf(result.CompletedAt), result.Enhanced}}, now)
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
			5: func(r *Record, now Stamp) { r.unobserved("v1", now) },
			8: func(r *Record, now Stamp) { r.observed(plain, now) },
		}, []Period{{onDay(3), onDay(5)}}, onDay(10)},
	} {
		r := Record{Images: map[string]ImageRecord{}}
		r.observed(plain, onDay(1))
		test.steps[1] = answer(basic(1))
		for _, day := range slices.Sorted(maps.Keys(test.steps)) {
			test.steps[day](&r, onDay(float64(day)))
		}
		if i := r.Images["v1"]; !slices.Equal(i.Gaps, test.gaps) || i.late(onDay(30)) != test.late {
			t.Errorf("%s: gaps %v, late %v, want %v and %v", name, i.Gaps, i.late(onDay(30)), test.gaps, test.late)
		}
	}
}
