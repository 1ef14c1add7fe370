package scale

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/suppress"
	"ecr-continuous-scan/test/awstest"
)

// registryOfFindings returns a service with the recorded findings of images in 100 repositories. Each image has 100 findings.
func registryOfFindings(tb testing.TB, images int) (*awstest.AWS, *awstest.Service) {
	tb.Helper()
	a := awstest.Start(tb, ecr.Options{ScanTime: time.Second})
	for i := range images {
		var findings []ecr.Finding
		for n := range 100 {
			findings = append(findings, ecr.Finding{Name: fmt.Sprintf("CVE-2026-%05d", (n+i%50)*150), Severity: "HIGH", Attributes: []ecr.Attribute{
				{Key: "package_name", Value: fmt.Sprintf("package-%d", n*37)}, {Key: "package_version", Value: "1.0"},
			}})
		}
		a.ECR.PutImage(ecr.RepositoryID{Name: fmt.Sprintf("team/app-%d", i%100)}, ecr.Image{
			Tags: []string{fmt.Sprint("v", i)}, Manifest: fmt.Sprint(i), ScannedAt: time.Now().Add(-time.Hour), Findings: findings,
		})
	}
	s := a.Service(awstest.Silent())
	s.AddConfig(tb, "team/*")
	if visits, err := s.ScheduleAndVisit(tb.Context()); err != nil || visits.ImagesFailed() > 0 {
		tb.Fatalf("%v, %+v", err, visits.Tally)
	}
	return a, s
}

// manySuppressions returns n suppressions of all kinds.
func manySuppressions(n int) []suppress.Suppression {
	all := make([]suppress.Suppression, n)
	for i := range all {
		s := &all[i]
		*s = suppress.Suppression{ID: fmt.Sprintf("01a22719-a7ac-7c93-a66b-%012d", i), Created: time.Now().Unix() - 60, Vulnerability: fmt.Sprintf("CVE-2026-%05d", i), Reason: "the package is not used"}
		switch i % 10 {
		case 1:
			s.Repository = fmt.Sprintf("team/app-%d", i%100)
		case 2:
			s.Vulnerability, s.Package = "", fmt.Sprintf("package-%d*", i)
		case 3:
			s.Vulnerability, s.Package = "", fmt.Sprintf("package-%d", i)
		case 4:
			s.Package, s.Tag = "linux*", "v*"
		case 5:
			s.Digest = fmt.Sprintf("sha256:%064x", i)
		case 6:
			s.Vulnerability = fmt.Sprintf("*-%d", i)
		case 7:
			s.Repository = fmt.Sprintf("*/app-%d", i%100)
		case 8:
			s.Tag = fmt.Sprint("v", i%1000)
		case 9:
			s.Vulnerability, s.Package = "", fmt.Sprintf("*-%d*", i)
		}
	}
	return all
}

func suppressAll(tb testing.TB, s *awstest.Service, all []suppress.Suppression) {
	tb.Helper()
	err := s.Suppressions.Rewrite(tb.Context(), func(l suppress.List) (suppress.List, error) { return suppress.List{All: all}, nil })
	if err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkReads reads 100,000 findings of 1,000 images with and without 10,000 suppressions, and after 100 others were deleted one after the other, before a
// visit records it. Its processor time includes that of the embedded S3.
func BenchmarkReads(b *testing.B) {
	a, s := registryOfFindings(b, 1000)
	handler := s.Handler("https://api.example")
	lists := map[string][]suppress.Suppression{"0 suppressions": nil, "100 suppressions": manySuppressions(100), "10000 suppressions": manySuppressions(suppress.MaxCount)}
	a.Advance(time.Hour)
	deleted := manySuppressions(100)
	for i := range deleted {
		deleted[i].Deleted = a.Now().Unix() - int64(len(deleted)-i)
	}
	lists["100 deleted"] = deleted
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		suppressAll(b, s, lists[name])
		for _, target := range []string{"/summary?format=json", "/findings/all?format=json", "/changes", "/suppressions"} {
			b.Run(target+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				used := processorTime()
				for b.Loop() {
					answer := httptest.NewRecorder()
					handler.ServeHTTP(answer, httptest.NewRequest("GET", target, nil))
					if answer.Code != 200 {
						b.Fatalf("status %d, %.300s", answer.Code, answer.Body)
					}
				}
				b.ReportMetric(float64((processorTime()-used).Milliseconds())/float64(b.N), "processor-ms/op")
			})
		}
	}
}
