package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/lambdaruntime"
)

const (
	s3Latency  = 15 * time.Millisecond
	ecrLatency = 30 * time.Millisecond
)

// functionMemory is the memory in MiB that the template gives SummaryFunc and FindingsFunc.
const functionMemory = 512

func TestMain(m *testing.M) {
	setup.UseMemory(functionMemory)
	m.Run()
}

// service is the whole service on embedded AWS services that respond with a delay.
type service struct {
	aws *awstest.AWS
	*awstest.Service
	api http.Handler
	ids []string
}

func newService(b *testing.B, configs []string, fill func(*ecr.ECR)) *service {
	b.Helper()
	a := awstest.Start(b, ecr.Options{ScanTime: -1})
	fill(a.ECR)
	s := &service{aws: a}
	s.restart()
	for _, repository := range configs {
		s.ids = append(s.ids, s.AddConfig(b, repository).ID)
	}
	s.addLatency()
	return s
}

// restart replaces the service by a new process, which has no cached data.
func (s *service) restart() {
	s.Service = s.aws.Service(awstest.Silent())
	s.MaxConcurrentVisits = 10
	s.api = s.Handler("")
}

// addLatency delays each response of S3 and ECR.
func (s *service) addLatency() {
	s.aws.S3.InjectFault(awslocal.Fault{Delay: s3Latency})
	s.aws.ECR.InjectFault(awslocal.Fault{Delay: ecrLatency})
}

// removeLatency makes S3 and ECR respond without a delay.
func (s *service) removeLatency() {
	s.aws.S3.ClearFaults()
	s.aws.ECR.ClearFaults()
}

// get sends a request, which must succeed, and returns the size of the response in bytes.
func (s *service) get(b *testing.B, path string) int64 {
	b.Helper()
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	n, _ := io.Copy(io.Discard, w.Body)
	if w.Code != http.StatusOK {
		b.Fatalf("GET %s: %d", path, w.Code)
	}
	return n
}

// measure reports the time of one operation as a multiple of its floor. It also reports how much faster the
// operation is than with calls that are answered one by one, which is measured once.
func (s *service) measure(b *testing.B, floor time.Duration, operation func()) {
	b.Helper()
	s.measureEach(b, floor, func() {}, operation)
}

// measureEach is measure with a preparation before each operation that is not measured.
func (s *service) measureEach(b *testing.B, floor time.Duration, prepare, operation func()) {
	b.Helper()
	prepare()
	operation() // opens the connections
	prepare()
	s.aws.OneByOne(true)
	began := time.Now()
	operation()
	oneByOne := time.Since(began)
	s.aws.OneByOne(false)
	var s3Calls, ecrCalls int
	for b.Loop() {
		b.StopTimer()
		prepare()
		s.aws.S3.ResetCount()
		s.aws.ECR.ResetCount()
		b.StartTimer()
		operation()
		s3Calls += s.aws.S3.Count().Total()
		ecrCalls += s.aws.ECR.Count().Total()
	}
	per := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(float64(per)/float64(floor), "×floor")
	b.ReportMetric(float64(oneByOne)/float64(per), "×faster-than-one-by-one")
	b.ReportMetric(float64(s3Calls/b.N), "S3-calls/op")
	b.ReportMetric(float64(ecrCalls/b.N), "ECR-calls/op")
}

func repositories(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("team/app%d", i)
	}
	return names
}

// fill adds images to each repository. All have been scanned at the given time.
func fill(repositories []string, images int, scanned time.Time) func(*ecr.ECR) {
	return func(e *ecr.ECR) {
		for _, name := range repositories {
			for i := range images {
				e.PutImage(ecr.RepositoryID{Name: name}, ecr.Image{
					Tags: []string{fmt.Sprintf("v%d", i)}, ScannedAt: scanned, Findings: findings(5),
				})
			}
		}
	}
}

func findings(n int) []ecr.Finding {
	all := make([]ecr.Finding, n)
	for i := range all {
		all[i] = ecr.Finding{
			Name: fmt.Sprintf("CVE-2026-%05d", i), Severity: []string{"HIGH", "MEDIUM", "LOW"}[i%3], URI: "https://example.org/CVE",
			Description: "A flaw in the parser lets a remote attacker read memory that is not theirs by sending a crafted header.",
			Attributes:  []ecr.Attribute{{Key: "package_name", Value: fmt.Sprintf("lib%d", i%50)}, {Key: "package_version", Value: "1.2.3"}},
		}
	}
	return all
}

// GET /configs with 300 configs: the list, then all objects.
func BenchmarkConfigs300(b *testing.B) {
	s := newService(b, repositories(300), func(*ecr.ECR) {})
	s.measure(b, 2*s3Latency, func() { s.get(b, "/configs") })
}

// GET /summary from records of visits less than 5 minutes ago: the list, the objects, the records. It does not call
// ECR. A process that has read the records before learns from S3 that they are unchanged. A new process, which is
// also measured, has only open connections.
func BenchmarkSummaryRecorded(b *testing.B) {
	for _, images := range []int{200, 10_000} {
		names := repositories(10)
		s := newService(b, names, fill(names, images/10, time.Now().Add(-time.Hour)))
		s.visitAll(b)
		read := func(b *testing.B, prepare func()) {
			s.measureEach(b, 3*s3Latency, prepare, func() { s.get(b, "/summary") })
			if n := s.aws.ECR.Count().Total(); n > 0 {
				b.Errorf("%d calls to ECR", n)
			}
		}
		b.Run(fmt.Sprint(images), func(b *testing.B) { read(b, func() {}) })
		b.Run(fmt.Sprint(images, "/new process"), func(b *testing.B) { read(b, func() { s.restart(); s.get(b, "/configs") }) })
	}
}

