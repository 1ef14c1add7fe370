package httpapi_test

import (
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
)

// inProcess returns the settings of clients that call a handler without a socket, because synctest's fake clock does not work with
// sockets.
func inProcess(h http.Handler) aws.Config {
	cfg := setup.Loopback("http://aws.example")
	cfg.HTTPClient = &http.Client{Transport: awslocal.Transport{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
		h.ServeHTTP(w, r)
	})}}
	return cfg
}

// bucketOfPreviousVersion returns a bucket with the objects of the version that had no visits: a config, and the record of its
// repository after two scans.
func bucketOfPreviousVersion(t *testing.T) *awslocal.S3 {
	t.Helper()
	store, err := awslocal.NewMemoryS3(awstest.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	client := setup.NewS3Client(inProcess(store))
	objects := os.DirFS("testdata/before/bucket")
	err = fs.WalkDir(objects, ".", func(key string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(objects, key)
		if err != nil {
			return err
		}
		_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(awstest.Bucket), Key: &key, Body: strings.NewReader(string(body))})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// registryOfPreviousVersion returns the registry in the state that belongs to that bucket.
func registryOfPreviousVersion() *ecr.ECR {
	e := ecr.New(ecr.Options{})
	scanned := time.Now().Add(-time.Minute)
	e.PutImage(appRepository, ecr.Image{
		Tags: []string{"v1"}, Digest: "sha256:" + strings.Repeat("1a", 32), ScannedAt: scanned,
		Findings: []ecr.Finding{vulnerability("CVE-3", "CRITICAL"), vulnerability("CVE-2", "MEDIUM")},
	})
	e.PutImage(appRepository, ecr.Image{Tags: []string{"v2"}, Digest: "sha256:" + strings.Repeat("2b", 32), ScannedAt: scanned.Add(-25 * time.Hour)})
	return e
}

// From the objects of an earlier version, the service makes the same ids, titles and dates as that version, before and after the first visit. The ids of
// changes are those of their feed, which that version did not have.
func TestBucketOfThePreviousVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := bucketOfPreviousVersion(t)
		time.Sleep(25 * time.Hour) // now is one minute after the second scan
		s := awstest.NewService(inProcess(store), inProcess(registryOfPreviousVersion()), time.Now, awstest.Silent())
		h := &service{handler(t, s.API(base)), s}
		time.Sleep(time.Hour)
		check := func(when string) {
			t.Helper()
			for name, target := range map[string]string{"findings.xml": "/findings/" + exampleID, "changes.xml": "/findings/" + exampleID + "/changes", "summary.txt": "/summary?since=7d"} {
				want, err := os.ReadFile("testdata/before/" + name)
				if err != nil {
					t.Fatal(err)
				}
				got := call(h, "GET", target, "", "")
				if diff := cmp.Diff(string(want), got.body); diff != "" {
					t.Errorf("%s, %s: %d (-want +got):\n%s", when, target, got.status, diff)
				}
			}
		}
		check("before a visit")
		visits := h.visit(t)
		if visits.Count(rescan.VisitEnded) != 1 || len(visits.Reports) != 1 || visits.Started != 1 {
			t.Errorf("the first visit: %+v", visits)
		}
		check("after a visit")
		record, err := h.Reader.Records.Load(t.Context(), scan.Repository{Registry: "123456789012", Region: "us-west-2", Name: "team/app"})
		if err != nil || record.Begin == 0 || !cmp.Equal(record.Configs, []string{exampleID}) {
			t.Errorf("the visit stored %+v, %v", record, err)
		}
	})
}
