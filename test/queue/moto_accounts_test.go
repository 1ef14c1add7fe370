//go:build deployment

package queue

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"ecr-continuous-scan/internal/ecrscan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
)

// With moto's STS, too, the client calls the registry of another account with the role there. moto returns the repositories of the account to which
// the credentials belong.
func TestRegistryOfAnotherAccountWithMoto(t *testing.T) {
	cfg := setup.Loopback(startMoto(t))
	member := cfg.Copy()
	member.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), "arn:aws:iam::210987654321:role/admin"))
	for name, account := range map[string]aws.Config{"own/app": cfg, "team/app": member} {
		if _, err := ecr.NewFromConfig(account).CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &name}); err != nil {
			t.Fatal(err)
		}
	}
	own := scan.Registry{ID: "123456789012", Region: "us-west-2"}
	other := scan.Registry{ID: "210987654321", Region: "us-west-2"}
	c, err := ecrscan.NewWithRole(cfg, ecrscan.Role{ARN: "arn:aws:iam::123456789012:role/ecr-scan", Session: ecrscan.VisitSession})
	if err != nil {
		t.Fatal(err)
	}
	for registry, want := range map[scan.Registry]string{own: "own/app", other: "team/app"} {
		got, err := c.Repositories(t.Context(), registry)
		if err != nil || len(got) != 1 || got[0].Name != want {
			t.Errorf("%v: %v, %v, want %s", registry, got, err, want)
		}
	}
	if _, err := c.Images(t.Context(), scan.Repository{Registry: other.ID, Region: other.Region, Name: "team/app"}, scan.Wanted{}); err != nil {
		t.Errorf("list: %v", err)
	}
	if _, err := c.Images(t.Context(), scan.Repository{Registry: other.ID, Region: other.Region, Name: "own/app"}, scan.Wanted{}); scan.CodeOf(err) != scan.RepositoryNotFound {
		t.Errorf("a repository of the own account: %v", err)
	}
}
