package httpapi_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/test/awstest"
)

// outages are the forms of an outage: the error, the closed connection, and the response that is cut off.
func outages() map[string]awslocal.Fault {
	return map[string]awslocal.Fault{"500": {Status: 500}, "503": {Status: 503}, "dropped": {Drop: true}, "cut": {Cut: true}}
}

// An outage of S3 or ECR of two seconds fails no request and no visit: the calls are repeated.
func TestOutageOfTwoSeconds(t *testing.T) {
	for name, fault := range outages() {
		for _, service := range []string{"S3", "ECR"} {
			for _, work := range []string{"/configs", "/summary", "/findings/all", "gate", "visit"} {
				t.Run(name+" "+service+" "+work, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { checkOutage(t, fault, service, work) })
				})
			}
		}
	}
}

// checkOutage makes a request, or a visit, at the begin of an outage of one service of two seconds.
func checkOutage(t *testing.T, fault awslocal.Fault, failing, work string) {
	store, err := awslocal.NewMemoryS3(awstest.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	registry := ecr.New(ecr.Options{})
	registry.PutImage(ecr.RepositoryID{Name: "app"}, ecr.Image{Tags: []string{"v1"}, ScannedAt: time.Now().Add(-time.Hour)})
	s := awstest.NewService(inProcess(store), inProcess(registry), time.Now, awstest.Silent())
	h := &service{handler(t, s.API(base)), s}
	id := add(t, h, "app")
	traffic := map[string]*awslocal.Traffic{"S3": store.Traffic, "ECR": registry.Traffic}[failing]
	traffic.InjectFault(fault)
	time.AfterFunc(2*time.Second, traffic.ClearFaults)
	if work != "visit" {
		target := map[string]string{"gate": "/gate/" + id + "?max=HIGH"}[work]
		if target == "" {
			target = work
		}
		if got := call(h, http.MethodGet, target, "", ""); got.status != http.StatusOK || strings.Contains(got.body, "UNAVAILABLE") {
			t.Errorf("%d %s", got.status, got.body)
		}
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if visits := s.VisitAll(ctx); visits.Count(rescan.VisitEnded) != 1 || visits.Images != 1 || len(visits.Failed) > 0 {
		t.Errorf("%+v", visits.Reports)
	}
}
