package simulation

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

var builds = ecr.RepositoryID{Region: awslocal.DefaultRegion, Registry: awslocal.DefaultRegistry, Name: "team/builds"}

// pushedBuild is an image of a repository to which somebody pushes all the time. It has more vulnerabilities from time to time.
type pushedBuild struct {
	tag            string // its digest if it has none
	pushed, pulled time.Time
	vulnerable     int
	deleted, told  bool
	// scanned is when ECR last scanned it, and found is the number of vulnerabilities of this scan. known is the number of those in the last recorded scan, since
	// is its time, and first is the number in the baseline.
	scanned, since      time.Time
	found, known, first int
}

// selection is a config of the model.
type selection struct {
	body             string
	prefix           string
	untagged         bool
	newest, usedDays int
	id               string
}

// pushing is the repository, its configs and a model of what they watch.
type pushing struct {
	testing.TB
	*awstest.AWS
	random  *rand.Rand
	builds  []*pushedBuild
	configs []*selection
	// happened counts what the feeds told.
	happened map[string]int
}

func (p *pushing) matches(c *selection, b *pushedBuild) bool {
	if scan.IsUntagged(b.tag) {
		return c.untagged
	}
	return strings.HasPrefix(b.tag, c.prefix)
}

// watches reports whether a config watches a build now. A deleted build is watched if it would be watched if it existed.
func (p *pushing) watches(c *selection, b *pushedBuild) (isWatched bool, why string) {
	if !p.matches(c, b) {
		return false, "another tag"
	}
	newer := 0
	for _, other := range p.builds {
		if !other.deleted && p.matches(c, other) && other.pushed.After(b.pushed) {
			newer++
		}
	}
	used := b.pushed
	if pulled := b.pulled.Add(day); pulled.After(used) {
		used = pulled
	}
	switch {
	case c.newest > 0 && newer >= c.newest:
		return false, "older"
	case c.usedDays > 0 && p.Now().Sub(used) > time.Duration(c.usedDays)*day:
		return false, "unused"
	}
	return true, ""
}

func (p *pushing) isWatched(b *pushedBuild) bool {
	return slices.ContainsFunc(p.configs, func(c *selection) bool { is, _ := p.watches(c, b); return is })
}

func (p *pushing) push() {
	b := &pushedBuild{pushed: p.Now().UTC().Truncate(time.Second), vulnerable: 1 + p.random.IntN(3)}
	var tags []string
	if kind := p.random.IntN(10); kind < 8 {
		tags = []string{fmt.Sprint([]string{"b", "b", "b", "x"}[kind%4], len(p.builds))}
	}
	b.tag = p.ECR.PutImage(builds, ecr.Image{
		Tags: tags, Manifest: fmt.Sprintf(`{"build":%d}`, len(p.builds)), MediaType: ecr.OCIManifest, PushedAt: b.pushed, Findings: b.findings(),
	})
	if len(tags) > 0 {
		b.tag = tags[0]
	}
	p.builds = append(p.builds, b)
	p.Advance(2 * time.Second)
}

func (b *pushedBuild) findings() []ecr.Finding {
	c := content{}
	for n := range b.vulnerable {
		c[findingKey{fmt.Sprintf("CVE-2026-%04d", n), "ssl"}] = details{severity: "HIGH"}
	}
	return basicFindings(c)
}

// happen makes random events happen.
func (p *pushing) happen() {
	for p.random.IntN(10) < 3 {
		p.push()
	}
	existing := slices.DeleteFunc(slices.Clone(p.builds), func(b *pushedBuild) bool { return b.deleted })
	if len(existing) == 0 {
		return
	}
	update := func(b *pushedBuild, change func(*ecr.Image)) {
		if err := p.ECR.UpdateImage(builds, b.tag, change); err != nil {
			p.Fatal(err)
		}
	}
	last := existing[len(existing)-1-p.random.IntN(min(4, len(existing)))]
	b := existing[p.random.IntN(len(existing))]
	switch p.random.IntN(8) {
	case 0, 1: // the older ones return
		if err := p.ECR.DeleteImage(builds, last.tag); err != nil {
			p.Fatal(err)
		}
		last.told = p.isWatched(last) && !last.since.IsZero()
		last.deleted = true
	case 2, 3:
		b.pulled = p.Now().UTC().Truncate(time.Second)
		update(b, func(i *ecr.Image) { i.PulledAt = b.pulled })
	case 4, 5, 6:
		for _, one := range existing {
			if one.vulnerable < 9 && p.random.IntN(2) == 0 {
				one.vulnerable++
				update(one, func(i *ecr.Image) { i.Findings = one.findings() })
			}
		}
	}
}

// recordScans updates the model when the results of the last scans are recorded.
func (p *pushing) recordScans() {
	at := make(map[string]time.Time)
	for _, state := range p.ECR.Images(builds) {
		at[state.Digest] = state.ScannedAt
		for _, tag := range state.Tags {
			at[tag] = state.ScannedAt
		}
	}
	for _, b := range p.builds {
		if scanned := at[b.tag]; !b.deleted && !scanned.Equal(b.scanned) {
			b.scanned, b.found = scanned, b.vulnerable
		}
		if b.deleted || b.scanned.Equal(b.since) || !p.isWatched(b) {
			continue
		}
		if b.since.IsZero() {
			b.first = b.found
		}
		b.since, b.known = b.scanned, b.found
	}
}

