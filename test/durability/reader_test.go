package durability

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
	"ecr-continuous-scan/test/awstest"
)

// slowReader is a process that stops at one of its calls while something else happens.
type slowReader struct {
	*awstest.Service
	// turn has a value while a call is counted. A mutex would stop the time of the bubble.
	turn  chan struct{}
	calls int
}

// newSlowReader returns a process that stops at the call with this number, and at no call if it is 0. All its other calls wait too.
func newSlowReader(w *world, call int, meanwhile func()) *slowReader {
	r := &slowReader{turn: make(chan struct{}, 1)}
	r.Service = (&process{beforeCall: func(*http.Request) {
		r.turn <- struct{}{}
		defer func() { <-r.turn }()
		if r.calls++; r.calls == call {
			meanwhile()
		}
	}}).service(w.s3, w.ecr)
	return r
}

// reads returns the kinds of reads. Each returns what a client gets as texts.
func reads() map[string]func(ctx context.Context, s *awstest.Service, id string) ([]string, error) {
	listing := func(l report.Listing, err error) ([]string, error) {
		if err == nil {
			err = l.Outage()
		}
		texts := lines(l)
		for i, e := range l.Entries {
			texts = append(texts, fmt.Sprint(i, " ", l.EntryID(e)))
		}
		for _, c := range l.Changes {
			if c.Suppression == nil { // its id is random
				texts = append(texts, fmt.Sprint(c.Kind, " ", c.Finding.Name, " ", c.ID()))
			}
		}
		return texts, err
	}
	counts := func(reports []report.Report, err error) (texts []string, _ error) {
		for _, r := range reports {
			if scan.CodeOf(r.Err) == scan.Unavailable && !scan.IsNotVisited(r.Err) {
				err = r.Err
			}
			for _, i := range r.Images {
				texts = append(texts, fmt.Sprint(i.Image.Label(), i.Result.State, i.Result.Counts.Ordered(), i.Suppressed, i.Unsuppressed, len(i.Open)))
			}
		}
		return texts, err
	}
	return map[string]func(context.Context, *awstest.Service, string) ([]string, error){
		"findings": func(ctx context.Context, s *awstest.Service, id string) ([]string, error) {
			return listing(s.Reader.Findings(ctx, id, report.View{}))
		},
		"all findings": func(ctx context.Context, s *awstest.Service, _ string) ([]string, error) {
			return listing(s.Reader.AllFindings(ctx, report.View{}))
		},
		"changes": func(ctx context.Context, s *awstest.Service, id string) ([]string, error) {
			return listing(s.Reader.Changes(ctx, id, report.View{}))
		},
		"summary": func(ctx context.Context, s *awstest.Service, _ string) ([]string, error) {
			o, err := s.Reader.Summary(ctx, time.Time{})
			return counts(o.Reports, err)
		},
		"badge": func(ctx context.Context, s *awstest.Service, id string) ([]string, error) {
			r, err := s.Reader.Current(ctx, id, nil)
			return counts([]report.Report{r}, err)
		},
		"counts of suppressions": func(ctx context.Context, s *awstest.Service, _ string) ([]string, error) {
			l, err := s.Suppressions.Load(ctx)
			if err != nil {
				return nil, err
			}
			matched, err := s.Counter.Count(ctx, l)
			return []string{fmt.Sprint(slices.Collect(maps.Values(matched)))}, err
		},
		"gate": func(ctx context.Context, s *awstest.Service, id string) ([]string, error) {
			return counts(s.Reader.ForGate(ctx, id, scan.Filter{}, func(scan.Counts) bool { return true }))
		},
	}
}

