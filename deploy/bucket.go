package main

import (
	"context"
	"fmt"
)

// ownArtifactBucket is the name of the bucket that is made for the artifacts when none is given. All stacks of an account and Region share
// it, each under a prefix of its own.
func ownArtifactBucket(account, region string) string {
	return "ecr-continuous-scan-svc-" + account + "-" + region
}

// needBucket checks that a bucket that the environment names exists and may be used.
func (c cli) needBucket(ctx context.Context, bucket, variable string) error {
	_, err := c.text(ctx, "s3api", "head-bucket", "--bucket", bucket)
	switch {
	case err == nil:
		return nil
	case says(err, "(404)", "NoSuchBucket"):
		return fmt.Errorf("there is no bucket %s, which %s names: make it (aws s3 mb s3://%s --region %s), or unset %s to have one made",
			bucket, variable, bucket, c.region, variable)
	case says(err, "(403)", "(301)", "(400)"):
		return fmt.Errorf("bucket %s, which %s names, is not yours or not in %s", bucket, variable, c.region)
	}
	return err
}

// makeArtifactBucket makes the bucket unless it is there. The name can be guessed, so that somebody else may have taken it to have their
// functions deployed here: a bucket of another account is refused.
func (t *tool) makeArtifactBucket(ctx context.Context, c cli, bucket, account string) error {
	_, err := c.text(ctx, "s3api", "head-bucket", "--bucket", bucket, "--expected-bucket-owner", account)
	switch {
	case err == nil:
		return nil
	case says(err, "(403)"):
		return fmt.Errorf("bucket %s belongs to another account, or these credentials may not use it: set ECR_SCAN_SVC_BUCKET to a bucket of yours", bucket)
	case !says(err, "(404)", "NoSuchBucket"):
		return err
	}
	create := []string{"s3api", "create-bucket", "--bucket", bucket}
	if c.region != "us-east-1" { // which S3 takes for granted and refuses to be told
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
	fmt.Fprintf(t.stdout, "Made bucket %s for the packaged functions.\n", bucket)
	return nil
}

// removeArtifacts removes what deploys of this stack have left in the bucket of our own making, and the bucket when nothing else is in it.
func (t *tool) removeArtifacts(ctx context.Context, c cli) error {
	account, err := c.account(ctx)
	if err != nil {
		return err
	}
	bucket := ownArtifactBucket(account, c.region)
	_, err = c.text(ctx, "s3api", "head-bucket", "--bucket", bucket, "--expected-bucket-owner", account)
	if says(err, "(404)", "(403)", "NoSuchBucket") {
		return nil // never made, or not ours
	}
	if err != nil {
		return err
	}
	if _, err := c.text(ctx, "s3", "rm", "s3://"+bucket+"/"+t.Stack+"/", "--recursive"); err != nil {
		return err
	}
	_, err = c.text(ctx, "s3api", "delete-bucket", "--bucket", bucket)
	if says(err, "BucketNotEmpty") {
		fmt.Fprintf(t.stdout, "Kept: bucket %s, which holds the packaged functions of other stacks.\n", bucket)
		return nil
	}
	if err == nil {
		fmt.Fprintf(t.stdout, "Removed bucket %s.\n", bucket)
	}
	return err
}
