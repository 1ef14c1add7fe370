package usecases

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/gate"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

// repositoryWithIndexes returns a registry with readable and unreadable indexes, and a tag for one of the images in
// them.
func repositoryWithIndexes() *fakeRegistry {
	nested := &scan.Error{Code: scan.NotScannable, Message: "nested image index"}
	unavailable := &scan.Error{Code: scan.Unavailable, Message: "ECR answered with an error"}
	return &fakeRegistry{
		images: map[string][]scan.Image{"app": {
			{Tag: "multi", Digest: "amd", Platform: "linux/amd64"}, {Tag: "multi", Digest: "arm", Platform: "linux/arm64"},
			{Tag: "multi", Digest: "missing", Platform: "linux/s390x"},
			{Tag: "again", Digest: "amd", Platform: "linux/amd64"}, {Tag: "again", Digest: "i2", Kind: scan.Index, Err: nested},
			{Tag: "plain", Digest: "amd"}, {Tag: "failing", Digest: "i3", Kind: scan.Index, Err: unavailable}, {Tag: "failing2", Digest: "i3", Kind: scan.Index, Err: unavailable},
			{Tag: "missing", Digest: "missing2"},
		}},
		fail: map[string]error{
			"missing": &scan.Error{Code: scan.ImageNotFound, Message: "image not found"}, "missing2": &scan.Error{Code: scan.ImageNotFound, Message: "image not found"},
		},
		start: map[string]error{
			"missing": &scan.Error{Code: scan.ImageNotFound, Message: "image not found"}, "missing2": &scan.Error{Code: scan.ImageNotFound, Message: "image not found"},
		},
	}
}

func TestIndexesInASummary(t *testing.T) {
	r := repositoryWithIndexes()
	w := newService(r, config("1", "app"), config("2", "app", "multi"))
	r.results = map[string]scan.Result{"amd": completed(w, time.Hour, nil), "arm": {State: scan.NotScanned}}
	overview, err := w.Summary(t.Context(), time.Time{})
	reports := overview.Reports
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"1: again not scanned nested image index",
		"1: again (linux/amd64) completed ",
		"1: failing unavailable ECR answered with an error",
		"1: failing2 unavailable ECR answered with an error",
		"1: missing tag not found ",
		"1: multi (linux/amd64) completed ",
		"1: multi (linux/arm64) not scanned ",
		"1: multi (linux/s390x) not scanned image not found",
		"1: plain completed ",
		"2: multi (linux/amd64) completed ",
		"2: multi (linux/arm64) not scanned ",
		"2: multi (linux/s390x) not scanned image not found",
	}
	if diff := cmp.Diff(want, states(reports)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := r.calls["result amd"]; n != 1 {
		t.Errorf("%d calls for an image with two indexes and a tag", n)
	}
}

func TestIndexesInAVisit(t *testing.T) {
	r := repositoryWithIndexes()
	w := newService(r, config("1", "app"))
	r.results = map[string]scan.Result{"amd": {State: scan.NotScanned}, "arm": {State: scan.NotScanned}}
	report := w.visit(t, "app", "1")
	want := rescan.Tally{
		Images: 6, Started: 2, NotScannable: map[string]int{"nested image index": 1, "image not found": 1},
		Failed: map[string]int{"ECR answered with an error": 1, "image not found": 1},
	}
	if diff := cmp.Diff(want, report.Tally); report.Outcome != rescan.VisitEnded || diff != "" {
		t.Errorf("%s (-want +got):\n%s", report.Outcome, diff)
	}
	if r.calls["start amd"] != 1 || r.calls["start i2"]+r.calls["start i3"]+r.calls["result i2"]+r.calls["result i3"] != 0 {
		t.Errorf("calls %v", r.calls)
	}
}

func TestFindingsWhenTheIndexIsUnavailable(t *testing.T) {
	unavailable := &scan.Error{Code: scan.Unavailable, Message: "throttled by ECR"}
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "multi", Digest: "i", Kind: scan.Index, Err: unavailable}}}}
	l, err := newService(r, config("1", "app")).Findings(t.Context(), "1", report.View{})
	if err != nil || scan.CodeOf(l.Outage()) != scan.Unavailable {
		t.Errorf("%v, outage %v", err, l.Outage())
	}
}

