package ecrscan_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/ecrscan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// The repositories of one registry in one Region are listed, and no others.
func TestRepositories(t *testing.T) {
	e, c := start(t)
	at := time.Date(2026, 11, 2, 8, 30, 0, 0, time.UTC)
	for _, id := range []ecr.RepositoryID{{Name: "b"}, {Name: "team/a"}, {Name: "x", Region: "eu-west-1"}, {Name: "y", Registry: "210987654321"}} {
		e.PutRepository(id, ecr.Repository{CreatedAt: at})
	}
	got, err := c.Repositories(t.Context(), repo.In())
	want := []scan.ListedRepository{
		{Repository: scan.Repository{Registry: repo.Registry, Region: repo.Region, Name: "b"}, Created: at},
		{Repository: scan.Repository{Registry: repo.Registry, Region: repo.Region, Name: "team/a"}, Created: at},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := c.Repositories(t.Context(), scan.Registry{ID: "111111111111", Region: "us-west-2"}); err != nil || len(got) != 0 {
		t.Errorf("an empty registry: %v, %v", got, err)
	}
}

// 10,000 repositories are 10 calls.
func TestManyRepositories(t *testing.T) {
	e, c := start(t)
	for i := range 10_000 {
		e.PutRepository(ecr.RepositoryID{Name: fmt.Sprintf("r%04d", i)}, ecr.Repository{})
	}
	got, err := c.Repositories(t.Context(), repo.In())
	if err != nil || len(got) != 10_000 || got[9999].Name != "r9999" {
		t.Fatalf("%d repositories, %v", len(got), err)
	}
	if calls := e.Count().Total(); calls != 10 {
		t.Errorf("%d calls, want 10", calls)
	}
}

// A listing that fails returns no part of the repositories.
func TestRepositoriesErrors(t *testing.T) {
	for name, test := range map[string]struct {
		fault   awslocal.Fault
		code    scan.Code
		message string
	}{
		"no permission": {awslocal.Fault{Code: "AccessDeniedException"}, scan.NoAccess, "no access to ecr:DescribeRepositories"},
		"an outage":     {awslocal.Fault{Status: 500, Code: "ServerException"}, scan.Unavailable, "ECR in us-west-2 answered with an error"},
	} {
		t.Run(name, func(t *testing.T) {
			e, c := start(t)
			e.PutRepository(id, ecr.Repository{})
			e.InjectFault(test.fault)
			got, err := c.Repositories(t.Context(), repo.In())
			if got != nil || scan.CodeOf(err) != test.code || scan.MessageOf(err) != test.message {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

// A token that repeats ends the listing with an error.
func TestRepositoriesWithRepeatedToken(t *testing.T) {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"repositories":[{"repositoryName":"a"}],"nextToken":"1"}`)
	}))
	defer server.Close()
	got, err := ecrscan.New(awstest.Config(server.URL)).Repositories(t.Context(), repo.In())
	if got != nil || scan.CodeOf(err) != scan.Unavailable || calls != 2 {
		t.Errorf("%v, %v after %d calls", got, err, calls)
	}
}
