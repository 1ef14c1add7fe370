package memory

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/scan"
)

// What ECR said of an image a moment ago, when it was asked for one tag, ends and begins for another tag what it would if it had been asked for that.
func TestAnswerForAnotherTag(t *testing.T) {
	for name, test := range map[string]struct {
		// other makes the image of the tag "new", to which the tag "old" moves.
		other awslocal.Image
		want  []scan.EventKind
	}{
		"Inspector takes over": {awslocal.Image{Enhanced: []awslocal.EnhancedFinding{}}, []scan.EventKind{scan.Unscanned, scan.Scanned}},
		"the scan failed":      {awslocal.Image{ScanStatus: "FAILED"}, []scan.EventKind{scan.Unscanned, scan.Failing}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				watch := w.watch()
				w.push("old", "A:LOW")
				old := addConfig(t, watch, repo, "old")
				read(t, watch)
				time.Sleep(scan.TooLong + time.Hour)

				if test.other.Enhanced != nil {
					w.ecr.SetScanType("", "", awslocal.Enhanced)
				}
				test.other.Tags, test.other.ScannedAt = []string{"new"}, time.Now()
				test.other.Digest = w.ecr.PutImage(ecrID(repo), test.other)
				other := addConfig(t, watch, repo, "new")
				if _, err := watch.Findings(t.Context(), other.ID, scan.View{}); err != nil {
					t.Fatal(err)
				}
				w.ecr.PutImage(ecrID(repo), awslocal.Image{Digest: test.other.Digest, Tags: []string{"old"}})
				if _, err := watch.Summary(t.Context(), time.Time{}); err != nil {
					t.Fatal(err)
				}
				if got := kinds(t, watch, old.ID); !slices.Equal(got, test.want) {
					t.Errorf("told %v, want %v", got, test.want)
				}
			})
		})
	}
}

// kinds are the kinds of what the change feed of a config tells, sorted.
func kinds(t *testing.T, w *scan.Watch, id string) []scan.EventKind {
	t.Helper()
	l, err := w.Changes(t.Context(), id, scan.View{})
	if err != nil {
		t.Fatal(err)
	}
	told := make([]scan.EventKind, len(l.Changes))
	for i, c := range l.Changes {
		told[i] = c.Kind
	}
	slices.Sort(told)
	return told
}

// What Inspector finds in an image that two tags share is told of both at the next look at both, though one of them was looked at alone when it was
// new, and its counts were shown of both: the image's date stays what it was.
func TestInspectorOfTwoTags(t *testing.T) {
	summary := func(t *testing.T, w *scan.Watch) {
		if _, err := w.Summary(t.Context(), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	later := func(*testing.T, *scan.Watch) { time.Sleep(scan.Trust + time.Minute) }
	scanRun := func(t *testing.T, w *scan.Watch) { run(t, w) }
	type step = func(*testing.T, *scan.Watch)
	for name, between := range map[string][]step{
		"at once": nil, "a summary": {summary}, "a run": {scanRun}, "a summary and a run": {summary, scanRun}, "a summary after a while": {later, summary},
		"a run after a while": {summary, later, scanRun},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.ecr.SetScanType("", "", awslocal.Enhanced)
				watch := w.watch()
				w.ecr.PutImage(ecrID(repo), awslocal.Image{Tags: []string{"a", "b"}, ScannedAt: time.Now(), Enhanced: inspected("A:LOW")})
				one, all := addConfig(t, watch, repo, "a"), addConfig(t, watch, repo)
				read(t, watch)
				time.Sleep(time.Hour)
				w.update(t, "a", func(i *awslocal.Image) { i.Enhanced = inspected("A:LOW B:HIGH") })
				if got := kinds(t, watch, one.ID); !slices.Equal(got, []scan.EventKind{scan.New}) {
					t.Errorf("of one tag: %v", got)
				}
				for _, do := range between {
					do(t, watch)
				}
				w.ecr.ResetCount()
				if got := kinds(t, watch, all.ID); !slices.Equal(got, []scan.EventKind{scan.New, scan.New}) {
					t.Errorf("of both: %v", got)
				}
				if n := w.ecr.Count().Calls["DescribeImageScanFindings"]; n > 0 && len(between) > 0 && name != "a summary" {
					t.Errorf("the findings were read %d times again", n)
				}
			})
		})
	}
}

// Of so many images that Inspector finds something new in, a summary reads the findings of some alone; the next run reads the others'.
func TestInspectorOfManyImages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const images = 250
		w := newWorld(t)
		w.ecr.SetScanType("", "", awslocal.Enhanced)
		watch := w.watch()
		all := addConfig(t, watch, repo)
		for i := range images {
			w.ecr.PutImage(ecrID(repo), awslocal.Image{Tags: []string{fmt.Sprint(i)}, ScannedAt: time.Now(), Enhanced: inspected("A:LOW")})
		}
		read(t, watch)
		time.Sleep(time.Hour)
		for i := range images {
			w.update(t, fmt.Sprint(i), func(i *awslocal.Image) { i.Enhanced = inspected("A:LOW B:HIGH") })
		}
		if _, err := watch.Summary(t.Context(), time.Time{}); err != nil {
			t.Fatal(err)
		}
		run(t, watch)
		w.ecr.Disturb(awslocal.Fault{Status: 500}) // what is told now was read before
		if got := kinds(t, watch, all.ID); len(got) != images {
			t.Errorf("%d of %d images have news", len(got), images)
		}
	})
}

// News of Inspector that can't be written down is read again.
func TestInspectorWhileS3Fails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.ecr.SetScanType("", "", awslocal.Enhanced)
		watch := w.watch()
		all := addConfig(t, watch, repo)
		w.ecr.PutImage(ecrID(repo), awslocal.Image{Tags: []string{"a"}, ScannedAt: time.Now(), Enhanced: inspected("A:LOW")})
		read(t, watch)
		time.Sleep(time.Hour)
		w.update(t, "a", func(i *awslocal.Image) { i.Enhanced = inspected("A:LOW B:HIGH") })
		calm := w.s3.Disturb(awslocal.Fault{Operation: "PutObject", Status: 500, Calls: 3}) // the history, but not the record
		run(t, watch)
		calm()
		if n := w.s3.Count().Calls["PutObject"]; n < 4 {
			t.Fatalf("the record was not written: %d calls", n)
		}
		time.Sleep(time.Hour)
		run(t, watch)
		w.ecr.Disturb(awslocal.Fault{Status: 500}) // what is told now was read before
		if got := kinds(t, watch, all.ID); !slices.Equal(got, []scan.EventKind{scan.New}) {
			t.Errorf("told %v", got)
		}
	})
}
