package memory

import (
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
