package scan

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Page gives everything at once.
func (f *fakeRegistry) Page(ctx context.Context, repo Repository, _ string) ([]Image, string, error) {
	images, err := f.Images(ctx, repo, nil)
	return images, "", err
}

// pagedRegistry gives pages of so many images, and loses the tokens that it is told to.
type pagedRegistry struct {
	*fakeRegistry
	size int
	lost map[string]bool
}

func (p pagedRegistry) Page(ctx context.Context, repo Repository, token string) ([]Image, string, error) {
	if p.lost[token] {
		return nil, "", &Error{Code: PageLost, Message: "lost"}
	}
	all, err := p.Images(ctx, repo, nil)
	if err != nil {
		return nil, "", err
	}
	from, _ := strconv.Atoi(token)
	if from+p.size >= len(all) {
		return all[from:], "", nil
	}
	return all[from : from+p.size], strconv.Itoa(from + p.size), nil
}

func numbered(n int) []Image {
	images := make([]Image, n)
	for i := range images {
		images[i] = Image{Tag: fmt.Sprintf("v%03d", i), Digest: fmt.Sprintf("d%03d", i)}
	}
	return images
}

// A run that goes page by page says the same as one that has everything at once, whatever a page holds.
func TestPagesMakeNoDifference(t *testing.T) {
	images := append(numbered(250), Image{Tag: "latest", Digest: "d003"}, Image{Tag: "sig", Digest: "d004", Kind: Artifact})
	var many []string
	for i := range 130 { // two pages of named tags, every other of which is there
		many = append(many, fmt.Sprintf("v%03d", 2*i))
	}
	configs := map[string][]Config{
		"all":         {config("1", "app")},
		"named":       {config("1", "app", "v001", "nix", "sig", "latest", "v249")},
		"both":        {config("1", "app", "v001", "nix"), config("2", "app"), config("3", "app", "v249", "latest", "v003"), config("4", "app", "nix")},
		"many named":  {config("1", "app", many...), config("2", "app", "v003", "latest")},
		"other repos": {config("1", "app"), config("2", "empty"), config("3", "gone"), config("4", "empty", "nix")},
	}
	for name, configs := range configs {
		var want RunReport
		for i, size := range []int{1000, 252, 100, 7, 1} {
			r := &fakeRegistry{images: map[string][]Image{"app": images}, fail: map[string]error{"gone": &Error{Code: RepositoryNotFound, Message: "gone"}}}
			w := watchOf(r, configs...)
			r.results = map[string]Result{"d007": {State: InProgress}, "d008": completed(w, time.Hour, nil)}
			w.Registry = pagedRegistry{fakeRegistry: r, size: size}
			got, err := w.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				want = got
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s by %d (-all at once +by page):\n%s", name, size, diff)
			}
			for call, n := range r.calls {
				if n > 1 && call[:6] != "images" {
					t.Errorf("%s by %d: %s %d times", name, size, call, n)
				}
			}
		}
	}
}

func TestPagesOfAllTags(t *testing.T) {
	r := &fakeRegistry{images: map[string][]Image{"app": numbered(10)}}
	w := watchOf(r)
	w.Registry = pagedRegistry{fakeRegistry: r, size: 3}
	var pages []string
	left := newStarter(w, t.Context()).startPages(t.Context(), t.Context(), []Config{config("1", "app")}, Place{Token: "3"}, func(v visited) {
		pages = append(pages, fmt.Sprint(len(v.reports[0].Images)))
	})
	if left.err != nil || left.images || len(pages) != 3 || r.calls["start d002"] != 0 || r.calls["start d003"] != 1 || r.calls["start d009"] != 1 {
		t.Errorf("left %+v of pages %v, calls %v", left, pages, r.calls)
	}
}

// A registry that gives the same page as the next one must not be believed for ever.
func TestPagesThatRepeat(t *testing.T) {
	r := &fakeRegistry{images: map[string][]Image{"app": numbered(3)}}
	w := watchOf(r, config("1", "app"))
	w.Registry = pagedRegistry{fakeRegistry: r, size: 0}
	if report, err := w.Run(t.Context()); CodeOf(err) != Unavailable {
		t.Errorf("report %+v, %v", report, err)
	}
}

// When the time is up, the place to go on from is before every image that was left.
func TestPagesLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRegistry{images: map[string][]Image{"app": numbered(100)}}
		r.block = func(ctx context.Context, digest string) {
			wait := time.Second
			if digest == "d011" { // of the second page
				wait = time.Hour
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
		}
		w := watchOf(r)
		w.Registry = pagedRegistry{fakeRegistry: r, size: 10}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		calls, stop, end := runTimes(ctx)
		defer end()
		numbers := map[int]bool{}
		left := newStarter(w, stop).startPages(ctx, calls, []Config{config("1", "app")}, Place{}, func(v visited) { numbers[v.number] = v.finished() })
		if left.at != (Place{Token: "10"}) || !left.images || numbers[1] || !numbers[0] || !numbers[2] || !numbers[9] {
			t.Errorf("left %+v, pages finished: %v", left, numbers)
		}
	})
}

// The same with pages that are not reached any more: everything before the place was started.
func TestPagesStop(t *testing.T) {
	r := &fakeRegistry{images: map[string][]Image{"app": numbered(100)}}
	stopped, stop := context.WithCancel(t.Context())
	r.block = func(_ context.Context, digest string) {
		if digest == "d055" {
			stop()
		}
	}
	w := watchOf(r)
	w.Registry = pagedRegistry{fakeRegistry: r, size: 10}
	left := newStarter(w, stopped).startPages(t.Context(), t.Context(), []Config{config("1", "app")}, Place{}, func(visited) {})
	from, _ := strconv.Atoi(left.at.Token)
	if !left.images || from > 50 {
		t.Errorf("left %+v, and the sixth page was not finished", left)
	}
	for _, image := range numbered(from) {
		if r.calls["start "+image.Digest] != 1 {
			t.Errorf("%s before the place %s was not started", image.Digest, left.at.Token)
		}
	}
}
