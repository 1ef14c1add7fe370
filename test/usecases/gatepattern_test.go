package usecases

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/gate"
	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/scan"
)

// gateLines returns the reasons of a gate that lets HIGH pass, each as one line, and the number of judged images.
func (w *service) gateLines(t *testing.T, id string, f scan.Filter) (lines []string, images int) {
	t.Helper()
	v, err := w.Gate(t.Context(), id, gate.Request{Max: scan.High, Filter: f})
	if err != nil {
		t.Fatal(err)
	}
	reasons, _ := render.GateReasons(v, nil)
	for _, r := range reasons {
		lines = append(lines, r.Image+": "+render.WithReason(r.Reason, r.Detail))
	}
	return lines, v.Images
}

// Each repository that a request names and that the config does not watch fails the gate, whatever else it names.
func TestGateOfRepositoriesThatAreNotWatched(t *testing.T) {
	excluding := config("excluding", "team/*")
	excluding.Exclude = []string{"team/web"}
	r := registryOf("lib", "team/app", "team/web")
	w := newService(r, config("pattern", "team/*"), config("plain", "team/app"), excluding)
	r.withResults(w, time.Hour)
	w.scheduleAndVisit(t)
	const notWatched = ": repository not found: the config does not watch this repository"
	for name, test := range map[string]struct {
		id     string
		f      scan.Filter
		images int
		want   []string
	}{
		"a pattern, one more":            {"pattern", scan.Filter{Repositories: []string{"lib", "team/app"}}, 1, []string{"lib" + notWatched}},
		"a pattern, two more":            {"pattern", scan.Filter{Repositories: []string{"lib", "none", "team/app"}}, 1, []string{"lib" + notWatched, "none" + notWatched}},
		"a pattern, only others":         {"pattern", scan.Filter{Repositories: []string{"lib", "none"}}, 0, []string{"lib" + notWatched, "none" + notWatched}},
		"a pattern, one that is missing": {"pattern", scan.Filter{Repositories: []string{"lib", "team/app"}, Tags: []string{"v1", "v2"}}, 2, []string{"team/*:v2: tag not found: no image that the config watches has this tag", "lib" + notWatched}},
		"excluded":                       {"excluding", scan.Filter{Repositories: []string{"team/app", "team/web"}}, 1, []string{"team/web" + notWatched}},
		"a name, one more":               {"plain", scan.Filter{Repositories: []string{"lib", "team/app"}}, 1, []string{"lib" + notWatched}},
		"a name, only another":           {"plain", scan.Filter{Repositories: []string{"lib"}}, 0, []string{"lib" + notWatched}},
		"a name, only others":            {"plain", scan.Filter{Repositories: []string{"lib", "none"}}, 0, []string{"lib" + notWatched, "none" + notWatched}},
		"a name, it and a digest":        {"plain", scan.Filter{Repositories: []string{"lib", "team/app"}, Digests: []string{"digest of team/app"}}, 1, []string{"lib" + notWatched}},
		"a name, another and a digest":   {"plain", scan.Filter{Repositories: []string{"lib"}, Digests: []string{"digest of team/app"}}, 0, []string{"lib" + notWatched}},
		"a name, itself":                 {"plain", scan.Filter{Repositories: []string{"team/app"}}, 1, nil},
	} {
		r.takeCalls()
		lines, images := w.gateLines(t, test.id, test.f)
		if diff := cmp.Diff(test.want, lines); diff != "" || images != test.images {
			t.Errorf("%s: %d images, want %d (-want +got):\n%s", name, images, test.images, diff)
		}
		if calls := total(r.takeCalls()); images == 0 && calls > 0 {
			t.Errorf("%s: %d calls to ECR", name, calls)
		}
	}
}

