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

const known = "4471c156-29f5-40fe-883b-3cd26738d5a6"

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

func TestRoundTrip(t *testing.T) {
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
	if err := store.Delete(t.Context(), first.ID); err != nil {
		t.Errorf("delete: %v", err)
	}
	for what, err := range map[string]error{"delete again": store.Delete(t.Context(), first.ID), "get": errorOf(store.Get(t.Context(), first.ID))} {
		if scan.CodeOf(err) != scan.NotFound {
			t.Errorf("%s after the delete: %v", what, err)
		}
	}
}

func errorOf(_ scan.Config, err error) error { return err }

func TestMoreThanAPage(t *testing.T) {
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
		t.Errorf("%d calls to list, want 3: what lies under a prefix costs none", lists)
	}
}

// What the demo's functions wrote is read as it is.
func TestDemoObjects(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	put(t, a, known+".json", `{"id":"`+known+`","created":"1569927812","region":"us-west-2","registry":"123456789012","repository":"amazonlinux","tags":["2018.03","2018.03"]}`)
	other := "5471c156-29f5-40fe-883b-3cd26738d5a6"
	put(t, a, other+".json", `{"id":"`+other+`","created":"1569927813","region":"us-west-2","registry":"123456789012","repository":"test/centos","tags":[],"more":1}`)
	got, err := a.Service(awstest.Silent()).Configs.List(t.Context())
	want := []scan.Config{
		{ID: known, Created: 1569927812, Region: "us-west-2", Registry: "123456789012", Repository: "amazonlinux", Tags: []string{"2018.03"}},
		{ID: other, Created: 1569927813, Region: "us-west-2", Registry: "123456789012", Repository: "test/centos"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// Whatever else lies in the bucket is no config: it is never listed, shown or deleted, and breaks nothing.
func TestForeignObjects(t *testing.T) {
	good := `{"id":"` + known + `","created":"1","region":"us-west-2","registry":"123456789012","repository":"test/app","tags":null}`
	for name, object := range map[string]struct{ key, body string }{
		"half-written":        {known + ".json", good[:40]},
		"empty":               {known + ".json", ""},
		"another type":        {known + ".json", `[1,2]`},
		"null":                {known + ".json", `null`},
		"not JSON":            {known + ".json", "\x00\xff\x1f\x8b"},
		"another's id":        {known + ".json", strings.Replace(good, known, "00000000-29f5-40fe-883b-3cd26738d5a6", 1)},
		"created, year 10000": {known + ".json", strings.Replace(good, `"1"`, `"253402300800"`, 1)},
		"created, a number":   {known + ".json", strings.Replace(good, `"1"`, `1`, 1)},
		"a hostile region":    {known + ".json", strings.Replace(good, "us-west-2", "evil.example/#", 1)},
		"a hostile tag":       {known + ".json", strings.Replace(good, "null", `["../x"]`, 1)},
		"huge":                {known + ".json", good + strings.Repeat(" ", 300<<10)},
		"trailing value":      {known + ".json", good + good},
		"upper-case name":     {strings.ToUpper(known) + ".json", good},
		"another suffix":      {known + ".json.bak", good},
		"under a prefix":      {"backup/" + known + ".json", good},
		"a folder":            {known + ".json/", ""},
		"odd bytes":           {"häßlich \"<&>.json", good},
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
			if _, err := store.Get(t.Context(), known); scan.CodeOf(err) != scan.NotFound {
				t.Errorf("get: %v", err)
			}
			if err := store.Delete(t.Context(), known); scan.CodeOf(err) != scan.NotFound {
				t.Errorf("delete: %v", err)
			}
			_, err = a.S3Client().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(awstest.Bucket), Key: &object.key})
			if err != nil {
				t.Errorf("the foreign object is gone: %v", err)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	object := awstest.Bucket + "/" + known + ".json"
	for name, test := range map[string]struct {
		fault awslocal.Fault
		list  scan.Code // of List; the good config must be in it when there is no error
		get   scan.Code
	}{
		"500 once":                {awslocal.Fault{Status: 500, Calls: 1}, "", ""},
		"slow down twice":         {awslocal.Fault{Status: 503, Calls: 2}, "", ""},
		"500 on and on":           {awslocal.Fault{Status: 500}, scan.Unavailable, scan.Unavailable},
		"cut once in the middle":  {awslocal.Fault{Operation: "GetObject", Cut: true, Calls: 1}, "", ""},
		"cut in the middle":       {awslocal.Fault{Operation: "GetObject", Cut: true}, scan.Unavailable, scan.Unavailable},
		"no permission to list":   {awslocal.Fault{Operation: "ListObjectsV2", Code: "AccessDenied"}, scan.Unavailable, ""},
		"no permission to read":   {awslocal.Fault{Operation: "GetObject", Code: "AccessDenied"}, scan.Unavailable, scan.Unavailable},
		"no bucket":               {awslocal.Fault{Code: "NoSuchBucket"}, scan.Unavailable, scan.Unavailable},
		"one object in Glacier":   {awslocal.Fault{Resource: object, Code: "InvalidObjectState", Status: 403}, "", scan.NotFound},
		"one object is refused":   {awslocal.Fault{Resource: object, Code: "AccessDenied"}, "", scan.Unavailable},
		"expired credentials":     {awslocal.Fault{Resource: object, Code: "ExpiredToken", Status: 400}, scan.Unavailable, scan.Unavailable},
		"KMS is throttled":        {awslocal.Fault{Resource: object, Code: "KMS.ThrottlingException", Status: 400}, scan.Unavailable, scan.Unavailable},
		"one object fails":        {awslocal.Fault{Resource: object, Status: 500}, scan.Unavailable, scan.Unavailable},
		"one is gone once listed": {awslocal.Fault{Resource: object, Code: "NoSuchKey"}, "", scan.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // for the back-off's sake
			a := awstest.Start(t, ecr.Options{})
			store := a.Service(awstest.Silent()).Configs
			body, err := json.Marshal(scan.Config{ID: known, Created: 1, Region: "us-west-2", Registry: "123456789012", Repository: "test/app"})
			if err != nil {
				t.Fatal(err)
			}
			put(t, a, known+".json", string(body))
			mine := newConfig(t, "test/app")
			if err := store.Put(t.Context(), mine); err != nil {
				t.Fatal(err)
			}
			a.S3.Disturb(test.fault)
			configs, err := store.List(t.Context())
			if scan.CodeOf(err) != test.list || err != nil && configs != nil || err == nil && configs[len(configs)-1].ID != mine.ID {
				t.Errorf("list: %v, %v", configs, err)
			}
			a.S3.Calm()
			a.S3.Disturb(test.fault)
			if _, err := store.Get(t.Context(), known); scan.CodeOf(err) != test.get {
				t.Errorf("get: %v", err)
			}
		})
	}
}

// Only what is not there is not found: a visit keeps what a config watched that is refused, broken, or can't be read now.
func TestStored(t *testing.T) {
	good := `{"id":"` + known + `","created":"1","region":"us-west-2","registry":"123456789012","repository":"test/app","tags":null}`
	for name, test := range map[string]struct {
		body  string
		fault awslocal.Fault
		code  scan.Code
	}{
		"whole":                 {good, awslocal.Fault{}, ""},
		"500 once":              {good, awslocal.Fault{Status: 500, Calls: 1}, ""},
		"deleted":               {"", awslocal.Fault{Code: "NoSuchKey"}, scan.NotFound},
		"half-written":          {good[:40], awslocal.Fault{}, scan.Unavailable},
		"another's id":          {strings.Replace(good, known, "00000000-29f5-40fe-883b-3cd26738d5a6", 1), awslocal.Fault{}, scan.Unavailable},
		"a hostile region":      {strings.Replace(good, "us-west-2", "evil.example/#", 1), awslocal.Fault{}, scan.Unavailable},
		"huge":                  {good + strings.Repeat(" ", 300<<10), awslocal.Fault{}, scan.Unavailable},
		"in Glacier":            {good, awslocal.Fault{Code: "InvalidObjectState", Status: 403}, scan.Unavailable},
		"refused":               {good, awslocal.Fault{Code: "AccessDenied"}, scan.Unavailable},
		"no bucket":             {good, awslocal.Fault{Code: "NoSuchBucket", Status: 404}, scan.Unavailable},
		"KMS is throttled":      {good, awslocal.Fault{Code: "KMS.ThrottlingException", Status: 400}, scan.Unavailable},
		"500 on and on":         {good, awslocal.Fault{Status: 500}, scan.Unavailable},
		"cut in the middle":     {good, awslocal.Fault{Cut: true}, scan.Unavailable},
		"404 without S3's code": {good, awslocal.Fault{Code: "Odd", Status: 404}, scan.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // for the back-off's sake
			a := awstest.Start(t, ecr.Options{})
			put(t, a, known+".json", test.body)
			if test.fault != (awslocal.Fault{}) {
				test.fault.Operation = "GetObject"
				a.S3.Disturb(test.fault)
			}
			store := setup.NewConfigs(setup.Loopback(a.S3URL), awstest.Bucket, awstest.Silent())
			c, err := store.Stored(t.Context(), known)
			if scan.CodeOf(err) != test.code || err == nil && c.ID != known {
				t.Errorf("%+v, %v", c, err)
			}
		})
	}
	a := awstest.Start(t, ecr.Options{})
	store := setup.NewConfigs(setup.Loopback(a.S3URL), awstest.Bucket, awstest.Silent())
	for _, id := range []string{known, "", "../x", "index"} {
		if _, err := store.Stored(t.Context(), id); scan.CodeOf(err) != scan.NotFound {
			t.Errorf("%q in an empty bucket: %v", id, err)
		}
	}
}

// S3 can hold keys with characters that XML can't. They must not take the list with them.
func TestKeysThatXMLCantHold(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := "odd&#x4;.json"
		if r.URL.Query().Get("encoding-type") == "url" {
			key = "odd%04.json"
		}
		fmt.Fprintf(w, `<?xml version="1.0"?><ListBucketResult><Contents><Key>%s</Key></Contents><IsTruncated>false</IsTruncated></ListBucketResult>`, key)
	}))
	defer server.Close()
	store := setup.NewConfigs(setup.Loopback(server.URL), awstest.Bucket, awstest.Silent())
	if configs, err := store.List(t.Context()); err != nil || len(configs) != 0 {
		t.Errorf("%v, %v", configs, err)
	}
}

// A burst of refusals costs its retries, and no quota that all calls share.
func TestBurstOfSlowDown(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	store := a.Service(awstest.Silent()).Configs
	for range 200 {
		if err := store.Put(t.Context(), newConfig(t, "test/app")); err != nil {
			t.Fatal(err)
		}
	}
	a.S3.Disturb(awslocal.Fault{Operation: "GetObject", Status: 503, Calls: 120})
	if configs, err := store.List(t.Context()); err != nil || len(configs) != 200 {
		t.Errorf("%d configs, %v", len(configs), err)
	}
}

func TestNoAnswerEndsWithTheContext(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	a.S3.Disturb(awslocal.Fault{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	store := a.Service(awstest.Silent()).Configs
	_, listed := store.List(ctx)
	for what, err := range map[string]error{"list": listed, "put": store.Put(ctx, newConfig(t, "test/app")), "delete": store.Delete(ctx, known)} {
		if scan.CodeOf(err) != scan.Unavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
}
