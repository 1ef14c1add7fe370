package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/scan"
)

// toldOf returns the changes of all images of a record, oldest first, each as "day label kind".
func toldOf(r *Record, now Stamp) []string {
	var changes []Change
	for _, i := range r.Images {
		image := i.Image(scan.Repository{Name: "app"})
		changes = append(changes, i.ChangesOf(&image, r.PresentUntil(now))...)
	}
	changes = append(changes, r.ChangesOf(scan.Repository{Name: "app"})...)
	slices.SortFunc(changes, func(a, b Change) int {
		if order := a.At.Compare(b.At); order != 0 || a.Image == nil || b.Image == nil {
			return order
		}
		return strings.Compare(a.Image.Label()+string(a.Kind), b.Image.Label()+string(b.Kind))
	})
	told := []string{}
	for _, c := range changes {
		label := "-"
		if c.Image != nil {
			label = c.Image.Label()
		}
		told = append(told, fmt.Sprintf("%v %s %s", dayOf(StampOf(c.At)), label, c.Kind))
	}
	return told
}

func dayOf(s Stamp) float64 { return float64(s-onDay(0)) / 86400 }

// If an image becomes something else, the change says what it is now. The end of a problem is reported only if its
// beginning was reported. No change is older than the first listing.
func TestChangesOfWhatAnImageIs(t *testing.T) {
	list := func(entries ...string) func(*Record, Stamp) {
		return func(r *Record, now Stamp) { take(r, now, listingOf(entries...)) }
	}
	// unscanned lists the images without scanning them again.
	unscanned := func(entries ...string) func(*Record, Stamp) {
		return func(r *Record, now Stamp) {
			for _, i := range r.Identify(listingOf(entries...)) {
				r.UpdateImage(i, false, now)
			}
		}
	}
	answer := func(label string, result scan.Result) func(*Record, Stamp) {
		return func(r *Record, now Stamp) {
			i := r.Image(label)
			i.SetAnswer(result, now)
			if result.State == scan.Completed {
				i.SetHistory("h", History{Scan: Scan{Digest: i.Digest, Completed: StampOf(result.CompletedAt)}}, now)
			}
			r.Put(i)
		}
	}
	both := func(a, b func(*Record, Stamp)) func(*Record, Stamp) {
		return func(r *Record, now Stamp) { a(r, now); b(r, now) }
	}
	completedOn := func(day float64) scan.Result {
		return scan.Result{State: scan.Completed, CompletedAt: onDay(day).Time()}
	}
	failed := scan.Result{State: scan.Failed, Reason: "x"}
	for name, test := range map[string]struct {
		steps map[int]func(*Record, Stamp)
		want  []string
	}{
		"archived from the start": {map[int]func(*Record, Stamp){1: list("archived"), 2: list("archived"), 9: list("archived")}, []string{}},
		"a chart":                 {map[int]func(*Record, Stamp){1: list("chart"), 2: list(), 9: list("chart")}, []string{}},
		"a nested index":          {map[int]func(*Record, Stamp){1: list("!i"), 2: list("!j"), 9: list()}, []string{}},
		"restored after it was first listed": {
			map[int]func(*Record, Stamp){1: list("archived"), 2: unscanned("a"), 3: answer("v1", completedOn(2.5))}, []string{},
		},
		"scanned long before it was first listed": {
			map[int]func(*Record, Stamp){10: both(unscanned("a"), answer("v1", completedOn(1))), 11: answer("v1", completedOn(10.5)), 13: unscanned("a")},
			[]string{"12.5 v1 NOT SCANNED"},
		},
		"archived and restored": {
			map[int]func(*Record, Stamp){1: list("a"), 2: list("archived"), 9: list("a"), 10: list("a")},
			[]string{"2 v1 ARCHIVED", "9 v1 ARCHIVED, OVER"},
		},
		"archived while not scanned": {
			map[int]func(*Record, Stamp){1: list("a"), 4: list("archived"), 9: list("archived")}, []string{"3 v1 NOT SCANNED", "4 v1 ARCHIVED"},
		},
		"deleted while scans fail": {
			map[int]func(*Record, Stamp){1: both(unscanned("a"), answer("v1", failed)), 2: list(), 4: unscanned("b"), 5: answer("v1", completedOn(4.5))},
			[]string{"1 v1 SCAN FAILED", "2 v1 TAG GONE", "4 v1 TAG GONE, OVER"},
		},
		"scans fail until one is completed": {
			map[int]func(*Record, Stamp){1: unscanned("a"), 2: answer("v1", failed), 3: unscanned("b"), 4: answer("v1", failed), 5: answer("v1", completedOn(4.5))},
			[]string{"2 v1 SCAN FAILED", "3 v1 NOT SCANNED", "4.5 v1 NOT SCANNED, OVER", "4.5 v1 SCAN FAILED, OVER"},
		},
		"deleted before a scan": {map[int]func(*Record, Stamp){1: unscanned("a"), 2: list()}, []string{}},
		"a platform is dropped": {
			map[int]func(*Record, Stamp){1: list("a linux/amd64", "b linux/arm64"), 2: list("c linux/amd64"), 3: list("d linux/amd64", "e linux/arm64/v8")},
			[]string{"2 v1 (linux/arm64) PLATFORM GONE", "3 v1 (linux/arm64) PLATFORM GONE, OVER"},
		},
		"a tag with two platforms is deleted": {
			map[int]func(*Record, Stamp){1: list("a linux/amd64", "b linux/arm64"), 2: list()},
			[]string{"2 v1 (linux/amd64) TAG GONE", "2 v1 (linux/arm64) TAG GONE"},
		},
		"an index of two is archived": {
			map[int]func(*Record, Stamp){1: list("a linux/amd64", "b linux/arm64"), 2: list("archived"), 3: list("a linux/amd64", "b linux/arm64")},
			[]string{
				"2 v1 (linux/amd64) ARCHIVED", "2 v1 (linux/arm64) ARCHIVED",
				"3 v1 (linux/amd64) ARCHIVED, OVER", "3 v1 (linux/arm64) ARCHIVED, OVER",
			},
		},
		"an index can't be read, then its tag is deleted": {
			map[int]func(*Record, Stamp){1: list("a linux/amd64"), 2: list("!i"), 3: list(), 4: list("c linux/amd64")},
			[]string{"2 v1 (linux/amd64) INDEX UNREADABLE", "3 v1 (linux/amd64) TAG GONE", "4 v1 (linux/amd64) TAG GONE, OVER"},
		},
		"a new index can't be read just now": {
			map[int]func(*Record, Stamp){1: list("a linux/amd64", "b linux/arm64"), 2: list("?i"), 3: list("?i"), 4: list("c linux/amd64")},
			[]string{"4 v1 (linux/arm64) PLATFORM GONE"},
		},
		"a new index can't be read just now, then its tag is deleted": {
			map[int]func(*Record, Stamp){1: list("a linux/amd64"), 2: list("?i"), 3: list(), 4: list(), 5: list("c linux/amd64")},
			[]string{"3 v1 (linux/amd64) TAG GONE", "5 v1 (linux/amd64) TAG GONE, OVER"},
		},
		"a plain tag becomes an index that can't be read just now, and then never": {
			map[int]func(*Record, Stamp){1: list("a"), 2: list("?i"), 3: list("!i"), 4: list("b linux/amd64")},
			[]string{"3 v1 INDEX UNREADABLE", "4 v1 INDEX UNREADABLE, OVER"},
		},
		"a plain tag becomes an index that can't be read just now, then is deleted": {
			map[int]func(*Record, Stamp){1: list("a"), 2: list("?i"), 3: list(), 4: list("b")}, []string{"3 v1 TAG GONE", "4 v1 TAG GONE, OVER"},
		},
		"a plain tag whose scan fails becomes an index that can't be read just now, and then never": {
			map[int]func(*Record, Stamp){1: both(unscanned("a"), answer("v1", failed)), 2: list("?i"), 3: list("!i")},
			[]string{"1 v1 SCAN FAILED", "3 v1 INDEX UNREADABLE"},
		},
		"a new tag is an index that can't be read just now, and then never": {map[int]func(*Record, Stamp){1: list("?i"), 2: list("!i"), 3: list()}, []string{}},
		"a tag with two platforms becomes a chart, then is deleted": {
			map[int]func(*Record, Stamp){1: list("a linux/amd64", "b linux/arm64"), 2: list("chart"), 3: list(), 4: list(), 5: list("c linux/amd64", "d linux/arm64")},
			[]string{
				"2 v1 (linux/amd64) NOT AN IMAGE", "2 v1 (linux/arm64) NOT AN IMAGE", "3 v1 (linux/amd64) TAG GONE", "3 v1 (linux/arm64) TAG GONE",
				"5 v1 (linux/amd64) TAG GONE, OVER", "5 v1 (linux/arm64) TAG GONE, OVER",
			},
		},
		"a tag with two platforms is archived, then a chart": {
			map[int]func(*Record, Stamp){1: list("a linux/amd64", "b linux/arm64"), 2: list("archived"), 3: list("chart")},
			[]string{"2 v1 (linux/amd64) ARCHIVED", "2 v1 (linux/arm64) ARCHIVED", "3 v1 (linux/amd64) NOT AN IMAGE", "3 v1 (linux/arm64) NOT AN IMAGE"},
		},
		"another Windows build instead of one of two": {
			map[int]func(*Record, Stamp){1: list("a windows/amd64 10.0.17763.1", "b windows/amd64 10.0.20348.1"), 2: list("c windows/amd64 10.0.26100.1", "d windows/amd64 10.0.20348.2")},
			[]string{"2 v1 (windows/amd64 10.0.17763) PLATFORM GONE"},
		},
		"a platform is dropped, then the tag is deleted": {
			map[int]func(*Record, Stamp){1: list("a linux/amd64", "b linux/arm64"), 2: list("a linux/amd64"), 3: list()},
			[]string{"2 v1 (linux/arm64) PLATFORM GONE", "3 v1 (linux/amd64) TAG GONE"},
		},
		"scans fail until the tag points to an image that was scanned before": {
			map[int]func(*Record, Stamp){1: both(unscanned("a"), answer("v1", failed)), 2: both(unscanned("b"), answer("v1", completedOn(0.5)))},
			[]string{"1 v1 SCAN FAILED", "2 v1 SCAN FAILED, OVER"},
		},
		"an image becomes a chart": {
			map[int]func(*Record, Stamp){1: list("a"), 2: list("chart"), 3: list("b")}, []string{"2 v1 NOT AN IMAGE", "3 v1 NOT AN IMAGE, OVER"},
		},
		"archived, then deleted": {
			map[int]func(*Record, Stamp){1: list("a"), 2: list("archived"), 3: list(), 4: list("a")},
			[]string{"2 v1 ARCHIVED", "3 v1 TAG GONE", "4 v1 TAG GONE, OVER"},
		},
		"not scanned because the repository is missing": {
			map[int]func(*Record, Stamp){1: list("a"), 2: (*Record).SetMissing, 8: func(*Record, Stamp) {}}, []string{"2 - REPOSITORY GONE"},
		},
		"not scanned before the repository was missing": {
			map[int]func(*Record, Stamp){1: list("a"), 4: (*Record).SetMissing, 8: both((*Record).SetPresent, unscanned("a")), 9: unscanned("a")},
			[]string{"3 v1 NOT SCANNED", "4 - REPOSITORY GONE", "8 - REPOSITORY GONE, OVER"},
		},
		"not scanned after the repository was missing": {
			map[int]func(*Record, Stamp){1: list("a"), 2: (*Record).SetMissing, 8: both((*Record).SetPresent, unscanned("a")), 12: answer("v1", completedOn(11))},
			[]string{"2 - REPOSITORY GONE", "8 - REPOSITORY GONE, OVER", "10 v1 NOT SCANNED", "11 v1 NOT SCANNED, OVER"},
		},
		"plain and index of one": {map[int]func(*Record, Stamp){1: list("a"), 2: list("b linux/amd64"), 3: list("c"), 4: list("d linux/arm64")}, []string{}},
	} {
		var r Record
		var last Stamp
		for day := range 30 {
			if step := test.steps[day]; step != nil {
				last = onDay(float64(day))
				step(&r, last)
			}
		}
		if diff := cmp.Diff(test.want, toldOf(&r, last)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Earlier versions recorded periods that never began, and the end of a period when an image was archived or deleted.
func TestPeriodsOfEarlierVersionsAreNotTold(t *testing.T) {
	const day Stamp = 86400
	gap := func(from, until float64) []Period { return []Period{{From: onDay(from), Until: onDay(until)}} }
	never := []Period{{From: 2 * day, Until: onDay(1)}} // since 1970
	scanned := Scan{Digest: "a", Completed: onDay(1)}
	for name, test := range map[string]struct {
		image ImageRecord
		want  []string
	}{
		"archived from the start": {ImageRecord{Kind: scan.Archived, First: onDay(1), Gaps: never}, []string{}},
		"a chart":                 {ImageRecord{Kind: scan.Artifact, First: onDay(1), Gaps: never}, []string{}},
		"a mistyped tag":          {ImageRecord{Kind: scan.Missing, First: onDay(1), Gaps: never}, []string{}},
		"a restored record":       {ImageRecord{Kind: scan.Archived, Gaps: never}, []string{}},
		"before the first listing": {
			ImageRecord{First: onDay(5), Scan: Scan{Completed: onDay(6)}, Gaps: gap(3, 6)}, []string{},
		},
		"archived while not scanned": {
			ImageRecord{Kind: scan.Archived, First: onDay(1), Scan: scanned, Gaps: gap(3, 4)}, []string{"3 v1 NOT SCANNED"},
		},
		"deleted while scans failed": {
			ImageRecord{Kind: scan.Missing, First: onDay(1), Scan: scanned, MissingSince: onDay(4), Failures: gap(3, 4)}, []string{"3 v1 SCAN FAILED"},
		},
		"scanned again": {
			ImageRecord{First: onDay(1), Scan: Scan{Completed: onDay(5)}, Gaps: gap(3, 5)}, []string{"3 v1 NOT SCANNED", "5 v1 NOT SCANNED, OVER"},
		},
	} {
		test.image.Tag = "v1"
		r := recordOf(test.image)
		if diff := cmp.Diff(test.want, toldOf(&r, onDay(6.5))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A repository that never existed is not found, and not gone.
func TestChangesOfARepository(t *testing.T) {
	for name, test := range map[string]struct {
		record Record
		steps  func(r *Record)
		want   []string
	}{
		"mistyped":           {Record{}, func(r *Record) { r.SetMissing(onDay(1)) }, []string{}},
		"created later":      {Record{}, func(r *Record) { r.SetMissing(onDay(1)); r.SetPresent(onDay(3)); r.SetVisited(onDay(3)) }, []string{}},
		"empty, then gone":   {Record{}, func(r *Record) { r.SetPresent(onDay(1)); r.SetMissing(onDay(3)) }, []string{"3 - REPOSITORY GONE"}},
		"gone and back":      {Record{}, func(r *Record) { r.SetPresent(onDay(1)); r.SetMissing(onDay(3)); r.SetPresent(onDay(4)) }, []string{"3 - REPOSITORY GONE", "4 - REPOSITORY GONE, OVER"}},
		"mistyped, recorded": {Record{MissingSince: onDay(1)}, func(*Record) {}, []string{}},
		"created later, recorded": {
			Record{Begin: onDay(9), Absences: []Period{{From: onDay(1), Until: onDay(3)}}, Images: map[string]*ImageRecord{"v1": {Tag: "v1", First: onDay(3)}}},
			func(*Record) {}, []string{},
		},
		"gone and back, recorded": {
			Record{Begin: onDay(9), Absences: []Period{{From: onDay(2), Until: onDay(3)}}, Images: map[string]*ImageRecord{"v1": {Tag: "v1", First: onDay(1)}}},
			func(r *Record) { r.SetPresent(onDay(4)) }, []string{"2 - REPOSITORY GONE", "3 - REPOSITORY GONE, OVER"},
		},
	} {
		r := test.record
		test.steps(&r)
		if diff := cmp.Diff(test.want, toldOf(&r, onDay(1))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A listing in which the index of a tag can't be read just now changes nothing that is told: the changes are the same as
// without this listing.
func TestAnIndexThatCannotBeReadJustNowIsNotTold(t *testing.T) {
	random := rand.New(rand.NewPCG(15, 2))
	states := [][]string{{"a"}, {"a linux/amd64"}, {"a linux/amd64", "b linux/arm64"}, {"a linux/arm64", "b linux/s390x"}, {"!i"}, {"chart"}, {"archived"}, {}}
	for range 3000 {
		var with, without Record
		var story []string
		day := 0.0
		for step := range 2 + random.IntN(5) {
			if day++; step > 0 && random.IntN(2) == 0 {
				take(&with, onDay(day), listingOf(fmt.Sprintf("?%d", step)))
				story, day = append(story, "?"), day+0.5
			}
			var entries []string
			for _, e := range states[random.IntN(len(states))] {
				if digest, platform, isImage := strings.Cut(e, " "); isImage || digest == "a" {
					e = strings.TrimSpace(fmt.Sprintf("%s%d %s", digest, step, platform))
				}
				entries = append(entries, e)
			}
			story = append(story, fmt.Sprint(entries))
			if diff := cmp.Diff(take(&without, onDay(day), listingOf(entries...)), take(&with, onDay(day), listingOf(entries...))); diff != "" {
				t.Fatalf("%s: labels by digest (-without +with):\n%s", strings.Join(story, ", "), diff)
			}
		}
		if diff := cmp.Diff(toldOf(&without, onDay(day)), toldOf(&with, onDay(day))); diff != "" {
			t.Fatalf("%s (-without +with):\n%s", strings.Join(story, ", "), diff)
		}
	}
}
