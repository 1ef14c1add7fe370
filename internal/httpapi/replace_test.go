package httpapi_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

func replace(h *service, id, body string, header ...string) response {
	return call(h, "PUT", "/configs/"+id, "application/json", body, header...)
}

const otherTags = `{"region":"us-west-2","registry":"123456789012","repository":"test/ubuntu","tags":["latest"],"owner":"platform"}`

// A replaced config keeps its id, so its feeds go on. Readers see it at once.
func TestReplaceConfig(t *testing.T) {
	a, h := start(t)
	c, _ := addConfig(t, h, valid)
	h.visit(t)
	before := call(h, "GET", "/findings/"+c.ID, "", "").body
	a.Advance(time.Minute)
	got := replace(h, c.ID, otherTags)
	var replaced scan.Config
	if err := json.Unmarshal([]byte(got.body), &replaced); err != nil || got.status != 200 {
		t.Fatalf("%d %s, %v", got.status, got.body, err)
	}
	if replaced.ID != c.ID || replaced.Created != c.Created || replaced.Updated < c.Created+60 || !slices.Equal(replaced.Tags, []string{"latest"}) || replaced.Owner != "platform" {
		t.Errorf("replaced: %+v, before: %+v", replaced, c)
	}
	if got.header.Get("ETag") != "" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v: the ETag of a PUT would be that of the client's body", got.header)
	}
	if one := call(h, "GET", "/configs/"+c.ID, "", "").body; one != got.body {
		t.Errorf("GET: %s", one)
	}
	if all := call(h, "GET", "/configs", "", "").body; !strings.Contains(all, `"updated"`) || strings.Contains(all, "16.04") {
		t.Errorf("the list: %s", all)
	}
	for _, path := range []string{"/summary", "/findings/" + c.ID, "/findings/all"} {
		if body := call(h, "GET", path, "", "").body; strings.Contains(body, "16.04") || !strings.Contains(body, "latest") {
			t.Errorf("%s before the next visit: %s", path, body)
		}
	}
	h.VisitAll(t.Context())
	feed := func(body string) (id, entry string) {
		id, rest, _ := strings.Cut(body, "</id>")
		_, rest, _ = strings.Cut(rest, "found in latest")
		return id[strings.LastIndex(id, "<id>"):], rest
	}
	wantID, _ := feed(before)
	if id, _ := feed(call(h, "GET", "/findings/"+c.ID, "", "").body); id != wantID {
		t.Errorf("the feed has the id %s, before %s", id, wantID)
	}
}

func TestReplaceRequestsVisits(t *testing.T) {
	_, h := start(t)
	c, _ := addConfig(t, h, valid)
	h.VisitAll(t.Context())
	messages := func() (sent []rescan.Message) {
		for _, m := range h.Queue.Take() {
			sent = append(sent, m.Message)
		}
		return sent
	}
	centos := scan.Repository{Registry: c.Registry, Region: c.Region, Name: "test/centos"}
	replace(h, c.ID, otherTags)
	if diff := cmp.Diff([]rescan.Message{rescan.NewMessage(c.Repo(), c.ID)}, messages()); diff != "" {
		t.Errorf("the same repository (-want +got):\n%s", diff)
	}
	replace(h, c.ID, strings.Replace(otherTags, "test/ubuntu", "test/centos", 1))
	if diff := cmp.Diff([]rescan.Message{rescan.NewMessage(centos, c.ID), rescan.NewMessage(c.Repo(), c.ID)}, messages()); diff != "" {
		t.Errorf("another repository (-want +got):\n%s", diff)
	}
	for _, target := range []string{c.ID, exampleID} {
		replace(h, target, `{}`)
	}
	replace(h, c.ID, otherTags, "If-Match", `"other"`)
	replace(h, exampleID, otherTags)
	if sent := messages(); len(sent) != 0 {
		t.Errorf("calls that store nothing sent %+v", sent)
	}
}

// The visit of the repository that the config watched deletes its record, unless another config watches it.
func TestReplaceTheRepository(t *testing.T) {
	a, h := start(t)
	c, _ := addConfig(t, h, valid)
	h.VisitAll(t.Context())
	centos := strings.Replace(otherTags, `"test/ubuntu","tags":["latest"]`, `"test/centos"`, 1)
	recordsOf := func(name string) int {
		return len(slices.DeleteFunc(keysOf(t, a), func(key string) bool { return !strings.Contains(key, name) }))
	}
	if recordsOf("test~ubuntu") == 0 {
		t.Fatalf("no record among %v", keysOf(t, a))
	}
	replace(h, c.ID, centos)
	h.VisitAll(t.Context())
	if n := recordsOf("test~ubuntu"); n != 0 {
		t.Errorf("%d objects of the repository that no config watches", n)
	}
	if body := call(h, "GET", "/summary", "", "").body; !strings.Contains(body, "test/centos:7") || strings.Contains(body, "ubuntu") {
		t.Errorf("the summary: %s", body)
	}
	other, _ := addConfig(t, h, centos)
	h.VisitAll(t.Context())
	replace(h, c.ID, valid)
	h.VisitAll(t.Context())
	if recordsOf("test~centos") == 0 || other.ID == c.ID {
		t.Error("the record of a repository that another config watches is deleted")
	}
}

