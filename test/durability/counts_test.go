package durability

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/gate"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// calls returns the number of calls to ECR during do, by operation.
func (w *world) calls(do func()) map[string]int {
	w.ecr.ResetCount()
	do()
	return w.ecr.Count().Calls
}

func (w *world) wantCalls(t *testing.T, what string, want map[string]int, do func()) {
	t.Helper()
	if got := w.calls(do); !maps.Equal(got, want) {
		t.Errorf("%s: calls %v, want %v", what, got, want)
	}
}

func summary(t *testing.T, w *awstest.Service) report.Overview {
	t.Helper()
	o, err := w.Reader.Summary(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// states returns the states of a report's images by label.
func states(r report.Report) map[string]scan.State {
	shown := make(map[string]scan.State)
	for _, item := range r.Images {
		shown[item.Image.Label()] = item.Result.State
	}
	return shown
}

func TestCallsToECR(t *testing.T) {
	for _, skew := range []time.Duration{0, time.Hour, -time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { callsToECR(t, skew) })
		})
	}
}

func callsToECR(t *testing.T, skew time.Duration) {
	none, listing := map[string]int{}, map[string]int{"DescribeImages": 1}
	w := newWorld(t)
	service := (&process{skew: skew}).service(w.s3, w.ecr)
	other := (&process{skew: -skew}).service(w.s3, w.ecr)
	c := addConfig(t, service, repo)
	w.push("one", "A:LOW")
	w.push("two", "B:LOW")
	w.wantCalls(t, "the first visit", map[string]int{"DescribeImages": 1, "DescribeImageScanFindings": 2}, func() { visit(t, service) })
	want := read(t, service)
	time.Sleep(refresh.ListingMaxAge - 2*time.Second)
	w.wantCalls(t, "a summary before the maximum age of the listing", none, func() { summary(t, other) })
	w.wantCalls(t, "a feed before the maximum age", none, func() {
		if diff := cmp.Diff(want, read(t, other)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	time.Sleep(2 * time.Second)
	w.wantCalls(t, "a summary after the maximum age", listing, func() { summary(t, other) })
	w.wantCalls(t, "a feed after the maximum age", listing, func() { read(t, service) })
	w.wantCalls(t, "changes", none, func() { kinds(t, other, c.ID) })
	for range 20 {
		time.Sleep(time.Hour)
		w.wantCalls(t, "a visit in which nothing is due", listing, func() { visit(t, service) })
	}
	time.Sleep(5 * time.Hour) // now the images are due by all clocks
	w.ecr.PutImage(ecrID(repo), ecr.Image{Tags: []string{"new"}, Findings: findings("C:LOW")})
	w.wantCalls(t, "a visit in which all images are due", map[string]int{"DescribeImages": 1, "DescribeImageScanFindings": 1, "StartImageScan": 3}, func() { visit(t, service) })
	time.Sleep(time.Second)
	w.wantCalls(t, "a summary immediately after it", none, func() {
		if got := states(summary(t, other).Reports[0]); got["one"] != scan.Completed || got["new"] != scan.InProgress {
			t.Errorf("immediately after the scans were started: %v", got)
		}
	})
	time.Sleep(scanTime)
	w.wantCalls(t, "a summary after the scan", map[string]int{"DescribeImages": 1, "DescribeImageScanFindings": 1}, func() {
		if got := states(summary(t, other).Reports[0]); got["one"] != scan.Completed || got["new"] != scan.Completed {
			t.Errorf("after the scan: %v", got)
		}
	})
	w.wantCalls(t, "the gate", map[string]int{"DescribeImages": 1, "DescribeImageScanFindings": 3}, func() { readGate(t, other, c) })
	w.wantCalls(t, "the next visit", map[string]int{"DescribeImages": 1, "DescribeImageScanFindings": 3}, func() { visit(t, service) })
	w.wantCalls(t, "the gate after it", listing, func() { readGate(t, other, c) })
}

func readGate(t *testing.T, w *awstest.Service, c scan.Config) {
	t.Helper()
	if _, err := w.Reader.ForGate(t.Context(), c.ID, scan.Filter{}, gate.Request{Max: scan.Severities()[0]}.CanFail); err != nil {
		t.Fatal(err)
	}
}

// If a tag has moved to another image, it is not shown with the old image's result.
func TestMovedTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		service := w.service()
		addConfig(t, service, repo)
		w.push("one", "A:LOW")
		visit(t, service)
		w.ecr.PutImage(ecrID(repo), ecr.Image{Tags: []string{"one"}})
		time.Sleep(refresh.ListingMaxAge)
		w.ecr.InjectFault(awslocal.Fault{Operation: "DescribeImageScanFindings", Status: 500})
		if got := states(summary(t, service).Reports[0]); got["one"] != scan.Unread {
			t.Errorf("shown as %v while its result cannot be read", got)
		}
		if got := read(t, service); len(got) > 0 {
			t.Errorf("the feed is %v", got)
		}
		w.ecr.ClearFaults()
		if got := states(summary(t, service).Reports[0]); got["one"] != scan.NotScanned {
			t.Errorf("shown as %v", got)
		}
	})
}

