package ecrscan

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"

	"ecr-continuous-scan/internal/scan"
)

// Repositories implements [rescan.Scanner]. It returns the repositories of a registry in a Region, in the order of ECR.
func (c *Client) Repositories(ctx context.Context, in scan.Registry) ([]scan.ListedRepository, error) {
	at := scan.Repository{Registry: in.ID, Region: in.Region}
	var all []scan.ListedRepository
	for token := ""; ; {
		page := ecr.DescribeRepositoriesInput{RegistryId: &in.ID, MaxResults: aws.Int32(pageSize)}
		if token != "" {
			page.NextToken = &token
		}
		out, err := call(ctx, c, at, describeRepositories, c.ecr.DescribeRepositories, &page)
		if err != nil {
			return nil, err
		}
		for _, r := range out.Repositories {
			at.Name = aws.ToString(r.RepositoryName)
			all = append(all, scan.ListedRepository{Repository: at, Created: aws.ToTime(r.CreatedAt)})
		}
		at.Name = ""
		switch next := aws.ToString(out.NextToken); {
		case next == "":
			return all, nil
		case next == token:
			return nil, &scan.Error{Code: scan.Unavailable, Message: repeatedToken}
		default:
			token = next
		}
	}
}
