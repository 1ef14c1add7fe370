package documents

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Shell runs commands in a folder. A variable that one command sets is in the environment of the next one.
type Shell struct {
	Dir string
	Env []string
	// Replace replaces placeholders and addresses of the documents. It can be nil.
	Replace *strings.Replacer
}

// Result is what a command printed, and its exit status.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Run runs a line of bash. It fails only if bash does not start.
func (s *Shell) Run(t *testing.T, line string) Result {
	t.Helper()
	after := filepath.Join(t.TempDir(), "environment")
	// The first argument of bash is the file that receives the environment.
	script := `trap 'env -0 >"$0"' EXIT` + "\nset -a\n" + line
	cmd := exec.CommandContext(t.Context(), "bash", "-o", "pipefail", "-c", script, after)
	cmd.Dir, cmd.Env = s.Dir, s.Env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatalf("%s: %v", line, err)
	}
	environment, err := os.ReadFile(after)
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, stderr.String())
	}
	s.Env = strings.Split(strings.TrimSuffix(string(environment), "\x00"), "\x00")
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// How long, and how often, Check repeats a command.
const (
	patience = 2 * time.Minute
	pause    = 200 * time.Millisecond
)

// Check runs a command of a document, and checks its exit status and the output that the document shows.
func (s *Shell) Check(t *testing.T, c Command) Result {
	t.Helper()
	line := c.Text
	if s.Replace != nil {
		line = s.Replace.Replace(line)
	}
	if c.Rule.Input != "" {
		if c.Input == nil {
			t.Fatalf("%s: the content of %s is not above the command", c, c.Rule.Input)
		}
		writeFile(t, filepath.Join(s.Dir, c.Rule.Input), c.Input.Text)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		result := s.Run(t, line)
		err := c.checkResult(result)
		if err == nil {
			return result
		}
		if !c.Rule.Retry || time.Now().After(deadline) {
			t.Fatalf("%s: %v", c, err)
		}
	}
}

func (c Command) checkResult(r Result) error {
	if r.Code != c.Rule.Exit {
		return fmt.Errorf("exit status %d, want %d\n%s%s", r.Code, c.Rule.Exit, r.Stdout, r.Stderr)
	}
	if c.Shown != nil {
		return CheckOutput(*c.Shown, r.Stdout)
	}
	return nil
}

// UseStrictCurl lets curl fail with status 22 if the API answers with an error, also in commands without an option for that.
func (s *Shell) UseStrictCurl(t *testing.T) {
	t.Helper()
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	script := "#!/bin/sh\ncase \" $* \" in *' -f'* | *' --fail'*) exec '" + curl + "' \"$@\" ;; esac\nexec '" + curl + "' --fail-with-body \"$@\"\n"
	writeFile(t, filepath.Join(folder, "curl"), script)
	if err := os.Chmod(filepath.Join(folder, "curl"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r := s.Run(t, "PATH='"+folder+"':\"$PATH\""); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
}

// CopyProject copies the files of the project, because commands write into its folder.
func CopyProject(t *testing.T) string {
	t.Helper()
	names, err := projectFiles()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(Root, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted since it was listed
		}
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(folder, name), string(text))
	}
	return folder
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
