//go:build readers

package readers

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// service is the whole service on embedded S3 and ECR, whose clock the test sets.
type service struct {
	t     *testing.T
	aws   *awstest.AWS
	watch *scan.Watch
	url   string
	ids   map[string]string // of configs, by repository
	ahead atomic.Int64      // of the true time
}

// start serves two repositories with findings, one of them with two tags that share most of them.
func start(t *testing.T) *service {
	t.Helper()
	s := &service{t: t, ids: map[string]string{}}
	now := func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }
	s.aws = awstest.Start(t, awslocal.ECROptions{ScanTime: -1, Now: now})
	if err := s.aws.ECR.PutWalkthrough(); err != nil {
		t.Fatal(err)
	}
	s.watch = s.aws.Watch(awstest.Silent())
	s.watch.Now = now
	for _, repository := range []string{"test/ubuntu", "test/centos"} {
		c, err := scan.NewConfig(scan.Config{Region: "us-west-2", Registry: "123456789012", Repository: repository}, now())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.watch.Configs.Put(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		s.ids[repository] = c.ID
	}
	api := &httpapi.API{
		Watch: s.watch, Access: httpapi.OpenAccess(), Log: awstest.Silent(),
		BaseURL: func(r *http.Request) string { return "http://" + r.Host },
	}
	server := httptest.NewServer(api.Handler(api.All()))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// rescan lets a day pass and scans every image again.
func (s *service) rescan() {
	s.t.Helper()
	s.ahead.Add(int64(25 * time.Hour))
	report, err := s.watch.Run(s.t.Context())
	if err != nil || report.Started == 0 || report.Left+len(report.Failed) > 0 {
		s.t.Fatalf("scan run: %+v, %v", report, err)
	}
}

// find puts a new vulnerability into one image; the next scan finds it.
func (s *service) find(repository, tag, name string) {
	s.t.Helper()
	err := s.aws.ECR.UpdateImage(awslocal.RepositoryID{Name: repository}, tag, func(i *awslocal.Image) {
		i.Findings = append([]awslocal.Finding{{
			Name: name, Severity: "HIGH", URI: "https://example.org/" + name, Description: "New & <b>bad</b>.",
			Attributes: []awslocal.Attribute{{Key: "package_name", Value: "openssl"}},
		}}, i.Findings...)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}
