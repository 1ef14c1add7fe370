package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// ownArtifactBucket returns the name of the bucket for the packaged functions that is created if the user names
// none. All stacks of an account and Region share it, and each stack has its own prefix.
func ownArtifactBucket(account, region string) string {
	return "ecr-continuous-scan-svc-" + account + "-" + region
}

// needBucket checks that the bucket named by an environment variable exists and can be used.
func (c cli) needBucket(ctx context.Context, bucket, variable string) error {
	region, err := c.text(ctx, "s3api", "head-bucket", "--bucket", bucket, "--query", "BucketRegion", "--output", "text")
	region = strings.TrimSpace(region)
	switch {
	case err == nil && region != c.region && !slices.Contains([]string{"", "None"}, region): // the AWS CLI follows the redirect to another Region
		return fmt.Errorf("bucket %s, named by %s, is in %s and not in %s: name a bucket in %s", bucket, variable, region, c.region, c.region)
	case err == nil:
		return nil
	case messageContains(err, "(404)", "NoSuchBucket"):
		return fmt.Errorf("bucket %s, named by %s, does not exist: create it (aws s3 mb s3://%s --region %s), or unset %s and one is created",
			bucket, variable, bucket, c.region, variable)
	case messageContains(err, "(403)", "(301)", "(400)"):
		return fmt.Errorf("bucket %s, named by %s, belongs to another account or is not in %s", bucket, variable, c.region)
	}
	return err
}

// makeArtifactBucket creates the bucket if it does not exist. The bucket's name can be guessed, so another account
// may own a bucket of that name and could replace the functions before they are deployed. Therefore a bucket of
// another account is refused.
func (t *tool) makeArtifactBucket(ctx context.Context, c cli, bucket, account string) error {
	_, err := c.text(ctx, "s3api", "head-bucket", "--bucket", bucket, "--expected-bucket-owner", account)
	switch {
	case err == nil:
		return nil
	case messageContains(err, "(403)"):
		return fmt.Errorf("bucket %s belongs to another account, or these credentials cannot use it: set ECR_SCAN_SVC_BUCKET to one of your buckets", bucket)
	case !messageContains(err, "(404)", "NoSuchBucket"):
		return err
	}
	create := []string{"s3api", "create-bucket", "--bucket", bucket}
	if c.region != "us-east-1" { // S3 rejects its default Region as a location constraint
		create = append(create, "--create-bucket-configuration", "LocationConstraint="+c.region)
	}
	if _, err := c.text(ctx, create...); err != nil {
		return err
	}
	_, err = c.text(ctx, "s3api", "put-public-access-block", "--bucket", bucket, "--public-access-block-configuration",
		"BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true")
	if err != nil {
		return err
	}
	fmt.Fprintf(t.stdout, "Created bucket %s for the packaged functions.\n", bucket)
	return nil
}

// removeArtifacts deletes the packaged functions of this stack from the bucket that this tool created. It also
// deletes the bucket if the bucket is then empty.
func (t *tool) removeArtifacts(ctx context.Context, c cli) error {
	account, err := c.account(ctx)
	if err != nil {
		return err
	}
	bucket := ownArtifactBucket(account, c.region)
	_, err = c.text(ctx, "s3api", "head-bucket", "--bucket", bucket, "--expected-bucket-owner", account)
	if messageContains(err, "(404)", "(403)", "NoSuchBucket") {
		return nil // never created, or owned by another account
	}
	if err != nil {
		return err
	}
	if _, err := c.text(ctx, "s3", "rm", "s3://"+bucket+"/"+t.Stack+"/", "--recursive"); err != nil {
		return err
	}
	_, err = c.text(ctx, "s3api", "delete-bucket", "--bucket", bucket)
	if messageContains(err, "BucketNotEmpty") {
		fmt.Fprintf(t.stdout, "Kept: bucket %s. It contains the packaged functions of other stacks.\n", bucket)
		return nil
	}
	if err == nil {
		fmt.Fprintf(t.stdout, "Removed bucket %s.\n", bucket)
	}
	return err
}
