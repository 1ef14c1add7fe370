package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	templateFile = "template.yaml"
	packagedFile = "dist/packaged.yaml"
)

// deploy builds, then makes or changes the stack. Whatever is missing is said before anything is built. Arguments are values for
// parameters of the template; a parameter that isn't given keeps the value that the stack has.
func (t *tool) deploy(ctx context.Context, args []string) error {
	parameters, err := t.parameters(args)
	if err != nil {
		return err
	}
	c, err := t.connect(ctx)
	if err != nil {
		return err
	}
	artifacts, err := t.prepare(ctx, c)
	if err != nil {
		return err
	}
	if err := t.build(ctx, nil); err != nil {
		return err
	}
	if err := t.change(ctx, c, artifacts, parameters); err != nil {
		return err
	}
	return t.sayNext(ctx, c)
}

// parameters checks the arguments against the template: the AWS CLI passes over a name that the template doesn't know.
func (t *tool) parameters(args []string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(t.dir, templateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("there is no template.yaml here: run it in the project's folder")
	}
	if err != nil {
		return nil, err
	}
	known := parameterNames(string(text))
	for _, arg := range args {
		name, _, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not of the form Parameter=value", arg)
		}
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("the template has no parameter %q; it has %s", name, strings.Join(known, ", "))
		}
	}
	if t.ConfigBucket == "" {
		return args, nil
	}
	return append([]string{"ConfigBucket=" + t.ConfigBucket}, args...), nil
}

// parameterNames finds the keys of the template's section Parameters, which are those that it indents by two spaces.
func parameterNames(template string) []string {
	_, section, _ := strings.Cut(template, "\nParameters:\n")
	if end := regexp.MustCompile(`(?m)^\S`).FindStringIndex(section); end != nil {
		section = section[:end[0]]
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^  (\w+):`).FindAllStringSubmatch(section, -1) {
		names = append(names, m[1])
	}
	return names
}

// prepare checks that the stack can be deployed to and that the buckets are there, and returns the bucket for the artifacts.
func (t *tool) prepare(ctx context.Context, c cli) (string, error) {
	account, err := c.account(ctx)
	if err != nil {
		return "", err
	}
	s, err := t.find(ctx, c)
	if err != nil {
		return "", err
	}
	switch {
	case s == nil:
	case s.StackStatus == "ROLLBACK_COMPLETE":
		return "", fmt.Errorf("the first deploy of stack %s failed, and a stack in that state can't be changed: run `make destroy`, then again `make deploy`", t.Stack)
	case strings.HasSuffix(s.StackStatus, "_IN_PROGRESS"):
		return "", fmt.Errorf("stack %s is being changed (%s): try again when that is done", t.Stack, s.StackStatus)
	}
	if t.ConfigBucket != "" {
		if err := c.needBucket(ctx, t.ConfigBucket, "ECR_SCAN_CONFIG_BUCKET"); err != nil {
			return "", err
		}
	}
	if t.ArtifactBucket != "" {
		return t.ArtifactBucket, c.needBucket(ctx, t.ArtifactBucket, "ECR_SCAN_SVC_BUCKET")
	}
	own := ownArtifactBucket(account, c.region)
	return own, t.makeArtifactBucket(ctx, c, own, account)
}

// change uploads the functions and the template, and has CloudFormation make or change the stack.
func (t *tool) change(ctx context.Context, c cli, artifacts string, parameters []string) error {
	store := []string{"--s3-bucket", artifacts, "--s3-prefix", t.Stack}
	_, err := c.text(ctx, append([]string{
		"cloudformation", "package", "--template-file", templateFile, "--output-template-file", packagedFile,
	}, store...)...)
	if err != nil {
		return err
	}
	args := append([]string{
		"cloudformation", "deploy", "--template-file", packagedFile, "--stack-name", t.Stack,
		"--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--no-fail-on-empty-changeset",
	}, store...)
	if len(parameters) > 0 {
		args = append(append(args, "--parameter-overrides"), parameters...)
	}
	if err := c.call(ctx, t.stdout, t.stderr, args...); err != nil {
		for _, reason := range t.whyFailed(ctx, c) {
			fmt.Fprintln(t.stderr, reason)
		}
		return err
	}
	return nil
}

func (t *tool) sayNext(ctx context.Context, c cli) error {
	s, err := t.find(ctx, c)
	if err != nil {
		return err
	}
	if s == nil || s.output(endpointOutput) == "" {
		return fmt.Errorf("stack %s has no output %s", t.Stack, endpointOutput)
	}
	fmt.Fprintf(t.stdout, `
The API is at %s

Next:
  export ECRSCANAPI_URL=$(make -s url)
  curl -s --header "Content-Type: application/json" --request POST --data @scan-config-amazonlinux.json $ECRSCANAPI_URL/configs/
  make scan-now
  curl $ECRSCANAPI_URL/summary
`, s.output(endpointOutput))
	return nil
}
