package s3store_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/test/awstest"
)

// The previous version of the service wrote the record and the history in testdata/before. It did not store the
// begin, the config ids and the failure of a record, nor when the repository was first listed, nor the
// listed platform and the statuses of an image. Otherwise the files contain
// the values of aRecord and aHistory.
const previousHistoryName = "f1cd88f2-b116-48a2-84d2-39a9355b2369"

// previousRecord is the stored form of a record in that version. Do not change it.
type previousRecord struct {
	Images       []previousImage  `json:"images"`
	Listed       int64            `json:"listed"`
	MissingSince int64            `json:"gone"`
	Absences     []previousPeriod `json:"absences"`
	Changed      int64            `json:"changed"`
	Swept        int64            `json:"swept"`
	UsedSeconds  []previousPeriod `json:"taken"`
}

type previousImage struct {
	Tag             string           `json:"t"`
	Platform        string           `json:"p"`
	Digest          string           `json:"d"`
	Index           string           `json:"x"`
	Kind            string           `json:"k"`
	ErrorCode       string           `json:"tr"`
	Reason          string           `json:"trw"`
	First           int64            `json:"f"`
	Seen            int64            `json:"s"`
	MissingSince    int64            `json:"l"`
	WaitingSince    int64            `json:"w"`
	State           string           `json:"st"`
	StateReason     string           `json:"stw"`
	Counts          []int            `json:"n"`
	Others          map[string]int   `json:"no"`
	Completed       int64            `json:"c"`
	Enhanced        bool             `json:"e"`
	AnsweredAt      int64            `json:"a"`
	Read            int64            `json:"r"`
	History         string           `json:"h"`
	ScanDigest      string           `json:"hd"`
	ScanCompleted   int64            `json:"hc"`
	ScanOfOtherKind bool             `json:"he"`
	Since           int64            `json:"i"`
	Changes         []previousChange `json:"ch"`
	EventCount      int              `json:"ev"`
	Gaps            []previousPeriod `json:"g"`
	Failures        []previousPeriod `json:"fl"`
	FailedSince     int64            `json:"fs"`
}

type previousPeriod struct {
	From  int64 `json:"from"`
	Until int64 `json:"until"`
}

type previousChange struct {
	At    time.Time      `json:"at"`
	New   map[string]int `json:"new"`
	Fixed map[string]int `json:"fixed"`
}

// readAsPreviousVersion decodes a record in the same way as the previous version.
func readAsPreviousVersion(t *testing.T, stored []byte) previousRecord {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(stored))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	body, ours := bytes.CutPrefix(text, []byte("ecr-continuous-scan record 1\n"))
	var index previousRecord
	if err := json.Unmarshal(body, &index, jsontext.AllowInvalidUTF8(true)); err != nil || !ours {
		t.Fatalf("the previous version can't read it: %v in %q", err, text)
	}
	return index
}

// putPreviousObjects stores the objects of the previous version for the repository team/app.
func putPreviousObjects(t *testing.T, a *awstest.AWS) {
	t.Helper()
	for _, name := range []string{"index", previousHistoryName} {
		stored, err := os.ReadFile("testdata/before/" + name)
		if err != nil {
			t.Fatal(err)
		}
		put(t, a, "record/123456789012/us-west-2/team~app/"+name, string(stored))
	}
}

// recordOfPreviousVersion returns the expected content of the record in testdata/before.
func recordOfPreviousVersion() history.Record {
	r := aRecord()
	r.Begin, r.First, r.NotWatched, r.Selections, r.Configs, r.Failure, r.Unfinished, r.Returned, r.Examined = 0, 0, nil, nil, nil, history.Failure{}, false, 0, nil
	for label, image := range r.Images {
		image.Listed, image.Statuses, image.PushedAt, image.LastPulled, image.Unwatched, image.Started = "", nil, 0, 0, 0, 0
		image.Last.Suppressed, image.Last.InUse, image.Last.LastInUse = 0, 0, 0
		for n := range image.Changes {
			image.Changes[n].Suppressed = nil
		}
		for n := range image.Failures {
			image.Failures[n].CutOff = false
		}
		if image.History != "" {
			image.History, image.ScanIndex = previousHistoryName, image.Index
		}
		image.Last.Continuous, image.Last.Unlisted, image.Last.Incomplete, image.Scan.Incomplete = false, 0, false, false
		r.Images[label] = image
	}
	return r
}

// historyOfPreviousVersion returns the expected content of the history in testdata/before.
func historyOfPreviousVersion() history.History {
	h := aHistory()
	h.ByVulnerability, h.Index, h.Findings[0].Returned = false, "", 0
	f := &h.Findings[0].Finding
	f.Packages, f.Related, f.ScoreSource = nil, nil, ""
	return h
}

// The service reads a record of the previous version. The previous version reads a record of this version: after a
// rollback, only the fields that it does not have are lost.
func TestRecordOfThePreviousVersion(t *testing.T) {
	a, store := newRecordWriter(t)
	repo := repository("team/app")
	putPreviousObjects(t, a)
	want := recordOfPreviousVersion()
	same := cmp.Options{cmpopts.IgnoreUnexported(history.Record{}), cmpopts.IgnoreFields(history.Record{}, "Version", "Now")}
	got, err := store.Load(t.Context(), repo)
	if diff := cmp.Diff(want, got, same); err != nil || diff != "" {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	h, err := readHistory(t.Context(), newReader(a), repo, previousHistoryName)
	if diff := cmp.Diff(historyOfPreviousVersion(), h); err != nil || diff != "" {
		t.Errorf("history: %v (-want +got):\n%s", err, diff)
	}

	stored, err := os.ReadFile("testdata/before/index")
	if err != nil {
		t.Fatal(err)
	}
	previous := readAsPreviousVersion(t, stored)
	got.Begin, got.Configs, got.Failure = aRecord().Begin, aRecord().Configs, aRecord().Failure
	if version := save(t, store, repo, got); version == "" {
		t.Fatal("not saved")
	}
	key := "record/123456789012/us-west-2/team~app/index"
	out, err := a.S3Client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(awstest.Bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	saved, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(previous, readAsPreviousVersion(t, saved)); diff != "" {
		t.Errorf("read by the previous version (-its own record +saved now):\n%s", diff)
	}
	if again, err := newReader(a).Load(t.Context(), repo); err != nil || cmp.Diff(got, again, same) != "" {
		t.Errorf("%v (-saved +read):\n%s", err, cmp.Diff(got, again, same))
	}
}

// Unknown fields are ignored: a later version may add fields without a new format.
func TestUnknownFields(t *testing.T) {
	a, store := newRecordWriter(t)
	put(t, a, keyOfA+"index", packedObject(t, 1, `{"images":[{"t":"v1","f":5,"later":{}}],"later":[1]}`))
	for who, records := range map[string]refresh.Records{"reader": newReader(a), "writer": store} {
		if r, err := records.Load(t.Context(), repository("a")); err != nil || r.Images["v1"].First != 5 {
			t.Errorf("%s: %+v, %v", who, r, err)
		}
	}
	if names := objectsOf(t, a, "set-aside/"); len(names) > 0 {
		t.Errorf("set aside: %s", strings.Join(names, ", "))
	}
}
