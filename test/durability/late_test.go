package durability

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/rescan"
)

// What doesn't fit into the time of one visit is done by the next: nothing that was read of ECR is read again, and little is left lying about.
func TestVisitsWithTooLittleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const images, within = 1000, 25 * time.Second
		w := newWorld(t)
		service := w.service()
		c := addConfig(t, service, repo)
		for i := range images {
			w.push(fmt.Sprint("v", i), "A:LOW B:HIGH")
		}
		w.ecr.Disturb(awslocal.Fault{Delay: time.Second})
		w.ecr.ResetCount()
		service.Visitor.Queue.Send(t.Context(), []rescan.Sending{{Message: rescan.NewMessage(repo, c.ID)}})
		visits, left := 0, images
		for left > 0 && visits < 10 {
			messages := service.Queue.Take()
			if len(messages) != 1 || messages[0].Continues != visits {
				t.Fatalf("after %d visits the queue has %v", visits, messages)
			}
			ctx, cancel := context.WithTimeout(t.Context(), within)
			report := service.Visitor.Visit(ctx, messages[0])
			if ctx.Err() != nil {
				t.Fatalf("visit %d is late", visits)
			}
			cancel()
			if visits++; left-report.Left < min(200, left) {
				t.Errorf("visit %d: %d images are left of %d", visits, report.Left, left)
			}
			left = report.Left
		}
		if visits < 2 || visits > 5 || len(service.Queue.Take()) > 0 {
			t.Errorf("it took %d visits", visits)
		}
		if n := w.ecr.Count().Calls["DescribeImageScanFindings"]; n != images {
			t.Errorf("%d findings were asked for %d images", n, images)
		}
		if n := len(keys(t, w.s3, "record/")); n != 1+images {
			t.Errorf("there are %d objects of %d images", n, images)
		}
	})
}

// Readers make no progress for each other: what no visit has recorded, each of them asks again, within its bound of calls.
func TestReadersOfWhatIsNotVisited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const images, most = 1000, 100
		w := newWorld(t)
		addConfig(t, w.service(), repo)
		for i := range images {
			w.push(fmt.Sprint("v", i), "A:LOW B:HIGH")
		}
		var first []string
		for range 3 {
			w.ecr.ResetCount()
			got := read(t, w.service())
			if first == nil {
				first = got
			}
			if !slices.Equal(first, got) {
				t.Errorf("two reads ask for different images: %v and %v", first, got)
			}
			if n := w.ecr.Count().Total(); n > most || len(got) < most {
				t.Errorf("%d calls, %d findings", n, len(got))
			}
		}
		if n := len(keys(t, w.s3, "record/")); n > 0 {
			t.Errorf("readers have stored %d objects", n)
		}
	})
}

// A visit in which a call hangs until the time is up writes down what it learned of the other images.
func TestVisitInWhichACallHangs(t *testing.T) {
	for _, within := range []time.Duration{15 * time.Second, time.Minute} {
		t.Run(within.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { visitInWhichACallHangs(t, within) })
		})
	}
}

func visitInWhichACallHangs(t *testing.T, within time.Duration) {
	const images = 5
	w := newWorld(t)
	c := addConfig(t, w.service(), repo)
	for i := range images {
		w.push(fmt.Sprint("v", i), "A:LOW")
	}
	w.ecr.Disturb(awslocal.Fault{Operation: "DescribeImageScanFindings", After: images - 1, Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	report := w.service().Visitor.Visit(ctx, rescan.Received{Message: rescan.NewMessage(repo, c.ID), ID: "m", Sent: time.Now()})
	if ctx.Err() != nil || report.Recent != images-1 {
		t.Fatalf("%v, %+v", ctx.Err(), report)
	}
	r, err := store(w.s3).Load(t.Context(), repo)
	remembered := 0
	for _, i := range r.Images {
		if i.History != "" {
			remembered++
		}
	}
	if err != nil || remembered != images-1 {
		t.Errorf("%d of %d images are remembered, %v", remembered, images, err)
	}
}
