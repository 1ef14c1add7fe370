// Command deploy is what `make build`, `make deploy` and their sisters do beyond a line of make: it builds the four functions and puts
// the stack of template.yaml up, looks after it and takes it down. It is run from the project's folder, on Linux and macOS alike.
//
// It talks to AWS through the AWS CLI alone, so that profiles, single sign-on and whatever else is set up there simply works. It is no
// part of the service and shares no code with it.
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
