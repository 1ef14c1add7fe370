package durability

import (
	"bytes"
	"compress/gzip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

func zipped(text string) string {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	if _, err := zip.Write([]byte(text)); err != nil {
		panic(err) // writes to a buffer cannot fail
	}
	if err := zip.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

const formatLine = "ecr-continuous-scan record 1\n"

// broken returns changes that turn the body of a record or history into an invalid one.
func broken() map[string]func(whole string) string {
	return map[string]func(string) string{
		"cut in half":                      func(whole string) string { return whole[:len(whole)/2] },
		"cut by a byte":                    func(whole string) string { return whole[:len(whole)-1] },
		"empty":                            func(_ string) string { return "" },
		"not gzip":                         func(_ string) string { return "hello" },
		"gzip of something else":           func(_ string) string { return zipped("hello") },
		"JSON without a format":            func(_ string) string { return zipped(`{"images":[]}`) },
		"not JSON":                         func(_ string) string { return zipped(formatLine + "{") },
		"other JSON":                       func(_ string) string { return zipped(formatLine + `[1]`) },
		"two values":                       func(_ string) string { return zipped(formatLine + `{} {}`) },
		"an invalid format":                func(_ string) string { return zipped("ecr-continuous-scan record 1x\n{}") },
		"format 0":                         func(_ string) string { return zipped("ecr-continuous-scan record 0\n{}") },
		"a large body of few bytes":        func(_ string) string { return zipped(strings.Repeat("x", 5<<20)) },
		"foreign JSON, not gzip":           func(_ string) string { return `{"images":[{"tag":"x"}]}` },
		"a record followed by other bytes": func(whole string) string { return whole + "trash" },
	}
}

// brokenIndexes returns the changes of broken, and bodies that are invalid only for an index.
func brokenIndexes() map[string]func(string) string {
	all := broken()
	for name, text := range map[string]string{
		"images by name": `{"images":{"x":{"t":"x"}}}`, "no images": `{"images":null}`, "an invalid image": `{"images":[{"t":"x"},7]}`, "images without an end": `{"images":[{"t":"x"}`,
	} {
		all[name] = func(string) string { return zipped(formatLine + text) }
	}
	return all
}

// recordWithHistory creates a record with several scans. In one of them a finding is resolved, in the next it is
// back.
func recordWithHistory(t *testing.T, w *world) {
	t.Helper()
	defer w.ecr.InjectFault(noStarts)()
	addConfig(t, w.service(), repo)
	w.push("one", "A:LOW B:LOW")
	w.push("two", "B:LOW")
	visit(t, w.service())
	for _, found := range []string{"B:LOW", "A:LOW B:HIGH", "A:LOW B:HIGH C:LOW"} {
		time.Sleep(25 * time.Hour)
		w.rescan(t, "one", found)
		visit(t, w.service())
	}
	time.Sleep(time.Hour)
}

// historyKey returns the key of the pack with the history of one image. No other history is in the packs of these tests.
func historyKey(t *testing.T, w *world, tag string) string {
	t.Helper()
	r, err := store(w.s3).Load(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	return "record/123456789012/us-west-2/team~app/" + strings.Split(r.Images[tag].History, "/")[0]
}

const indexKey = "record/123456789012/us-west-2/team~app/index"

func TestBrokenIndex(t *testing.T) {
	for name, breaks := range brokenIndexes() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				recordWithHistory(t, w)
				want, wantFeed := recordLines(t, w.s3), read(t, w.service())
				body := breaks(string(get(t, w.s3, indexKey)))
				put(t, w.s3, indexKey, body)
				var l log
				p := (&process{log: l.logger()}).service(w.s3, w.ecr)
				unavailable(t, p)
				if string(get(t, w.s3, indexKey)) != body || l.has("set aside") {
					t.Errorf("a read changed the index; the log is %s", l.String())
				}
				w.ecr.InjectFault(noStarts)
				visit(t, p)
				if diff := cmp.Diff(wantFeed, read(t, p)); diff != "" {
					t.Errorf("the feed (-want +got):\n%s", diff)
				}
				if !l.has("set aside") || !l.has(indexKey) {
					t.Errorf("the log is %s", l.String())
				}
				if string(get(t, w.s3, indexKey)) == body {
					t.Error("the broken index is still stored")
				}
				if diff := cmp.Diff(want, recordLines(t, w.s3)); diff != "" {
					t.Errorf("the rebuilt record (-want +got):\n%s", diff)
				}
				datesAreUsed(t, w.s3)
				if aside := keys(t, w.s3, "set-aside/"); !slices.Equal(aside, []string{"set-aside/" + indexKey}) {
					t.Errorf("set aside: %v", aside)
				}
				if string(get(t, w.s3, "set-aside/"+indexKey)) != body {
					t.Error("the object that was set aside has another body")
				}
			})
		})
	}
}

