//go:build feedreaders

package feedreaders

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/awslocal/samples"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/test/awstest"
)

// service is the whole service with an embedded S3 and ECR. The test sets its clock.
type service struct {
	t   *testing.T
	aws *awstest.AWS
	*awstest.Service
	url string
	ids map[string]string // of configs, by repository
}

// start serves two repositories with findings. One of them has two tags that share most findings.
func start(t *testing.T) *service {
	t.Helper()
	s := &service{t: t, ids: map[string]string{}}
	s.aws = awstest.Start(t, ecr.Options{ScanTime: -1})
	if err := samples.PutWalkthrough(s.aws.ECR); err != nil {
		t.Fatal(err)
	}
	s.Service = s.aws.Service(awstest.Silent())
	for _, repository := range []string{"test/ubuntu", "test/centos"} {
		s.ids[repository] = s.AddConfig(t, repository).ID
	}
	api := s.API("")
	api.BaseURL = func(r *http.Request) string { return "http://" + r.Host }
	server := httptest.NewServer(api.Handler(api.Routes()))
	t.Cleanup(server.Close)
	s.url = server.URL
	s.scan()
	return s
}

// rescan advances the clock by 25 hours and scans every image again.
func (s *service) rescan() {
	s.t.Helper()
	s.aws.Advance(25 * time.Hour)
	s.scan()
}

// scan visits each repository twice. The first visits start the scans, because every image is due. The second
// visits record the results.
func (s *service) scan() {
	s.t.Helper()
	for visit := range 2 {
		visits, err := s.ScheduleAndVisit(s.t.Context())
		if err != nil || visits.Count(rescan.VisitEnded) < 2 || (visits.Started > 0) != (visit == 0) || visits.NotReached+len(visits.Failed) > 0 {
			s.t.Fatalf("visits: %+v, %v", visits, err)
		}
	}
}

// addVulnerability adds a vulnerability to one image. The next scan finds it.
func (s *service) addVulnerability(repository, tag, name string) {
	s.t.Helper()
	s.changeFindings(repository, tag, func(findings []ecr.Finding) []ecr.Finding {
		return append([]ecr.Finding{{
			Name: name, Severity: "HIGH", URI: "https://example.org/" + name, Description: "New & <b>bad</b>.",
			Attributes: []ecr.Attribute{{Key: "package_name", Value: "openssl"}},
		}}, findings...)
	})
}

// changeFindings changes what the next scan of an image finds.
func (s *service) changeFindings(repository, tag string, change func([]ecr.Finding) []ecr.Finding) {
	s.t.Helper()
	err := s.aws.ECR.UpdateImage(ecr.RepositoryID{Name: repository}, tag, func(i *ecr.Image) { i.Findings = change(i.Findings) })
	if err != nil {
		s.t.Fatal(err)
	}
}
