package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// functions returns the folders of the four main packages. Each executable is in the folder of the same name below
// dist.
func functions() []string { return []string{"configs", "summary", "findings", "startscan"} }

// build compiles each function into its own folder, dist/<function>/bootstrap. The same source gives a
// byte-identical zip file. The name of the zip file is a hash of its content, and CloudFormation replaces a
// function whenever that name changes.
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
	if err := os.RemoveAll(folder); err != nil { // all files in it would be deployed
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
	return setModeAndTime(filepath.Join(folder, "bootstrap"))
}

// setModeAndTime gives a file the same mode and modification time in every build. The time is local because zip
// files store local times.
func setModeAndTime(path string) error {
	if err := os.Chmod(path, 0o755); err != nil {
		return err
	}
	then := time.Date(2001, time.January, 1, 0, 0, 0, 0, time.Local)
	return os.Chtimes(path, then, then)
}
