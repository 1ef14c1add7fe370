package ecrscan_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/ecrscan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

const (
	ownRole    = "arn:aws:iam::123456789012:role/ecr-scan"
	memberRole = "arn:aws:iam::210987654321:role/ecr-scan"
)

var member = scan.Repository{Registry: "210987654321", Region: "us-west-2", Name: "team/app"}

// withAccounts returns a client with the role, and an ECR with the repository member in another account.
func withAccounts(t *testing.T) (*ecr.ECR, *awstest.Accounts, *ecrscan.Client) {
	t.Helper()
	e := ecr.New(ecr.Options{})
	for _, registry := range []string{member.Registry, awslocal.DefaultRegistry} {
		e.PutImage(ecr.RepositoryID{Registry: registry, Name: member.Name}, ecr.Image{Tags: []string{"1"}})
	}
	accounts := awstest.NewAccounts(e, time.Now)
	return e, accounts, withRole(t, accounts, ownRole)
}

func withRole(t *testing.T, accounts *awstest.Accounts, role string) *ecrscan.Client {
	t.Helper()
	cfg := inProcessConfig(accounts)
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 2, time.Millisecond })
	}
	c, err := ecrscan.NewWithRole(cfg, ecrscan.Role{ARN: role, Session: ecrscan.ReadSession})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Only the calls to registries of other accounts use the role, and one session is for all calls to a registry.
func TestRoleOfAnotherAccount(t *testing.T) {
	_, accounts, c := withAccounts(t)
	accounts.Trust(memberRole, true)
	var g sync.WaitGroup
	for range 20 {
		g.Go(func() {
			images, err := imagesOf(c.Images(t.Context(), member, scan.Wanted{}))
			if err != nil || len(images) != 1 {
				t.Errorf("%v, %v", images, err)
			}
		})
	}
	g.Wait()
	own := member
	own.Registry = awslocal.DefaultRegistry
	if images, err := imagesOf(c.Images(t.Context(), own, scan.Wanted{})); err != nil || len(images) != 1 {
		t.Errorf("the own registry: %v, %v", images, err)
	}
	if began, refused := accounts.Sessions(); refused != 0 || !slices.Equal(began, []awstest.Session{{Role: memberRole, Name: "ecr-continuous-scan-read"}}) {
		t.Errorf("sessions %v, %d refused", began, refused)
	}
}

// The role has the partition of the service.
func TestRolesOfOtherPartitions(t *testing.T) {
	for _, partition := range []string{"aws-cn", "aws-us-gov"} {
		_, accounts, _ := withAccounts(t)
		c := withRole(t, accounts, strings.Replace(ownRole, "aws", partition, 1))
		accounts.Trust(strings.Replace(memberRole, "aws", partition, 1), true)
		if _, err := c.Images(t.Context(), member, scan.Wanted{}); err != nil {
			t.Errorf("%s: %v", partition, err)
		}
	}
	for _, wrong := range []string{"", "ecr-scan", "arn:aws:iam::123456789012:user/x"} {
		if _, err := ecrscan.NewWithRole(inProcessConfig(nil), ecrscan.Role{ARN: wrong}); err == nil {
			t.Errorf("the ARN %q is accepted", wrong)
		}
	}
}

// A session is replaced shortly before its end.
func TestSessionsEndEarly(t *testing.T) {
	for lasts, want := range map[time.Duration]int{2*time.Minute + 30*time.Second: 1, 2*time.Minute - time.Second: 3} {
		_, accounts, c := withAccounts(t)
		accounts.Trust(memberRole, true)
		accounts.Lasts = lasts
		for range 3 {
			if _, err := c.Images(t.Context(), member, scan.Wanted{}); err != nil {
				t.Fatal(err)
			}
		}
		if began, _ := accounts.Sessions(); len(began) != want {
			t.Errorf("sessions of %v: %d for three calls, want %d", lasts, len(began), want)
		}
	}
}

// An error names the account, the step and what to do.
func TestErrorsOfOtherAccounts(t *testing.T) {
	const role = "the role ecr-scan of account 210987654321"
	list := func(c *ecrscan.Client, t *testing.T) error {
		_, err := c.Images(t.Context(), member, scan.Wanted{})
		return err
	}
	start := func(c *ecrscan.Client, t *testing.T) error { return c.StartScan(t.Context(), member, digestOf(1)) }
	for name, test := range map[string]struct {
		fault   func(*ecr.ECR, *awstest.Accounts)
		call    func(*ecrscan.Client, *testing.T) error
		code    scan.Code
		message string
		refused int // calls of STS
	}{
		"the role is missing": {
			func(_ *ecr.ECR, a *awstest.Accounts) { a.Trust(memberRole, false) }, list, scan.NoAccess,
			"the service may not assume " + role + ": create the role there with deploy/member-role.yaml", 1,
		},
		"STS is not active": {
			func(_ *ecr.ECR, a *awstest.Accounts) {
				a.Fault = func() (int, string) { return 403, "RegionDisabledException" }
			}, list, scan.NoAccess,
			"STS refused to assume " + role + ": RegionDisabledException", 1,
		},
		"an outage of STS": {
			func(_ *ecr.ECR, a *awstest.Accounts) {
				a.Fault = func() (int, string) { return 500, "InternalFailure" }
			}, list, scan.Unavailable,
			role + " can't be assumed now", 2,
		},
		"the role may not list": {
			func(e *ecr.ECR, _ *awstest.Accounts) {
				e.InjectFault(ecr.Deny("DescribeImages", ecr.RepositoryID{Registry: member.Registry}))
			}, list, scan.NoAccess,
			role + " has no access to ecr:DescribeImages: update it there with deploy/member-role.yaml", 0,
		},
		"the role may not scan": {
			func(e *ecr.ECR, _ *awstest.Accounts) {
				e.InjectFault(ecr.Deny("StartImageScan", ecr.RepositoryID{Registry: member.Registry}))
			}, start, scan.NoAccess,
			role + " has no access to ecr:StartImageScan: update it there with deploy/member-role.yaml", 0,
		},
		"another error of ECR": {
			func(*ecr.ECR, *awstest.Accounts) {}, func(c *ecrscan.Client, t *testing.T) error {
				_, err := c.Images(t.Context(), scan.Repository{Registry: member.Registry, Region: member.Region, Name: "none"}, scan.Wanted{})
				return err
			}, scan.RepositoryNotFound, "repository not found", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, accounts, c := withAccounts(t)
			accounts.Trust(memberRole, true)
			test.fault(e, accounts)
			err := test.call(c, t)
			if scan.CodeOf(err) != test.code || scan.MessageOf(err) != test.message {
				t.Errorf("%s: %s", scan.CodeOf(err), scan.MessageOf(err))
			}
			if _, refused := accounts.Sessions(); refused != test.refused {
				t.Errorf("STS was called %d times in vain, want %d", refused, test.refused)
			}
		})
	}
	_, accounts, c := withAccounts(t)
	if err := list(c, t); err == nil {
		t.Error("a role that does not exist was assumed")
	}
	accounts.Trust(memberRole, true)
	if err := list(c, t); err != nil {
		t.Errorf("after the role was created: %v", err)
	}
}