// A new config shows its images immediately, whatever the last visit has listed or deleted.
func TestNewConfigShowsItsImages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		service := w.service()
		w.push("one", "A:LOW")
		w.push("two", "B:LOW")
		last := func() report.Report {
			reports := summary(t, service).Reports
			return reports[len(reports)-1]
		}
		addConfig(t, service, repo, "one")
		visit(t, service)
		time.Sleep(time.Second)
		addConfig(t, service, repo, "two")
		if got := states(last()); got["two"] != scan.Completed {
			t.Errorf("another tag: %v", got)
		}
		visit(t, service)
		time.Sleep(time.Second)
		w.push("other", "B:LOW")
		all := addConfig(t, service, repo)
		if got := states(last()); len(got) != 3 {
			t.Errorf("all tags: %v", got)
		}
		visit(t, service)
		time.Sleep(time.Second)
		w.push("three", "C:LOW")
		if err := service.Configs.Delete(t.Context(), all.ID, nil); err != nil {
			t.Fatal(err)
		}
		addConfig(t, service, repo, "three")
		if got := states(last()); got["three"] != scan.Completed {
			t.Errorf("a tag that was pushed after the last listing: %v", got)
		}
		visit(t, service) // deletes the image "other", which no config includes
		addConfig(t, service, repo)
		if got := states(last()); len(got) != 4 {
			t.Errorf("all tags again: %v", got)
		}
	})
}

// Configs of one repository with and without tags get the same results.
func TestVisitOfMixedConfigs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		service := w.service()
		addConfig(t, service, repo)
		addConfig(t, service, repo, "one", "nowhere")
		w.push("one", "A:LOW")
		w.push("two", "B:LOW")
		visit(t, service)
		w.wantCalls(t, "a summary after the visit", map[string]int{}, func() {
			o := summary(t, service)
			if diff := cmp.Diff(map[string]scan.State{"one": scan.Completed, "two": scan.Completed}, states(o.Reports[0])); diff != "" {
				t.Errorf("all tags (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]scan.State{"one": scan.Completed, "nowhere": scan.NoSuchTag}, states(o.Reports[1])); diff != "" {
				t.Errorf("some tags (-want +got):\n%s", diff)
			}
		})
	})
}

// While ECR is unavailable, the recorded results are shown. They are marked as old if the last visit began more
// than 2 hours ago.
func TestECRUnavailable(t *testing.T) {
	for name, test := range map[string]struct {
		fault awslocal.Fault
		lists bool
	}{
		"all calls":   {fault: awslocal.Fault{Status: 500}},
		"the listing": {fault: awslocal.Fault{Operation: "DescribeImages", Status: 500}},
		"the results": {fault: awslocal.Fault{Operation: "DescribeImageScanFindings", Status: 500}, lists: true},
		"no response": {fault: awslocal.Fault{Hang: true}},
		"throttling":  {fault: awslocal.Fault{Code: "ThrottlingException"}},
	} {
		for _, after := range []time.Duration{20 * time.Minute, 3 * time.Hour, 30 * time.Hour} {
			t.Run(fmt.Sprint(name, ", ", after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { ecrUnavailable(t, test.fault, after, after > 2*time.Hour && !test.lists) })
			})
		}
	}
}