// If a signature's tag points to the digest of an image, the image's other tags are shown as images.
func TestOneDigestOfTwoKinds(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {
		{Tag: "a", Digest: "1"}, {Tag: "a.sig", Digest: "1", Kind: scan.Artifact}, {Tag: "b", Digest: "1"}, {Tag: "b.sig", Digest: "1", Kind: scan.Artifact},
	}}}
	w := newService(r, config("1", "app"), config("2", "app", "a.sig", "b"))
	r.results = map[string]scan.Result{"1": completed(w, 30*time.Hour, nil)}
	overview, err := w.Summary(t.Context(), time.Time{})
	reports := overview.Reports
	want := []string{"1: a completed ", "1: b completed ", "2: a.sig not scanned not an image", "2: b completed "}
	if diff := cmp.Diff(want, states(reports)); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	w.configs.set(config("2", "app", "a.sig", "b"))
	if n := r.calls["result 1"]; n != 1 {
		t.Errorf("%d calls for one image", n)
	}
	if v := w.visit(t, "app", "2"); v.Started != 1 || v.NotScannable["not an image"] != 1 {
		t.Errorf("visit %+v", v)
	}
}

// After the registry refuses a scan because of enhanced scanning, a visit starts no more scans. The next visit tries
// again.
func TestEnhancedScanningEndsTheStarts(t *testing.T) {
	const images = 1000
	r := &fakeRegistry{images: map[string][]scan.Image{"basic": {{Tag: "1", Digest: "basic"}}}, start: map[string]error{}}
	for i := range images {
		digest := fmt.Sprintf("a%04d", i)
		r.images["a"] = append(r.images["a"], scan.Image{Tag: digest, Digest: digest})
		r.start[digest] = &scan.Error{Code: scan.EnhancedScanning}
	}
	w := newService(r, config("a", "a"), config("basic", "basic"))
	for range 2 {
		report := w.visit(t, "a", "a")
		if report.NotScannable["enhanced scanning"] != images || report.Started != 0 || report.ImagesFailed() != 0 {
			t.Errorf("%+v", report.Tally)
		}
		starts := 0
		for call, n := range r.takeCalls() {
			if strings.HasPrefix(call, "start ") {
				starts += n
			}
		}
		if starts == 0 || starts > maxStarts {
			t.Errorf("%d starts, want at least one and at most the number of concurrent starts", starts)
		}
		w.advance(scan.RescanInterval)
	}
	if report := w.visit(t, "basic", "basic"); report.Started != 1 {
		t.Errorf("another repository: %+v", report.Tally)
	}
}

// An index that can't be read just now keeps its known images, also an only image that has the label of its tag.
func TestAnUnreadableIndexKeepsItsImages(t *testing.T) {
	unavailable := &scan.Error{Code: scan.Unavailable, Message: "ECR answered with an error"}
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "one", Digest: "a"}}}}
	w := newService(r, config("1", "app"))
	r.results = map[string]scan.Result{"a": completed(w, time.Hour, nil), "b": completed(w, time.Hour, nil)}
	want := func(want ...string) {
		t.Helper()
		overview, err := w.Summary(t.Context(), time.Time{})
		if diff := cmp.Diff(want, states(overview.Reports)); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		w.visit(t, "app", "1")
		overview, err = w.Summary(t.Context(), time.Time{})
		if diff := cmp.Diff(want, states(overview.Reports)); err != nil || diff != "" {
			t.Errorf("after a visit: %v (-want +got):\n%s", err, diff)
		}
		w.advance(time.Hour)
	}
	want("1: one completed ")
	index := scan.Image{Tag: "one", Digest: "i", Kind: scan.Index, Err: unavailable}
	child := scan.Image{Tag: "one", Digest: "a", Platform: "linux/amd64", Listed: "linux/amd64", Index: "i"}
	for _, images := range [][]scan.Image{{child}, {index}, {child}} {
		r.images["app"] = images
		want("1: one completed ")
	}
	other := scan.Image{Tag: "one", Digest: "b", Platform: "linux/arm64", Listed: "linux/arm64", Index: "i"}
	nested := index
	nested.Err = &scan.Error{Code: scan.NotScannable, Message: "nested image index"}
	for _, images := range [][]scan.Image{{child, other}, {index}, {child, index}, {index, other}} {
		r.images["app"] = images
		want("1: one completed ", "1: one (linux/arm64) completed ")
	}
	r.images["app"] = []scan.Image{child, other, nested}
	want("1: one completed ", "1: one (image index) not scanned nested image index", "1: one (linux/arm64) completed ")
	r.images["app"] = []scan.Image{index} // the recorded images are not all
	want("1: one completed ", "1: one (image index) unavailable ECR answered with an error", "1: one (linux/arm64) completed ")
}

