package s3store_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
)

func newRecordWriter(t *testing.T) (*awstest.AWS, *s3store.RecordWriter) {
	a := awstest.Start(t, ecr.Options{})
	return a, s3store.NewRecordWriter(a.S3Client(), awstest.Bucket, awstest.Silent())
}

// newReader returns a reader of the same bucket.
func newReader(a *awstest.AWS) *s3store.Records {
	return s3store.NewRecords(a.S3Client(), awstest.Bucket)
}

func repository(name string) scan.Repository {
	return scan.Repository{Registry: "123456789012", Region: "us-west-2", Name: name}
}

func recordWith(tags ...string) history.Record {
	r := history.Record{Images: map[string]*history.ImageRecord{}}
	for _, tag := range tags {
		r.Images[tag] = &history.ImageRecord{Tag: tag, First: 5}
	}
	return r
}

func save(t *testing.T, store *s3store.RecordWriter, repo scan.Repository, r history.Record) string {
	t.Helper()
	version, err := store.Save(t.Context(), repo, r)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func addHistory(t *testing.T, store *s3store.RecordWriter, repo scan.Repository, h history.History) string {
	t.Helper()
	names, errs := store.AddHistories(t.Context(), repo, []history.History{h})
	if errs[0] != nil {
		t.Fatal(errs[0])
	}
	return names[0]
}

// readHistory reads one history.
func readHistory(ctx context.Context, records refresh.Records, repo scan.Repository, name string) (h history.History, err error) {
	records.Histories(ctx, repo, []string{name}, func(_ int, read history.History, failed error) { h, err = read, failed })
	return h, err
}

// packOf returns the name of the object that has a history.
func packOf(history string) string { return strings.Split(history, "/")[0] }

// aRecord and aHistory set every field.
func aRecord() history.Record {
	image := history.ImageRecord{
		Tag: "latest", Platform: "linux/arm64", Listed: "linux/arm64", Digest: "sha256:a", Kind: scan.Index, WaitingSince: 77, ErrorCode: scan.NotScannable, Reason: "\x00 <odd> \u2028",
		First: 2, Seen: 3, PushedAt: 29, LastPulled: 27, Unwatched: 30, MissingSince: 4, Last: history.Answer{State: scan.Completed, Reason: "r", Counts: scan.Counts{scan.High: 2}, Completed: 5, Enhanced: true, Continuous: true, Unlisted: 3, Incomplete: true, Suppressed: 2, InUse: 3, LastInUse: 26},
		AnsweredAt: 6, Started: 30, Read: 7, Scan: history.Scan{Digest: "sha256:a", Completed: 8, Enhanced: true, Incomplete: true}, ScanIndex: "sha256:i", History: "h", Since: 9,
		Changes: []history.CountChange{{At: time.Unix(10, 0).UTC(), New: scan.Counts{scan.Low: 1}, Fixed: scan.Counts{"ODD": 1}, Suppressed: scan.Counts{scan.High: 3}}},
		Gaps:    []history.Period{{From: 11, Until: 12}}, Failures: []history.Period{{From: 13, Until: 14, CutOff: true}}, FailedSince: 15,
		Statuses: []history.StatusEvent{{Kind: history.IndexUnread, At: 26, Since: 27, Reason: "<why>"}},
	}
	return history.Record{
		Images: map[string]*history.ImageRecord{image.Label(): &image, "plain": {Tag: "plain", First: 1}}, Listed: 16, NotWatched: new(0), Selections: []history.Selection{{Key: "k", Older: 2}, {Key: "l"}}, First: 28, MissingSince: 17,
		Absences: []history.Period{{From: 18, Until: 19}}, Changed: 20, Swept: 21, Returned: 31, Examined: []history.Stamp{33}, UsedSeconds: history.SecondSet{{From: 22, Until: 23}},
		Begin: 24, Unfinished: true, Configs: []string{"a", "b"}, Failure: history.Failure{Code: scan.NoAccess, Reason: "no access to \u2028", Since: 25},
	}
}

func aHistory() history.History {
	return history.History{
		Tag: "latest", Platform: "linux/arm64", Scan: history.Scan{Digest: "sha256:a", Completed: 8}, Since: 5, LastDate: 8, Index: "sha256:i", ByVulnerability: true,
		Findings: []history.TrackedFinding{{
			Finding: scan.Finding{
				Name: "CVE-1", Package: "p", Versions: []string{"1"}, Severity: "HIGH", Description: "<&>\u2028", URL: "https://example.com/?a&b", Score: "9.8", Vector: "v", ScoreSource: "NVD",
				Packages: []scan.Package{{Name: "p", Manager: "OS", Arch: "X86_64", Version: "1", FixedIn: "2", Path: "usr/p", OS: "DEBIAN_12"}}, Related: []string{"ALAS-1"},
				FixedIn: []string{"2"}, FixAvailable: "YES", Exploit: "NO", Remediation: "r", FirstSeen: time.Unix(1, 500).UTC(), Changed: time.Unix(2, 0).UTC(), Episode: 3,
			}, Status: history.Resolved, Published: 6, Updated: 7, Ended: 8, Note: "no longer found", Returned: 32,
		}},
		Events:  []history.Event{{Kind: history.Raised, Scan: 8, At: 7, Name: "CVE-1", Package: "p", Episode: 3, From: scan.Low, To: scan.High}},
		Changes: []history.CountChange{{At: time.Unix(8, 0).UTC(), New: scan.Counts{scan.High: 1}}},
	}
}

func TestRecordRoundTrip(t *testing.T) {
	a, store := newRecordWriter(t)
	repo := repository("team/sub_app")
	empty, err := store.Load(t.Context(), repo)
	if err != nil || len(empty.Images) > 0 || empty.Version != "" || time.Since(empty.Now).Abs() > time.Hour {
		t.Errorf("missing record: %+v, %v", empty, err)
	}
	want := aRecord()
	version := save(t, store, repo, want)
	got, err := store.Load(t.Context(), repo)
	if err != nil || got.Version != version || time.Since(got.Now).Abs() > time.Hour {
		t.Errorf("version %q of %q, now %s, %v", got.Version, version, got.Now, err)
	}
	read, err := newReader(a).Load(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	want.Version = version
	for who, got := range map[string]history.Record{"writer": got, "reader": read} {
		want.Now = got.Now
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(history.Record{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", who, diff)
		}
	}
	name := addHistory(t, store, repo, aHistory())
	for who, records := range map[string]refresh.Records{"writer": store, "reader": newReader(a)} {
		h, err := readHistory(t.Context(), records, repo, name)
		if diff := cmp.Diff(aHistory(), h); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", who, err, diff)
		}
		for _, name := range []string{"", "index", "../index", uuid.NewString()} {
			if _, err := readHistory(t.Context(), records, repo, name); scan.CodeOf(err) != scan.NotFound {
				t.Errorf("%s: history %q: %v", who, name, err)
			}
		}
	}
	if configs, err := a.Service(awstest.Silent()).Configs.List(t.Context()); err != nil || len(configs) > 0 {
		t.Errorf("records are listed as configs: %v, %v", configs, err)
	}
}

func TestSaveRequiresTheVersionThatWasRead(t *testing.T) {
	_, store := newRecordWriter(t)
	repo := repository("a")
	first := save(t, store, repo, recordWith("one"))
	wantConflict := func(version, why string) {
		t.Helper()
		r := recordWith("other")
		r.Version = version
		if got := save(t, store, repo, r); got != "" {
			t.Errorf("%s was written as %s", why, got)
		}
	}
	wantConflict("", "a new record where one exists")
	second := recordWith("two")
	second.Version = first
	second.Version = save(t, store, repo, second)
	wantConflict(first, "a record of an old version")
	if err := store.Remove(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	wantConflict(second.Version, "a deleted record")
	if err := store.Remove(t.Context(), repo); err != nil {
		t.Errorf("remove of a missing record: %v", err)
	}
}

func TestOneOfManyWritersWins(t *testing.T) {
	_, store := newRecordWriter(t)
	var saved atomic.Int64
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			version, err := store.Save(t.Context(), repository("a"), recordWith(fmt.Sprint(i)))
			if err != nil {
				t.Error(err)
			}
			if version != "" {
				saved.Add(1)
			}
		})
	}
	wg.Wait()
	if saved.Load() != 1 {
		t.Errorf("%d of 10 writers saved the first record, want 1", saved.Load())
	}
}

