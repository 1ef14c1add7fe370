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

// An index that can't be read just now is shown as it was, and not when its tag points to another one by now.
func TestIndexThatCantBeRead(t *testing.T) {
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
				w.ecr.Disturb(awslocal.Fault{Operation: "BatchGetImage", Status: 500})
				if shown := lowOf(t, w); shown == moves {
					t.Errorf("what was found before is shown: %t", shown)
				}
				visit(t, w.service())
				if shown := lowOf(t, w); shown == moves {
					t.Errorf("after a visit what was found before is shown: %t", shown)
				}
				w.ecr.Calm()
				time.Sleep(time.Hour)
				visit(t, w.service())
				want := "multi (linux/arm64) A LOW #0"
				if got := read(t, w.service()); len(got) != 1 || !strings.HasPrefix(got[0], want) || strings.HasSuffix(got[0], "resolved") != moves {
					t.Errorf("once it can be read: %v", got)
				}
			})
		})
	}
}

// pushIndex puts an index of one image that was scanned just now.
func (w *world) pushIndex(found string) {
	digest := w.ecr.PutImage(ecrID(repo), ecr.Image{ScannedAt: time.Now(), Findings: findings(found)})
	w.ecr.PutImage(ecrID(repo), ecr.Image{Tags: []string{"multi"}, Children: []ecr.Child{{Digest: digest, OS: "linux", Arch: "arm64"}}})
}

// lowOf tells whether the summary counts a finding of low severity.
func lowOf(t *testing.T, w *world) bool {
	t.Helper()
	o, err := w.service().Reader.Summary(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(o.Reports[0].Images, func(i report.Item) bool { return i.Result.Counts[scan.Low] > 0 })
}
