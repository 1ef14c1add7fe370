package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// stack is CloudFormation's description of a stack.
type stack struct {
	StackID         string `json:"StackId"`
	StackStatus     string
	CreationTime    time.Time
	LastUpdatedTime time.Time
	Parameters      []struct{ ParameterKey, ParameterValue string }
	Outputs         []struct{ OutputKey, OutputValue string }
}

// resource is one resource of a stack.
type resource struct {
	LogicalID  string `json:"LogicalResourceId"`
	PhysicalID string `json:"PhysicalResourceId"`
	Type       string `json:"ResourceType"`
	Timestamp  time.Time
}

// Resource types that the commands use.
const (
	functionType = "AWS::Lambda::Function"
	logGroupType = "AWS::Logs::LogGroup"
	alarmType    = "AWS::CloudWatch::Alarm"
)

// describe returns CloudFormation's description of the stack, or nil if the stack does not exist.
func (t *tool) describe(ctx context.Context, c cli) (*stack, error) {
	var answer struct{ Stacks []stack }
	err := c.json(ctx, &answer, "cloudformation", "describe-stacks", "--stack-name", t.Stack)
	if messageContains(err, "does not exist") || (err == nil && len(answer.Stacks) == 0) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &answer.Stacks[0], nil
}

// find connects to AWS and returns the description of the stack, or nil if the stack does not exist.
func (t *tool) find(ctx context.Context) (cli, *stack, error) {
	c, err := t.connect(ctx)
	if err != nil {
		return cli{}, nil, err
	}
	s, err := t.describe(ctx, c)
	return c, s, err
}

// require is find for commands that need an existing stack: it fails if the stack does not exist.
func (t *tool) require(ctx context.Context) (cli, *stack, error) {
	c, s, err := t.find(ctx)
	if err == nil && s == nil {
		err = fmt.Errorf("there is no stack %s in %s: run `make deploy`, or set ECR_SCAN_STACK_NAME or AWS_REGION", t.Stack, c.region)
	}
	return c, s, err
}

// resources returns the stack's resources of one type.
func (t *tool) resources(ctx context.Context, c cli, kind string) ([]resource, error) {
	var answer struct{ StackResources []resource }
	if err := c.json(ctx, &answer, "cloudformation", "describe-stack-resources", "--stack-name", t.Stack); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(answer.StackResources, func(r resource) bool { return r.Type != kind }), nil
}

// output returns the value of an output of the stack, or "".
func (s *stack) output(key string) string {
	for _, o := range s.Outputs {
		if o.OutputKey == key {
			return o.OutputValue
		}
	}
	return ""
}

// parameter returns the value of a parameter of the stack, or "".
func (s *stack) parameter(key string) string {
	for _, p := range s.Parameters {
		if p.ParameterKey == key {
			return p.ParameterValue
		}
	}
	return ""
}

// account returns the ID of the AWS account that the stack is in.
func (s *stack) account() string {
	if parts := strings.Split(s.StackID, ":"); len(parts) > 4 { // an ARN
		return parts[4]
	}
	return ""
}

// changeable returns an error if the stack cannot be changed now. s is nil if the stack does not exist.
func (t *tool) changeable(s *stack) error {
	switch {
	case s == nil, s.StackStatus == "REVIEW_IN_PROGRESS": // a first deploy that was interrupted at its start
		return nil
	case s.StackStatus == "ROLLBACK_COMPLETE":
		return fmt.Errorf("the first deploy of stack %s failed, and CloudFormation cannot change a stack in that state: run `make destroy`, then `make deploy`", t.Stack)
	case strings.HasSuffix(s.StackStatus, "_IN_PROGRESS"):
		return fmt.Errorf("stack %s is being changed (%s): try again when that is done", t.Stack, s.StackStatus)
	}
	return nil
}

// wait waits until a change of the stack is complete. If the change fails, it prints the reasons.
func (t *tool) wait(ctx context.Context, c cli, s *stack, until string) error {
	_, err := c.text(ctx, "cloudformation", "wait", until, "--stack-name", s.StackID)
	if err != nil {
		t.printFailureReasons(ctx, c)
	}
	return err
}

func (t *tool) printFailureReasons(ctx context.Context, c cli) {
	var answer struct {
		StackEvents []struct {
			LogicalResourceID                    string `json:"LogicalResourceId"`
			ResourceStatus, ResourceStatusReason string
		}
	}
	if c.json(ctx, &answer, "cloudformation", "describe-stack-events", "--stack-name", t.Stack, "--max-items", "200") != nil {
		return
	}
	var reasons []string
	for _, e := range answer.StackEvents { // newest first
		if e.ResourceStatusReason == "User Initiated" {
			break
		}
		if strings.HasSuffix(e.ResourceStatus, "_FAILED") && !strings.Contains(e.ResourceStatusReason, "cancelled") {
			reasons = append([]string{e.LogicalResourceID + ": " + e.ResourceStatusReason}, reasons...)
		}
	}
	for _, reason := range reasons {
		fmt.Fprintln(t.stderr, reason)
	}
}
