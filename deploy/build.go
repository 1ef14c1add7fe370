package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// functions are the folders of the four mains, and of their executables below dist.
func functions() []string { return []string{"configs", "summary", "findings", "startscan"} }

// build compiles each function into a folder of its own, dist/<function>/bootstrap, so that the same source gives the same zip file byte
// for byte: CloudFormation replaces a function whenever its zip file has another name, and the name is a hash of it.
func (t *tool) build(ctx context.Context, _ []string) error {
	for _, name := range functions() {
		if err := t.buildFunction(ctx, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (t *tool) buildFunction(ctx context.Context, name string) error {
	folder := filepath.Join(t.dir, "dist", name)
	if err := os.RemoveAll(folder); err != nil { // whatever lies in it would be deployed too
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	err := t.runner.Run(ctx, Command{
		Name: "go",
		Args: []string{
			"build", "-buildvcs=false", "-trimpath", "-tags", "lambda.norpc", "-ldflags=-s",
			"-o", filepath.Join("dist", name, "bootstrap"), "./" + name,
		},
		Dir: t.dir, Env: []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64"}, Stdout: t.stdout, Stderr: t.stderr,
	})
	if err != nil {
		return err
	}
	return settle(filepath.Join(folder, "bootstrap"))
}

// settle gives a file the mode and time that every build gives it. The time is a local one, since that is what a zip file holds.
func settle(path string) error {
	if err := os.Chmod(path, 0o755); err != nil {
		return err
	}
	then := time.Date(2001, time.January, 1, 0, 0, 0, 0, time.Local)
	return os.Chtimes(path, then, then)
}
