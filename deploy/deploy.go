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

// deploy builds the functions, then creates or updates the stack. It checks the requirements before it builds.
// Arguments are values of template parameters. A parameter that is not given keeps its current value.
func (t *tool) deploy(ctx context.Context, args []string) error {
	parameters, err := t.parameters(args)
	if err != nil {
		return err
	}
	if err := t.checkOwnKeys(); err != nil {
		return err
	}
	c, err := t.connect(ctx)
	if err != nil {
		return err
	}
	target, err := t.prepare(ctx, c, parameters)
	if err != nil {
		return err
	}
	if err := t.build(ctx, nil); err != nil {
		return err
	}
	plan := t.planKeys(target.stack)
	if plan.created != (keys{}) {
		if err := target.keys.pending().write(plan.created); err != nil {
			return err
		}
	}
	if err := t.updateStack(ctx, c, target.artifacts, append(parameters, plan.parameters...)); err != nil {
		return err
	}
	if plan.created != (keys{}) {
		if err := target.keys.commit(); err != nil {
			return err
		}
		t.showKeys(plan.created, target.keys)
	}
	return t.printNextSteps(ctx, c, plan.created)
}

// parameters checks the arguments against the template, because the AWS CLI ignores parameters that the template
// does not have.
func (t *tool) parameters(args []string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(t.dir, templateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("template.yaml not found: run this in the project's folder")
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
		if name == fullParameter || name == readParameter {
			return nil, fmt.Errorf("%s is computed from the key: set ECR_SCAN_API_KEY or ECR_SCAN_READ_KEY instead, or unset both to get new keys", name)
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

// parameterNames returns the keys of the template's section Parameters. They are indented by two spaces.
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

// deployTarget is what a deploy needs to know about the stack.
type deployTarget struct {
	stack     *stack // nil if the stack does not exist yet
	keys      keyFile
	artifacts string // the bucket for the packaged functions
}

// prepare checks that the stack can be deployed and completes an interrupted change of keys. It creates the bucket
// for the packaged functions if the user names none.
func (t *tool) prepare(ctx context.Context, c cli, parameters []string) (deployTarget, error) {
	account, err := c.account(ctx)
	if err != nil {
		return deployTarget{}, err
	}
	target := deployTarget{keys: t.keysOf(account, c.region)}
	if target.stack, err = t.describe(ctx, c); err != nil {
		return target, err
	}
	if err := t.changeable(target.stack); err != nil {
		return target, err
	}
	if err := t.needLogRole(ctx, c, target.stack, parameters); err != nil {
		return target, err
	}
	if err := t.finishChange(ctx, c, target.stack, target.keys); err != nil {
		return target, err
	}
	if t.FullKey == none {
		fmt.Fprintln(t.stderr, "warning: ECR_SCAN_API_KEY=none: everyone who knows the URL can read the findings, and add and delete scan configs and suppressions")
	}
	target.artifacts, err = t.buckets(ctx, c, account)
	return target, err
}

// needLogRole checks that API Gateway has a role for writing logs if access logs are enabled. The role is a setting
// of the account, and a stack should not change the settings of the account.
func (t *tool) needLogRole(ctx context.Context, c cli, s *stack, parameters []string) error {
	wanted := s != nil && s.parameter("AccessLogs") == "true"
	for _, p := range parameters {
		if value, ok := strings.CutPrefix(p, "AccessLogs="); ok {
			wanted = value == "true"
		}
	}
	if !wanted {
		return nil
	}
	var account struct {
		Role string `json:"cloudwatchRoleArn"`
	}
	if err := c.json(ctx, &account, "apigateway", "get-account"); err != nil || account.Role != "" {
		return err
	}
	return fmt.Errorf("AccessLogs=true needs a role with which API Gateway writes logs in %s: create a role that apigateway.amazonaws.com can assume, with the policy "+
		"AmazonAPIGatewayPushToCloudWatchLogs, and set it with `aws apigateway update-account --patch-operations op=replace,path=/cloudwatchRoleArn,value=ARN`", c.region)
}

// buckets checks the buckets that the environment names. It returns the bucket for the packaged functions, and
// creates that bucket if the environment does not name it.
func (t *tool) buckets(ctx context.Context, c cli, account string) (string, error) {
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

// updateStack uploads the functions and the template, then creates or updates the stack with CloudFormation.
func (t *tool) updateStack(ctx context.Context, c cli, artifacts string, parameters []string) error {
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
	err = c.call(ctx, t.stdout, t.stderr, args...)
	if err != nil {
		t.printFailureReasons(ctx, c)
	}
	return err
}

// printNextSteps prints the API's URL and what to do after a deploy. created contains the keys that the deploy created.
func (t *tool) printNextSteps(ctx context.Context, c cli, created keys) error {
	s, err := t.describe(ctx, c)
	if err != nil {
		return err
	}
	if s == nil || s.output(endpointOutput) == "" {
		return fmt.Errorf("stack %s has no output %s", t.Stack, endpointOutput)
	}
	have := created
	if created.Full == "" {
		if have, err = t.acceptedKeys(ctx, c, s); err != nil {
			return err
		}
	}
	url := s.output(endpointOutput)
	fmt.Fprintf(t.stdout, "\nThe API is at %s\n", url)
	if s.requiresKey() && have.Full == "" {
		fmt.Fprintf(t.stdout, "The API's key was not changed, but this machine does not have it: %s.\n", adviceWithoutKey)
	}
	fmt.Fprint(t.stdout, `
Next:
  export ECRSCANAPI_URL=$(make -s url)
  curl -s --header "Content-Type: application/json" --request POST --data @scan-config-amazonlinux.json $ECRSCANAPI_URL/configs/
  make scan-now
  curl $ECRSCANAPI_URL/summary
`)
	fmt.Fprintf(t.stdout, "\nA feed reader subscribes to\n  %s\n", feedURL(s, url))
	return nil
}

// feedURL returns the URL of the feeds, with placeholders for the scan ID and the key. It contains no key, so it
// can be printed after each deploy.
func feedURL(s *stack, base string) string {
	feed := base + "/findings/<scan id>"
	switch s.output(keysOutput) {
	case bothKeys:
		return feed + "?key=<read key>"
	case fullKeyOnly:
		return feed + "?key=<read key>   (the API has no read key: `make rotate-key KEY=read` creates one)"
	}
	return feed
}
