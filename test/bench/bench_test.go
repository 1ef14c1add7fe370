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

// functionMemory is what the template gives a function that answers, in MiB.
const functionMemory = 512

func TestMain(m *testing.M) {
	setup.UseMemory(functionMemory)
	m.Run()
}

// service is the whole service on stand-ins that answer late.
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
	s.late()
	return s
}

// restart begins with a new process, which keeps nothing of what the last one read.
func (s *service) restart() {
	s.Service = s.aws.Service(awstest.Silent())
	s.AtOnce = 10
	s.api = s.Handler("")
}

// late makes both services answer late.
func (s *service) late() {
	s.aws.S3.Disturb(awslocal.Fault{Delay: s3Latency})
	s.aws.ECR.Disturb(awslocal.Fault{Delay: ecrLatency})
}

// calm makes both services answer at once.
func (s *service) calm() {
	s.aws.S3.Calm()
	s.aws.ECR.Calm()
}

// get answers a request, which must succeed, and gives the size of the answer in bytes.
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

// measure reports the time of one operation as a multiple of its floor, and how many times as long it takes when its calls are answered one
// by one, which is measured once in the same run.
func (s *service) measure(b *testing.B, floor time.Duration, operation func()) {
	b.Helper()
	s.measureEach(b, floor, func() {}, operation)
}

// measureEach is measure with something that is done before each operation and takes no time.
func (s *service) measureEach(b *testing.B, floor time.Duration, prepare, operation func()) {
	b.Helper()
	prepare()
	operation() // connections are made once
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

// fill puts images into each repository; scanned says when each was scanned last.
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

// GET /configs of 300: the list, then all objects.
func BenchmarkConfigs300(b *testing.B) {
	s := newService(b, repositories(300), func(*ecr.ECR) {})
	s.measure(b, 2*s3Latency, func() { s.get(b, "/configs") })
}

// GET /summary of what visits recorded less than 5 minutes ago: the list, the objects, the records. ECR is asked nothing. A process that read
// the records before is told by S3 that they are the same; a new one, which is measured too, has its connections and nothing else.
func BenchmarkSummaryRecorded(b *testing.B) {
	for _, images := range []int{200, 10_000} {
		names := repositories(10)
		s := newService(b, names, fill(names, images/10, time.Now().Add(-time.Hour)))
		s.remember(b)
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

// GET /summary at first, of 200 images in 10 repositories: the list, the objects, that there are no records, the images, their findings. It
// makes the 100 calls to ECR that a request over all configs may, so about half of the images are shown.
func BenchmarkSummaryFirst200(b *testing.B) {
	names := repositories(10)
	s := newService(b, names, fill(names, 20, time.Now().Add(-time.Hour)))
	s.measureEach(b, 3*s3Latency+2*ecrLatency, func() { s.forget(b) }, func() { s.get(b, "/summary") })
}

// A schedule and the visits of the same, all at once; each image was scanned again since the visit before and is due. Scans take no time.
// The chain of the schedule: the list, the objects, the folders of the records in three calls. That of a visit: the record, the config, the
// images, their findings, their starts beside their histories, the record, and the sweep: the list, the histories, what is no longer needed.
func BenchmarkScanRun200(b *testing.B) {
	names := repositories(10)
	s := newService(b, names, fill(names, 20, time.Now().Add(-25*time.Hour)))
	s.measure(b, 11*s3Latency+3*ecrLatency, func() {
		s.aws.Later(25 * time.Hour)
		// One by one, a call may wait for longer than an attempt may take. The next attempt is told that the scan was started a moment ago.
		if visits, err := s.ScheduleAndVisit(b.Context()); err != nil || visits.Started+visits.Recent != 200 {
			b.Fatalf("%v, visits %+v", err, visits.Tally)
		}
	})
}

// A feed of 1,200 findings of one image that a visit recorded less than 5 minutes ago: the config, the record, the history.
func BenchmarkFeedRecorded1200(b *testing.B) {
	s := newService(b, repositories(1), one(findings(1200)))
	s.remember(b)
	s.measure(b, 3*s3Latency, func() { s.get(b, "/findings/"+s.ids[0]) })
	if n := s.aws.ECR.Count().Total(); n > 0 {
		b.Errorf("%d calls to ECR", n)
	}
	b.ReportMetric(s.stored(b)/1200, "bytes-in-S3/finding")
}

// The same feed at first: the config, that there is no record, the image, the two pages of its findings.
func BenchmarkFeedFirst1200(b *testing.B) {
	s := newService(b, repositories(1), one(findings(1200)))
	s.measureEach(b, 2*s3Latency+3*ecrLatency, func() { s.forget(b) }, func() { s.get(b, "/findings/"+s.ids[0]) })
}

// one fills the first repository with one image.
func one(findings []ecr.Finding) func(*ecr.ECR) {
	return func(e *ecr.ECR) {
		e.PutImage(ecr.RepositoryID{Name: "team/app0"}, ecr.Image{Tags: []string{"v1"}, ScannedAt: time.Now().Add(-time.Hour), Findings: findings})
	}
}

// remember visits every repository. No image is due.
func (s *service) remember(b *testing.B) {
	b.Helper()
	s.calm()
	if visits, err := s.ScheduleAndVisit(b.Context()); err != nil || visits.Started+visits.Left > 0 {
		b.Fatalf("%+v, %v", visits, err)
	}
	s.late()
}

// forget removes all that is recorded.
func (s *service) forget(b *testing.B) {
	b.Helper()
	s.calm()
	defer s.late()
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

// stored is how many bytes are remembered.
func (s *service) stored(b *testing.B) float64 {
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

// Cold start of each function: from the start of the process to its first poll, as a multiple of a handler with nothing in it. They are
// started in turn, so that whatever else the machine does hits all alike.
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