func TestReplaceWithIfMatch(t *testing.T) {
	_, h := start(t)
	c, added := addConfig(t, h, valid)
	target := "/configs/" + c.ID
	etag := call(h, "GET", target, "", "").header.Get("ETag")
	if etag == "" || call(h, "HEAD", target, "", "").header.Get("ETag") != etag {
		t.Fatalf("the ETag is %q", etag)
	}
	if got := call(h, "GET", target, "", "", "If-None-Match", etag); got.status != 304 || got.body != "" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("If-None-Match: %+v", got)
	}
	for _, given := range []string{`"x"`, "W/" + etag, strings.Trim(etag, `"`), `"x", "y"`, "", ","} {
		checkProblem(t, replace(h, c.ID, otherTags, "If-Match", given), 412)
		if got := call(h, "GET", target, "", ""); got.body != added {
			t.Fatalf("If-Match %q: stored %s", given, got.body)
		}
	}
	for _, given := range []string{etag, `"x" , ` + etag, "*"} {
		if got := replace(h, c.ID, otherTags, "If-Match", strings.ReplaceAll(given, etag, call(h, "GET", target, "", "").header.Get("ETag"))); got.status != 200 {
			t.Errorf("If-Match %q: %d %s", given, got.status, got.body)
		}
	}
	checkProblem(t, replace(h, c.ID, valid, "If-Match", etag), 412)
	checkProblem(t, replace(h, exampleID, valid, "If-Match", "*"), 404)
}

func TestDeleteWithIfMatch(t *testing.T) {
	_, h := start(t)
	c, added := addConfig(t, h, valid)
	target := "/configs/" + c.ID
	read := func() string { return call(h, "GET", target, "", "").header.Get("ETag") }
	before := read()
	replace(h, c.ID, otherTags)
	etag, stored := read(), call(h, "GET", target, "", "").body
	if etag == before || stored == added {
		t.Fatal("the config is not replaced")
	}
	for _, given := range []string{before, `"x"`, "W/" + etag, strings.Trim(etag, `"`), `"x", "y"`, "", ","} {
		checkProblem(t, call(h, "DELETE", target, "", "", "If-Match", given), 412)
		if got := call(h, "GET", target, "", ""); got.body != stored {
			t.Fatalf("If-Match %q: stored %s", given, got.body)
		}
	}
	checkProblem(t, call(h, "DELETE", "/configs/"+exampleID, "", "", "If-Match", "*"), 404)
	for _, form := range []string{"ETAG", `"x" , ETAG`, "*"} {
		c, _ := addConfig(t, h, valid)
		target := "/configs/" + c.ID
		given := strings.ReplaceAll(form, "ETAG", call(h, "GET", target, "", "").header.Get("ETag"))
		if got := call(h, "DELETE", target, "", "", "If-Match", given); got.status != 204 || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("If-Match %q: %d %s", given, got.status, got.body)
		}
		checkProblem(t, call(h, "GET", target, "", ""), 404)
	}
	if got := call(h, "DELETE", target, "", ""); got.status != 204 {
		t.Errorf("without If-Match: %d %s", got.status, got.body)
	}
}

func TestInvalidReplacements(t *testing.T) {
	_, h := start(t)
	c, added := addConfig(t, h, valid)
	target := "/configs/" + c.ID
	checkProblem(t, call(h, "PUT", target, "text/plain", valid), 415)
	checkProblem(t, call(h, "PUT", target, "application/json", valid+strings.Repeat(" ", 64<<10)), 413)
	checkProblem(t, call(h, "PUT", "/configs/"+strings.ToUpper(c.ID), "application/json", valid), 404)
	checkProblem(t, call(h, "PUT", "/configs/"+exampleID, "application/json", valid), 404)
	checkProblem(t, call(h, "PUT", "/configs", "application/json", valid), 405)
	if diff := cmp.Diff([]string{"/created", "/id"}, slices.Sorted(slices.Values(checkProblem(t, call(h, "PUT", target, "application/json", added), 400)))); diff != "" {
		t.Errorf("named fields (-want +got):\n%s", diff)
	}
	for _, body := range []string{"", "{}", `{"updated":"1",` + valid[1:], `{"name":"",` + valid[1:]} {
		if pointers := checkProblem(t, call(h, "PUT", target, "application/json", body), 400); len(pointers) == 0 {
			t.Errorf("%s: no field is named", body)
		}
	}
	if got := call(h, "GET", target, "", "").body; got != added {
		t.Errorf("stored: %s", got)
	}
}

// A PUT that fails says so, and the config stays.
func TestReplaceWhileS3Fails(t *testing.T) {
	a, h := start(t)
	c, added := addConfig(t, h, valid)
	a.S3.InjectFault(awslocal.Fault{Operation: "PutObject", Status: 503})
	checkProblem(t, replace(h, c.ID, otherTags), 503)
	a.S3.ClearFaults()
	if got := call(h, "GET", "/configs/"+c.ID, "", "").body; got != added {
		t.Errorf("stored: %s", got)
	}
}