// meanwhiles returns what can happen while a reader is slow.
func meanwhiles() map[string]func(t *testing.T, w *world, id string) {
	remove := func(t *testing.T, w *world, id string) {
		if err := w.service().Configs.Delete(t.Context(), id, nil); err != nil {
			t.Fatal(err)
		}
		visit(t, w.service())
	}
	return map[string]func(*testing.T, *world, string){
		"a visit": func(t *testing.T, w *world, _ string) { visit(t, w.service()) },
		"two visits, and the second deletes the packs of the record before": func(t *testing.T, w *world, _ string) {
			visit(t, w.service())
			time.Sleep(2 * time.Second)
			visit(t, w.service())
		},
		"the record is removed": remove,
		"the record is removed, and there is a new one": func(t *testing.T, w *world, id string) {
			remove(t, w, id)
			addConfig(t, w.service(), repo)
			visit(t, w.service())
		},
	}
}

// A reader that is slow at any of its calls gets the answer of before or of after what happens meanwhile, and never an error.
func TestSlowReaderAtEachCall(t *testing.T) {
	for what, meanwhile := range meanwhiles() {
		for kind, read := range reads() {
			t.Run(what+", "+kind, func(t *testing.T) {
				for call, wasSlow := 1, true; wasSlow && !t.Failed(); call++ {
					synctest.Test(t, func(t *testing.T) { wasSlow = slowAtCall(t, call, meanwhile, read) })
				}
			})
		}
	}
}

// slowAtCall reports whether the reader made so many calls.
func slowAtCall(t *testing.T, call int, meanwhile func(*testing.T, *world, string), read func(context.Context, *awstest.Service, string) ([]string, error)) bool {
	w := newWorld(t)
	defer w.ecr.InjectFault(noStarts)()
	id := addConfig(t, w.service(), repo).ID
	suppressOne(t, w)
	w.push("one", "A:LOW B:LOW HIDDEN:LOW")
	w.push("two", "B:LOW")
	visit(t, w.service())
	swept := time.Now()
	time.Sleep(5 * time.Hour)
	w.push("three", "C:LOW")
	w.push("one", "A:LOW C:LOW HIDDEN:LOW")
	visit(t, w.service())
	time.Sleep(time.Until(swept.Add(6 * time.Hour)))
	w.push("one", "B:LOW C:LOW HIDDEN:LOW")
	w.push("three", "C:LOW D:LOW")
	before, err := read(t.Context(), w.service(), id)
	if err != nil || len(before) == 0 {
		t.Fatalf("before: %q, %v", before, err)
	}
	r := newSlowReader(w, call, func() { meanwhile(t, w, id) })
	if call%2 == 0 { // the process has the record in its cache
		r.calls = -1000
		if _, err := read(t.Context(), r.Service, id); err != nil {
			t.Fatal(err)
		}
		r.calls = 0
	}
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	got, err := read(ctx, r.Service, id)
	after, afterErr := read(t.Context(), w.service(), id)
	_, notFound := w.service().Configs.Get(t.Context(), id)
	switch {
	case err == nil && len(got) == 0 && notFound != nil: // for a moment there was no config
	case err != nil && scan.CodeOf(err) != scan.CodeOf(afterErr):
		t.Errorf("call %d: %v", call, err)
	case err == nil && !slices.Equal(got, before) && !slices.Equal(got, after) && !slices.Equal(got, w.withoutRecord(t, id, read)):
		t.Errorf("call %d: the answer is neither that of before nor that of after (-before +got):\n%s\n(-after +got):\n%s", call, cmp.Diff(before, got), cmp.Diff(after, got))
	}
	return r.calls >= call
}