// datesAreUsed checks that the record knows the dates of all findings and changes, so that nothing new gets the same date.
func datesAreUsed(t *testing.T, bucket *awslocal.S3) {
	t.Helper()
	r, err := store(bucket).Load(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, at history.Stamp) {
		t.Helper()
		if used := slices.Clone(r.UsedSeconds); at > 0 && used.Reserve(at) == at {
			t.Errorf("the date %d of %s is free", at, what)
		}
	}
	store(bucket).Histories(t.Context(), repo, r.HistoryNames(), func(_ int, h history.History, err error) {
		if err != nil {
			t.Error(err)
		}
		for _, f := range h.Findings {
			check(f.Name, f.Published)
			check(f.Name, f.Updated)
			for _, e := range f.Earlier {
				check("an episode of "+f.Name, e.Published)
				check("the end of an episode of "+f.Name, e.Ended)
			}
		}
		for _, e := range h.Events {
			check("a change of "+e.Name, e.At)
		}
	})
}

// unavailable checks that a reader returns that the record is unavailable.
func unavailable(t *testing.T, p *awstest.Service) {
	t.Helper()
	l, err := p.Reader.AllFindings(t.Context(), report.View{})
	if outage := l.Outage(); err != nil || scan.CodeOf(outage) != scan.Unavailable {
		t.Errorf("the findings have %v, %v", err, outage)
	}
	if report := summary(t, p).Reports[0]; scan.CodeOf(report.Err) != scan.Unavailable {
		t.Errorf("the summary has %v", report.Err)
	}
}

// The findings of a broken history are lost. The histories of other images stay. The next visit that sweeps or adds
// to the broken history creates a new one.
func TestBrokenHistory(t *testing.T) {
	for name, breaks := range broken() {
		if name == "a record followed by other bytes" {
			continue // a history is a range of bytes, so bytes after it do not matter
		}
		t.Run("a visit that sweeps, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { brokenHistory(t, breaks, func() { time.Sleep(7 * time.Hour) }) })
		})
	}
	t.Run("a visit that adds to it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			recordWithHistory(t, w)
			time.Sleep(5 * time.Hour)
			visit(t, w.service()) // sweeps, so the next visit does not sweep
			brokenHistoryOf(t, w, func(string) string { return "broken" }, func() {
				time.Sleep(time.Hour)
				w.rescan(t, "one", "A:LOW B:HIGH C:LOW")
			})
		})
	})
}

func brokenHistory(t *testing.T, breaks func(string) string, wait func()) {
	w := newWorld(t)
	recordWithHistory(t, w)
	brokenHistoryOf(t, w, breaks, wait)
}

func brokenHistoryOf(t *testing.T, w *world, breaks func(string) string, wait func()) {
	defer w.ecr.InjectFault(noStarts)()
	key := historyKey(t, w, "one")
	body := breaks(string(get(t, w.s3, key)))
	put(t, w.s3, key, body)
	var l log
	p := (&process{log: l.logger()}).service(w.s3, w.ecr)
	listing, err := p.Reader.AllFindings(t.Context(), report.View{})
	if err != nil || listing.Reports[0].Images[0].Result.State != scan.Unread || string(get(t, w.s3, key)) != body || historyKey(t, w, "one") != key {
		t.Errorf("the findings have %v, %+v", err, listing.Reports)
	}
	wait()
	visit(t, p)
	got := read(t, p)
	if !l.has("set aside") || !l.has(key) {
		t.Errorf("the log is %s", l.String())
	}
	for _, image := range []string{"one A LOW #0", "one B HIGH #0", "one C LOW #0", "two B LOW #0 Jan01"} {
		if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, image) }) {
			t.Errorf("the feed lacks %s: %v", image, got)
		}
	}
	if len(got) != 4 {
		t.Errorf("the feed is %v, want 4 entries", got)
	}
	if historyKey(t, w, "one") == key {
		t.Error("the record still names the broken history")
	}
	recordLines(t, w.s3) // fails if a history is missing
}

