package s3store_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
	"ecr-continuous-scan/test/awstest"
)

var suppressed = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func newSuppression(t *testing.T, pkg string) suppress.Suppression {
	t.Helper()
	s, err := suppress.New(suppress.Suppression{Package: pkg, Reason: "the host's kernel runs", Until: suppressed.Add(time.Hour)}, suppressed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// adding returns a change that adds suppressions, and calls meanwhile between the read and the write.
func adding(meanwhile func(), added ...suppress.Suppression) func(suppress.List) (suppress.List, error) {
	return func(l suppress.List) (suppress.List, error) {
		meanwhile()
		return l.With(added, suppressed)
	}
}

func noCall() {}

func newSuppressionWriter(a *awstest.AWS) s3store.SuppressionWriter {
	return s3store.NewSuppressionWriter(a.S3Client(), awstest.Bucket)
}

func objectBody(t *testing.T, a *awstest.AWS, key string) string {
	t.Helper()
	out, err := a.S3Client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(awstest.Bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// The suppressions are one object that people can read. Other processes see a change at once. An object that did not change is not read again.
func TestSuppressionsRoundTrip(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	store, other := newSuppressionWriter(a), newSuppressionWriter(a)
	if l, err := store.Load(t.Context()); err != nil || len(l.All) != 0 || l.Version != "" {
		t.Errorf("an empty bucket: %+v, %v", l, err)
	}
	first, second := newSuppression(t, "linux*"), newSuppression(t, "zlib")
	second.Package = "*" // earlier versions accepted it
	for _, s := range []suppress.Suppression{first, second} {
		if err := store.Rewrite(t.Context(), adding(noCall, s)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		l, err := other.Load(t.Context())
		if diff := cmp.Diff([]suppress.Suppression{first, second}, l.All); err != nil || diff != "" || l.Version == "" {
			t.Errorf("version %q, %v, %s", l.Version, err, diff)
		}
	}
	want := fmt.Sprintf(`[
  {
    "id": %q,
    "created": "1795953600",
    "package": "linux*",
    "reason": "the host's kernel runs",
    "until": "2026-11-29T13:00:00Z"
  },
`, first.ID)
	if body := objectBody(t, a, s3store.SuppressionsKey); !strings.HasPrefix(body, want) || !strings.HasSuffix(body, "}\n]\n") {
		t.Errorf("stored:\n%s", body)
	}
	writes := a.S3.Count().Calls["PutObject"]
	if err := store.Rewrite(t.Context(), func(l suppress.List) (suppress.List, error) { return l, nil }); err != nil || a.S3.Count().Calls["PutObject"] != writes {
		t.Errorf("no change: %v, %d writes", err, a.S3.Count().Calls["PutObject"]-writes)
	}
}

// Several processes that write at the same time lose nothing, also when there is no object yet.
func TestThreeWritersLoseNothing(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	var done sync.WaitGroup
	var all []suppress.Suppression
	for range 12 {
		all = append(all, newSuppression(t, "linux"))
	}
	for writer := range 3 {
		done.Go(func() {
			store := newSuppressionWriter(a)
			for i := range 4 {
				if err := store.Rewrite(t.Context(), adding(noCall, all[4*writer+i])); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	l, err := newSuppressionWriter(a).Load(t.Context())
	found := map[string]bool{}
	for _, s := range l.All {
		found[s.ID] = true
	}
	if err != nil || len(l.All) != 12 || len(found) != 12 {
		t.Errorf("%d suppressions with %d ids, %v", len(l.All), len(found), err)
	}
}

// Of two concurrent changes none is lost: the later one is made to the result of the earlier one, also if there was no object.
func TestRewriteWhileAnotherCallWrites(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	for round := range 2 {
		attempts := 0
		err := newSuppressionWriter(a).Rewrite(t.Context(), adding(func() {
			if attempts++; attempts == 1 {
				if err := newSuppressionWriter(a).Rewrite(t.Context(), adding(noCall, newSuppression(t, "early"))); err != nil {
					t.Error(err)
				}
			}
		}, newSuppression(t, "late")))
		l, loadErr := newSuppressionWriter(a).Load(t.Context())
		if err != nil || loadErr != nil || attempts != 2 || len(l.All) != 2*(round+1) {
			t.Errorf("%v, %v after %d attempts: %+v", err, loadErr, attempts, l.All)
		}
	}
}

// A list that always changes ends in an error, and nothing is stored.
func TestRewriteOfAListThatAlwaysChanges(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	calls := 0
	err := newSuppressionWriter(a).Rewrite(t.Context(), adding(func() {
		calls++
		if err := newSuppressionWriter(a).Rewrite(t.Context(), adding(noCall, newSuppression(t, "other"))); err != nil {
			t.Error(err)
		}
	}, newSuppression(t, "linux")))
	l, loadErr := newSuppressionWriter(a).Load(t.Context())
	if scan.CodeOf(err) != scan.Unavailable || loadErr != nil || len(l.All) != calls {
		t.Errorf("%v, %v; %d suppressions after %d attempts", err, loadErr, len(l.All), calls)
	}
}

// The SDK repeats a write whose response is lost. The second write conflicts with the first one, and this is no conflict with another call.
func TestRewriteWhoseResponseIsLost(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	if err := newSuppressionWriter(a).Rewrite(t.Context(), adding(noCall, newSuppression(t, "first"))); err != nil {
		t.Fatal(err)
	}
	client, writes := losingClient(t, a, http.MethodPut)
	store := s3store.NewSuppressionWriter(client, awstest.Bucket)
	attempts := 0
	err := store.Rewrite(t.Context(), func(l suppress.List) (suppress.List, error) {
		attempts++
		l, _, err := l.WithReplaced(l.All[0].ID, suppress.Suppression{Package: "changed", Reason: "r"}, suppressed.Add(time.Minute))
		return l, err
	})
	if err != nil || attempts != 1 || *writes != 2 {
		t.Errorf("%v after %d changes and %d writes", err, attempts, *writes)
	}
}

// An object that this version does not understand is never overwritten, and the suppressions are not said to be none.
func TestForeignSuppressionsAreNotLost(t *testing.T) {
	id := newSuppression(t, "linux").ID
	valid := `{"id":"` + id + `","created":"1","package":"linux","reason":"r"}`
	for name, body := range map[string]string{
		"empty":                   "",
		"no JSON":                 "linux*",
		"an object":               valid,
		"cut off":                 "[" + valid,
		"more after it":           "[" + valid + "] []",
		"null":                    "[null]",
		"an unknown field":        `[{"id":"` + id + `","created":"1","package":"linux","reason":"r","namespace":"x"}]`,
		"a field twice":           `[{"id":"` + id + `","created":"1","package":"linux","package":"*","reason":"r"}]`,
		"a field in another case": `[{"id":"` + id + `","created":"1","package":"linux","Tag":"a","reason":"r"}]`,
		"without a name":          `[{"id":"` + id + `","created":"1","reason":"r"}]`,
		"without a reason":        `[{"id":"` + id + `","created":"1","package":"linux"}]`,
		"a wrong id":              `[{"id":"1","created":"1","package":"linux","reason":"r"}]`,
		"an id twice":             "[" + valid + "," + valid + "]",
		"a wrong time":            `[{"id":"` + id + `","created":"-1","package":"linux","reason":"r"}]`,
		"a late time":             `[{"id":"` + id + `","created":"999999999999","package":"linux","reason":"r"}]`,
		"too large":               "[" + valid + strings.Repeat(" ", 5<<20) + "]",
		"too many":                "[" + strings.Repeat(`{"id":"`+id+`","created":"1","package":"a","reason":"r","replaced":"1"},`, suppress.MaxCount) + valid + "]",
	} {
		t.Run(name, func(t *testing.T) {
			a := awstest.Start(t, ecr.Options{})
			put(t, a, s3store.SuppressionsKey, body)
			store := newSuppressionWriter(a)
			if l, err := store.Load(t.Context()); scan.CodeOf(err) != scan.Unavailable {
				t.Errorf("Load: %+v, %v", l, err)
			}
			if err := store.Rewrite(t.Context(), adding(noCall, newSuppression(t, "x"))); scan.CodeOf(err) != scan.Unavailable {
				t.Errorf("Rewrite: %v", err)
			}
			if got := objectBody(t, a, s3store.SuppressionsKey); got != body {
				t.Errorf("the object was changed: %.200q", got)
			}
		})
	}
}

// If S3 fails, nothing is said to be set aside or not.
func TestSuppressionsThatCannotBeRead(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	store := newSuppressionWriter(a)
	if err := store.Rewrite(t.Context(), adding(noCall, newSuppression(t, "x"))); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.S3.InjectFault(awslocal.Fault{Code: "AccessDenied"})
	if l, err := store.Load(t.Context()); scan.CodeOf(err) != scan.Unavailable {
		t.Errorf("%+v, %v", l, err)
	}
	refusal := errors.New("refused")
	a.S3.ClearFaults()
	if err := store.Rewrite(t.Context(), func(suppress.List) (suppress.List, error) { return suppress.List{}, refusal }); !errors.Is(err, refusal) {
		t.Errorf("%v", err)
	}
}

// The object has at most 4 MiB after an addition. A deletion is possible anyway.
func TestSuppressionsAreBounded(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	store := newSuppressionWriter(a)
	long := func(n int) []suppress.Suppression {
		var all []suppress.Suppression
		for range n {
			s := newSuppression(t, "linux")
			s.Reason = strings.Repeat("ü", 1000)
			all = append(all, s)
		}
		return all
	}
	fit := (4 << 20) / 2200
	if err := store.Rewrite(t.Context(), adding(noCall, long(fit)...)); err != nil {
		t.Fatal(err)
	}
	if err := store.Rewrite(t.Context(), adding(noCall, long(100)...)); !errors.Is(err, suppress.ErrFull) {
		t.Errorf("%v", err)
	}
	for { // until nothing more fits
		err := store.Rewrite(t.Context(), adding(noCall, long(1)...))
		if errors.Is(err, suppress.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	err := store.Rewrite(t.Context(), func(l suppress.List) (suppress.List, error) {
		for _, s := range l.All {
			changed, err := l.WithDeleted(s.ID, suppressed)
			if err != nil {
				return l, err
			}
			l = changed
		}
		return l, nil
	})
	l, loadErr := newSuppressionWriter(a).Load(t.Context())
	if err != nil || loadErr != nil || len(l.Current(suppressed)) != 0 || len(l.All) < fit || len(objectBody(t, a, s3store.SuppressionsKey)) <= 4<<20 {
		t.Errorf("%v, %v: %d suppressions, %d current", err, loadErr, len(l.All), len(l.Current(suppressed)))
	}
}
