package simulation

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/demo"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/feedrules"
)

// demoReader reads the feeds of the demo.
type demoReader struct {
	*reader
	demo    *demo.Demo
	present time.Time // the real clock
	feeds   []string
	// absent is when an image was not yet in the summary, for the last time.
	absent map[string]time.Time
	last   time.Time // of the last summary
}

// The feeds of the demo obey the rules of the simulated months: entries do not change, what ends has begun, nothing is from before its
// image was first met or from the future, and a vulnerability is told once.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("plays 60 days")
	}
	t.Parallel()
	present := time.Date(2026, 11, 29, 7, 8, 9, 0, time.UTC)
	d, err := demo.New(func() time.Time { return present })
	if err != nil {
		t.Fatal(err)
	}
	store, err := awslocal.NewMemoryS3OnClock(awstest.Bucket, d.Clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	service := awstest.NewService(awstest.InProcess(store), awstest.InProcess(d.ECR), d.Clock.Now, awstest.Silent())
	service.Queue.Now = d.Clock.Now
	r := &demoReader{reader: newReader(t, service), demo: d, present: present, absent: map[string]time.Time{}, last: d.Clock.Now()}
	for _, c := range d.Configs {
		draft := awslocal.MustJSON(map[string]any{"region": c.Region, "registry": c.Registry, "repository": c.Repository, "tags": c.Tags})
		var stored struct{ ID string }
		if err := json.Unmarshal([]byte(r.call("POST", "/configs", draft)), &stored); err != nil {
			t.Fatal(err)
		}
		r.feeds = append(r.feeds, "/findings/"+stored.ID)
	}
	start := d.Clock.Now()
	for step := 0; d.Clock.Now().Before(present); step++ {
		d.Clock.Set(start.Add(time.Duration(step) * (6*time.Hour + time.Minute)))
		if _, err := d.Play(); err != nil {
			t.Fatal(err)
		}
		if _, err := service.ScheduleAndVisit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if step%8 == 7 {
			r.readDays(step%60 == 55)
		}
	}
	r.readDays(true)
	r.checkStory()
}

// readDays reads the changes and the summary of two days, and with all each feed.
func (r *demoReader) readDays(all bool) {
	r.Helper()
	now := r.demo.Clock.Now()
	r.readSummary(now)
	r.readChanges("/changes", now)
	for _, feed := range r.feeds {
		if all {
			r.readChanges(feed+"/changes", now)
			feedrules.Atom(r, []byte(r.call("GET", feed, "")))
			feedrules.Atom(r, []byte(r.call("GET", feed+"/changes", "")))
		}
	}
	for _, e := range r.all("/changes") {
		if e.UpdatedParsed.After(now) || now.After(r.present) {
			r.Errorf("%q of %s is from the future, it is %s", e.Title, e.Updated, now)
		}
	}
}

// readSummary notes when images are first met.
func (r *demoReader) readSummary(now time.Time) {
	var summary struct {
		Configs []struct {
			Repository string
			Images     []struct{ Tag, Platform string }
		}
	}
	if err := json.Unmarshal([]byte(r.call("GET", "/summary?format=json", "")), &summary); err != nil {
		r.Fatal(err)
	}
	for _, c := range summary.Configs {
		for _, i := range c.Images {
			name := c.Repository + ":" + i.Tag
			if i.Platform != "" {
				name += " (" + i.Platform + ")"
			}
			if _, known := r.absent[name]; !known {
				r.absent[name] = r.last
			}
		}
	}
	r.last = now
}

// checkStory compares the changes of all 60 days with the story.
func (r *demoReader) checkStory() {
	told := r.toldChanges("/changes", r.all("/changes"))
	r.checkEnds("/changes", told)
	state, kinds := map[string]string{}, map[string]int{}
	var critical []string
	for _, c := range told {
		kinds[c.kind]++
		if met, known := r.absent[c.image]; !known || c.from.Before(met) {
			r.Errorf("%v of %s is from before %s, when the image was not there", c, c.from, met)
		}
		if key := c.image + " " + c.finding; c.kind == "NEW" || c.kind == "FIXED" {
			if state[key] == c.kind {
				r.Errorf("%v of %s is told twice", c, c.from)
			}
			state[key] = c.kind
		}
		if c.kind == "NOT SCANNED" && !strings.HasPrefix(c.image, "tools/builder:") { // the scans of the images there fail
			r.Errorf("%v of %s", c, c.from)
		}
		if c.severity == "CRITICAL" && (c.image == "shop/web:latest" || strings.HasPrefix(c.kind, "SEVERITY")) {
			critical = append(critical, fmt.Sprint(c.kind, " ", c.finding))
		}
	}
	want := []string{"SEVERITY RAISED CVE-2021-45046"}
	for _, name := range []string{"CVE-2022-1664", "CVE-2022-37434", "CVE-2022-32221", "CVE-2022-47629", "CVE-2022-29155", "CVE-2022-1586"} {
		want = append(want, "NEW "+name, "FIXED "+name)
	}
	if !slices.Equal(critical, want) {
		r.Errorf("told of CRITICAL:\n%q, want\n%q", critical, want)
	}
	for kind, n := range map[string]int{
		"SCAN FAILED": 3, "SCAN RECOVERED": 2, "TAG GONE": 1, "PLATFORM GONE": 1, "PLATFORM BACK": 1, "ARCHIVED": 1, "RESTORED": 1, "SEVERITY LOWERED": 2,
	} {
		if kinds[kind] != n {
			r.Errorf("%s: %d times, want %d", kind, kinds[kind], n)
		}
	}
	if kinds["FIX AVAILABLE"] == 0 {
		r.Error("no fixed version became available")
	}
	r.Logf("%v", kinds)
}