func ecrUnavailable(t *testing.T, fault awslocal.Fault, after time.Duration, isOld bool) {
	w := newWorld(t)
	service := w.service()
	addConfig(t, service, repo)
	w.push("one", "A:LOW")
	visit(t, service)
	want, begin := read(t, service), time.Now().Truncate(time.Second)
	time.Sleep(after)
	w.ecr.InjectFault(fault)
	for range 3 {
		began := time.Now()
		item := summary(t, service).Reports[0].Images[0]
		if item.Result.State != scan.Completed || item.Result.Counts[scan.Low] != 1 {
			t.Errorf("%+v", item)
		}
		if isOld != item.AsOf.Equal(begin) || isOld != (item.AsOfReason != "") || !isOld && !item.AsOf.IsZero() {
			t.Errorf("want AS OF %s: %t; got %+v", begin, isOld, item)
		}
		if took := time.Since(began); took > 2500*time.Millisecond {
			t.Errorf("a summary took %s", took)
		}
		if diff := cmp.Diff(want, read(t, service)); diff != "" {
			t.Errorf("the feed (-want +got):\n%s", diff)
		}
	}
	w.ecr.ClearFaults()
	if item := summary(t, service).Reports[0].Images[0]; !item.AsOf.IsZero() {
		t.Errorf("when ECR is available again: %+v", item)
	}
}

func TestRecordsWithoutAConfigAreDeleted(t *testing.T) {
	other := scan.Repository{Region: "eu-central-1", Registry: awslocal.DefaultRegistry, Name: "other/app"}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		service := w.service()
		whole := addConfig(t, service, repo)
		addConfig(t, service, repo, "one")
		elsewhere := addConfig(t, service, other)
		w.push("one", "A:LOW")
		w.push("two", "B:LOW")
		w.ecr.PutImage(ecrID(other), ecr.Image{Tags: []string{"x"}, ScannedAt: time.Now(), Findings: findings("A:LOW")})
		foreign := []string{
			"record/readme", "record/123456789012/readme", "record/123456789012/us-west-2/readme", "record/123456789012/us-west-2/nobody/notes.txt",
			"record/123456789012/us-west-2/team~app/notes.txt", "record/123456789012/us-west-2/team~app/old/index", "record/a/b/c/index",
		}
		for _, key := range foreign {
			put(t, w.s3, key, "not formatLine")
		}
		visit(t, service)
		for _, c := range []scan.Config{whole, elsewhere} {
			if err := service.Configs.Delete(t.Context(), c.ID, nil); err != nil {
				t.Fatal(err)
			}
		}
		before := recordLines(t, w.s3)
		visit(t, service)
		if got := keys(t, w.s3, "record/123456789012/eu-central-1/"); len(got) > 0 {
			t.Errorf("the other repository's record still has %v", got)
		}
		want := slices.DeleteFunc(before, func(line string) bool { return strings.HasPrefix(line, "two") })
		if diff := cmp.Diff(want, recordLines(t, w.s3)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		time.Sleep(7 * time.Hour)
		visit(t, service)
		got := keys(t, w.s3, "record/")
		for _, key := range foreign {
			if !slices.Contains(got, key) {
				t.Errorf("the foreign object %s was deleted", key)
			}
		}
		if n := len(got) - len(foreign); n != 2 {
			t.Errorf("there are %d objects, want an index and a history: %v", n, got)
		}
	})
}

// A visit can replace a history while a reader that loaded the old record still needs it.
func TestReadDuringAReplacement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		addConfig(t, w.service(), repo)
		w.push("one", "A:LOW")
		visit(t, w.service())
		for _, found := range []string{"", "A:LOW"} { // the finding is back as a new episode
			time.Sleep(25 * time.Hour)
			w.rescan(t, "one", found)
			visit(t, w.service())
		}
		time.Sleep(25 * time.Hour)
		visit(t, w.service())
		w.rescan(t, "one", "A:LOW B:LOW")
		var (
			l    log
			once sync.Once
			wg   sync.WaitGroup
			got  []string
		)
		slow := &process{log: l.logger(), beforeCall: func(r *http.Request) {
			if strings.Contains(r.URL.Path, "/team~app/") && !strings.HasSuffix(r.URL.Path, "/index") {
				once.Do(func() { time.Sleep(10 * time.Second) })
			}
		}}
		wg.Go(func() { got = read(t, slow.service(w.s3, w.ecr)) })
		time.Sleep(time.Second)
		visit(t, w.service())
		wg.Wait()
		isOpen := func(line string) bool {
			return strings.HasPrefix(line, "one A LOW #1") && !strings.HasSuffix(line, "resolved")
		}
		if l.has("lost") || !slices.ContainsFunc(got, isOpen) {
			t.Errorf("the feed is %v, the log is %s", got, l.String())
		}
	})
}
