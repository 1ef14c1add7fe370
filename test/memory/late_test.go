package memory

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/scan"
)

// What doesn't fit into the time of one reader is told by the next: nothing that was read of ECR is read again, and little is left lying about.
func TestReadersWithTooLittleTime(t *testing.T) {
	const images = 1000
	for name, read := range map[string]func(*scan.Watch, context.Context) (scan.Listing, error){
		"findings": func(w *scan.Watch, ctx context.Context) (scan.Listing, error) { return w.AllFindings(ctx, scan.View{}) },
		"changes":  func(w *scan.Watch, ctx context.Context) (scan.Listing, error) { return w.AllChanges(ctx, scan.View{}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				addConfig(t, w.watch(), repo)
				for i := range images {
					w.push(fmt.Sprint("v", i), "A:LOW B:HIGH")
				}
				w.ecr.Disturb(awslocal.Fault{Delay: time.Second})
				w.ecr.ResetCount()
				readers, left := 0, images
				for left > 0 && readers < 10 {
					readers++
					ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
					l, err := read(w.watch(), ctx)
					if err != nil || ctx.Err() != nil {
						t.Fatalf("reader %d: %v, %v", readers, err, ctx.Err())
					}
					cancel()
					before := left
					left = 0
					for _, item := range l.Reports[0].Images {
						if item.Value.State == scan.Unread {
							left++
						}
					}
					if before-left < min(200, before) {
						t.Errorf("reader %d: %d images are left of %d", readers, left, before)
					}
					time.Sleep(time.Minute)
				}
				if readers < 2 || readers > 5 {
					t.Errorf("it took %d readers", readers)
				}
				if _, err := read(w.watch(), t.Context()); err != nil { // what the last one told at its very end may not be kept yet
					t.Fatal(err)
				}
				underWay := 64 * readers // calls of which nobody got the answer
				if n := w.ecr.Count().Calls["DescribeImageScanFindings"]; n < images || n > 2*images+underWay {
					t.Errorf("%d findings were asked for %d images", n, images)
				}
				if n := len(keys(t, w.s3, "record/")); n < 1+images || n > 1+images+underWay {
					t.Errorf("there are %d objects of %d images", n, images)
				}
			})
		})
	}
}

// A run in which a call hangs until the time is up writes down what it learned of the other images.
func TestRunInWhichACallHangs(t *testing.T) {
	for _, within := range []time.Duration{15 * time.Second, time.Minute} {
		t.Run(within.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runInWhichACallHangs(t, within) })
		})
	}
}

func runInWhichACallHangs(t *testing.T, within time.Duration) {
	const images = 5
	w := newWorld(t)
	addConfig(t, w.watch(), repo)
	for i := range images {
		w.push(fmt.Sprint("v", i), "A:LOW")
	}
	w.ecr.Disturb(awslocal.Fault{Operation: "DescribeImageScanFindings", After: 2*images - 1, Hang: true}) // the results, then the findings
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if _, err := w.watch().Run(ctx); err != nil || ctx.Err() != nil {
		t.Fatalf("%v, %v", err, ctx.Err())
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