// A digest that a record has needs no calls for the other repositories of the pattern, and their failures don't matter.
func TestGateOfADigestOfAPattern(t *testing.T) {
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprintf("team/%03d", i))
	}
	r := registryOf(names...)
	r.images["team/007"] = []scan.Image{
		{Tag: "v1", Digest: "digest of amd64", Platform: "linux/amd64", Index: "digest of index"}, {Tag: "v1", Digest: "digest of arm64", Platform: "linux/arm64", Index: "digest of index"},
	}
	w := newService(r, config("1", "team/*"))
	r.withResults(w, time.Hour)
	for _, digest := range []string{"digest of amd64", "digest of arm64"} {
		r.results[digest] = completed(w, time.Hour, scan.Counts{})
	}
	w.scheduleAndVisit(t)
	w.advance(time.Hour)
	r.fail["team/200"] = &scan.Error{Code: scan.Unavailable, Message: "throttled by ECR"}
	check := func(name string, calls, images int, want []string, digests ...string) {
		t.Helper()
		r.takeCalls()
		lines, n := w.gateLines(t, "1", scan.Filter{Digests: digests})
		got := r.takeCalls()
		if diff := cmp.Diff(want, lines); diff != "" || n != images || total(got) != calls {
			t.Errorf("%s: %d images, want %d, %d calls, want %d (-want +got):\n%s", name, n, images, total(got), calls, diff)
		}
	}
	check("an image", 1, 1, nil, "digest of team/042")
	check("an index", 1, 2, nil, "digest of index")
	check("one of its images", 1, 1, nil, "digest of arm64")
	check("two images", 2, 2, nil, "digest of team/299", "digest of team/042")
	check("the repository that can't be read", 1, 0, []string{"team/200: unavailable: throttled by ECR"}, "digest of team/200")
	check("an image that no record has", 300, 0, []string{"team/200: unavailable: throttled by ECR"}, "digest of none")
	check("two images, of which no record has one", 300, 1, []string{"team/200: unavailable: throttled by ECR"}, "digest of none", "digest of team/042")
	delete(r.fail, "team/200")
	const missing = "team/*:digest of none: image not found: no watched image has this digest; for another image, name its repository"
	check("none", 300, 1, []string{missing}, "digest of none")
	check("two, one found", 300, 2, []string{missing}, "digest of none", "digest of team/042")
	r.images["team/100"] = append(r.images["team/100"], scan.Image{Tag: "new", Digest: "digest of new"})
	r.results["digest of new"] = completed(w, time.Minute, scan.Counts{scan.Critical: 1})
	check("pushed a moment ago", 301, 1, []string{"team/100:new: above max: CRITICAL: 1"}, "digest of new")
	r.images["team/042"] = []scan.Image{{Tag: "v1", Digest: "digest of its next image"}}
	r.byDigest = map[string][]scan.Image{"digest of team/042": {{Tag: "digest of team/042", Digest: "digest of team/042"}}}
	check("its tag points to another image now", 3, 1, nil, "digest of team/042")
	r.remove("team/299")
	if lines, _ := w.gateLines(t, "1", scan.Filter{Digests: []string{"digest of team/299"}}); len(lines) != 1 || !strings.Contains(lines[0], "image not found") {
		t.Errorf("its repository was deleted: %q", lines)
	}
}

// A digest that is not found is reported at what was searched, with what to do next.
func TestGateOfADigestThatIsNotFound(t *testing.T) {
	r := registryOf("team/app", "team/web", "lib")
	w := newService(r, config("pattern", "team/*"), config("plain", "lib"))
	r.withResults(w, time.Hour)
	w.scheduleAndVisit(t)
	digests := []string{"digest of none", "digest of team/app"}
	for name, test := range map[string]struct {
		id     string
		named  []string
		images int
		want   string
	}{
		"a pattern":        {"pattern", nil, 2, "team/*:digest of none: image not found: no watched image has this digest; for another image, name its repository"},
		"two repositories": {"pattern", []string{"team/app", "team/web"}, 2, "team/*:digest of none: image not found: no watched image of these repositories has this digest; for another image, name only its repository"},
		"one repository":   {"pattern", []string{"team/app"}, 2, "team/app:digest of none: image not found: the repository has no image with this digest"},
		"a name":           {"plain", nil, 2, "lib:digest of none: image not found: the repository has no image with this digest"},
	} {
		if lines, images := w.gateLines(t, test.id, scan.Filter{Repositories: test.named, Digests: digests}); images != test.images || len(lines) == 0 || lines[0] != test.want {
			t.Errorf("%s: %d images, want %d\n%q\nwant\n%q", name, images, test.images, lines, test.want)
		}
	}
}
