package s3store_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

const keyOfA = "record/123456789012/us-west-2/a/"

// packedObject returns a stored object with a format version.
func packedObject(t *testing.T, format int, text string) string {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	_, err := fmt.Fprintf(zip, "ecr-continuous-scan record %d\n%s", format, text)
	if err := errors.Join(err, zip.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// brokenObjects returns objects that are neither records nor histories, by description.
func brokenObjects(t *testing.T) map[string]string {
	valid := packedObject(t, 1, `{"images":[]}`)
	return map[string]string{
		"empty": "", "a text": "not packed at all", "truncated": valid[:len(valid)/2], "another format": packedObject(t, 0, "{}"), "no JSON": packedObject(t, 1, `{"images":`),
		"another type": packedObject(t, 1, `{"images":{},"findings":{}}`), "trailing JSON value": packedObject(t, 1, `{} {}`),
	}
}

// countWrites returns how many calls changed the bucket.
func countWrites(a *awstest.AWS) int {
	n := 0
	for operation, calls := range a.S3.Count().Calls {
		if operation != "GetObject" && operation != "HeadObject" && operation != "ListObjectsV2" {
			n += calls
		}
	}
	return n
}

// A reader returns Unavailable for a broken record and NotFound for a broken history. It writes nothing.
func TestReaderOfBrokenObjects(t *testing.T) {
	for name, body := range brokenObjects(t) {
		t.Run(name, func(t *testing.T) {
			a, _ := newRecordWriter(t)
			stored := uuid.NewString()
			for _, name := range []string{"index", stored} {
				put(t, a, keyOfA+name, body)
			}
			a.S3.ResetCount()
			for range 2 {
				r, err := newReader(a).Load(t.Context(), repository("a"))
				if scan.CodeOf(err) != scan.Unavailable || errors.Is(err, history.ErrLaterFormat) || len(r.Images) > 0 || r.Version != "" {
					t.Errorf("load: %+v, %v", r, err)
				}
				if _, err := readHistory(t.Context(), newReader(a), repository("a"), stored); scan.CodeOf(err) != scan.NotFound {
					t.Errorf("history: %v", err)
				}
			}
			if n := countWrites(a); n > 0 {
				t.Errorf("a reader made %d calls that write", n)
			}
			if lists := a.S3.Count().Calls["ListObjectsV2"]; lists > 0 {
				t.Errorf("a reader listed histories: %d calls", lists)
			}
		})
	}
}

// The writer copies broken objects to set-aside/ and can replace them.
func TestWriterOfBrokenObjects(t *testing.T) {
	for name, body := range brokenObjects(t) {
		t.Run(name, func(t *testing.T) {
			a, store := newRecordWriter(t)
			stored := uuid.NewString()
			for _, name := range []string{"index", stored} {
				put(t, a, keyOfA+name, body)
			}
			if _, err := readHistory(t.Context(), store, repository("a"), stored); scan.CodeOf(err) != scan.NotFound {
				t.Errorf("history: %v", err)
			}
			r, err := store.Load(t.Context(), repository("a"))
			if err != nil || len(r.Images) > 0 || r.Version == "" {
				t.Fatalf("load: %+v, %v", r, err)
			}
			want := []string{stored, "index"}
			slices.Sort(want)
			if diff := cmp.Diff(want, objectsOf(t, a, s3store.SetAsidePrefix+keyOfA)); diff != "" {
				t.Errorf("set aside (-want +got):\n%s", diff)
			}
			next := recordWith("one")
			next.Version = r.Version
			if version := save(t, store, repository("a"), next); version == "" {
				t.Fatal("the rebuilt record was not stored")
			}
			if got, err := newReader(a).Load(t.Context(), repository("a")); err != nil || len(got.Images) != 1 {
				t.Errorf("after the save: %+v, %v", got, err)
			}
		})
	}
}

// A broken record is rebuilt from the latest readable history of each image.
func TestRebuild(t *testing.T) {
	a, store := newRecordWriter(t)
	repo := repository("a")
	newHistory := func(tag string, lastDate history.Stamp) history.History {
		h := aHistory()
		h.Tag, h.Platform, h.LastDate = tag, "", lastDate
		return h
	}
	addHistory(t, store, repo, newHistory("v1", 8))
	latest := addHistory(t, store, repo, newHistory("v1", 9))
	other := addHistory(t, store, repo, newHistory("v2", 7))
	put(t, a, keyOfA+uuid.NewString(), "broken")
	put(t, a, keyOfA+"index", "broken")
	r, err := store.Load(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for label, image := range r.Images {
		got[label] = image.History
	}
	if diff := cmp.Diff(map[string]string{"v1": latest, "v2": other}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.Images["v1"].Scan != newHistory("v1", 9).Scan || r.Images["v1"].Since != 5 || r.Begin != 0 {
		t.Errorf("%+v", r)
	}
}

// A broken object that can't be copied to set-aside/ is not replaced.
func TestRebuildWhenSetAsideFails(t *testing.T) {
	a, store := newRecordWriter(t)
	put(t, a, keyOfA+"index", "broken")
	a.S3.InjectFault(awslocal.Fault{Operation: "PutObject", Code: "AccessDenied"})
	if r, err := store.Load(t.Context(), repository("a")); scan.CodeOf(err) != scan.Unavailable || len(r.Images) > 0 || r.Version != "" {
		t.Errorf("%+v, %v", r, err)
	}
}

// Objects of a later format are not changed by readers or by the writer. Both return an error that names the reason.
func TestLaterFormat(t *testing.T) {
	a, store := newRecordWriter(t)
	repo, stored := repository("a"), uuid.NewString()
	body := packedObject(t, s3store.Format+1, `{"images":"another type"}`)
	for _, name := range []string{"index", stored} {
		put(t, a, keyOfA+name, body)
	}
	a.S3.ResetCount()
	for who, records := range map[string]refresh.Records{"reader": newReader(a), "writer": store} {
		_, loaded := records.Load(t.Context(), repo)
		_, read := readHistory(t.Context(), records, repo, stored)
		for what, err := range map[string]error{"load": loaded, "history": read} {
			if scan.CodeOf(err) != scan.Unavailable || !errors.Is(err, history.ErrLaterFormat) || !strings.Contains(scan.MessageOf(err), "later version") {
				t.Errorf("%s, %s: %v", who, what, err)
			}
		}
	}
	if n := countWrites(a); n > 0 {
		t.Errorf("%d calls that write", n)
	}
}

// A sweep returns the images whose history is missing or broken. It does not read a history again that existed at the last
// sweep, because histories never change.
func TestSweepReportsLostHistories(t *testing.T) {
	a, store := newRecordWriter(t)
	repo := repository("a")
	r := history.Record{Images: map[string]*history.ImageRecord{"never scanned": {Tag: "never scanned"}}}
	names := make(map[string]string)
	for _, tag := range []string{"readable", "lost", "broken"} {
		names[tag] = addHistory(t, store, repo, aHistory())
		r.Images[tag] = &history.ImageRecord{Tag: tag, History: names[tag]}
	}
	save(t, store, repo, r)
	sweep := func(earlier history.Record, reads int, want ...string) {
		t.Helper()
		loaded, err := store.Load(t.Context(), repo)
		if err != nil {
			t.Fatal(err)
		}
		a.S3.ResetCount()
		lost, _, err := store.Sweep(t.Context(), repo, loaded, earlier.HistoryNames(), earlier.Swept)
		if diff := cmp.Diff(want, lost, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if n := a.S3.Count().Calls["GetObject"]; n != reads {
			t.Errorf("%d histories were read, want %d", n, reads)
		}
	}
	sweep(history.Record{}, 3)
	sweptAfter := history.Record{Swept: history.StampOf(a.Now().Add(time.Hour))}
	sweep(sweptAfter, 0)
	bucket, lost := awstest.Bucket, keyOfA+packOf(names["lost"])
	if _, err := a.S3Client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: &lost}); err != nil {
		t.Fatal(err)
	}
	put(t, a, keyOfA+packOf(names["broken"]), "broken")
	sweep(sweptAfter, 0, "lost")
	sweep(history.Record{Swept: history.StampOf(a.Now().Add(-time.Hour))}, 2, "broken", "lost")
	if diff := cmp.Diff([]string{names["broken"]}, objectsOf(t, a, s3store.SetAsidePrefix+keyOfA)); diff != "" {
		t.Errorf("set aside (-want +got):\n%s", diff)
	}
	a.S3.InjectFault(awslocal.Fault{Operation: "GetObject", Code: "AccessDenied"})
	loaded := r
	loaded.Now = a.Now()
	if labels, _, err := store.Sweep(t.Context(), repo, loaded, nil, 0); scan.CodeOf(err) != scan.Unavailable || labels != nil {
		t.Errorf("S3 denies access to the histories: %q, %v", labels, err)
	}
}
