package s3store_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// historiesOf returns n different histories. Their texts are so long that they need at least size bytes in S3.
func historiesOf(n, size int) []history.History {
	all := make([]history.History, n)
	for i := range all {
		all[i] = aHistory()
		all[i].Tag, all[i].Platform, all[i].LastDate = fmt.Sprintf("v%03d", i), "", history.Stamp(8+i)
		text := new(strings.Builder)
		for text.Len() < 2*size { // compression halves it
			text.WriteString(uuid.NewString())
		}
		all[i].Findings[0].Description = text.String()
	}
	return all
}

func addHistories(t *testing.T, store *s3store.RecordWriter, histories []history.History) []string {
	t.Helper()
	names, errs := store.AddHistories(t.Context(), repository("a"), histories)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// expectHistories checks that the names are those of the histories.
func expectHistories(t *testing.T, records refresh.Records, names []string, want []history.History) {
	t.Helper()
	var mu sync.Mutex
	got := make([]history.History, len(want))
	records.Histories(t.Context(), repository("a"), names, func(i int, h history.History, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil || got[i].Tag != "" {
			t.Errorf("%s is read again, or %v", names[i], err)
		}
		got[i] = h
	})
	if !cmp.Equal(want, got) {
		t.Errorf("other histories than %d stored ones were read", len(want))
	}
}

// Histories that are stored together need one write, and one read.
func TestPacks(t *testing.T) {
	a, store := newRecordWriter(t)
	histories := historiesOf(250, 100)
	a.S3.ResetCount()
	names := addHistories(t, store, histories)
	if n := a.S3.Count().Calls["PutObject"]; n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
	for who, records := range map[string]refresh.Records{"writer": store, "reader": newReader(a)} {
		a.S3.ResetCount()
		expectHistories(t, records, names, histories)
		if n := a.S3.Count().Calls["GetObject"]; n != 1 {
			t.Errorf("%s: %d reads, want 1", who, n)
		}
	}
	shuffled := append(slices.Clone(names[100:]), names[:100]...)
	expectHistories(t, newReader(a), shuffled, append(slices.Clone(histories[100:]), histories[:100]...))
	expectHistories(t, newReader(a), names[7:8], histories[7:8])
}

// A pack is a gzip file, so that people can read it with the usual tools.
func TestPackIsAGzipFile(t *testing.T) {
	a, store := newRecordWriter(t)
	names := addHistories(t, store, historiesOf(2, 100))
	key := keyOfA + packOf(names[0])
	out, err := a.S3Client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(awstest.Bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	zip, err := gzip.NewReader(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if n := bytes.Count(text, []byte("ecr-continuous-scan record 1\n")); err != nil || n != 2 {
		t.Errorf("%d histories, %v", n, err)
	}
}

// A request reads large packs in parts, and only the parts that it needs.
func TestPartsOfLargePacks(t *testing.T) {
	a, store := newRecordWriter(t)
	histories := historiesOf(60, 100<<10)
	a.S3.ResetCount()
	names := addHistories(t, store, histories)
	if n := a.S3.Count().Calls["PutObject"]; n != 2 {
		t.Errorf("%d writes of 6 MB, want 2", n)
	}
	a.S3.ResetCount()
	expectHistories(t, newReader(a), names, histories)
	if n := a.S3.Count().Calls["GetObject"]; n < 10 || n > 20 {
		t.Errorf("%d reads of 6 MB, want 10 to 20", n)
	}
	a.S3.ResetCount()
	expectHistories(t, newReader(a), []string{names[0], names[30]}, []history.History{histories[0], histories[30]})
	if n := a.S3.Count().Calls["GetObject"]; n != 2 {
		t.Errorf("%d reads of 2 histories that are far from each other", n)
	}
}

// Names that this version did not create are those of no history.
func TestNamesOfHistories(t *testing.T) {
	a, store := newRecordWriter(t)
	name := addHistories(t, store, historiesOf(1, 100))[0]
	pack, within, _ := strings.Cut(name, "/")
	offset, length, _ := strings.Cut(within, "+")
	for _, wrong := range []string{
		"", "index", "../index", "/", "/0+5", pack + "/", pack + "/0", pack + "/+5", pack + "/0+", pack + "/0+0", pack + "/-1+5", pack + "/0+-5", pack + "/0x1+5", pack + "/00+5",
		pack + "/0+99999999999", pack + "/99999999999+5", pack + "/" + offset + "+" + length + "+1", strings.ToUpper(pack) + "x/0+5", uuid.NewString(), uuid.NewString() + "/0+5",
		pack + "/5+" + length, pack + "/10000+5", pack + "/0+10", "{" + pack + "}",
	} {
		if _, err := readHistory(t.Context(), newReader(a), repository("a"), wrong); scan.CodeOf(err) != scan.NotFound {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, err := readHistory(t.Context(), newReader(a), repository("a"), pack); err != nil { // as version 1.0.0 named it
		t.Error(err)
	}
}

// imagesOf returns a record whose images have the histories.
func imagesOf(histories []history.History, names []string) history.Record {
	r := history.Record{Images: make(map[string]*history.ImageRecord)}
	for i, h := range histories {
		r.Images[h.Tag] = &history.ImageRecord{Tag: h.Tag, History: names[i]}
	}
	return r
}

func sweepPacks(t *testing.T, a *awstest.AWS, store *s3store.RecordWriter, r, earlier history.Record) (lost []string, moved map[string]string) {
	t.Helper()
	r.Now = a.Now()
	lost, moved, err := store.Sweep(t.Context(), repository("a"), r, earlier.HistoryNames(), earlier.Swept)
	if err != nil {
		t.Fatal(err)
	}
	return lost, moved
}

// A sweep merges small packs, among them the objects of version 1.0.0, and those that are mostly not in use. The histories
// stay the same.
func TestSweepMergesPacks(t *testing.T) {
	a, store := newRecordWriter(t)
	histories := historiesOf(12, 40<<10)
	var names []string
	for i := range 4 { // small ones
		names = append(names, addHistories(t, store, histories[i:i+1])...)
	}
	names = append(names, addHistories(t, store, histories[4:12])...) // a large one
	r := imagesOf(histories, names)
	if lost, moved := sweepPacks(t, a, store, r, history.Record{}); len(lost)+len(moved) > 0 {
		t.Errorf("four small packs and a large one: lost %v, moved %v", lost, moved)
	}
	for _, tag := range []string{"v004", "v005", "v006", "v007", "v008"} { // most of the large one
		delete(r.Images, tag)
	}
	one := r.Images["v000"]
	one.History = packOf(one.History) // as in version 1.0.0
	r.Images["v000"] = one
	_, moved := sweepPacks(t, a, store, r, history.Record{})
	if len(moved) != len(r.Images) {
		t.Fatalf("moved %v", moved)
	}
	r.MoveHistories(moved)
	packs := make(map[string]bool)
	for _, image := range r.Images {
		packs[packOf(image.History)] = true
	}
	if len(packs) != 1 {
		t.Errorf("after merging, the packs are %v", slices.Collect(maps.Keys(packs)))
	}
	for i, h := range histories {
		if image, ok := r.Images[h.Tag]; ok {
			expectHistories(t, newReader(a), []string{image.History}, histories[i:i+1])
		}
	}
	a.Advance(2 * time.Hour)
	if lost, moved := sweepPacks(t, a, store, r, r); len(lost)+len(moved) > 0 {
		t.Errorf("after merging: lost %v, moved %v", lost, moved)
	}
	if left := objectsOf(t, a, keyOfA); len(left) != 1 || !packs[left[0]] {
		t.Errorf("the objects are %v, want %v", left, packs)
	}
}

// If a sweep can't read or write a pack, no history moves.
func TestSweepThatFailsToMerge(t *testing.T) {
	for _, operation := range []string{"GetObject", "PutObject"} {
		a, store := newRecordWriter(t)
		histories := historiesOf(5, 100)
		var names []string
		for i := range histories {
			names = append(names, addHistories(t, store, histories[i:i+1])...)
		}
		r := imagesOf(histories, names)
		r.Now = a.Now()
		a.S3.InjectFault(awslocal.Fault{Operation: operation, Code: "AccessDenied"})
		earlier := history.Record{Swept: history.StampOf(a.Now().Add(time.Hour))} // so that it does not check the histories
		lost, moved, err := store.Sweep(t.Context(), repository("a"), r, earlier.HistoryNames(), earlier.Swept)
		if scan.CodeOf(err) != scan.Unavailable || len(lost)+len(moved) > 0 {
			t.Errorf("%s fails: lost %v, moved %v, %v", operation, lost, moved, err)
		}
		a.S3.ClearFaults()
		expectHistories(t, newReader(a), names, histories)
	}
}

// A lost or broken pack costs the histories that are in it, and no others.
func TestBrokenPacks(t *testing.T) {
	a, store := newRecordWriter(t)
	histories := historiesOf(6, 100)
	first, second := addHistories(t, store, histories[:3]), addHistories(t, store, histories[3:])
	r := imagesOf(histories, append(slices.Clone(first), second...))
	key := keyOfA + packOf(first[0])
	out, err := a.S3Client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(awstest.Bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	put(t, a, key, string(body[:len(body)-20])) // the last history of the pack is cut
	if lost, _ := sweepPacks(t, a, store, r, history.Record{}); !slices.Equal(lost, []string{"v002"}) {
		t.Errorf("a pack is cut: lost %v", lost)
	}
	put(t, a, keyOfA+"index", "broken")
	rebuilt, err := store.Load(t.Context(), repository("a"))
	if got := slices.Sorted(maps.Keys(rebuilt.Images)); err != nil || !slices.Equal(got, []string{"v000", "v001", "v003", "v004", "v005"}) {
		t.Errorf("rebuilt %v, %v", got, err)
	}
	for i, h := range histories {
		if image, ok := rebuilt.Images[h.Tag]; ok && image.History != append(slices.Clone(first), second...)[i] {
			t.Errorf("the rebuilt record names %s for %s", image.History, h.Tag)
		}
	}
	lostKey := keyOfA + packOf(second[0])
	if _, err := a.S3Client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(awstest.Bucket), Key: &lostKey}); err != nil {
		t.Fatal(err)
	}
	if lost, _ := sweepPacks(t, a, store, r, history.Record{}); !slices.Equal(lost, []string{"v002", "v003", "v004", "v005"}) {
		t.Errorf("a pack is deleted: lost %v", lost)
	}
}

// Version 1.0.0 must leave a record alone that references packs. It can still read one that does not.
func TestFormatOfRecords(t *testing.T) {
	a, store := newRecordWriter(t)
	name := addHistories(t, store, historiesOf(1, 100))[0]
	for history, want := range map[string]string{name: "ecr-continuous-scan record 2\n", packOf(name): "ecr-continuous-scan record 1\n"} {
		r := recordWith("x")
		i := r.Images["x"]
		i.History = history
		r.Images["x"] = i
		repo := repository("b-" + history[:3] + fmt.Sprint(len(history)))
		save(t, store, repo, r)
		key := "record/123456789012/us-west-2/" + repo.Name + "/index"
		out, err := a.S3Client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(awstest.Bucket), Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		zip, err := gzip.NewReader(out.Body)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(zip)
		if !strings.HasPrefix(string(text), want) || err != nil {
			t.Errorf("%s: %.40q, %v", history, text, err)
		}
		if got, err := newReader(a).Load(t.Context(), repo); err != nil || got.Images["x"].History != history {
			t.Errorf("%+v, %v", got, err)
		}
	}
}
