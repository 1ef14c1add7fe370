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

// If a visit has too little time, the next visit does the rest. It does not read results again, and few unused
// objects remain.
func TestVisitsWithTooLittleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const images, within = 1000, 25 * time.Second
		w := newWorld(t)
		service := w.service()
		c := addConfig(t, service, repo)
		for i := range images {
			w.push(fmt.Sprint("v", i), "A:LOW B:HIGH")
		}
		w.ecr.InjectFault(awslocal.Fault{Delay: time.Second})
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
				t.Fatalf("visit %d ended after its deadline", visits)
			}
			cancel()
			if visits++; left-report.NotReached < min(200, left) {
				t.Errorf("visit %d: %d of %d images remain", visits, report.NotReached, left)
			}
			left = report.NotReached
		}
		if visits < 2 || visits > 5 || len(service.Queue.Take()) > 0 {
			t.Errorf("it took %d visits, want 2 to 5 and no further message", visits)
		}
		if n := w.ecr.Count().Calls["DescribeImageScanFindings"]; n != images {
			t.Errorf("%d calls for the findings of %d images", n, images)
		}
		if got, want := keys(t, w.s3, "record/"), append(packKeys(t, w.s3), indexKey); !slices.Equal(got, want) || len(want) > 1+2*visits {
			t.Errorf("the objects are %v, the record has %v", got, want)
		}
	})
}

// A read records nothing, so each read of images without a record calls ECR again, up to its maximum number of calls.
func TestReadsWithoutARecord(t *testing.T) {
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
				t.Errorf("two reads returned different images: %v and %v", first, got)
			}
			if n := w.ecr.Count().Total(); n > most || len(got) < most {
				t.Errorf("%d calls, %d findings", n, len(got))
			}
		}
		if n := len(keys(t, w.s3, "record/")); n > 0 {
			t.Errorf("reads stored %d objects", n)
		}
	})
}

// A visit in which a call hangs until the deadline still saves the results of the other images.
func TestVisitWithAHangingCall(t *testing.T) {
	for _, within := range []time.Duration{15 * time.Second, time.Minute} {
		t.Run(within.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { visitWithAHangingCall(t, within) })
		})
	}
}

func visitWithAHangingCall(t *testing.T, within time.Duration) {
	const images = 5
	w := newWorld(t)
	c := addConfig(t, w.service(), repo)
	for i := range images {
		w.push(fmt.Sprint("v", i), "A:LOW")
	}
	w.ecr.InjectFault(awslocal.Fault{Operation: "DescribeImageScanFindings", After: images - 1, Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	report := w.service().Visitor.Visit(ctx, rescan.Received{Message: rescan.NewMessage(repo, c.ID), ID: "m", Sent: time.Now()})
	if ctx.Err() != nil || report.Recent != images-1 {
		t.Fatalf("%v, %+v", ctx.Err(), report)
	}
	r, err := store(w.s3).Load(t.Context(), repo)
	recorded := 0
	for _, i := range r.Images {
		if i.History != "" {
			recorded++
		}
	}
	if err != nil || recorded != images-1 {
		t.Errorf("%d of %d images are recorded, %v", recorded, images, err)
	}
}
