package httpapi_test

import (
	"strings"
	"testing"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/ecrscan"
	"ecr-continuous-scan/test/awstest"
)

const memberRegistry = "210987654321"

// withMember returns the service of an account, with a config of a repository of another account.
func withMember(t *testing.T) (*awstest.AWS, *awstest.Accounts, *awstest.Service) {
	t.Helper()
	a := awstest.Start(t, ecr.Options{ScanTime: -1})
	a.ECR.PutRepository(ecr.RepositoryID{Registry: memberRegistry, Name: "team/app"}, ecr.Repository{Uncovered: true})
	a.ECR.PutImage(ecr.RepositoryID{Registry: memberRegistry, Name: "team/app"}, ecr.Image{Tags: []string{"1"}, Findings: []ecr.Finding{{Name: "CVE-1", Severity: "HIGH"}}})
	accounts := awstest.NewAccounts(a.ECR, a.Now)
	s := a.Service(awstest.Silent())
	role := func(session string) *ecrscan.Client {
		c, err := ecrscan.NewWithRole(awstest.InProcess(accounts), ecrscan.Role{ARN: "arn:aws:iam::" + awslocal.DefaultRegistry + ":role/ecr-scan", Session: session})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	s.Reader.Registry, s.Visitor.Scanner = role(ecrscan.ReadSession), role(ecrscan.VisitSession)
	got := call(handler(t, s.API(base)), "POST", "/configs", "application/json", `{"region":"us-west-2","registry":"`+memberRegistry+`","repository":"team/app"}`)
	if got.status != 201 {
		t.Fatal(got)
	}
	s.Queue.Take() // the tests make the visits
	return a, accounts, s
}

// What users see before the role exists in the other account, and then.
func TestRegistryOfAnotherAccount(t *testing.T) {
	_, accounts, s := withMember(t)
	h := handler(t, s.API(base))
	const missing = "the service may not assume the role ecr-scan of account 210987654321: create the role there with deploy/member-role.yaml"
	visit := func() string {
		t.Helper()
		if _, err := s.ScheduleAndVisit(t.Context()); err != nil {
			t.Fatal(err)
		}
		return call(h, "GET", "/summary", "", "").body
	}
	if got, want := visit(), "Results for team/app in us-west-2:\n NO ACCESS: "+missing+"\n\n\n"; got != want {
		t.Errorf("without the role: %q", got)
	}
	if got := call(h, "GET", "/summary?format=json", "", "").body; !strings.Contains(got, missing) {
		t.Errorf("the JSON has no reason: %s", got)
	}
	accounts.Trust("arn:aws:iam::"+memberRegistry+":role/ecr-scan", true)
	visit()
	if got, want := visit(), "Results for team/app:1 in us-west-2:\n HIGH: 1\n\n\n"; got != want {
		t.Errorf("with the role: %q, want %q", got, want)
	}
	id := call(h, "GET", "/configs", "", "").body
	id = id[strings.Index(id, `"id": "`)+7:][:36]
	if got := call(h, "GET", "/gate/"+id+"?max=HIGH", "", ""); got.status != 200 { // the gate lists the images
		t.Errorf("the gate: %+v", got)
	}
	began, _ := accounts.Sessions()
	names := map[string]int{}
	for _, session := range began {
		names[session.Name]++
	}
	if len(began) > 3 || names[ecrscan.VisitSession] == 0 || names[ecrscan.ReadSession] == 0 {
		t.Errorf("the sessions %v", began)
	}
}

// A repository that enhanced scanning ignores says so, after each visit and after each read, until a filter covers it.
func TestRepositoryThatNoFilterCovers(t *testing.T) {
	a, accounts, s := withMember(t)
	accounts.Trust("arn:aws:iam::"+memberRegistry+":role/ecr-scan", true)
	a.ECR.SetScanType("us-west-2", memberRegistry, ecr.Enhanced)
	h := handler(t, s.API(base))
	summary := func(visit bool) string {
		t.Helper()
		if visit {
			if _, err := s.ScheduleAndVisit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return call(h, "GET", "/summary", "", "").body
	}
	const heading, reason = "Results for team/app:1 in us-west-2:\n NOT SCANNED", ": no filter of enhanced scanning covers the repository"
	for _, visit := range []bool{true, true, false} {
		if got := summary(visit); got != heading+reason+"\n\n\n" {
			t.Errorf("not covered: %q", got)
		}
	}
	if n := a.ECR.Count().Calls["BatchGetRepositoryScanningConfiguration"]; n != 2 {
		t.Errorf("two visits asked %d times", n)
	}
	undo := a.ECR.InjectFault(ecr.Deny("BatchGetRepositoryScanningConfiguration", ecr.RepositoryID{Registry: memberRegistry}))
	if got := summary(true); got != heading+reason+"\n\n\n" {
		t.Errorf("without the permission to ask again: %q", got)
	}
	undo()
	a.ECR.PutRepository(ecr.RepositoryID{Registry: memberRegistry, Name: "team/app"}, ecr.Repository{})
	if got := summary(true); got != heading+"\n\n\n" {
		t.Errorf("covered: %q", got)
	}
	a.ECR.PutRepository(ecr.RepositoryID{Registry: memberRegistry, Name: "team/app"}, ecr.Repository{Uncovered: true})
	summary(true)
	a.ECR.SetScanType("us-west-2", memberRegistry, ecr.Basic)
	summary(true)
	if got := summary(true); strings.Contains(got, reason) {
		t.Errorf("basic scanning: %q", got)
	}
}
