package main

import (
	"context"
	"io"
	"os"
	"os/exec"
)

// Command is a program to run.
type Command struct {
	Name string
	Args []string
	Dir  string
	// Env is set on top of this program's own environment.
	Env            []string
	Stdout, Stderr io.Writer
}

// Runner runs programs: for real, or in a test's imagination.
type Runner interface {
	// Run returns when the program has ended, with an error that matches exec.ErrNotFound when there is no such program.
	Run(ctx context.Context, c Command) error
}

// Exec runs programs for real.
type Exec struct{}

// Run implements [Runner].
func (Exec) Run(ctx context.Context, c Command) error {
	cmd := exec.CommandContext(ctx, c.Name, c.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.Dir, c.Stdout, c.Stderr
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd.Run()
}
