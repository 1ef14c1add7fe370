package ecrscan

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"ecr-continuous-scan/internal/scan"
)

// IsCovered implements [rescan.Scanner]. The call has no parameter for the registry: without a role, ECR answers about the caller's own registry.
// Such an answer is not used for a repository of another registry.
func (c *Client) IsCovered(ctx context.Context, repo scan.Repository) (bool, error) {
	in := ecr.BatchGetRepositoryScanningConfigurationInput{RepositoryNames: []string{repo.Name}}
	out, err := call(ctx, c, repo, getScanning, c.ecr.BatchGetRepositoryScanningConfiguration, &in)
	if err != nil {
		return false, err
	}
	for _, s := range out.ScanningConfigurations {
		at, err := arn.Parse(aws.ToString(s.RepositoryArn))
		if err == nil && at.AccountID == repo.Registry && aws.ToString(s.RepositoryName) == repo.Name {
			isManual := s.ScanFrequency == types.ScanFrequencyManual || s.ScanFrequency == ""
			return !isManual || len(s.AppliedScanFilters) > 0, nil
		}
	}
	return false, &scan.Error{Code: scan.Unavailable, Message: "ECR did not return how the repository is scanned"}
}