// GET /summary without records, of 200 images in 10 repositories: the list, the objects, the missing records, the
// images, their findings. It makes 100 calls to ECR, the maximum for a request over all configs, so it shows about
// half of the images.
func BenchmarkSummaryFirst200(b *testing.B) {
	names := repositories(10)
	s := newService(b, names, fill(names, 20, time.Now().Add(-time.Hour)))
	s.measureEach(b, 3*s3Latency+2*ecrLatency, func() { s.removeRecords(b) }, func() { s.get(b, "/summary") })
}

// One schedule and its visits, all at once. Each image was scanned again after the previous visit and is due. Scans
// take no time. The calls of the schedule that must follow one another: the list, the objects, the folders of the
// records in three calls. Those of a visit: the record, the config, the images, their findings, their starts at the
// same time as their histories, the record, and the sweep (the list, the histories, the objects to delete).
func BenchmarkScanRun200(b *testing.B) {
	names := repositories(10)
	s := newService(b, names, fill(names, 20, time.Now().Add(-25*time.Hour)))
	s.measure(b, 11*s3Latency+3*ecrLatency, func() {
		s.aws.Advance(25 * time.Hour)
		// With calls that are answered one by one, a call can wait longer than the timeout of an attempt. Then the
		// next attempt fails because the scan has just been started, which counts as Recent.
		if visits, err := s.ScheduleAndVisit(b.Context()); err != nil || visits.Started+visits.Recent != 200 {
			b.Fatalf("%v, visits %+v", err, visits.Tally)
		}
	})
}

// A feed of 1,200 findings of one image, recorded by a visit less than 5 minutes ago: the config, the record, the
// history.
func BenchmarkFeedRecorded1200(b *testing.B) {
	s := newService(b, repositories(1), one(findings(1200)))
	s.visitAll(b)
	s.measure(b, 3*s3Latency, func() { s.get(b, "/findings/"+s.ids[0]) })
	if n := s.aws.ECR.Count().Total(); n > 0 {
		b.Errorf("%d calls to ECR", n)
	}
	b.ReportMetric(s.storedBytes(b)/1200, "bytes-in-S3/finding")
}

// The same feed without a record: the config, the missing record, the image, the two pages of its findings.
func BenchmarkFeedFirst1200(b *testing.B) {
	s := newService(b, repositories(1), one(findings(1200)))
	s.measureEach(b, 2*s3Latency+3*ecrLatency, func() { s.removeRecords(b) }, func() { s.get(b, "/findings/"+s.ids[0]) })
}

// one adds one image to the first repository.
func one(findings []ecr.Finding) func(*ecr.ECR) {
	return func(e *ecr.ECR) {
		e.PutImage(ecr.RepositoryID{Name: "team/app0"}, ecr.Image{Tags: []string{"v1"}, ScannedAt: time.Now().Add(-time.Hour), Findings: findings})
	}
}

// visitAll visits every repository. No image is due.
func (s *service) visitAll(b *testing.B) {
	b.Helper()
	s.removeLatency()
	if visits, err := s.ScheduleAndVisit(b.Context()); err != nil || visits.Started+visits.NotReached > 0 {
		b.Fatalf("%+v, %v", visits, err)
	}
	s.addLatency()
}

// removeRecords deletes all records.
func (s *service) removeRecords(b *testing.B) {
	b.Helper()
	s.removeLatency()
	defer s.addLatency()
	repos, err := s.Visitor.Records.Repositories(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, repo := range repos {
		if err := s.Visitor.Records.Remove(b.Context(), repo); err != nil {
			b.Fatal(err)
		}
	}
}

// storedBytes returns the total size of the records in bytes.
func (s *service) storedBytes(b *testing.B) float64 {
	b.Helper()
	prefix, bucket, bytes := s3store.RecordPrefix, awstest.Bucket, int64(0)
	out, err := s.aws.S3Client().ListObjectsV2(b.Context(), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	if err != nil {
		b.Fatal(err)
	}
	for _, o := range out.Contents {
		bytes += *o.Size
	}
	return float64(bytes)
}

// The cold start of each function: the time from the start of the process to its first poll, as a multiple of the
// same time for an empty handler. The two are started in turn, so that other load on the machine affects both.
func BenchmarkColdStart(b *testing.B) {
	bare := lambdaruntime.Build(b, "test/lambdaruntime/testdata/bare")
	for _, folder := range []string{"configs", "summary", "findings", "startscan"} {
		b.Run(folder, func(b *testing.B) {
			binary := lambdaruntime.Build(b, folder)
			var base, own time.Duration
			for b.Loop() {
				base += coldStart(b, bare)
				own += coldStart(b, binary)
			}
			b.ReportMetric(float64(own)/float64(base), "×bare")
			b.ReportMetric(float64(own.Microseconds())/1000/float64(b.N), "ms-to-first-poll")
		})
	}
}

func coldStart(b *testing.B, binary string) time.Duration {
	b.Helper()
	f := lambdaruntime.Start(b, binary, map[string]string{"ECR_SCAN_CONFIG_BUCKET": awstest.Bucket, "ECR_SCAN_QUEUE_URL": "http://sqs.example/visits.fifo"})
	defer f.Kill()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	took, err := f.Ready(ctx)
	if err != nil {
		b.Fatal(err)
	}
	return took
}