func keysOf(t *testing.T, a *awstest.AWS) []string {
	t.Helper()
	page, err := a.S3Client().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(awstest.Bucket)})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, o := range page.Contents {
		keys = append(keys, aws.ToString(o.Key))
	}
	return keys
}

// A read during a PUT shows the config before or after it, and never a part of each. Visits that run at the same time leave the record of what is
// watched at the end.
func TestReadsAndVisitsDuringReplacements(t *testing.T) {
	a, h := start(t)
	ubuntu := strings.Replace(valid, "{", `{"owner":"of-ubuntu",`, 1)
	centos := strings.Replace(ownedConfig, "platform", "of-centos", 1)
	c, _ := addConfig(t, h, ubuntu)
	h.visit(t)
	var writer, others sync.WaitGroup
	var done atomic.Bool
	writer.Go(func() {
		for i := range 10 {
			if got := replace(h, c.ID, []string{centos, ubuntu}[i%2]); got.status != 200 {
				t.Errorf("PUT: %d %s", got.status, got.body)
			}
		}
	})
	for _, path := range []string{"/configs", "/configs/" + c.ID, "/findings/" + c.ID, "/findings/all?owner=of-centos", "/summary?format=json&owner=of-ubuntu"} {
		others.Go(func() {
			for !done.Load() {
				got := call(h, "GET", path, "", "")
				hasUbuntu := strings.Contains(got.body, "test/ubuntu") || strings.Contains(got.body, "Owner: of-ubuntu")
				hasCentos := strings.Contains(got.body, "test/centos") || strings.Contains(got.body, "Base images") || strings.Contains(got.body, "Owner: of-centos")
				if got.status != 200 || hasUbuntu && hasCentos {
					t.Errorf("%s mixes two versions: %d %s", path, got.status, got.body)
					return
				}
			}
		})
	}
	others.Go(func() {
		for !done.Load() {
			if _, err := h.ScheduleAndVisit(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	writer.Wait()
	done.Store(true)
	others.Wait()
	h.visit(t)
	var recorded []string
	for _, key := range keysOf(t, a) {
		if strings.HasSuffix(key, "/index") {
			recorded = append(recorded, key)
		}
	}
	if len(recorded) != 1 || !strings.Contains(recorded[0], "test~ubuntu") {
		t.Errorf("recorded: %v", recorded)
	}
}

// Two configs may watch the same, for example with different owners. The answer, the log and the summary page say so.
func TestDuplicateConfigs(t *testing.T) {
	a, _ := start(t)
	var log bytes.Buffer
	s := a.Service(slog.New(slog.NewJSONHandler(&log, nil)))
	h := &service{handler(t, s.API(base)), s}
	post := func(body string) (c scan.Config, link string) {
		got := call(h, "POST", "/configs", "application/json", body)
		if err := json.Unmarshal([]byte(got.body), &c); err != nil || got.status != 201 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return c, got.header.Get("Link")
	}
	first, link := post(valid)
	if link != "" {
		t.Errorf("the first config: Link %s", link)
	}
	for name, body := range map[string]string{
		"fewer tags": strings.Replace(valid, `"16.04",`, "", 1), "all tags": strings.Replace(valid, `,"tags":["16.04","latest"]`, "", 1),
		"another repository": strings.Replace(valid, "test/ubuntu", "test/centos", 1), "another Region": strings.Replace(valid, "us-west-2", "us-east-1", 1),
	} {
		if _, link := post(body); link != "" {
			t.Errorf("%s: Link %s", name, link)
		}
	}
	if strings.Contains(log.String(), "watches exactly") || strings.Contains(call(h, "GET", "/summary?format=html", "", "").body, "Watches exactly") {
		t.Errorf("before a duplicate: %s", log.String())
	}
	want := "<" + base + "/configs/" + first.ID + `>; rel="duplicate"`
	second, link := post(strings.Replace(valid, `["16.04","latest"]`, `["latest","16.04"],"name":"again"`, 1))
	if link != want {
		t.Errorf("Link %q, want %q", link, want)
	}
	if !strings.Contains(log.String(), `"config":"`+second.ID+`","other":"`+first.ID+`"`) {
		t.Errorf("log: %s", log.String())
	}
	if page := call(h, "GET", "/summary?format=html", "", "").body; strings.Count(page, "Watches exactly what the config") != 1 || !strings.Contains(page, `/findings/`+first.ID+`?format=html">`+first.ID[:8]) {
		t.Errorf("the page: %s", page)
	}
	if got := replace(h, second.ID, otherTags); got.header.Get("Link") == "" { // as "fewer tags"
		t.Errorf("PUT: %+v", got)
	}
	if got := replace(h, second.ID, strings.Replace(otherTags, "latest", "other", 1)); got.status != 200 || got.header.Get("Link") != "" {
		t.Errorf("PUT of other tags: %+v", got)
	}
	if got := replace(h, first.ID, valid); got.header.Get("Link") != "" {
		t.Errorf("PUT of the same content: %+v", got)
	}
}
