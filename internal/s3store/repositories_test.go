package s3store_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/internal/scan"
)

// A reader finds the repositories of one registry whose names start with a text.
func TestRepositoriesIn(t *testing.T) {
	a, store := newRecordWriter(t)
	for _, name := range []string{"team", "team/app", "team/deep/er", "team-b", "teams/x", "lib"} {
		save(t, store, repository(name), recordWith("x"))
	}
	addHistory(t, store, repository("team/only-histories"), aHistory())
	save(t, store, scan.Repository{Registry: "123456789012", Region: "eu-west-1", Name: "team/app"}, recordWith("x"))
	put(t, a, "record/123456789012/us-west-2/team~UPPER/index", "foreign")
	put(t, a, "record/123456789012/us-west-2/team~x", "foreign")
	for head, want := range map[string][]string{
		"team/": {"team/app", "team/deep/er", "team/only-histories"}, "team/d": {"team/deep/er"}, "none": nil, "team/app": {"team/app"},
		"": {"lib", "team", "team-b", "team/app", "team/deep/er", "team/only-histories", "teams/x"},
	} {
		found, err := newReader(a).RepositoriesIn(t.Context(), repository("").In(), head)
		var names []string
		for _, repo := range found {
			if names = append(names, repo.Name); repo.In() != repository("").In() {
				t.Errorf("%q: %v", head, repo)
			}
		}
		slices.Sort(names)
		if diff := cmp.Diff(want, names); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", head, err, diff)
		}
	}
}

// A page has 1,000 repositories, however many objects these have.
func TestRepositoriesInArePagedByRepository(t *testing.T) {
	a, _ := newRecordWriter(t)
	for i := range 1001 {
		for _, name := range []string{"index", "pack1", "pack2"} {
			put(t, a, fmt.Sprintf("record/123456789012/us-west-2/team~%04d/%s", i, name), "x")
		}
	}
	before := a.S3.Count().Total()
	found, err := newReader(a).RepositoriesIn(t.Context(), repository("").In(), "team/")
	if calls := a.S3.Count().Total() - before; err != nil || len(found) != 1001 || calls != 2 {
		t.Errorf("%d repositories with %d calls, %v", len(found), calls, err)
	}
}

func TestPatterns(t *testing.T) {
	a, store := newRecordWriter(t)
	first, err := store.Patterns(t.Context())
	if err != nil || first.Version != "" || len(first.ByKey) != 0 || first.Now == 0 {
		t.Fatalf("nothing stored: %+v, %v", first, err)
	}
	want := map[string]history.Pattern{
		"123456789012 us-west-2 team/*": {First: 5, Repositories: 3, Found: 6},
		"123456789012 us-west-2 *":      {Failure: history.Failure{Code: scan.NoAccess, Reason: "no access", Since: 7}},
	}
	saved := func(version string) bool {
		t.Helper()
		isSaved, err := store.SavePatterns(t.Context(), history.Patterns{ByKey: want, Version: version})
		if err != nil {
			t.Fatal(err)
		}
		return isSaved
	}
	if !saved("") {
		t.Error("not saved")
	}
	want["123456789012 us-west-2 x*"] = history.Pattern{}
	if saved("") {
		t.Error("another writer's value was replaced")
	}
	delete(want, "123456789012 us-west-2 x*")
	got, err := newReader(a).Patterns(t.Context())
	if diff := cmp.Diff(want, got.ByKey); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if !saved(got.Version) {
		t.Error("not saved again")
	}
	if found, err := store.Repositories(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("repositories: %v, %v", found, err)
	}
}

// A reader reports a broken object, and a writer moves it away and replaces it.
func TestBrokenPatterns(t *testing.T) {
	a, store := newRecordWriter(t)
	put(t, a, "record/patterns", "broken")
	if _, err := newReader(a).Patterns(t.Context()); scan.CodeOf(err) != scan.Unavailable {
		t.Errorf("a reader: %v", err)
	}
	got, err := store.Patterns(t.Context())
	if err != nil || len(got.ByKey) != 0 {
		t.Fatalf("a writer: %+v, %v", got, err)
	}
	if diff := cmp.Diff([]string{"record/patterns"}, objectsOf(t, a, s3store.SetAsidePrefix)); diff != "" {
		t.Errorf("set aside (-want +got):\n%s", diff)
	}
	if isSaved, err := store.SavePatterns(t.Context(), got); err != nil || !isSaved {
		t.Errorf("not replaced: %v", err)
	}
}
