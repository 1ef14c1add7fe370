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
	if err := t.checkOwnKeys(); err != nil {
		return err
	}
	c, err := t.connect(ctx)
	if err != nil {
		return err
	}
	on, err := t.prepare(ctx, c, parameters)
	if err != nil {
		return err
	}
	if err := t.build(ctx, nil); err != nil {
		return err
	}
	plan := t.planKeys(on.stack)
	if plan.made != (keys{}) {
		if err := on.keys.pending().write(plan.made); err != nil {
			return err
		}
	}
	if err := t.change(ctx, c, on.artifacts, append(parameters, plan.parameters...)); err != nil {
		return err
	}
	if plan.made != (keys{}) {
		if err := on.keys.settle(); err != nil {
			return err
		}
		t.showKeys(plan.made, on.keys)
	}
	return t.sayNext(ctx, c, plan.made)
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
		if name == fullParameter || name == readParameter {
			return nil, fmt.Errorf("%s comes from the key: set ECR_SCAN_API_KEY and ECR_SCAN_READ_KEY, or leave both to be made", name)
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

// ground is what a deploy stands on.
type ground struct {
	stack     *stack // nil when there is none yet
	keys      keyFile
	artifacts string // the bucket for the packaged functions
}

// prepare checks that the stack can be deployed to, and that what it needs is there.
func (t *tool) prepare(ctx context.Context, c cli, parameters []string) (ground, error) {
	account, err := c.account(ctx)
	if err != nil {
		return ground{}, err
	}
	on := ground{keys: t.keysOf(account, c.region)}
	if on.stack, err = t.find(ctx, c); err != nil {
		return on, err
	}
	if err := t.changeable(on.stack); err != nil {
		return on, err
	}
	if err := t.needLogRole(ctx, c, on.stack, parameters); err != nil {
		return on, err
	}
	if err := t.finishChange(ctx, c, on.stack, on.keys); err != nil {
		return on, err
	}
	if t.FullKey == none {
		fmt.Fprintln(t.stderr, "warning: ECR_SCAN_API_KEY=none: whoever knows the URL may read the findings, and add and delete scan configs")
	}
	on.artifacts, err = t.buckets(ctx, c, account)
	return on, err
}

// needLogRole checks that API Gateway may write logs when it is to. That is a setting of the account, which no stack should change.
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
	return fmt.Errorf("AccessLogs=true, and API Gateway may not write logs in %s yet: make a role that apigateway.amazonaws.com may assume, with the policy "+
		"AmazonAPIGatewayPushToCloudWatchLogs, and name it by `aws apigateway update-account --patch-operations op=replace,path=/cloudwatchRoleArn,value=ARN`", c.region)
}

// buckets sees to the buckets that the environment names, and to one for the artifacts, which it returns.
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
	err = c.call(ctx, t.stdout, t.stderr, args...)
	if err != nil {
		t.sayWhyFailed(ctx, c)
	}
	return err
}

// sayNext closes a deploy that made some keys, or none.
func (t *tool) sayNext(ctx context.Context, c cli, made keys) error {
	s, err := t.find(ctx, c)
	if err != nil {
		return err
	}
	if s == nil || s.output(endpointOutput) == "" {
		return fmt.Errorf("stack %s has no output %s", t.Stack, endpointOutput)
	}
	have := made
	if made.Full == "" {
		if have, err = t.haveKeys(ctx, c, s); err != nil {
			return err
		}
	}
	url := s.output(endpointOutput)
	fmt.Fprintf(t.stdout, "\nThe API is at %s\n", url)
	if s.closed() && have.Full == "" {
		fmt.Fprintf(t.stdout, "It has a key that this machine doesn't have, and keeps it: %s.\n", toGetIn)
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

// feedURL is where the feeds are, with words in place of what differs. It holds no key, so that it may be shown at each deploy.
func feedURL(s *stack, base string) string {
	feed := base + "/findings/<scan id>"
	switch s.output(keysOutput) {
	case bothKeys:
		return feed + "?key=<read key>"
	case fullKeyOnly:
		return feed + "?key=<read key>   (there is none yet: `make rotate-key KEY=read` makes one)"
	}
	return feed
}