// Nothing changes a record of a later format. Reads report it as unavailable. Visits still start scans.
func TestNewerFormat(t *testing.T) {
	newer := zipped("ecr-continuous-scan record 3\nwhatever that will be")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		recordWithHistory(t, w)
		w.ecr.PutImage(ecrID(repo), ecr.Image{Tags: []string{"due"}})
		put(t, w.s3, indexKey, newer)
		before := keys(t, w.s3, "")
		var l log
		p := (&process{log: l.logger()}).service(w.s3, w.ecr)
		listing, err := p.Reader.AllFindings(t.Context(), report.View{})
		if outage := listing.Outage(); err != nil || scan.CodeOf(outage) != scan.Unavailable || !strings.Contains(outage.Error(), "later version") {
			t.Errorf("the findings have %v, %v", err, outage)
		}
		overview := summary(t, p)
		if scan.CodeOf(overview.Reports[0].Err) != scan.Unavailable || !strings.Contains(scan.MessageOf(overview.Reports[0].Err), "later version") {
			t.Errorf("the summary has %v", overview.Reports)
		}
		if report := visit(t, p); report.Started != 2 || report.Recent != 1 { // "due", and "two", whose scan is days old
			t.Errorf("the visit started %d scans, and %d were recent", report.Started, report.Recent)
		}
		if !l.has("later version") {
			t.Errorf("the log is %s", l.String())
		}
		if diff := cmp.Diff(before, keys(t, w.s3, "")); diff != "" || string(get(t, w.s3, indexKey)) != newer {
			t.Errorf("objects were changed:\n%s", diff)
		}
		time.Sleep(10 * 24 * time.Hour)
		visit(t, p)
		if diff := cmp.Diff(before, keys(t, w.s3, "")); diff != "" {
			t.Errorf("objects were changed later:\n%s", diff)
		}
	})
}

func TestNewerHistory(t *testing.T) {
	newer := zipped("ecr-continuous-scan record 99\n")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		recordWithHistory(t, w)
		key := historyKey(t, w, "one")
		put(t, w.s3, key, newer)
		time.Sleep(25 * time.Hour)
		w.rescan(t, "one", "C:LOW")
		var l log
		p := (&process{log: l.logger()}).service(w.s3, w.ecr)
		visit(t, p)
		l2, err := p.Reader.AllFindings(t.Context(), report.View{})
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range l2.Reports[0].Images {
			if unread := item.Result.State == scan.Unread; unread != (item.Image.Tag == "one") {
				t.Errorf("%s is %s", item.Image.Tag, item.Result.State)
			}
		}
		if !l.has("later version") || string(get(t, w.s3, key)) != newer || historyKey(t, w, "one") != key {
			t.Errorf("the history was replaced; the log is %s", l.String())
		}
		// Without this history a broken record cannot be rebuilt completely, so it must not be rebuilt.
		put(t, w.s3, indexKey, "broken")
		visit(t, p)
		unavailable(t, p)
		if string(get(t, w.s3, indexKey)) != "broken" {
			t.Error("the record was rebuilt without a history")
		}
	})
}

// What only the record had is lost. A tag that is still missing after the record was rebuilt is told again, with a new date.
func TestChangesOfARebuiltRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		recordWithHistory(t, w)
		w.ecr.InjectFault(noStarts)
		gone := func() (texts []string) {
			l, err := w.service().Reader.AllChanges(t.Context(), report.View{})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range l.Changes {
				if c.Kind == history.TagGone {
					texts = append(texts, c.Image.Label()+" "+hour(history.StampOf(c.At)))
				}
			}
			return texts
		}
		if err := w.ecr.DeleteImage(ecrID(repo), "two"); err != nil {
			t.Fatal(err)
		}
		visit(t, w.service())
		want := []string{"two " + hour(history.StampOf(time.Now()))}
		if got := gone(); !slices.Equal(got, want) {
			t.Errorf("before: %q, want %q", got, want)
		}
		time.Sleep(24 * time.Hour)
		put(t, w.s3, indexKey, "broken")
		visit(t, w.service())
		want = []string{"two " + hour(history.StampOf(time.Now()))}
		if got := gone(); !slices.Equal(got, want) {
			t.Errorf("after: %q, want %q", got, want)
		}
	})
}

// A rebuilt record does not know since when nobody watches an image. When a config watches it again, no time without a scan is told.
func TestUnwatchedImageOfARebuiltRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.ecr.InjectFault(noStarts)()
		c, err := scan.NewConfig(scan.Config{Region: repo.Region, Registry: repo.Registry, Repository: repo.Name, Newest: 1}, time.Now())
		if err == nil {
			err = w.service().Configs.Put(t.Context(), c)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.push("old", "A:LOW")
		visit(t, w.service())
		time.Sleep(time.Hour)
		w.push("new", "A:LOW")
		visit(t, w.service())
		time.Sleep(5 * 24 * time.Hour)
		put(t, w.s3, indexKey, "broken")
		visit(t, w.service())
		addConfig(t, w.service(), repo)
		time.Sleep(time.Hour)
		visit(t, w.service())
		l, err := w.service().Reader.AllChanges(t.Context(), report.View{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range l.Changes {
			if c.Image != nil && c.Image.Tag == "old" {
				t.Errorf("%s since %v", c.Kind, c.Since)
			}
		}
	})
}
