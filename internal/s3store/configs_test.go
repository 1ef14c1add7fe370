package s3store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
)

const knownID = "4471c156-29f5-40fe-883b-3cd26738d5a6"

func newConfig(t *testing.T, repo string, tags ...string) scan.Config {
	t.Helper()
	c, err := scan.NewConfig(scan.Config{Region: "us-west-2", Registry: "123456789012", Repository: repo, Tags: tags}, time.Unix(1569927812, 0))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func put(t *testing.T, a *awstest.AWS, key, body string) {
	t.Helper()
	_, err := a.S3Client().PutObject(context.Background(), &s3.PutObjectInput{Bucket: aws.String(awstest.Bucket), Key: &key, Body: strings.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
}

func TestConfigRoundTrip(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	store := a.Service(awstest.Silent()).Configs
	if configs, err := store.List(t.Context()); err != nil || len(configs) != 0 {
		t.Errorf("an empty bucket lists %v, %v", configs, err)
	}
	first, second := newConfig(t, "test/ubuntu", "16.04", "latest"), newConfig(t, "test/centos")
	for _, c := range []scan.Config{second, first} {
		if err := store.Put(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	got, err := store.List(t.Context())
	if diff := cmp.Diff([]scan.Config{first, second}, got); err != nil || diff != "" {
		t.Errorf("list: %v (-want +got):\n%s", err, diff)
	}
	one, err := store.Get(t.Context(), first.ID)
	if diff := cmp.Diff(first, one); err != nil || diff != "" {
		t.Errorf("get: %v (-want +got):\n%s", err, diff)
	}
	if at, err := store.LastDeleted(t.Context()); err != nil || !at.IsZero() {
		t.Errorf("before a delete: last deleted %v, %v", at, err)
	}
	if err := store.Delete(t.Context(), first.ID, nil); err != nil {
		t.Errorf("delete: %v", err)
	}
	if at, err := store.LastDeleted(t.Context()); err != nil || at.Before(a.Now().Add(-time.Minute)) || at.After(a.Now().Add(time.Minute)) {
		t.Errorf("last deleted %v, %v", at, err)
	}
	if got, err := store.List(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("list after the delete: %v, %v", got, err)
	}
	for what, err := range map[string]error{"delete again": store.Delete(t.Context(), first.ID, nil), "get": errorOf(store.Get(t.Context(), first.ID))} {
		if scan.CodeOf(err) != scan.NotFound {
			t.Errorf("%s after the delete: %v", what, err)
		}
	}
}

func errorOf(_ scan.Config, err error) error { return err }

func TestListOfMoreThanOnePage(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	store := a.Service(awstest.Silent()).Configs
	const many = 2100
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range many / 8 {
				if err := store.Put(t.Context(), newConfig(t, "test/app")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range 1200 {
		put(t, a, fmt.Sprintf("state/%04d.json", i), "{}")
	}
	a.S3.ResetCount()
	configs, err := store.List(t.Context())
	if err != nil || len(configs) != many/8*8 {
		t.Errorf("listed %d of %d, %v", len(configs), many/8*8, err)
	}
	if lists := a.S3.Count().Calls["ListObjectsV2"]; lists != 3 {
		t.Errorf("%d calls to list, want 3: objects below a prefix need no calls", lists)
	}
}

// Configs that the demo's functions wrote can be read.
func TestConfigsOfTheDemo(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	put(t, a, knownID+".json", `{"id":"`+knownID+`","created":"1569927812","region":"us-west-2","registry":"123456789012","repository":"amazonlinux","tags":["2018.03","2018.03"]}`)
	other := "5471c156-29f5-40fe-883b-3cd26738d5a6"
	put(t, a, other+".json", `{"id":"`+other+`","created":"1569927813","region":"us-west-2","registry":"123456789012","repository":"test/centos","tags":[],"more":1}`)
	got, err := a.Service(awstest.Silent()).Configs.List(t.Context())
	want := []scan.Config{
		{ID: knownID, Created: 1569927812, Region: "us-west-2", Registry: "123456789012", Repository: "amazonlinux", Tags: []string{"2018.03"}},
		{ID: other, Created: 1569927813, Region: "us-west-2", Registry: "123456789012", Repository: "test/centos"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// Objects that are not configs are never listed, returned or deleted, and cause no errors.
func TestObjectsThatAreNotConfigs(t *testing.T) {
	good := `{"id":"` + knownID + `","created":"1","region":"us-west-2","registry":"123456789012","repository":"test/app","tags":null}`
	for name, object := range map[string]struct{ key, body string }{
		"truncated":           {knownID + ".json", good[:40]},
		"empty":               {knownID + ".json", ""},
		"another type":        {knownID + ".json", `[1,2]`},
		"null":                {knownID + ".json", `null`},
		"not JSON":            {knownID + ".json", "\x00\xff\x1f\x8b"},
		"another's id":        {knownID + ".json", strings.Replace(good, knownID, "00000000-29f5-40fe-883b-3cd26738d5a6", 1)},
		"created, year 10000": {knownID + ".json", strings.Replace(good, `"1"`, `"253402300800"`, 1)},
		"created, a number":   {knownID + ".json", strings.Replace(good, `"1"`, `1`, 1)},
		"invalid region":      {knownID + ".json", strings.Replace(good, "us-west-2", "evil.example/#", 1)},
		"invalid tag":         {knownID + ".json", strings.Replace(good, "null", `["../x"]`, 1)},
		"huge":                {knownID + ".json", good + strings.Repeat(" ", 300<<10)},
		"trailing value":      {knownID + ".json", good + good},
		"upper-case name":     {strings.ToUpper(knownID) + ".json", good},
		"another suffix":      {knownID + ".json.bak", good},
		"under a prefix":      {"backup/" + knownID + ".json", good},
		"a folder":            {knownID + ".json/", ""},
		"special characters":  {"häßlich \"<&>.json", good},
		"a plain file":        {"index.html", "<html>"},
	} {
		t.Run(name, func(t *testing.T) {
			a := awstest.Start(t, ecr.Options{})
			put(t, a, object.key, object.body)
			store := a.Service(awstest.Silent()).Configs
			mine := newConfig(t, "test/app")
			if err := store.Put(t.Context(), mine); err != nil {
				t.Fatal(err)
			}
			got, err := store.List(t.Context())
			if diff := cmp.Diff([]scan.Config{mine}, got); err != nil || diff != "" {
				t.Errorf("list: %v (-want +got):\n%s", err, diff)
			}
			if _, err := store.Get(t.Context(), knownID); scan.CodeOf(err) != scan.NotFound {
				t.Errorf("get: %v", err)
			}
			if err := store.Delete(t.Context(), knownID, nil); scan.CodeOf(err) != scan.NotFound {
				t.Errorf("delete: %v", err)
			}
			_, err = a.S3Client().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(awstest.Bucket), Key: &object.key})
			if err != nil {
				t.Errorf("the foreign object was deleted: %v", err)
			}
		})
	}
}

func TestConfigFaults(t *testing.T) {
	object := awstest.Bucket + "/" + knownID + ".json"
	for name, test := range map[string]struct {
		fault awslocal.Fault
		list  scan.Code // of List; the valid config must be in the result if there is no error
		get   scan.Code
	}{
		"500 once":                    {awslocal.Fault{Status: 500, Calls: 1}, "", ""},
		"slow down twice":             {awslocal.Fault{Status: 503, Calls: 2}, "", ""},
		"500 always":                  {awslocal.Fault{Status: 500}, scan.Unavailable, scan.Unavailable},
		"body truncated once":         {awslocal.Fault{Operation: "GetObject", Cut: true, Calls: 1}, "", ""},
		"body truncated":              {awslocal.Fault{Operation: "GetObject", Cut: true}, scan.Unavailable, scan.Unavailable},
		"no permission to list":       {awslocal.Fault{Operation: "ListObjectsV2", Code: "AccessDenied"}, scan.Unavailable, ""},
		"no permission to read":       {awslocal.Fault{Operation: "GetObject", Code: "AccessDenied"}, scan.Unavailable, scan.Unavailable},
		"no bucket":                   {awslocal.Fault{Code: "NoSuchBucket"}, scan.Unavailable, scan.Unavailable},
		"one object in Glacier":       {awslocal.Fault{Resource: object, Code: "InvalidObjectState", Status: 403}, "", scan.NotFound},
		"access to one object denied": {awslocal.Fault{Resource: object, Code: "AccessDenied"}, "", scan.Unavailable},
		"expired credentials":         {awslocal.Fault{Resource: object, Code: "ExpiredToken", Status: 400}, scan.Unavailable, scan.Unavailable},
		"KMS is throttled":            {awslocal.Fault{Resource: object, Code: "KMS.ThrottlingException", Status: 400}, scan.Unavailable, scan.Unavailable},
		"one object fails":            {awslocal.Fault{Resource: object, Status: 500}, scan.Unavailable, scan.Unavailable},
		"one deleted after the list":  {awslocal.Fault{Resource: object, Code: "NoSuchKey"}, "", scan.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the SDK waits between retries
			a := awstest.Start(t, ecr.Options{})
			store := a.Service(awstest.Silent()).Configs
			body, err := json.Marshal(scan.Config{ID: knownID, Created: 1, Region: "us-west-2", Registry: "123456789012", Repository: "test/app"})
			if err != nil {
				t.Fatal(err)
			}
			put(t, a, knownID+".json", string(body))
			mine := newConfig(t, "test/app")
			if err := store.Put(t.Context(), mine); err != nil {
				t.Fatal(err)
			}
			a.S3.InjectFault(test.fault)
			configs, err := store.List(t.Context())
			if scan.CodeOf(err) != test.list || err != nil && configs != nil || err == nil && configs[len(configs)-1].ID != mine.ID {
				t.Errorf("list: %v, %v", configs, err)
			}
			a.S3.ClearFaults()
			a.S3.InjectFault(test.fault)
			if _, err := store.Get(t.Context(), knownID); scan.CodeOf(err) != test.get {
				t.Errorf("get: %v", err)
			}
		})
	}
}

// Only a missing config is NotFound. If a config is broken or can't be read, a visit keeps the record of its images.
func TestStoredErrors(t *testing.T) {
	good := `{"id":"` + knownID + `","created":"1","region":"us-west-2","registry":"123456789012","repository":"test/app","tags":null}`
	for name, test := range map[string]struct {
		body  string
		fault awslocal.Fault
		code  scan.Code
	}{
		"valid":                 {good, awslocal.Fault{}, ""},
		"500 once":              {good, awslocal.Fault{Status: 500, Calls: 1}, ""},
		"deleted":               {"", awslocal.Fault{Code: "NoSuchKey"}, scan.NotFound},
		"truncated":             {good[:40], awslocal.Fault{}, scan.Unavailable},
		"another's id":          {strings.Replace(good, knownID, "00000000-29f5-40fe-883b-3cd26738d5a6", 1), awslocal.Fault{}, scan.Unavailable},
		"invalid region":        {strings.Replace(good, "us-west-2", "evil.example/#", 1), awslocal.Fault{}, scan.Unavailable},
		"huge":                  {good + strings.Repeat(" ", 300<<10), awslocal.Fault{}, scan.Unavailable},
		"in Glacier":            {good, awslocal.Fault{Code: "InvalidObjectState", Status: 403}, scan.Unavailable},
		"access denied":         {good, awslocal.Fault{Code: "AccessDenied"}, scan.Unavailable},
		"no bucket":             {good, awslocal.Fault{Code: "NoSuchBucket", Status: 404}, scan.Unavailable},
		"KMS is throttled":      {good, awslocal.Fault{Code: "KMS.ThrottlingException", Status: 400}, scan.Unavailable},
		"500 always":            {good, awslocal.Fault{Status: 500}, scan.Unavailable},
		"body truncated":        {good, awslocal.Fault{Cut: true}, scan.Unavailable},
		"404 without S3's code": {good, awslocal.Fault{Code: "Odd", Status: 404}, scan.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the SDK waits between retries
			a := awstest.Start(t, ecr.Options{})
			put(t, a, knownID+".json", test.body)
			if test.fault != (awslocal.Fault{}) {
				test.fault.Operation = "GetObject"
				a.S3.InjectFault(test.fault)
			}
			store := setup.NewConfigs(awstest.Config(a.S3URL), awstest.Bucket, awstest.Silent())
			c, err := store.Stored(t.Context(), knownID, a.Now())
			if scan.CodeOf(err) != test.code || err == nil && c.ID != knownID {
				t.Errorf("%+v, %v", c, err)
			}
		})
	}
	a := awstest.Start(t, ecr.Options{})
	store := setup.NewConfigs(awstest.Config(a.S3URL), awstest.Bucket, awstest.Silent())
	for _, id := range []string{knownID, "", "../x", "index"} {
		if _, err := store.Stored(t.Context(), id, a.Now()); scan.CodeOf(err) != scan.NotFound {
			t.Errorf("%q in an empty bucket: %v", id, err)
		}
	}
}

// A config is read again unless it was read after the given time. A deleted one is always read again.
func TestStoredSince(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	store := setup.NewConfigs(awstest.Config(a.S3URL), awstest.Bucket, awstest.Silent())
	body := `{"id":"` + knownID + `","created":"1","region":"us-west-2","registry":"123456789012","repository":"test/app","tags":null}`
	begin := a.Now()
	check := func(since time.Time, repository string, reads int) {
		t.Helper()
		a.S3.ResetCount()
		c, err := store.Stored(t.Context(), knownID, since)
		if n := a.S3.Count().Calls["GetObject"]; err != nil || c.Repository != repository || n != reads {
			t.Errorf("since %v: %s, %v after %d reads, want %s after %d", since.Sub(begin), c.Repository, err, n, repository, reads)
		}
	}
	put(t, a, knownID+".json", body)
	a.Advance(2 * time.Second)
	check(begin, "test/app", 1)
	put(t, a, knownID+".json", strings.Replace(body, "test/app", "test/app2", 1))
	check(begin, "test/app", 0)
	check(a.Now(), "test/app2", 1)
	a.Advance(2 * time.Second)
	if _, err := store.List(t.Context()); err != nil { // does not read it again
		t.Fatal(err)
	}
	check(a.Now().Add(-time.Second), "test/app2", 1)
	a.S3.InjectFault(awslocal.Fault{Operation: "GetObject", Code: "NoSuchKey"})
	for range 2 {
		if _, err := store.Stored(t.Context(), knownID, a.Now()); scan.CodeOf(err) != scan.NotFound {
			t.Errorf("deleted: %v", err)
		}
	}
}

// S3 allows keys with control characters, which XML can't represent. Such a key must not make the list fail.
func TestKeysWithControlCharacters(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := "odd&#x4;.json"
		if r.URL.Query().Get("encoding-type") == "url" {
			key = "odd%04.json"
		}
		fmt.Fprintf(w, `<?xml version="1.0"?><ListBucketResult><Contents><Key>%s</Key></Contents><IsTruncated>false</IsTruncated></ListBucketResult>`, key)
	}))
	defer server.Close()
	store := setup.NewConfigs(awstest.Config(server.URL), awstest.Bucket, awstest.Silent())
	if configs, err := store.List(t.Context()); err != nil || len(configs) != 0 {
		t.Errorf("%v, %v", configs, err)
	}
}

// Many SlowDown errors at once are retried. No retry quota is shared by the calls.
func TestManySlowDownErrors(t *testing.T) {
	t.Parallel() // mostly waits for retries
	a := awstest.Start(t, ecr.Options{})
	store := setup.NewConfigs(setup.Loopback(a.S3URL), awstest.Bucket, awstest.Silent()) // waits as deployed
	for range 200 {
		if err := store.Put(t.Context(), newConfig(t, "test/app")); err != nil {
			t.Fatal(err)
		}
	}
	a.S3.InjectFault(awslocal.Fault{Operation: "GetObject", Status: 503, Calls: 120})
	if configs, err := store.List(t.Context()); err != nil || len(configs) != 200 {
		t.Errorf("%d configs, %v", len(configs), err)
	}
}

func TestHangingCallEndsWithItsContext(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	a.S3.InjectFault(awslocal.Fault{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	store := a.Service(awstest.Silent()).Configs
	_, listed := store.List(ctx)
	for what, err := range map[string]error{"list": listed, "put": store.Put(ctx, newConfig(t, "test/app")), "delete": store.Delete(ctx, knownID, nil)} {
		if scan.CodeOf(err) != scan.Unavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
}
