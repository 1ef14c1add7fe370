package durability

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/test/awstest"
)

// If ECR's answer for an image was read because of one tag, it has the same effect on another tag of that image as
// a new answer.
func TestAnswerSharedByTags(t *testing.T) {
	for name, test := range map[string]struct {
		// other is the image of the tag "new". The tag "old" moves to it.
		other ecr.Image
		want  []history.EventKind
	}{
		"Inspector takes over": {ecr.Image{Enhanced: []ecr.EnhancedFinding{}}, []history.EventKind{history.Unscanned, history.Scanned}},
		"the scan failed":      {ecr.Image{ScanStatus: "FAILED"}, []history.EventKind{history.Unscanned, history.Failing}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				service := w.service()
				w.push("old", "A:LOW")
				old := addConfig(t, service, repo, "old")
				visit(t, service)
				time.Sleep(history.MaxScanAge + time.Hour)
				w.ecr.InjectFault(noStarts)

				if test.other.Enhanced != nil {
					w.ecr.SetScanType("", "", ecr.Enhanced)
				}
				test.other.Tags, test.other.ScannedAt = []string{"new"}, time.Now()
				test.other.Digest = w.ecr.PutImage(ecrID(repo), test.other)
				other := addConfig(t, service, repo, "new")
				service.Visit(t.Context(), rescan.Received{Message: rescan.NewMessage(repo, other.ID), ID: "m", Sent: time.Now()})
				w.ecr.PutImage(ecrID(repo), ecr.Image{Digest: test.other.Digest, Tags: []string{"old"}})
				visit(t, service)
				if got := kinds(t, service, old.ID); !slices.Equal(got, test.want) {
					t.Errorf("changes %v, want %v", got, test.want)
				}
			})
		})
	}
}

// kinds returns the kinds of the changes in a config's change feed, sorted.
func kinds(t *testing.T, w *awstest.Service, id string) []history.EventKind {
	t.Helper()
	l, err := w.Reader.Changes(t.Context(), id, report.View{})
	if err != nil {
		t.Fatal(err)
	}
	found := make([]history.EventKind, len(l.Changes))
	for i, c := range l.Changes {
		found[i] = c.Kind
	}
	slices.Sort(found)
	return found
}

// If two tags share an image and Inspector finds something new in it, the next visit records the change for both
// tags. This holds even if only one of them had a config at first, and whatever was read in between. The image's
// date does not change.
func TestInspectorOfTwoTags(t *testing.T) {
	aSummary := func(t *testing.T, w *awstest.Service) { summary(t, w) }
	aVisit := func(t *testing.T, w *awstest.Service) { visit(t, w) }
	later := func(*testing.T, *awstest.Service) { time.Sleep(refresh.ListingMaxAge + time.Minute) }
	type step = func(*testing.T, *awstest.Service)
	for name, between := range map[string][]step{
		"no step": nil, "a summary": {aSummary}, "a visit": {aVisit}, "a summary and a visit": {aSummary, aVisit},
		"a later summary": {later, aSummary}, "a later visit": {aSummary, later, aVisit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.ecr.SetScanType("", "", ecr.Enhanced)
				service := w.service()
				w.ecr.PutImage(ecrID(repo), ecr.Image{Tags: []string{"a", "b"}, ScannedAt: time.Now(), Enhanced: inspected("A:LOW")})
				one := addConfig(t, service, repo, "a")
				visit(t, service)
				all := addConfig(t, service, repo)
				visit(t, service)
				time.Sleep(time.Hour)
				w.update(t, "a", func(i *ecr.Image) { i.Enhanced = inspected("A:LOW B:HIGH") })
				for _, do := range between {
					do(t, service)
				}
				visit(t, service)
				w.ecr.ResetCount()
				if got := kinds(t, service, one.ID); !slices.Equal(got, []history.EventKind{history.New}) {
					t.Errorf("changes of one tag: %v", got)
				}
				if got := kinds(t, service, all.ID); !slices.Equal(got, []history.EventKind{history.New, history.New}) {
					t.Errorf("changes of both tags: %v", got)
				}
				if n := w.ecr.Count().Total(); n > 0 {
					t.Errorf("%d calls to ECR for recorded results", n)
				}
			})
		})
	}
}

// A visit reads all findings even if Inspector has found something new in many images.
func TestInspectorOfManyImages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const images = 250
		w := newWorld(t)
		w.ecr.SetScanType("", "", ecr.Enhanced)
		service := w.service()
		all := addConfig(t, service, repo)
		for i := range images {
			w.ecr.PutImage(ecrID(repo), ecr.Image{Tags: []string{fmt.Sprint(i)}, ScannedAt: time.Now(), Enhanced: inspected("A:LOW")})
		}
		visit(t, service)
		time.Sleep(time.Hour)
		for i := range images {
			w.update(t, fmt.Sprint(i), func(i *ecr.Image) { i.Enhanced = inspected("A:LOW B:HIGH") })
		}
		summary(t, service)
		visit(t, service)
		if got := kinds(t, service, all.ID); len(got) != images {
			t.Errorf("%d of %d images have a change", len(got), images)
		}
	})
}

// If new findings of Inspector cannot be stored, a later visit reads them again.
func TestInspectorWhileS3Fails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.ecr.SetScanType("", "", ecr.Enhanced)
		service := w.service()
		all := addConfig(t, service, repo)
		w.ecr.PutImage(ecrID(repo), ecr.Image{Tags: []string{"a"}, ScannedAt: time.Now(), Enhanced: inspected("A:LOW")})
		visit(t, service)
		time.Sleep(time.Hour)
		w.update(t, "a", func(i *ecr.Image) { i.Enhanced = inspected("A:LOW B:HIGH") })
		removeFault := w.s3.InjectFault(awslocal.Fault{Operation: "PutObject", Status: 500, Calls: 3}) // fails the history, but not the record
		visit(t, service)
		removeFault()
		if n := w.s3.Count().Calls["PutObject"]; n < 4 {
			t.Fatalf("the record was not written: %d calls", n)
		}
		time.Sleep(time.Hour)
		visit(t, service)
		if got := kinds(t, service, all.ID); !slices.Equal(got, []history.EventKind{history.New}) {
			t.Errorf("changes %v", got)
		}
	})
}