// expected returns what the summary and the changes of a config must contain now.
func (p *pushing) expected(c *selection) (tags, told []string, older, unused int) {
	for _, b := range p.builds {
		isWatched, why := p.watches(c, b)
		switch {
		case !b.deleted && why == "older":
			older++
		case !b.deleted && why == "unused":
			unused++
		case !b.deleted && isWatched:
			tags = append(tags, b.tag)
		}
		if !isWatched {
			continue
		}
		for n := b.first; n < b.known; n++ {
			told = append(told, fmt.Sprintf("NEW %s CVE-2026-%04d", b.tag, n))
		}
		if b.told {
			told = append(told, "TAG GONE "+b.tag)
		}
	}
	slices.Sort(tags)
	slices.Sort(told)
	return tags, told, older, unused
}

var changeTitle = regexp.MustCompile(`^\[([A-Z ,]+)\] .*team/builds[:@](\S+?)( found (\S+))?$`)

func (p *pushing) check(r *reader) {
	var summary struct {
		Configs []struct {
			ID                 string
			NotNewest, NotUsed int
			Images             []struct{ Tag string }
		}
	}
	if err := json.Unmarshal([]byte(r.call("GET", "/summary?format=json", "")), &summary); err != nil {
		p.Fatal(err)
	}
	for n, c := range p.configs {
		wantTags, wantTold, older, unused := p.expected(c)
		got := summary.Configs[n]
		var tags, told []string
		for _, i := range got.Images {
			tags = append(tags, i.Tag)
		}
		for _, e := range r.pages("/findings/" + c.id + "/changes") {
			parts := changeTitle.FindStringSubmatch(e.Title)
			if parts == nil {
				p.Fatalf("title %q", e.Title)
			}
			told = append(told, strings.TrimSpace(parts[1]+" "+parts[2]+" "+parts[4]))
			r.checkID(c.id+told[len(told)-1], e.ID)
			p.happened[parts[1]]++
		}
		slices.Sort(told)
		if diff := cmp.Diff(wantTags, tags); got.ID != c.id || diff != "" || got.NotNewest != older || got.NotUsed != unused {
			p.Errorf("%s: %s: %d older, want %d; %d unused, want %d (-want +got):\n%s", p.Now().UTC().Format(time.RFC3339), c.body, got.NotNewest, older, got.NotUsed, unused, diff)
		}
		if diff := cmp.Diff(wantTold, told); diff != "" {
			p.Errorf("%s: changes of %s (-want +got):\n%s", p.Now().UTC().Format(time.RFC3339), c.body, diff)
		}
		p.happened["older"] += older
		p.happened["unused"] += unused
	}
}

// In a month with pushes and deletions all the time, each config has exactly its images, and tells exactly what changed in them.
func TestMonthOfTheNewest(t *testing.T) {
	some := []*selection{
		{body: `"newest":3`, newest: 3}, {body: `"newest":4,"used":"3d","tags":["b*"]`, prefix: "b", newest: 4, usedDays: 3},
		{body: `"used":"5d","untagged":true,"newest":6`, newest: 6, usedDays: 5, untagged: true},
	}
	happened := make(map[string]int)
	for name, configs := range map[string][]*selection{"some": some, "all": append([]*selection{{body: `"tags":null`}}, some...)} {
		t.Run(name, func(t *testing.T) { monthOfTheNewest(t, configs, happened) })
	}
	t.Logf("%v", happened)
	for _, kind := range []string{"NEW", "TAG GONE", "older", "unused"} {
		if happened[kind] == 0 {
			t.Errorf("%s never happened", kind)
		}
	}
}

func monthOfTheNewest(t *testing.T, configs []*selection, happened map[string]int) {
	p := &pushing{TB: t, AWS: awstest.Start(t, ecr.Options{ScanTime: scanTime}), random: rand.New(rand.NewPCG(uint64(len(configs)), 19)), happened: happened}
	service := awstest.NewService(awstest.Config(p.S3URL), awstest.Config(p.ECRURL), p.Now, awstest.Silent())
	service.Queue.Now = p.Now
	visit := func() {
		if visits, err := service.ScheduleAndVisit(t.Context()); err != nil || visits.Count(rescan.VisitFailed) > 0 {
			t.Fatalf("%v, %+v", err, visits)
		}
	}
	r := newReader(t, service)
	p.push()
	for _, one := range configs {
		c := *one
		c.id = strings.TrimPrefix(r.post(builds.Name, c.body), "/findings/")
		p.configs = append(p.configs, &c)
	}
	for range 29 * 4 {
		p.happen()
		p.Advance(6*time.Hour + time.Duration(p.random.IntN(10))*time.Minute)
		visit()
		p.Advance(2 * scanTime)
		p.recordScans()
		visit()
		p.check(r)
		if t.Failed() {
			t.FailNow()
		}
	}
}
