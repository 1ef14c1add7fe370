package httpapi_test

import (
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/feedrules"
)

const ownedConfig = `{"region":"us-west-2","registry":"123456789012","repository":"test/centos","name":"Base images","owner":"platform"}`

func addConfig(t *testing.T, s *service, body string) (c scan.Config, stored string) {
	t.Helper()
	added := call(s, "POST", "/configs", "application/json", body)
	if err := json.Unmarshal([]byte(added.body), &c); err != nil || added.status != 201 {
		t.Fatalf("%d %s, %v", added.status, added.body, err)
	}
	return c, added.body
}

func TestNameAndOwnerAreStored(t *testing.T) {
	_, h := start(t)
	c, added := addConfig(t, h, ownedConfig)
	if c.Name != "Base images" || c.Owner != "platform" {
		t.Errorf("POST returns %s", added)
	}
	if got := call(h, "GET", "/configs/"+c.ID, "", "").body; got != added {
		t.Errorf("GET returns %s, POST returned %s", got, added)
	}
}

// A config without the new fields is stored and returned as by earlier versions.
func TestConfigWithoutNameAndOwner(t *testing.T) {
	a, h := start(t)
	c, added := addConfig(t, h, valid)
	want := "{\n  \"id\": \"" + c.ID + "\",\n  \"created\": \"" + "CREATED" + "\",\n  \"region\": \"us-west-2\",\n  \"registry\": \"123456789012\",\n" +
		"  \"repository\": \"test/ubuntu\",\n  \"tags\": [\n    \"16.04\",\n    \"latest\"\n  ]\n}"
	_, rest, _ := strings.Cut(added, `"created": "`)
	created, _, _ := strings.Cut(rest, `"`)
	want = strings.Replace(want, "CREATED", created, 1)
	if added != want+"\n" {
		t.Errorf("POST returns %q, want %q", added, want+"\n")
	}
	if stored := string(objectOf(t, a, c.ID+".json")); stored != want {
		t.Errorf("S3 has %q, want %q", stored, want)
	}
}

// Each call that is about several configs has a filter by owner, so that a team has one URL.
func TestFilterByOwner(t *testing.T) {
	_, h := start(t)
	owned, _ := addConfig(t, h, ownedConfig)
	other, _ := addConfig(t, h, valid)
	if _, err := h.ScheduleAndVisit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for target, tests := range map[string]struct{ shown, hidden string }{
		"/summary?owner=platform":                  {"Results for test/centos:7", "test/ubuntu"},
		"/summary?owner=platform&format=json":      {owned.ID, other.ID},
		"/summary?owner=platform&format=csv":       {"Base images,platform", other.ID},
		"/summary?owner=platform&format=html":      {"Base images · us-west-2 · 123456789012 · all tags · owner platform", other.ID},
		"/findings/all?owner=platform":             {"across the repositories: [test/centos]", "test/ubuntu"},
		"/findings/all?owner=platform&format=html": {"Filtered by owner platform", "test/ubuntu"},
		"/changes?owner=platform":                  {"across the repositories: [test/centos]", "test/ubuntu"},
		"/changes?owner=platform&format=html":      {"Filtered by owner platform", "test/ubuntu"},
		"/findings?owner=platform":                 {"Base images: ECR repository test/centos in us-west-2", "test/ubuntu"},
		"/summary?owner=nobody":                    {"Filtered by owner nobody: nothing matches.", "test/"},
		"/findings/all?owner=nobody":               {"No config has this owner", "test/"},
		"/findings/all?owner=nobody&format=html":   {"No config has this owner.", "Nothing is watched yet"},
		"/changes?owner=nobody&format=html":        {"No config has this owner.", "Nothing is watched yet"},
		"/changes?owner=nobody":                    {"and problems with scanning. No config has this owner", "There is no config"},
		"/summary?owner=platform&owner=nobody":     {"Results for test/centos:7", "test/ubuntu"},
	} {
		got := call(h, "GET", target, "", "")
		if got.status != 200 || !strings.Contains(got.body, tests.shown) || strings.Contains(got.body, tests.hidden) {
			t.Errorf("%s: %d, want %q and no %q in\n%s", target, got.status, tests.shown, tests.hidden, got.body)
		}
	}
	if pointers := checkProblem(t, call(h, "GET", "/summary?owner="+url.QueryEscape("a\nb"), "", ""), 400); len(pointers) != 1 || pointers[0] != "/owner" {
		t.Errorf("an invalid owner: %v", pointers)
	}
}

// The feeds of one config have the same URL and ids wherever a client found them. So their links have no owner.
func TestFeedsOfOneConfigHaveNoOwner(t *testing.T) {
	_, h := start(t)
	c, _ := addConfig(t, h, ownedConfig)
	h.visit(t)
	for _, target := range []string{"/summary?owner=platform&format=json", "/summary?owner=platform&format=html", "/findings?owner=platform"} {
		body := call(h, "GET", target, "", "").body
		if !strings.Contains(body, "/findings/"+c.ID) || strings.Contains(body, "/findings/"+c.ID+"?owner") {
			t.Errorf("%s: %s", target, body)
		}
		if !strings.Contains(body, "/findings/all?owner=platform") && !strings.Contains(target, "html") {
			t.Errorf("%s has no feed of all configs with the owner: %s", target, body)
		}
	}
	for _, target := range []string{"/findings/" + c.ID, "/findings/" + c.ID + "/changes", "/gate/" + c.ID} {
		if pointers := checkProblem(t, call(h, "GET", target+"?owner=platform&max=HIGH", "", ""), 400); len(pointers) == 0 {
			t.Errorf("%s names no parameter", target)
		}
	}
	feed := call(h, "GET", "/findings/"+c.ID, "", "").body
	for _, want := range []string{"<title>Base images: ECR repository test/centos in us-west-2</title>", "across the tags: [7]. Owner: platform"} {
		if !strings.Contains(feed, want) {
			t.Errorf("the feed has no %s: %s", want, feed[:600])
		}
	}
	page := call(h, "GET", "/findings/"+c.ID+"?format=html", "", "").body
	if !strings.Contains(page, "Base images · us-west-2") || !strings.Contains(page, "owner platform") {
		t.Errorf("the page does not show the name and the owner")
	}
}

// The feeds of a filter link to the summary with the filter, as far as a summary has it, so that a team finds its own images there.
func TestFeedsLinkToTheFilteredSummary(t *testing.T) {
	_, h := start(t)
	addConfig(t, h, ownedConfig)
	h.visit(t)
	const query = "owner=platform&severity=HIGH&package=zlib"
	want := base + "/summary?owner=platform&severity=HIGH"
	list := call(h, "GET", "/findings?"+query, "", "")
	for _, feed := range feedrules.OPML(t, []byte(list.body)) {
		if strings.Contains(feed.XMLURL, "owner=") && feed.HTMLURL != want {
			t.Errorf("%s: htmlUrl %s, want %s", feed.XMLURL, feed.HTMLURL, want)
		}
	}
	for _, path := range []string{"/findings/all?", "/changes?"} {
		var f struct {
			Home string `json:"home_page_url"`
		}
		got := call(h, "GET", path+query+"&format=json", "", "")
		if err := json.Unmarshal([]byte(got.body), &f); err != nil || f.Home != want {
			t.Errorf("%s: home_page_url %s, want %s, %v", path, f.Home, want, err)
		}
	}
}

func objectOf(t *testing.T, a *awstest.AWS, key string) []byte {
	t.Helper()
	o, err := a.S3Client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(awstest.Bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(o.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
