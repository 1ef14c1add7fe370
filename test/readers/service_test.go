//go:build readers

package readers

import (
	"net/http"
	"net/http/httptest"
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
}

// start serves two repositories with findings, one of them with two tags that share most of them.
func start(t *testing.T) *service {
	t.Helper()
	s := &service{t: t, ids: map[string]string{}}
	s.aws = awstest.Start(t, awslocal.ECROptions{ScanTime: -1})
	if err := s.aws.ECR.PutWalkthrough(); err != nil {
		t.Fatal(err)
	}
	s.watch = s.aws.Watch(awstest.Silent())
	for _, repository := range []string{"test/ubuntu", "test/centos"} {
		c, err := scan.NewConfig(scan.Config{Region: "us-west-2", Registry: "123456789012", Repository: repository}, s.aws.Now())
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
	s.scan()
	return s
}

// rescan lets a day pass and scans every image again.
func (s *service) rescan() {
	s.t.Helper()
	s.aws.Later(25 * time.Hour)
	s.scan()
}

// scan scans every image, each of which is due.
func (s *service) scan() {
	s.t.Helper()
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
