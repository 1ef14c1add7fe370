package main

import (
	"context"
	"errors"
	"fmt"
)

// rotateKey makes a new full key, or a new read key, and locks the old one out; the other stays. Nothing else of the stack changes: it
// keeps the functions that it has, whatever lies in this folder.
func (t *tool) rotateKey(ctx context.Context, args []string) error {
	read := len(args) == 1 && args[0] == "read"
	if len(args) > 1 || len(args) == 1 && !read && args[0] != "full" {
		return errors.New("the keys are full and read: run `make rotate-key`, or `make rotate-key KEY=read`")
	}
	if read && t.ReadKey != "" || !read && t.FullKey != "" {
		return errors.New("the environment sets this key: give ECR_SCAN_API_KEY or ECR_SCAN_READ_KEY another value and run `make deploy`, or unset it")
	}
	c, s, err := t.need(ctx)
	if err != nil {
		return err
	}
	if err := t.changeable(s); err != nil {
		return err
	}
	if !s.closed() {
		return errors.New("the API has no keys: `make deploy`, with ECR_SCAN_API_KEY unset, makes them")
	}
	return t.replaceKey(ctx, c, s, read)
}

func (t *tool) replaceKey(ctx context.Context, c cli, s *stack, read bool) error {
	file := t.keysOf(s.account(), c.region)
	if err := t.finishChange(ctx, c, s, file); err != nil {
		return err
	}
	kept, err := file.read()
	if err != nil {
		return err
	}
	key, made, parameter := newKey(), keys{}, fullParameter
	if read {
		made.Read, kept.Read, parameter = key, key, readParameter
	} else {
		made.Full, kept.Full = key, key
	}
	if err := file.pending().write(kept); err != nil {
		return err
	}
	if err := t.changeParameter(ctx, c, s, parameter, hashOf(key)); err != nil {
		return err
	}
	if err := file.settle(); err != nil {
		return err
	}
	t.showKeys(made, file)
	if read {
		fmt.Fprintf(t.stdout, "\nThe old read key is locked out. A feed reader subscribes to\n  %s?key=<read key>\n", s.output(endpointOutput)+"/findings/<scan id>")
	} else {
		fmt.Fprint(t.stdout, "\nThe old full key is locked out. Next:\n  export ECRSCANAPI_URL=$(make -s url)\n")
	}
	return nil
}

// changeParameter has CloudFormation change one parameter of the stack, and nothing else, and waits for it.
func (t *tool) changeParameter(ctx context.Context, c cli, s *stack, name, value string) error {
	args := []string{
		"cloudformation", "update-stack", "--stack-name", s.StackID, "--use-previous-template",
		"--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--parameters", "ParameterKey=" + name + ",ParameterValue=" + value,
	}
	for _, p := range s.Parameters {
		if p.ParameterKey != name {
			args = append(args, "ParameterKey="+p.ParameterKey+",UsePreviousValue=true")
		}
	}
	if _, err := c.text(ctx, args...); err != nil {
		return err
	}
	return t.wait(ctx, c, s, "stack-update-complete")
}
