package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Outputs of the template.
const (
	endpointOutput = "ECRScanAPIEndpoint"
	bucketOutput   = "ConfigBucketName"
	versionOutput  = "Version"
)

// url prints only the API's base URL, so that a shell can use the output. The URL contains the key if this machine has it. With a scan ID it prints the
// URL of the feed of that config, with the key of the config.
func (t *tool) url(ctx context.Context, args []string) error {
	id := strings.Join(args, " ")
	if id != "" && !scanID.MatchString(id) {
		return errors.New("CONFIG must be a scan ID: `curl -s $ECRSCANAPI_URL/configs/` lists the configs with their ids")
	}
	c, s, err := t.require(ctx)
	if err != nil {
		return err
	}
	url := s.output(endpointOutput)
	if url == "" {
		return fmt.Errorf("stack %s has no output %s (%s)", t.Stack, endpointOutput, s.StackStatus)
	}
	have, err := t.acceptedKeys(ctx, c, s)
	if err != nil {
		return err
	}
	if id != "" {
		url, err = urlOfConfig(s, url, id, have.Read)
		if err == nil {
			fmt.Fprintln(t.stdout, url)
		}
		return err
	}
	switch {
	case have.Full != "":
		if url, err = withKey(url, have.Full); err != nil {
			return err
		}
	case s.requiresKey():
		fmt.Fprintf(t.stderr, "url: this machine does not have the API's key: %s\n", adviceWithoutKey)
	}
	fmt.Fprintln(t.stdout, url)
	return nil
}

// scanID is the form of the ids of configs.
var scanID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// urlOfConfig returns the URL of the feed of a config. Its key opens only what the API has of this config.
func urlOfConfig(s *stack, base, id, readKey string) (string, error) {
	feed := base + "/findings/" + id
	switch {
	case readKey != "":
		return feed + "?key=" + keyOfConfig(id, readKey), nil
	case s.output(keysOutput) == fullKeyOnly:
		return "", errors.New("the keys of configs are made from the read key, and the API has none: `make rotate-key KEY=read` creates one")
	case s.requiresKey():
		return "", errors.New("this machine does not have the API's read key: set ECR_SCAN_READ_KEY to it, or create a new one with `make rotate-key KEY=read` (the old one then stops working)")
	}
	return feed, nil
}

// status prints the stack, its version, its parameters, its functions and the states of its alarms.
func (t *tool) status(ctx context.Context, _ []string) error {
	c, s, err := t.require(ctx)
	if err != nil {
		return err
	}
	functions, err := t.resources(ctx, c, functionType)
	if err != nil {
		return err
	}
	alarms, err := t.alarms(ctx, c)
	if err != nil {
		return err
	}
	changed := cmp.Or(s.LastUpdatedTime, s.CreationTime)
	w := tabwriter.NewWriter(t.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "stack\t%s in %s, %s\n", t.Stack, c.region, s.StackStatus)
	fmt.Fprintf(w, "version\t%s\n", cmp.Or(s.output(versionOutput), "before 1.0.0")) // earlier templates have no such output
	fmt.Fprintf(w, "changed\t%s\n", changed.UTC().Format(time.RFC3339))
	fmt.Fprintf(w, "API\t%s\n", s.output(endpointOutput))
	fmt.Fprintf(w, "configs\ts3://%s\n", s.output(bucketOutput))
	fmt.Fprintf(w, "keys\t%s\n", s.keysInWords())
	for _, p := range s.Parameters {
		if p.ParameterValue != "" && p.ParameterKey != fullParameter && p.ParameterKey != readParameter {
			fmt.Fprintf(w, "parameter\t%s=%s\n", p.ParameterKey, p.ParameterValue)
		}
	}
	for _, f := range functions {
		fmt.Fprintf(w, "function\t%s\tchanged %s\n", f.LogicalID, f.Timestamp.UTC().Format(time.RFC3339))
	}
	for _, a := range alarms {
		fmt.Fprintf(w, "alarm\t%s\t%s\n", a.name, a.state)
	}
	return w.Flush()
}

type alarm struct{ name, state string }

// alarms returns the stack's alarms with their states, sorted by their names in the template.
func (t *tool) alarms(ctx context.Context, c cli) ([]alarm, error) {
	found, err := t.resources(ctx, c, alarmType)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	names := make(map[string]string, len(found))
	args := []string{"cloudwatch", "describe-alarms", "--alarm-names"}
	for _, r := range found {
		names[r.PhysicalID] = r.LogicalID
		args = append(args, r.PhysicalID)
	}
	var answer struct {
		MetricAlarms []struct{ AlarmName, StateValue string }
	}
	if err := c.json(ctx, &answer, args...); err != nil {
		return nil, err
	}
	var alarms []alarm
	for _, a := range answer.MetricAlarms {
		alarms = append(alarms, alarm{names[a.AlarmName], a.StateValue})
	}
	slices.SortFunc(alarms, func(a, b alarm) int { return cmp.Compare(a.name, b.name) })
	return alarms, nil
}

// physicalID returns the name that CloudFormation gave a resource of the stack.
func (t *tool) physicalID(ctx context.Context, c cli, kind, logicalID string) (string, error) {
	found, err := t.resources(ctx, c, kind)
	if err != nil {
		return "", err
	}
	for _, r := range found {
		if r.LogicalID == logicalID {
			return r.PhysicalID, nil
		}
	}
	return "", errors.New("the stack has no " + logicalID)
}
