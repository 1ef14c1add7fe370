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
				underWay := 64 * readers // calls of which nobody got the answer
				if n := w.ecr.Count().Calls["DescribeImageScanFindings"]; n < images || n > 2*images+underWay {
					t.Errorf("%d findings were asked for %d images", n, images)
				}
				if n := len(keys(t, w.s3, "record/")); n < images || n > 1+images+underWay {
					t.Errorf("there are %d objects of %d images", n, images)
				}
			})
		})
	}
}
