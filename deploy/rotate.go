package main

import (
	"context"
	"errors"
	"fmt"
)

// rotateKey replaces the full key or the read key. The old key stops working, and the other key stays. It does not
// change anything else in the stack and does not rebuild the functions.
func (t *tool) rotateKey(ctx context.Context, args []string) error {
	read := len(args) == 1 && args[0] == "read"
	if len(args) > 1 || len(args) == 1 && !read && args[0] != "full" {
		return errors.New("unknown key: run `make rotate-key` for the full key, or `make rotate-key KEY=read` for the read key")
	}
	if read && t.ReadKey != "" || !read && t.FullKey != "" {
		return errors.New("the environment sets this key: change ECR_SCAN_API_KEY or ECR_SCAN_READ_KEY and run `make deploy`, or unset the variable")
	}
	c, s, err := t.require(ctx)
	if err != nil {
		return err
	}
	if err := t.changeable(s); err != nil {
		return err
	}
	if !s.requiresKey() {
		return errors.New("the API has no keys: unset ECR_SCAN_API_KEY and run `make deploy` to create them")
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
	key, created, parameter := newKey(), keys{}, fullParameter
	if read {
		created.Read, kept.Read, parameter = key, key, readParameter
	} else {
		created.Full, kept.Full = key, key
	}
	if err := file.pending().write(kept); err != nil {
		return err
	}
	if err := t.changeParameter(ctx, c, s, parameter, hashOf(key)); err != nil {
		return err
	}
	if err := file.commit(); err != nil {
		return err
	}
	t.showKeys(created, file)
	if read {
		fmt.Fprintf(t.stdout, "\nThe old read key no longer works. A feed reader subscribes to\n  %s?key=<read key>\n", s.output(endpointOutput)+"/findings/<scan id>")
	} else {
		fmt.Fprint(t.stdout, "\nThe old full key no longer works. Next:\n  export ECRSCANAPI_URL=$(make -s url)\n")
	}
	return nil
}

// changeParameter changes only one parameter of the stack and waits until CloudFormation is done.
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
