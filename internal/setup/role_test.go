package setup_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
)

const (
	otherAccount = "210987654321"
	roleOfOthers = "arn:aws:iam::" + otherAccount + ":role/ecr-scan"
)

// startAccounts starts the services with an image in another account, and sets the role of the functions. It returns a config for the image.
func startAccounts(t *testing.T, roleName string) (*stack, *awstest.Accounts, scan.Config) {
	t.Helper()
	s := start(t)
	accounts := awstest.NewAccounts(s.ECR, s.Now)
	server := httptest.NewServer(accounts)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_ECR": server.URL, "AWS_ENDPOINT_URL_STS": server.URL, setup.RegistryRole: "arn:aws:iam::" + awslocal.DefaultRegistry + ":role/" + roleName,
	} {
		t.Setenv(name, value)
	}
	s.ECR.PutImage(ecr.RepositoryID{Registry: otherAccount, Name: "team/app"}, ecr.Image{Tags: []string{"v1"}, ScannedAt: s.Now()})
	c := s.config
	c.ID, c.Registry, c.Repository = "01a22442-e3bd-7c4d-9eae-d6ae7207a502", otherAccount, "team/app"
	if err := s.Service(awstest.Silent()).Configs.Put(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return s, accounts, c
}

// read returns the answer of a function that only reads.
func read(t *testing.T, build apiFunction, path string) string {
	t.Helper()
	h, err := build(t.Context(), awstest.Silent(), base)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, httptest.NewRequest("GET", path, http.NoBody)); w.Code != http.StatusOK {
		t.Errorf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// visitWithStartScan sends the events of a schedule and of a visit to StartScanFunc.
func visitWithStartScan(t *testing.T, c scan.Config) {
	t.Helper()
	handler, err := setup.StartScan(t.Context(), awstest.Silent())
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(rescan.NewMessage(c.Repo(), c.ID))
	if err != nil {
		t.Fatal(err)
	}
	visit, err := json.Marshal(map[string]any{"Records": []any{map[string]any{"eventSource": "aws:sqs", "messageId": "1", "body": string(body)}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range []json.RawMessage{json.RawMessage(`{"time":"2026-11-28T12:00:00Z"}`), visit} {
		if _, err := handler.Handle(t.Context(), event); err != nil {
			t.Errorf("%s: %v", event, err)
		}
	}
}

// Each function assumes the role of other accounts in the session that deploy/member-role.yaml permits to it.
func TestSessionsOfTheFunctions(t *testing.T) {
	for name, test := range map[string]struct {
		call func(*testing.T, scan.Config)
		want string
	}{
		"SummaryFunc":   {func(t *testing.T, _ scan.Config) { read(t, setup.Summary, "/summary") }, "ecr-continuous-scan-read"},
		"FindingsFunc":  {func(t *testing.T, c scan.Config) { read(t, setup.Findings, "/findings/"+c.ID) }, "ecr-continuous-scan-read"},
		"StartScanFunc": {visitWithStartScan, "ecr-continuous-scan-visit"},
	} {
		t.Run(name, func(t *testing.T) {
			_, accounts, c := startAccounts(t, "ecr-scan")
			accounts.Trust(roleOfOthers, true)
			test.call(t, c)
			if began, refused := accounts.Sessions(); !slices.Equal(began, []awstest.Session{{Role: roleOfOthers, Name: test.want}}) || refused != 0 {
				t.Errorf("%v, %d refused, want one session %s", began, refused, test.want)
			}
		})
	}
}

// Without a role, no function calls STS, and errors of other accounts say which account and what to do.
func TestFunctionsWithoutARole(t *testing.T) {
	s, accounts, c := startAccounts(t, "")
	c.ID, c.Repository = "01a22442-e3bd-7c4d-9eae-d6ae7207a503", "team/*"
	if err := s.Service(awstest.Silent()).Configs.Put(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	const named = "Results for team/app in us-west-2:\n NO ACCESS: account 210987654321 gives no access to ecr:DescribeImages: " +
		"set its repository policy, or RegistryRole (deploy/member-role.yaml)\n"
	const pattern = "Results for team/* in us-west-2:\n NO ACCESS: the repositories of the registry can't be listed: " +
		"account 210987654321 gives no access to ecr:DescribeRepositories: set RegistryRole (deploy/member-role.yaml)\n"
	if got := read(t, setup.Summary, "/summary"); !strings.Contains(got, named) {
		t.Errorf("before a visit: %s", got)
	}
	visitWithStartScan(t, c)
	if got := read(t, setup.Summary, "/summary"); !strings.Contains(got, named) || !strings.Contains(got, pattern) || !strings.Contains(got, "Results for app:v1 in us-west-2:\n\n") {
		t.Errorf("after it: %s", got)
	}
	if began, refused := accounts.Sessions(); len(began)+refused != 0 {
		t.Errorf("STS was called: %v, %d refused", began, refused)
	}
}

// A function with an invalid ARN of a role does not start.
func TestInvalidRole(t *testing.T) {
	startAccounts(t, "")
	t.Setenv(setup.RegistryRole, "ecr-scan")
	errs := map[string]error{}
	_, errs["summary"] = setup.Summary(t.Context(), awstest.Silent(), base)
	_, errs["findings"] = setup.Findings(t.Context(), awstest.Silent(), base)
	_, errs["startscan"] = setup.StartScan(t.Context(), awstest.Silent())
	for name, err := range errs {
		if err == nil || !strings.Contains(err.Error(), setup.RegistryRole) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