// The number of sessions that are kept has a limit.
func TestSessionsAreBounded(t *testing.T) {
	_, accounts, c := withAccounts(t)
	for i := range 2001 {
		registry := fmt.Sprintf("%012d", i)
		accounts.Trust("arn:aws:iam::"+registry+":role/ecr-scan", true)
		_, err := c.Images(t.Context(), scan.Repository{Registry: registry, Region: "us-west-2", Name: "none"}, scan.Wanted{})
		if scan.CodeOf(err) != scan.RepositoryNotFound {
			t.Fatal(err)
		}
	}
	if n := ecrscan.Sessions(c); n != 1 {
		t.Errorf("%d sessions are kept after 2,001 registries", n)
	}
}

// Without a role, the owner of the registry must permit the calls in a policy. An error names the account, the step and what to do.
func TestWithoutARole(t *testing.T) {
	const registryRole = "RegistryRole (deploy/member-role.yaml)"
	listRepositories := func(c *ecrscan.Client, t *testing.T) error {
		_, err := c.Repositories(t.Context(), member.In())
		return err
	}
	list := func(c *ecrscan.Client, t *testing.T) error {
		_, err := c.Images(t.Context(), member, scan.Wanted{})
		return err
	}
	start := func(c *ecrscan.Client, t *testing.T) error { return c.StartScan(t.Context(), member, digestOf(1)) }
	for name, test := range map[string]struct {
		call    func(*ecrscan.Client, *testing.T) error
		message string
	}{
		"list repositories": {listRepositories, "account 210987654321 gives no access to ecr:DescribeRepositories: set " + registryRole},
		"list images":       {list, "account 210987654321 gives no access to ecr:DescribeImages: set its repository policy, or " + registryRole},
		"scan":              {start, "account 210987654321 gives no access to ecr:StartImageScan: set its repository policy, or " + registryRole},
	} {
		_, accounts, _ := withAccounts(t)
		c := withRole(t, accounts, "arn:aws:iam::123456789012:role/")
		if err := test.call(c, t); scan.CodeOf(err) != scan.NoAccess || scan.MessageOf(err) != test.message {
			t.Errorf("%s: %v", name, err)
		}
		if began, refused := accounts.Sessions(); len(began)+refused != 0 {
			t.Errorf("%s: STS was called: %v, %d refused", name, began, refused)
		}
	}
}

// Without a role, an error of the service's own account names neither an account nor a role, and neither does an error about credentials.
func TestErrorsThatAreNotOfOtherAccounts(t *testing.T) {
	own := member
	own.Registry = awslocal.DefaultRegistry
	for name, test := range map[string]struct {
		repo    scan.Repository
		fault   awslocal.Fault
		message string
	}{
		"the own account": {own, ecr.Deny("DescribeImages", ecr.RepositoryID{Registry: own.Registry, Name: own.Name}), "no access to ecr:DescribeImages"},
		"a signature":     {member, awslocal.Fault{Code: "InvalidSignatureException", Message: "Signature expired"}, "no access"},
		"an outage":       {member, awslocal.Fault{Code: "ServerException", Status: 500}, "ECR in us-west-2 answered with an error"},
	} {
		e := ecr.New(ecr.Options{})
		e.PutImage(ecr.RepositoryID{Registry: test.repo.Registry, Name: test.repo.Name}, ecr.Image{Tags: []string{"1"}})
		e.InjectFault(test.fault)
		cfg := inProcessConfig(e)
		cfg.Retryer = func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 2, time.Millisecond })
		}
		c, err := ecrscan.NewWithRole(cfg, ecrscan.Role{ARN: "arn:aws:iam::123456789012:role/", Session: ecrscan.ReadSession})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Images(t.Context(), test.repo, scan.Wanted{}); scan.MessageOf(err) != test.message {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A client that does not know its own account can't tell the registries of other accounts.
func TestWithoutAnAccount(t *testing.T) {
	_, accounts, _ := withAccounts(t)
	c := ecrscan.New(inProcessConfig(http.HandlerFunc(accounts.ServeHTTP)))
	_, err := c.Images(t.Context(), member, scan.Wanted{})
	if scan.CodeOf(err) != scan.NoAccess || scan.MessageOf(err) != "no access to ecr:DescribeImages" {
		t.Errorf("%v", err)
	}
}
