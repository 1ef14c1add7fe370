package s3store_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
)

// changeTags returns a change of the tags of a config that calls meanwhile between the read and the write of Replace.
func changeTags(tag string, meanwhile func(attempt int)) func(scan.Config) (scan.Config, error) {
	attempt := 0
	return func(c scan.Config) (scan.Config, error) {
		attempt++
		meanwhile(attempt)
		draft := c
		draft.Tags = append([]string{tag}, c.Tags...)
		return c.Replace(draft, time.Unix(c.Created+60, 0))
	}
}

func nothing(int) {}

// All processes see a replaced config at once: those that have read it, and those that read the packed configs.
func TestReplacedConfigIsRead(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	warm := newProcess(a)
	all := addConfigs(t, warm, 20)
	if err := warm.Pack(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectList(t, "warm", a, warm, all, map[string]int{"ListObjectsV2": 1, "GetObject": 1})
	if err := newProcess(a).Replace(t.Context(), all[3].ID, changeTags("new", nothing)); err != nil {
		t.Fatal(err)
	}
	all[3].Tags, all[3].Updated = append([]string{"new"}, all[3].Tags...), all[3].Created+60
	expectList(t, "after PUT by another process", a, warm, all, map[string]int{"ListObjectsV2": 1, "GetObject": 1})
	expectList(t, "a new process", a, newProcess(a), all, map[string]int{"ListObjectsV2": 1, "GetObject": 2})
	if got, err := warm.Get(t.Context(), all[3].ID); err != nil || !cmp.Equal(got, all[3]) {
		t.Errorf("Get: %+v, %v", got, err)
	}
}

// Of two concurrent changes none is lost: the later one is made to the result of the earlier one.
func TestReplaceWhileAnotherCallReplaces(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	store := newProcess(a)
	id := addConfigs(t, store, 1)[0].ID
	err := store.Replace(t.Context(), id, changeTags("late", func(attempt int) {
		if attempt == 1 {
			if err := newProcess(a).Replace(t.Context(), id, changeTags("early", nothing)); err != nil {
				t.Error(err)
			}
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := store.Get(t.Context(), id)
	if err != nil || len(got.Tags) < 2 || got.Tags[0] != "late" || got.Tags[1] != "early" {
		t.Errorf("stored %+v, %v", got, err)
	}
	calls := 0
	err = store.Replace(t.Context(), id, changeTags("x", func(int) {
		calls++
		put(t, a, id+".json", `{"id":"`+id+`","created":"1","region":"us-west-2","registry":"123456789012","repository":"test/app","tags":["t`+string(rune('a'+calls))+`"]}`)
	}))
	if scan.CodeOf(err) != scan.Unavailable || calls > 10 {
		t.Errorf("a config that always changes: %v after %d attempts", err, calls)
	}
}

// A config that is deleted meanwhile stays deleted.
func TestReplaceWhileAnotherCallDeletes(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	store := newProcess(a)
	id := addConfigs(t, store, 1)[0].ID
	err := store.Replace(t.Context(), id, changeTags("x", func(int) {
		if err := newProcess(a).Delete(t.Context(), id, nil); err != nil {
			t.Error(err)
		}
	}))
	if scan.CodeOf(err) != scan.NotFound {
		t.Errorf("Replace: %v", err)
	}
	if all, err := store.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("stored: %v, %v", all, err)
	}
}

// losingClient returns a client of S3 that loses the response to the first call of a method, and the number of these calls.
func losingClient(t *testing.T, a *awstest.AWS, method string) (client *s3.Client, calls *int) {
	t.Helper()
	calls = new(int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == method {
			if *calls++; *calls == 1 {
				a.S3.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
		}
		a.S3.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return setup.NewS3Client(awstest.Config(server.URL)), calls
}

// The SDK repeats a write whose response is lost. The second write conflicts with the first one, and this is no conflict with another call.
func TestReplaceWhoseResponseIsLost(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	id := addConfigs(t, newProcess(a), 1)[0].ID
	client, writes := losingClient(t, a, http.MethodPut)
	store := s3store.NewConfigWriter(client, awstest.Bucket, awstest.Silent())
	attempts := 0
	if err := store.Replace(t.Context(), id, changeTags("x", func(n int) { attempts = n })); err != nil || attempts != 1 || *writes != 2 {
		t.Errorf("%v after %d changes and %d writes", err, attempts, *writes)
	}
}

// A config that is replaced between the check and the deletion is checked again.
func TestDeleteOfAConfigThatIsReplaced(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	errChanged := errors.New("it was changed")
	for name, want := range map[string]error{"not deleted": errChanged, "deleted": nil} {
		id := addConfigs(t, newProcess(a), 1)[0].ID
		var seen [][]string
		err := newProcess(a).Delete(t.Context(), id, func(stored scan.Config) error {
			if seen = append(seen, stored.Tags); len(seen) > 1 {
				return want
			}
			return newProcess(a).Replace(t.Context(), id, changeTags("x", func(int) {}))
		})
		if !errors.Is(err, want) || len(seen) != 2 || slices.Equal(seen[0], seen[1]) {
			t.Errorf("%s: %v after the checks of %q", name, err, seen)
		}
		if _, err := newProcess(a).Get(t.Context(), id); (scan.CodeOf(err) == scan.NotFound) != (want == nil) {
			t.Errorf("%s: then %v", name, err)
		}
	}
}

// The SDK repeats a conditional delete whose response is lost. Then there is no object any more, and the config is deleted.
func TestDeleteWhoseResponseIsLost(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	id := addConfigs(t, newProcess(a), 1)[0].ID
	client, deletes := losingClient(t, a, http.MethodDelete)
	store := s3store.NewConfigWriter(client, awstest.Bucket, awstest.Silent())
	if err := store.Delete(t.Context(), id, func(scan.Config) error { return nil }); err != nil || *deletes != 2 {
		t.Errorf("%v after %d deletes", err, *deletes)
	}
	if at, err := store.LastDeleted(t.Context()); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("deleted at %s, %v", at, err)
	}
}

func TestReplaceWithAnError(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	store := newProcess(a)
	c := addConfigs(t, store, 1)[0]
	refusal := errors.New("refused")
	if err := store.Replace(t.Context(), c.ID, func(scan.Config) (scan.Config, error) { return scan.Config{}, refusal }); !errors.Is(err, refusal) {
		t.Errorf("%v", err)
	}
	put(t, a, c.ID+".json", "{}")
	if err := store.Replace(t.Context(), c.ID, changeTags("x", nothing)); scan.CodeOf(err) != scan.NotFound {
		t.Errorf("an object that is not a config: %v", err)
	}
}
