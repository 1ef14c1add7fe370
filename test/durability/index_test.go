package durability

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// If an index cannot be read, its recorded result is shown. If its tag has moved to another index, no result is
// shown.
func TestUnreadableIndex(t *testing.T) {
	for name, moves := range map[string]bool{"the same": false, "another": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				addConfig(t, w.service(), repo)
				w.pushIndex("A:LOW")
				visit(t, w.service())
				time.Sleep(time.Hour)
				if moves {
					w.pushIndex("")
				}
				w.ecr.InjectFault(awslocal.Fault{Operation: "BatchGetImage", Status: 500})
				if shown := showsLow(t, w); shown == moves {
					t.Errorf("the old result is shown: %t", shown)
				}
				visit(t, w.service())
				if shown := showsLow(t, w); shown == moves {
					t.Errorf("after a visit the old result is shown: %t", shown)
				}
				w.ecr.ClearFaults()
				time.Sleep(time.Hour)
				visit(t, w.service())
				want := "multi (linux/arm64) A LOW #0"
				if got := read(t, w.service()); len(got) != 1 || !strings.HasPrefix(got[0], want) || strings.HasSuffix(got[0], "resolved") != moves {
					t.Errorf("after the index can be read again: %v", got)
				}
			})
		})
	}
}

// pushIndex pushes an index of one image that has just been scanned.
func (w *world) pushIndex(found string) {
	digest := w.ecr.PutImage(ecrID(repo), ecr.Image{ScannedAt: time.Now(), Findings: findings(found)})
	w.ecr.PutImage(ecrID(repo), ecr.Image{Tags: []string{"multi"}, Children: []ecr.Child{{Digest: digest, OS: "linux", Arch: "arm64"}}})
}

// showsLow reports whether the summary counts a finding of low severity.
func showsLow(t *testing.T, w *world) bool {
	t.Helper()
	o, err := w.service().Reader.Summary(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(o.Reports[0].Images, func(i report.Item) bool { return i.Result.Counts[scan.Low] > 0 })
}