// If the response to a write is lost, the SDK repeats the write. The conflict with the first write is not an error.
func TestSaveRetriedAfterALostResponse(t *testing.T) {
	a, _ := newRecordWriter(t)
	var lost atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && lost.CompareAndSwap(false, true) {
			a.S3.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		a.S3.ServeHTTP(w, r)
	}))
	defer server.Close()
	client := setup.NewS3Client(awstest.Config(server.URL))
	store := s3store.NewRecordWriter(client, awstest.Bucket, awstest.Silent())
	for range 2 { // create, then replace
		r, err := store.Load(t.Context(), repository("a"))
		if err != nil {
			t.Fatal(err)
		}
		next := recordWith("one", r.Version)
		next.Version = r.Version
		lost.Store(false)
		if version := save(t, store, repository("a"), next); version == "" {
			t.Error("the writer's own record was treated as a conflict")
		}
	}
}

// A save whose response is lost fails if another writer has saved a record in the meantime.
func TestSaveAfterAnotherWritersSave(t *testing.T) {
	a, other := newRecordWriter(t)
	var lost atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && lost.CompareAndSwap(false, true) {
			save(t, other, repository("a"), recordWith("of another"))
			panic(http.ErrAbortHandler)
		}
		a.S3.ServeHTTP(w, r)
	}))
	defer server.Close()
	client := setup.NewS3Client(awstest.Config(server.URL))
	if version := save(t, s3store.NewRecordWriter(client, awstest.Bucket, awstest.Silent()), repository("a"), recordWith("own")); version != "" {
		t.Error("another writer's record was treated as its own")
	}
	if r, err := other.Load(t.Context(), repository("a")); err != nil || r.Images["of another"].Tag == "" {
		t.Errorf("%+v, %v", r, err)
	}
}

