package main

import (
	"context"
	"fmt"
)

// destroy deletes the stack and the packaged functions, and prints what it keeps.
func (t *tool) destroy(ctx context.Context, _ []string) error {
	c, s, err := t.find(ctx)
	if err != nil {
		return err
	}
	if s == nil {
		fmt.Fprintf(t.stdout, "There is no stack %s in %s.\n", t.Stack, c.region)
	} else if err := t.deleteStack(ctx, c, s); err != nil {
		return err
	}
	if t.ArtifactBucket != "" {
		fmt.Fprintf(t.stdout, "Kept: bucket %s with the packaged functions, under %s/.\n", t.ArtifactBucket, t.Stack)
		return nil
	}
	return t.removeArtifacts(ctx, c)
}

func (t *tool) deleteStack(ctx context.Context, c cli, s *stack) error {
	fmt.Fprintf(t.stdout, "Deleting stack %s in %s ...\n", t.Stack, c.region)
	if _, err := c.text(ctx, "cloudformation", "delete-stack", "--stack-name", s.StackID); err != nil {
		return err
	}
	if err := t.wait(ctx, c, s, "stack-delete-complete"); err != nil {
		return err
	}
	fmt.Fprintf(t.stdout, "Deleted stack %s with its functions, API, alarms and logs.\n", t.Stack)
	if bucket := s.output(bucketOutput); bucket != "" {
		fmt.Fprintf(t.stdout, "Kept: bucket %s with the scan configs. `ECR_SCAN_CONFIG_BUCKET=%s make deploy` uses it again.\n", bucket, bucket)
	}
	removed, err := t.keysOf(s.account(), c.region).remove()
	if removed {
		fmt.Fprintln(t.stdout, "Removed its keys from this machine.")
	}
	return err
}
