package s3store_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
)

// newProcess returns the store of a new process, which has read nothing.
func newProcess(a *awstest.AWS) httpapi.ConfigStore { return a.Service(awstest.Silent()).Configs }

func addConfigs(t *testing.T, store httpapi.ConfigStore, n int) []scan.Config {
	t.Helper()
	all := make([]scan.Config, n)
	for i := range all {
		all[i] = newConfig(t, fmt.Sprintf("test/app%d", i), "v1", "latest")
		if err := store.Put(t.Context(), all[i]); err != nil {
			t.Fatal(err)
		}
	}
	scan.SortConfigs(all)
	return all
}

// expectList checks the list, and the calls to S3 that it makes.
func expectList(t *testing.T, what string, a *awstest.AWS, store httpapi.ConfigStore, want []scan.Config, calls map[string]int) {
	t.Helper()
	a.S3.ResetCount()
	got, err := store.List(t.Context())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
	}
	if made := a.S3.Count().Calls; !maps.Equal(made, calls) {
		t.Errorf("%s: made the calls %v, want %v", what, made, calls)
	}
}

func TestConfigsAreReadOnce(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	store := newProcess(a)
	all := addConfigs(t, store, 20)
	expectList(t, "new process without packed configs", a, store, all, map[string]int{"ListObjectsV2": 1, "GetObject": 21})
	expectList(t, "again", a, store, all, map[string]int{"ListObjectsV2": 1})

	changed := all[3]
	changed.Tags = []string{"v2"}
	if err := newProcess(a).Put(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	all[3] = changed
	expectList(t, "one config changed by another process", a, store, all, map[string]int{"ListObjectsV2": 1, "GetObject": 1})
	if err := newProcess(a).Delete(t.Context(), all[3].ID, nil); err != nil {
		t.Fatal(err)
	}
	all = slices.Delete(all, 3, 4)
	expectList(t, "one config deleted by another process", a, store, all, map[string]int{"ListObjectsV2": 1})
	if err := newProcess(a).Put(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	all = slices.Insert(all, 3, changed)
	expectList(t, "and stored again", a, store, all, map[string]int{"ListObjectsV2": 1, "GetObject": 1})
	put(t, a, changed.ID+".json", "not JSON")
	all = slices.Delete(all, 3, 4)
	expectList(t, "one object broken by another program", a, store, all, map[string]int{"ListObjectsV2": 1, "GetObject": 1})
	expectList(t, "again", a, store, all, map[string]int{"ListObjectsV2": 1})
}

func TestPackedConfigs(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	store := newProcess(a)
	all := addConfigs(t, store, 30)
	pack(t, store)
	two := map[string]int{"ListObjectsV2": 1, "GetObject": 1}
	expectList(t, "new process", a, newProcess(a), all, two)

	a.S3.ResetCount()
	pack(t, newProcess(a))
	if n := a.S3.Count().Calls["PutObject"]; n != 0 {
		t.Errorf("packed again although nothing changed: %d writes", n)
	}
	more := addConfigs(t, store, 2)
	all = append(all, more...)
	scan.SortConfigs(all)
	expectList(t, "two configs that are not packed yet", a, newProcess(a), all, map[string]int{"ListObjectsV2": 1, "GetObject": 3})
	a.S3.ResetCount()
	pack(t, newProcess(a))
	if made, want := a.S3.Count().Calls, map[string]int{"ListObjectsV2": 1, "GetObject": 3, "PutObject": 1}; !maps.Equal(made, want) {
		t.Errorf("packing two more configs made the calls %v, want %v", made, want)
	}
	expectList(t, "all packed", a, newProcess(a), all, two)

	later := addConfigs(t, newProcess(a), 8)
	pack(t, newProcess(a))
	all = append(all, later...)
	scan.SortConfigs(all)
	used := newProcess(a)
	expectList(t, "new process", a, used, all, two)
	import8 := addConfigs(t, newProcess(a), 8)
	pack(t, newProcess(a))
	all = append(all, import8...)
	scan.SortConfigs(all)
	expectList(t, "a process that misses eight configs", a, used, all, two)
}

func pack(t *testing.T, store httpapi.ConfigStore) {
	t.Helper()
	if err := store.Pack(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// readPacked returns the stored object.
func readPacked(t *testing.T, a *awstest.AWS) []byte {
	t.Helper()
	out, err := a.S3Client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(awstest.Bucket), Key: aws.String(s3store.PackedConfigsKey)})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A missing, wrong, outdated or unreadable object of packed configs costs time only. Deleted configs do not return.
func TestWrongPackedConfigs(t *testing.T) {
	other := awstest.Start(t, ecr.Options{})
	addConfigs(t, newProcess(other), 12)
	pack(t, newProcess(other))
	foreign := readPacked(t, other)
	for name, test := range map[string]struct {
		body  []byte
		fault awslocal.Fault
	}{
		"empty":                {body: []byte{}},
		"not gzip":             {body: []byte("packed")},
		"another bucket's":     {body: foreign},
		"cut":                  {body: foreign[:len(foreign)/2]},
		"too large":            {body: bytes.Repeat(foreign, 9<<20/len(foreign))},
		"access denied":        {fault: awslocal.Fault{Code: "AccessDenied"}},
		"encrypted by another": {fault: awslocal.Fault{Code: "KMS.DisabledException", Status: 400}},
		"missing":              {fault: awslocal.Fault{Code: "NoSuchKey"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := awstest.Start(t, ecr.Options{})
			all := addConfigs(t, newProcess(a), 12)
			pack(t, newProcess(a))
			if err := newProcess(a).Delete(t.Context(), all[5].ID, nil); err != nil {
				t.Fatal(err)
			}
			all = slices.Delete(all, 5, 6)
			if test.body != nil {
				put(t, a, s3store.PackedConfigsKey, string(test.body))
			} else {
				test.fault.Resource = awstest.Bucket + "/" + s3store.PackedConfigsKey
				a.S3.InjectFault(test.fault)
			}
			expectList(t, "list", a, newProcess(a), all, map[string]int{"ListObjectsV2": 1, "GetObject": 12})
			a.S3.ClearFaults()
			pack(t, newProcess(a))
			expectList(t, "packed again", a, newProcess(a), all, map[string]int{"ListObjectsV2": 1, "GetObject": 1})
		})
	}
}

// The content of a copy is checked, so nobody can change a config by writing the packed configs.
func TestForgedPackedConfigs(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	all := addConfigs(t, newProcess(a), 10)
	pack(t, newProcess(a))
	var forged []map[string]string // the same ids and ETags, with other content
	for _, c := range all {
		body := `{"id":"` + c.ID + `","created":"1","region":"us-west-2","registry":"999999999999","repository":"x","tags":null}`
		forged = append(forged, map[string]string{"id": c.ID, "etag": etagOf(t, a, c.ID+".json"), "body": body})
	}
	text, err := json.Marshal(forged)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = fmt.Fprintf(zip, "ecr-continuous-scan record 1\n%s", text) // to memory
	_ = zip.Close()
	put(t, a, s3store.PackedConfigsKey, packed.String())
	expectList(t, "forged", a, newProcess(a), all, map[string]int{"ListObjectsV2": 1, "GetObject": 11})
}

func etagOf(t *testing.T, a *awstest.AWS, key string) string {
	t.Helper()
	out, err := a.S3Client().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(awstest.Bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.ETag)
}

func TestPackFaults(t *testing.T) {
	for name, test := range map[string]struct {
		fault awslocal.Fault
		code  scan.Code
	}{
		"list fails":              {awslocal.Fault{Operation: "ListObjectsV2", Status: 500}, scan.Unavailable},
		"a config fails":          {awslocal.Fault{Operation: "GetObject", Resource: awstest.Bucket + "/" + knownID + ".json", Status: 500}, scan.Unavailable},
		"the write fails":         {awslocal.Fault{Operation: "PutObject", Status: 500}, scan.Unavailable},
		"access to one is denied": {awslocal.Fault{Operation: "GetObject", Resource: awstest.Bucket + "/" + knownID + ".json", Code: "AccessDenied"}, ""},
		"one is deleted":          {awslocal.Fault{Operation: "GetObject", Resource: awstest.Bucket + "/" + knownID + ".json", Code: "NoSuchKey"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := awstest.Start(t, ecr.Options{})
			put(t, a, knownID+".json", `{"id":"`+knownID+`","created":"1","region":"us-west-2","registry":"123456789012","repository":"test/app","tags":null}`)
			addConfigs(t, newProcess(a), 9)
			a.S3.InjectFault(test.fault)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := newProcess(a).Pack(ctx); scan.CodeOf(err) != test.code {
				t.Errorf("%v", err)
			}
			a.S3.ClearFaults()
			if got, err := newProcess(a).List(t.Context()); err != nil || len(got) != 10 {
				t.Errorf("afterwards: %d configs, %v", len(got), err)
			}
		})
	}
}

// Packed configs that can't be read cost time only.
func TestUnreadablePackedConfigs(t *testing.T) {
	for name, fault := range map[string]awslocal.Fault{"error": {Status: 503}, "no response": {Drop: true}, "cut": {Cut: true}, "hangs": {Hang: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := awstest.Start(t, ecr.Options{})
			all := addConfigs(t, newProcess(a), 10)
			pack(t, newProcess(a))
			fault.Operation, fault.Resource = "GetObject", awstest.Bucket+"/"+s3store.PackedConfigsKey
			a.S3.InjectFault(fault)
			ctx, cancel := context.WithTimeout(t.Context(), httpapi.Budget)
			defer cancel()
			if got, err := newProcess(a).List(ctx); err != nil || !reflect.DeepEqual(got, all) {
				t.Errorf("%d configs, %v", len(got), err)
			}
		})
	}
}

// Configs that do not fit into the packed object are not read by each Pack.
func TestMoreConfigsThanCanBePacked(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	tags := make([]string, 1000)
	for i := range tags {
		tags[i] = fmt.Sprintf("%040d", i)
	}
	const many = 120
	for i := range many {
		if err := newProcess(a).Put(t.Context(), newConfig(t, fmt.Sprintf("test/app%d", i), tags...)); err != nil {
			t.Fatal(err)
		}
	}
	pack(t, newProcess(a))
	a.S3.ResetCount()
	pack(t, newProcess(a))
	if made, want := a.S3.Count().Calls, map[string]int{"ListObjectsV2": 1, "GetObject": 1}; !maps.Equal(made, want) {
		t.Errorf("packing again made the calls %v, want %v", made, want)
	}
	a.S3.ResetCount()
	if got, err := newProcess(a).List(t.Context()); err != nil || len(got) != many {
		t.Errorf("%d configs, %v", len(got), err)
	}
	if reads := a.S3.Count().Calls["GetObject"]; reads < 3 || reads > many/2 {
		t.Errorf("a new process makes %d reads", reads)
	}
}

// In a bucket that encrypts with KMS keys, an ETag is not the MD5 hash. The configs are read one by one, and Pack does not
// read them again each time.
func TestETagsOfAnotherKind(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	all := addConfigs(t, newProcess(a), 10)
	etag := regexp.MustCompile(`("|&#34;|&quot;)([0-9a-f])([0-9a-f]{31})("|&#34;|&quot;)`)
	kms := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		a.S3.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		w.Header().Set("ETag", etag.ReplaceAllString(answer.Header().Get("ETag"), "$1$3$2$4"))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(etag.ReplaceAll(answer.Body.Bytes(), []byte("$1$3$2$4"))) // the test fails without it
	}))
	defer kms.Close()
	process := func() httpapi.ConfigStore {
		return setup.NewConfigs(awstest.Config(kms.URL), awstest.Bucket, awstest.Silent())
	}
	pack(t, process())
	store := process()
	expectList(t, "new process", a, store, all, map[string]int{"ListObjectsV2": 1, "GetObject": 11})
	expectList(t, "again", a, store, all, map[string]int{"ListObjectsV2": 1})
	a.S3.ResetCount()
	pack(t, process())
	if made, want := a.S3.Count().Calls, map[string]int{"ListObjectsV2": 1, "GetObject": 1}; !maps.Equal(made, want) {
		t.Errorf("packing again made the calls %v, want %v", made, want)
	}
}