// An unchanged record is read from the cache after a conditional GET. A changed record is read again.
func TestUnchangedRecordIsNotReadAgain(t *testing.T) {
	a, other := newRecordWriter(t)
	var sent []int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		a.S3.ServeHTTP(answer, r)
		sent = append(sent, answer.Code)
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // an error means that the status allows no body
	}))
	defer server.Close()
	client := setup.NewS3Client(awstest.Config(server.URL))
	store, repo := s3store.NewRecordWriter(client, awstest.Bucket, awstest.Silent()), repository("a")
	load := func(want history.Record, calls ...int) history.Record {
		t.Helper()
		sent = nil
		got, err := store.Load(t.Context(), repo)
		if err != nil || !slices.Equal(sent, calls) || time.Since(got.Now).Abs() > time.Hour {
			t.Errorf("answers %v, want %v; now %s, %v", sent, calls, got.Now, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(history.Record{}), cmpopts.IgnoreFields(history.Record{}, "Version", "Now"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		return got
	}
	load(history.Record{}, 404)
	save(t, other, repo, aRecord())
	load(aRecord(), 200)
	load(aRecord(), 304)
	next := recordWith("one")
	next.Version = load(aRecord(), 304).Version
	save(t, other, repo, next)
	load(recordWith("one"), 200)
	load(recordWith("one"), 304)
	if err := other.Remove(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	load(history.Record{}, 404)
	put(t, a, "record/123456789012/us-west-2/a/index", "broken")
	load(history.Record{}, 200, 200, 200) // GET, copy to set-aside/, list of histories
	load(history.Record{}, 200, 200, 200)
}

func TestRepositoriesOfRecords(t *testing.T) {
	a, store := newRecordWriter(t)
	want := []scan.Repository{repository("aa"), repository("deep/er/b"), {Registry: "210987654321", Region: "eu-west-1", Name: "a__b"}, repository("only-histories")}
	for _, repo := range want[:3] {
		save(t, store, repo, recordWith("x"))
	}
	addHistory(t, store, want[3], aHistory())
	for _, key := range []string{"record/x", "record/123456789012/x", "record/123456789012/us-west-2/x", "record/a/b/c/index", "record/123456789012/us-west-2/UPPER/index", "records/1/2/3/4"} {
		put(t, a, key, "foreign")
	}
	got, err := store.Repositories(t.Context())
	sort := func(repos []scan.Repository) []string {
		var names []string
		for _, r := range repos {
			names = append(names, r.Registry+" "+r.Region+" "+r.Name)
		}
		slices.Sort(names)
		return names
	}
	if diff := cmp.Diff(sort(want), sort(got)); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func objectsOf(t *testing.T, a *awstest.AWS, prefix string) []string {
	t.Helper()
	out, err := a.S3Client().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(awstest.Bucket), Prefix: &prefix})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range out.Contents {
		names = append(names, strings.TrimPrefix(aws.ToString(o.Key), prefix))
	}
	return names
}

func TestSweep(t *testing.T) {
	a, store := newRecordWriter(t)
	repo := repository("a")
	named, earlier, orphan := addHistory(t, store, repo, aHistory()), addHistory(t, store, repo, aHistory()), addHistory(t, store, repo, aHistory())
	put(t, a, "record/123456789012/us-west-2/a/notes.txt", "foreign")
	neighbour := addHistory(t, store, repository("a/b"), aHistory())
	naming := func(name string) history.Record {
		r := recordWith("x")
		r.Images["x"] = &history.ImageRecord{Tag: "x", History: name}
		return r
	}
	r := naming(named)
	save(t, store, repo, r)
	sweep := func(want ...string) {
		t.Helper()
		loaded, err := store.Load(t.Context(), repo)
		if err == nil {
			var lost []string
			if lost, _, err = store.Sweep(t.Context(), repo, loaded, []string{earlier}, 0); len(lost) > 0 {
				t.Errorf("lost: %q", lost)
			}
		}
		got := objectsOf(t, a, "record/123456789012/us-west-2/a/")
		slices.Sort(want)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	sweep("index", "notes.txt", packOf(named), packOf(earlier), packOf(orphan)) // a new record may reference it soon
	a.Advance(61 * time.Minute)
	sweep("index", "notes.txt", packOf(named), packOf(earlier))
	if got := objectsOf(t, a, "record/123456789012/us-west-2/a~b/"); !slices.Equal(got, []string{packOf(neighbour)}) {
		t.Errorf("the other repository has %v", got)
	}
}

// Objects that are too large to read are not written, because a reader would treat them as broken.
func TestTooLargeObjects(t *testing.T) {
	a, store := newRecordWriter(t)
	h := aHistory()
	h.Findings[0].Description = strings.Repeat("x", 129<<20)
	names, errs := store.AddHistories(t.Context(), repository("a"), []history.History{h, aHistory()})
	if errs[0] == nil || names[0] != "" || errs[1] != nil {
		t.Errorf("a history that is too large was written: %q, %v", names, errs)
	}
	if got := objectsOf(t, a, ""); len(got) != 1 {
		t.Errorf("objects in the bucket: %v", got)
	}
	put(t, a, "record/123456789012/us-west-2/a/index", strings.Repeat("x", 33<<20))
	if r, err := store.Load(t.Context(), repository("a")); err != nil || len(r.Images) != 1 || r.Version == "" {
		t.Errorf("%+v, %v", r, err)
	}
	if got := objectsOf(t, a, s3store.SetAsidePrefix); len(got) != 1 {
		t.Errorf("set aside: %v", got)
	}
	if _, err := newReader(a).Load(t.Context(), repository("a")); scan.CodeOf(err) != scan.Unavailable {
		t.Errorf("a reader: %v", err)
	}
}

func TestRecordsWhenS3Fails(t *testing.T) {
	for _, status := range []int{500, 403} {
		a, store := newRecordWriter(t)
		a.S3.InjectFault(awslocal.Fault{Status: status})
		repo := repository("a")
		for what, call := range map[string]func(context.Context) error{
			"load": func(ctx context.Context) error { _, err := store.Load(ctx, repo); return err },
			"save": func(ctx context.Context) error { _, err := store.Save(ctx, repo, recordWith("x")); return err },
			"read": func(ctx context.Context) error { _, err := readHistory(ctx, store, repo, uuid.NewString()); return err },
			"add": func(ctx context.Context) error {
				_, errs := store.AddHistories(ctx, repo, []history.History{aHistory()})
				return errs[0]
			},
			"list": func(ctx context.Context) error { _, err := store.Repositories(ctx); return err },
			"sweep": func(ctx context.Context) error {
				_, _, err := store.Sweep(ctx, repo, history.Record{}, nil, 0)
				return err
			},
			"remove":           func(ctx context.Context) error { return store.Remove(ctx, repo) },
			"load by a reader": func(ctx context.Context) error { _, err := newReader(a).Load(ctx, repo); return err },
			"read by a reader": func(ctx context.Context) error {
				_, err := readHistory(ctx, newReader(a), repo, uuid.NewString())
				return err
			},
		} {
			t.Run(fmt.Sprintf("%s, %d", what, status), func(t *testing.T) {
				if err := call(t.Context()); scan.CodeOf(err) != scan.Unavailable || strings.Contains(scan.MessageOf(err), "http") {
					t.Error(err)
				}
			})
		}
	}
}

// An object whose body was truncated is read again.
func TestTruncatedRecordIsReadAgain(t *testing.T) {
	a, store := newRecordWriter(t)
	save(t, store, repository("a"), aRecord())
	a.S3.InjectFault(awslocal.Fault{Operation: "GetObject", Cut: true, Calls: 1})
	if r, err := store.Load(t.Context(), repository("a")); err != nil || len(r.Images) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	if got := objectsOf(t, a, s3store.SetAsidePrefix); len(got) > 0 {
		t.Errorf("set aside: %v", got)
	}
}
