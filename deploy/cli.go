package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// cli is the AWS CLI in one Region.
type cli struct {
	runner Runner
	dir    string
	region string
	env    []string
}

// connect returns the AWS CLI for the Region of the settings. If the settings have no Region, it uses the Region of
// the AWS profile.
func (t *tool) connect(ctx context.Context) (cli, error) {
	c := cli{runner: t.runner, dir: t.dir, region: t.Region}
	if c.region != "" {
		return c, nil
	}
	region, err := c.text(ctx, "configure", "get", "region")
	if errors.Is(err, exec.ErrNotFound) || messageContains(err, "config profile") {
		return cli{}, err
	}
	if c.region = strings.TrimSpace(region); c.region == "" {
		return cli{}, errors.New("no AWS Region is set: export AWS_REGION=<region> (for example us-west-2), or run `aws configure`")
	}
	return c, nil
}

// account returns the ID of the AWS account that the credentials belong to.
func (c cli) account(ctx context.Context) (string, error) {
	var identity struct{ Account string }
	err := c.json(ctx, &identity, "sts", "get-caller-identity")
	return identity.Account, err
}

// json runs a command of the AWS CLI and decodes its JSON output.
func (c cli) json(ctx context.Context, into any, args ...string) error {
	out, err := c.text(ctx, append(args, "--output", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("aws %s %s: unexpected answer: %w", args[0], args[1], err)
	}
	return nil
}

// text runs a command of the AWS CLI and returns its output.
func (c cli) text(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	err := c.call(ctx, &out, io.Discard, args...)
	return out.String(), err
}

// call runs a command of the AWS CLI and copies its output to stdout and stderr while it runs.
func (c cli) call(ctx context.Context, stdout, stderr io.Writer, args ...string) error {
	var errOutput bytes.Buffer
	all := args
	if c.region != "" {
		all = append(args[:len(args):len(args)], "--region", c.region)
	}
	err := c.runner.Run(ctx, Command{
		Name: "aws", Args: all, Dir: c.dir, Stdout: stdout, Stderr: io.MultiWriter(&errOutput, stderr),
		Env: append([]string{"AWS_PAGER="}, c.env...), // a pager would wait for input
	})
	if err == nil {
		return nil
	}
	return &callError{call: args[0] + " " + args[1], region: c.region, stderr: strings.TrimSpace(errOutput.String()), err: err}
}

// callError is a failed command of the AWS CLI.
type callError struct {
	call, region string
	// stderr is what the AWS CLI wrote to standard error.
	stderr string
	err    error
}

func (e *callError) Unwrap() error { return e.err }

// Error returns what to do if the cause is known, and otherwise the message of the AWS CLI.
func (e *callError) Error() string {
	switch {
	case errors.Is(e.err, exec.ErrNotFound):
		return "the AWS CLI is missing: install it (https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html)"
	case e.containsAny("credentials", "ExpiredToken", "InvalidClientTokenId", "UnrecognizedClient", "sso", "SSO", "config profile"):
		return "no valid AWS credentials: run `aws configure` or `aws sso login`, or set AWS_PROFILE; the AWS CLI said: " + e.stderr
	case e.containsAny("Could not connect to the endpoint URL"):
		return fmt.Sprintf("AWS does not respond: check the network and whether %s is a Region; the AWS CLI said: %s", e.region, e.stderr)
	case e.stderr == "":
		return fmt.Sprintf("aws %s: %v", e.call, e.err)
	}
	return fmt.Sprintf("aws %s: %s", e.call, e.stderr)
}

func (e *callError) containsAny(words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(e.stderr, w) })
}

// messageContains reports whether err is a failed command of the AWS CLI whose message contains one of the words.
func messageContains(err error, words ...string) bool {
	e, ok := errors.AsType[*callError](err)
	return ok && e.containsAny(words...)
}
