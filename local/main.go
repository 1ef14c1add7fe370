// Command local is the whole service on one machine: the same handlers as the four Lambda functions, a schedule, and an embedded S3 and
// ECR, so that it needs no AWS account. With -aws it watches the user's own registries instead, with nothing deployed.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
