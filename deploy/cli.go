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

// connect finds the Region, which also tells whether the AWS CLI is there.
func (t *tool) connect(ctx context.Context) (cli, error) {
	c := cli{runner: t.runner, dir: t.dir, region: t.Region}
	if c.region != "" {
		return c, nil
	}
	region, err := c.text(ctx, "configure", "get", "region")
	if errors.Is(err, exec.ErrNotFound) || says(err, "config profile") {
		return cli{}, err
	}
	if c.region = strings.TrimSpace(region); c.region == "" {
		return cli{}, errors.New("no AWS Region is set: export AWS_REGION=us-west-2, say, or run `aws configure`")
	}
	return c, nil
}

// account is the number of the AWS account that the credentials belong to.
func (c cli) account(ctx context.Context) (string, error) {
	var identity struct{ Account string }
	err := c.json(ctx, &identity, "sts", "get-caller-identity")
	return identity.Account, err
}

// json runs a call and decodes its answer.
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

// text runs a call and returns what it prints.
func (c cli) text(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	err := c.call(ctx, &out, io.Discard, args...)
	return out.String(), err
}

// call runs a call and passes on what it prints as it comes.
func (c cli) call(ctx context.Context, stdout, stderr io.Writer, args ...string) error {
	var said bytes.Buffer
	all := args
	if c.region != "" {
		all = append(args[:len(args):len(args)], "--region", c.region)
	}
	err := c.runner.Run(ctx, Command{
		Name: "aws", Args: all, Dir: c.dir, Stdout: stdout, Stderr: io.MultiWriter(&said, stderr),
		Env: append([]string{"AWS_PAGER="}, c.env...), // a pager would wait for a key
	})
	if err == nil {
		return nil
	}
	return &callError{call: args[0] + " " + args[1], region: c.region, said: strings.TrimSpace(said.String()), err: err}
}

// callError is a call of the AWS CLI that failed.
type callError struct {
	call, region string
	// said is what the CLI wrote to standard error.
	said string
	err  error
}

func (e *callError) Unwrap() error { return e.err }

// Error says what to do where that is known, and what the CLI said otherwise.
func (e *callError) Error() string {
	switch {
	case errors.Is(e.err, exec.ErrNotFound):
		return "the AWS CLI is missing: install it (https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html)"
	case e.saysOneOf("credentials", "ExpiredToken", "InvalidClientTokenId", "UnrecognizedClient", "sso", "SSO", "config profile"):
		return "no valid AWS credentials: run `aws configure` or `aws sso login`, or set AWS_PROFILE; the AWS CLI said: " + e.said
	case e.saysOneOf("Could not connect to the endpoint URL"):
		return fmt.Sprintf("AWS doesn't answer: check the network and whether %s is a Region; the AWS CLI said: %s", e.region, e.said)
	case e.said == "":
		return fmt.Sprintf("aws %s: %v", e.call, e.err)
	}
	return fmt.Sprintf("aws %s: %s", e.call, e.said)
}

func (e *callError) saysOneOf(words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(e.said, w) })
}

// says tells whether err is a failed call in whose message one of the words occurs.
func says(err error, words ...string) bool {
	e, ok := errors.AsType[*callError](err)
	return ok && e.saysOneOf(words...)
}