// withoutRecord returns the answer for a repository that was never visited. Another config can name it by then.
func (w *world) withoutRecord(t *testing.T, id string, read func(context.Context, *awstest.Service, string) ([]string, error)) []string {
	fresh := newS3(t)
	s := (&process{}).service(fresh, w.ecr)
	c := scan.Config{ID: id, Created: time.Now().Unix(), Region: repo.Region, Registry: repo.Registry, Repository: repo.Name}
	if err := s.Configs.Put(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	suppressOne(t, &world{w.ecr, fresh})
	got, _ := read(t.Context(), s, id)
	return got
}

// suppressOne adds a suppression, so that the summary reads histories.
func suppressOne(t *testing.T, w *world) {
	t.Helper()
	err := w.service().Suppressions.Rewrite(t.Context(), func(l suppress.List) (suppress.List, error) {
		s, err := suppress.New(suppress.Suppression{Vulnerability: "HIDDEN", Reason: "why"}, time.Now().Add(-time.Minute))
		if err != nil {
			return l, err
		}
		return l.With([]suppress.Suppression{s}, time.Now())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkReadable checks that no history is missing. A read can fail because of a fault.
func checkReadable(t *testing.T, s *awstest.Service) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	l, err := s.Reader.AllFindings(ctx, report.View{})
	if err != nil && scan.CodeOf(err) != scan.Unavailable {
		t.Error(err)
	}
	for _, r := range l.Reports {
		for _, i := range r.Images {
			if strings.Contains(i.Result.Reason, "damaged") {
				t.Errorf("%s: %s", i.Image.Label(), i.Result.Reason)
			}
		}
	}
}

// A visit that is slow at any of its calls, while other visits change or remove the record, loses no history. After the next visit everything is as if it had
// not been.
func TestSlowVisitAtEachCall(t *testing.T) {
	for what, meanwhile := range meanwhiles() {
		for _, begin := range []string{"a record", "a deleted config", "a deleted config and packs without a record"} {
			t.Run(what+", "+begin, func(t *testing.T) {
				var want, got []string
				synctest.Test(t, func(t *testing.T) { want, _ = slowVisit(t, 0, begin, meanwhile) })
				for call, wasSlow := 1, true; wasSlow && !t.Failed(); call++ {
					synctest.Test(t, func(t *testing.T) { got, wasSlow = slowVisit(t, call, begin, meanwhile) })
					if diff := cmp.Diff(want, got); wasSlow && diff != "" {
						t.Errorf("call %d: the feed (-want +got):\n%s", call, diff)
					}
				}
			})
		}
	}
}

// slowVisit returns the feed at the end, and whether the visit made so many calls.
func slowVisit(t *testing.T, call int, begin string, meanwhile func(*testing.T, *world, string)) (feed []string, wasSlow bool) {
	w := newWorld(t)
	defer w.ecr.InjectFault(noStarts)()
	id := addConfig(t, w.service(), repo).ID
	w.push("one", "A:LOW B:LOW")
	w.push("two", "B:LOW")
	visit(t, w.service())
	time.Sleep(7 * time.Hour)
	w.push("one", "B:LOW C:LOW")
	other := id
	if begin != "a record" {
		if err := w.service().Configs.Delete(t.Context(), id, nil); err != nil {
			t.Fatal(err)
		}
		if begin != "a deleted config" {
			remove(t, w.s3, indexKey)
		}
		time.Sleep(time.Minute)
	}
	s := newSlowReader(w, call, func() {
		if other == id && begin != "a record" {
			other = addConfig(t, w.service(), repo).ID
		}
		meanwhile(t, w, other)
	})
	s.Visitor.Visit(t.Context(), rescan.Received{Message: rescan.NewMessage(repo, id), ID: "slow", Sent: time.Now()})
	if s.calls < call {
		return nil, false
	}
	if call == 0 && begin != "a record" {
		other = addConfig(t, w.service(), repo).ID
	}
	if call == 0 {
		meanwhile(t, w, other)
	}
	checkReadable(t, w.service())
	for range 2 {
		time.Sleep(30 * time.Minute)
		visit(t, w.service())
		checkReadable(t, w.service())
	}
	feed = read(t, w.service())
	if begin != "a record" { // the history continues if the config is added before the record is removed
		feed = slices.DeleteFunc(feed, func(line string) bool { return strings.HasSuffix(line, "resolved") })
		for i, line := range feed {
			feed[i] = strings.Join(strings.Fields(line)[:3], " ")
		}
	}
	return feed, true
}

func remove(t *testing.T, bucket *awslocal.S3, key string) {
	t.Helper()
	if _, err := client(bucket).DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(awstest.Bucket), Key: &key}); err != nil {
		t.Fatal(err)
	}
}
