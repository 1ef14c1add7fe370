// Command deploy implements `make build`, `make deploy` and the other make targets for AWS. It builds the four
// functions, and it creates, updates, inspects and deletes the stack of template.yaml. It runs in the project's
// folder, on Linux and macOS.
//
// It calls AWS only through the AWS CLI, so that profiles, single sign-on and all other settings of the AWS CLI
// work. It is not part of the service and shares no code with it.
package main

import (
	"context"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := Run(ctx, os.Args[1:], Environment(os.Getenv), os.Stdout, os.Stderr, Exec{})
	stop()
	os.Exit(code)
}
