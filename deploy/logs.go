package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

type logLine struct {
	at      time.Time
	source  string
	message string
}

// logs prints the functions' recent log messages, sorted by time. Arguments select functions by the names of their
// folders.
func (t *tool) logs(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("logs", flag.ContinueOnError)
	flags.SetOutput(t.stderr)
	since := flags.Duration("since", time.Hour, "how far back to read")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c, _, err := t.require(ctx)
	if err != nil {
		return err
	}
	groups, err := t.resources(ctx, c, logGroupType)
	if err != nil {
		return err
	}
	var lines []logLine
	for _, g := range groups {
		source := strings.TrimSuffix(g.LogicalID, "Log")
		if flags.NArg() > 0 && !slices.Contains(flags.Args(), strings.ToLower(source)) {
			continue
		}
		more, err := c.logLines(ctx, g.PhysicalID, source, time.Now().Add(-*since))
		if err != nil {
			return err
		}
		lines = append(lines, more...)
	}
	slices.SortStableFunc(lines, func(a, b logLine) int { return cmp.Compare(a.at.UnixMilli(), b.at.UnixMilli()) })
	for _, l := range lines {
		fmt.Fprintf(t.stdout, "%s %-9s %s\n", l.at.UTC().Format("2006-01-02T15:04:05.000Z"), l.source, l.message)
	}
	return nil
}

func (c cli) logLines(ctx context.Context, group, source string, from time.Time) ([]logLine, error) {
	var answer struct {
		Events []struct {
			Timestamp int64
			Message   string
		}
	}
	err := c.json(ctx, &answer, "logs", "filter-log-events", "--log-group-name", group, "--start-time", strconv.FormatInt(from.UnixMilli(), 10))
	if err != nil {
		return nil, err
	}
	var lines []logLine
	for _, e := range answer.Events {
		lines = append(lines, logLine{time.UnixMilli(e.Timestamp), source, strings.TrimSpace(e.Message)})
	}
	return lines, nil
}
