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
	// Env is added to the environment of this process.
	Env            []string
	Stdout, Stderr io.Writer
}

// Runner runs programs. Tests use a fake.
type Runner interface {
	// Run runs the program and waits until it has ended. The error matches exec.ErrNotFound if the program is not
	// installed.
	Run(ctx context.Context, c Command) error
}

// Exec is the Runner that starts processes.
type Exec struct{}

// Run implements [Runner].
func (Exec) Run(ctx context.Context, c Command) error {
	cmd := exec.CommandContext(ctx, c.Name, c.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.Dir, c.Stdout, c.Stderr
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd.Run()
}
