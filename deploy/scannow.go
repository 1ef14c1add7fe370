package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// scanNow calls StartScanFunc as the schedule does. The function sends a visit of each repository to the queue, and scanNow prints the
// function's report. The visits run later.
func (t *tool) scanNow(ctx context.Context, _ []string) error {
	c, _, err := t.require(ctx)
	if err != nil {
		return err
	}
	function, err := t.physicalID(ctx, c, functionType, "StartScanFunc")
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "scan-now-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	event, answer := filepath.Join(folder, "event.json"), filepath.Join(folder, "answer.json")
	if err := os.WriteFile(event, []byte("{}"), 0o600); err != nil {
		return err
	}
	var result struct{ FunctionError string }
	// The call can take as long as the function's timeout, 5 minutes. A retry would send all messages twice. Both versions of the AWS CLI
	// support fileb:.
	c.env = []string{"AWS_MAX_ATTEMPTS=1"}
	err = c.json(ctx, &result, "lambda", "invoke", "--function-name", function, "--payload", "fileb://"+event, "--cli-read-timeout", "310", answer)
	if err != nil {
		return err
	}
	report, err := os.ReadFile(answer)
	if err != nil {
		return err
	}
	if result.FunctionError != "" {
		return fmt.Errorf("the schedule failed: %s (see `make logs`)", bytes.TrimSpace(report))
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, bytes.TrimSpace(report), "", "  "); err != nil {
		return fmt.Errorf("the schedule's report is not JSON: %w", err)
	}
	_, err = fmt.Fprintln(t.stdout, indented.String())
	return err
}