// The gate fails if the index of a tag can't be read and nothing says that the recorded images are of this index. Earlier
// versions did not record the index.
func TestGateOfAnUnreadableIndex(t *testing.T) {
	unavailable := &scan.Error{Code: scan.Unavailable, Message: "throttled by ECR"}
	for name, index := range map[string]string{"another": "i1", "unknown": ""} {
		for _, age := range []time.Duration{time.Hour, 30 * time.Hour} { // ECR is called again for results older than a day
			r := &fakeRegistry{images: map[string][]scan.Image{"app": {
				{Tag: "v1", Digest: "amd", Platform: "linux/amd64", Index: index}, {Tag: "v1", Digest: "arm", Platform: "linux/arm64", Index: index},
			}}}
			w := newService(r, config("1", "app"))
			r.results = map[string]scan.Result{"amd": completed(w, age, nil), "arm": completed(w, age, nil)}
			w.visit(t, "app", "1")
			if v, err := w.Gate(t.Context(), "1", gate.Request{Max: scan.Low}); err != nil || len(v.Failures) > 0 {
				t.Errorf("%s, %s: %v, failures %v of a readable index", name, age, err, v.Failures)
			}
			r.images["app"] = []scan.Image{{Tag: "v1", Digest: "i2", Kind: scan.Index, Err: unavailable}}
			if v, err := w.Gate(t.Context(), "1", gate.Request{Max: scan.Low}); err != nil || len(v.Failures) == 0 {
				t.Errorf("%s, %s: %v, the gate passes", name, age, err)
			}
		}
	}
}

// A tag that moves while the pages of a listing are read is in none of them. It is looked up once more: the gate judges it, and
// changes don't say that it was deleted. A tag that was deleted is missing.
func TestTagThatNoPageLists(t *testing.T) {
	for name, deleted := range map[string]bool{"moved": false, "deleted": true} {
		r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "v1", Digest: "a"}, {Tag: "v2", Digest: "b"}}}, hidden: map[string]bool{}}
		w := newService(r, config("1", "app"))
		r.results = map[string]scan.Result{"a": completed(w, time.Hour, nil), "b": completed(w, time.Hour, nil), "c": completed(w, time.Hour, scan.Counts{scan.High: 1})}
		bad := r.results["c"]
		bad.Findings = []scan.Finding{{Name: "CVE-1", Severity: scan.High}}
		r.results["c"] = bad
		w.visit(t, "app", "1")
		w.advance(time.Hour)
		r.images["app"][0].Digest, r.hidden["v1"] = "c", true
		want := "1: v1 completed  | 1: v2 completed "
		if deleted {
			r.images["app"], want = r.images["app"][1:], "1: v2 completed "
		}
		v, err := w.Gate(t.Context(), "1", gate.Request{Max: scan.Low})
		if err != nil || len(v.Failures) == 0 != deleted {
			t.Errorf("%s: the gate fails because of %v, %v", name, v.Failures, err)
		}
		for range 3 {
			r.takeCalls()
			w.visit(t, "app", "1")
			if got := strings.Join(states(summary(t, w)), " | "); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
			w.advance(time.Hour)
		}
		if n := r.takeCalls()["images app"]; deleted && n > 2 {
			t.Errorf("%d listings after the tag is recorded as missing", n)
		}
		l, err := w.Changes(t.Context(), "1", report.View{})
		var told []string
		for _, c := range l.Changes {
			told = append(told, string(c.Kind))
		}
		if got := strings.Join(told, " "); err != nil || (got == "TAG GONE") != deleted || !deleted && got != "NEW" {
			t.Errorf("%s: changes %q, %v", name, got, err)
		}
	}
}

// If many tags are missing at once, they are not looked up again.
func TestManyMissingTags(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{}, hidden: map[string]bool{}}
	for i := range 40 {
		r.images["app"] = append(r.images["app"], scan.Image{Tag: fmt.Sprint("v", i), Digest: "a"})
	}
	w := newService(r, config("1", "app"))
	r.results = map[string]scan.Result{"a": completed(w, time.Hour, nil)}
	w.visit(t, "app", "1")
	r.images["app"] = r.images["app"][:1]
	r.takeCalls()
	if w.visit(t, "app", "1"); r.takeCalls()["images app"] != 1 || tagsOf(w.records.of("app")) != "v0" {
		t.Errorf("%s", tagsOf(w.records.of("app")))
	}
}
