package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// Settings are the settings from the environment.
type Settings struct {
	// Stack is the name of the stack.
	Stack string
	// ArtifactBucket is an existing bucket for the packaged functions. If it is empty, a bucket is created.
	ArtifactBucket string
	// ConfigBucket is an existing bucket for the scan configs. If it is empty, the stack creates a bucket or keeps
	// its current one.
	ConfigBucket string
	// Region is the AWS Region. If it is empty, the Region of the AWS profile is used.
	Region string
	// FullKey and ReadKey are the user's own keys for the API, or "none". If they are empty, keys are created.
	FullKey, ReadKey string
}

// Environment reads the settings from environment variables.
func Environment(getenv func(string) string) Settings {
	return Settings{
		Stack:          cmp.Or(getenv("ECR_SCAN_STACK_NAME"), "ecr-continuous-scan"),
		ArtifactBucket: getenv("ECR_SCAN_SVC_BUCKET"), ConfigBucket: getenv("ECR_SCAN_CONFIG_BUCKET"),
		Region:  cmp.Or(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION")), // version 1 of the AWS CLI reads only the second variable
		FullKey: getenv("ECR_SCAN_API_KEY"), ReadKey: getenv("ECR_SCAN_READ_KEY"),
	}
}

// tool implements the commands.
type tool struct {
	Settings
	dir            string // the project's folder
	stdout, stderr io.Writer
	runner         Runner
}

type command struct {
	name, arguments, help string
	run                   func(*tool, context.Context, []string) error
}

func commands() []command {
	return []command{
		{"build", "", "compile the functions into dist/", (*tool).build},
		{"deploy", "[parameter=value ...]", "build, then create or update the stack", (*tool).deploy},
		{"status", "", "show the stack, its version, its functions and its alarms", (*tool).status},
		{"url", "[scan ID]", "print the API's base URL with the key, or the URL of the feed of a config with its key", (*tool).url},
		{"rotate-key", "[full|read]", "create a new key; the old key stops working", (*tool).rotateKey},
		{"scan-now", "", "send a visit of each repository to the queue now and print how many were sent", (*tool).scanNow},
		{"logs", "[-since 1h] [function ...]", "print the functions' logs, sorted by time", (*tool).logs},
		{"destroy", "", "delete the stack and print what is kept", (*tool).destroy},
	}
}

// Run runs the command that args name. It returns the exit code: 0 for success, 1 for a failure, 2 for an unknown
// command.
func Run(ctx context.Context, args []string, s Settings, stdout, stderr io.Writer, r Runner) int {
	t := &tool{Settings: s, dir: ".", stdout: stdout, stderr: stderr, runner: r}
	return t.dispatch(ctx, args)
}

func (t *tool) dispatch(ctx context.Context, args []string) int {
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return len(args) > 0 && c.name == args[0] })
	if i < 0 {
		t.usage(all)
		return 2
	}
	if err := all[i].run(t, ctx, args[1:]); err != nil {
		fmt.Fprintf(t.stderr, "%s: %v\n", args[0], err)
		return 1
	}
	return 0
}

func (t *tool) usage(all []command) {
	fmt.Fprintln(t.stderr, "usage: go run ./deploy COMMAND")
	w := tabwriter.NewWriter(t.stderr, 0, 0, 2, ' ', 0)
	for _, c := range all {
		fmt.Fprintf(w, "  %s %s\t%s\n", c.name, c.arguments, c.help)
	}
	w.Flush()
}
