// Command local runs the whole service on one machine: the handlers of the four Lambda functions, a schedule, and
// an embedded S3 and ECR, so it needs no AWS account. With -aws it reads the user's own registries and deploys
// nothing.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process immediately
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
