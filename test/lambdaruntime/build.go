package lambdaruntime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// Build compiles the main package in the folder pkg, relative to the module's root and with slashes ("configs"). It
// uses the build flags for Lambda, but compiles for this machine, and returns the path of the executable. The
// executable stays in the module's bin folder, so the next call only links again if something has changed.
func Build(tb testing.TB, pkg string) string {
	tb.Helper()
	root := moduleRoot(tb)
	dependOn(tb, root)
	binary, err := Compile(tb.Context(), root, pkg)
	if err != nil {
		tb.Fatal(err)
	}
	return binary
}

// Compile is Build without a test, for the module in the folder root.
func Compile(ctx context.Context, root, pkg string) (binary string, err error) {
	binary = filepath.Join(root, "bin", "lambdaruntime", filepath.FromSlash(pkg), "bootstrap")
	unlock, err := lock(binary + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()

	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-tags", "lambda.norpc", "-ldflags=-s",
		"-o", binary, "./"+pkg)
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s in %s: %w\n%s", pkg, root, err, output)
	}
	return binary, nil
}

func moduleRoot(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			tb.Fatal("no go.mod in the working directory or above")
		}
		dir = parent
	}
}

// dependOn opens the folders of the module's sources. The go command tracks the files that a test opens, but not
// those that a compiler run by the test opens. Without this, the test cache would hide a change in a function.
func dependOn(tb testing.TB, root string) {
	tb.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || path == root {
			return err
		}
		if parent := filepath.Dir(path); parent == root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "dist") {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// lock waits for the tests of other packages, which the go command runs at the same time.
func lock(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return func() { _ = file.Close() }, nil // closing unlocks
}
