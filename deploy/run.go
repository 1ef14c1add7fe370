package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// Settings are what the environment says.
type Settings struct {
	// Stack is the name of the stack.
	Stack string
	// ArtifactBucket is an existing bucket for the packaged functions; empty, one is made.
	ArtifactBucket string
	// ConfigBucket is an existing bucket for the scan configs; empty, the stack makes one or keeps the one that it has.
	ConfigBucket string
	// Region is the AWS Region of the environment; empty, that of the profile counts.
	Region string
	// FullKey and ReadKey are keys of the user's own for the API, or "none"; empty, they are made.
	FullKey, ReadKey string
}

// Environment reads the settings.
func Environment(getenv func(string) string) Settings {
	return Settings{
		Stack:          cmp.Or(getenv("ECR_SCAN_STACK_NAME"), "ecr-continuous-scan"),
		ArtifactBucket: getenv("ECR_SCAN_SVC_BUCKET"), ConfigBucket: getenv("ECR_SCAN_CONFIG_BUCKET"),
		Region:  cmp.Or(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION")), // version 1 of the AWS CLI reads the second alone by itself
		FullKey: getenv("ECR_SCAN_API_KEY"), ReadKey: getenv("ECR_SCAN_READ_KEY"),
	}
}

// tool carries out the commands.
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
		{"deploy", "[parameter=value ...]", "build, then make or change the stack", (*tool).deploy},
		{"status", "", "show the stack, its functions and its alarms", (*tool).status},
		{"url", "", "print the API's base URL with the key, and nothing else", (*tool).url},
		{"rotate-key", "[full|read]", "make a new key and lock the old one out", (*tool).rotateKey},
		{"scan-now", "", "send a visit of each repository now and print how many were sent; the visits follow", (*tool).scanNow},
		{"logs", "[-since 1h] [function ...]", "print the functions' logs by time", (*tool).logs},
		{"destroy", "", "delete the stack and say what stays", (*tool).destroy},
	}
}

// Run carries out the command that args name and returns the exit code: 0, 1 when it failed, 2 when there is no such command.
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
