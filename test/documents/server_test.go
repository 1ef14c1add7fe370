package documents

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// newProject returns a shell in a copy of the project, which is a git repository like a clone.
func newProject(t *testing.T) *Shell {
	t.Helper()
	s := &Shell{Dir: CopyProject(t), Env: os.Environ()}
	const commit = "git init -q && git add -A && git -c user.name=test -c user.email=test@example.org -c commit.gpgsign=false commit -q -m all"
	if r := s.Run(t, commit); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	return s
}

// server is a running `make run`.
type server struct {
	URL     string
	Printed string // at the start
}

var apiURL = regexp.MustCompile(`API +(http://localhost:\d+)\n`)

// startServer runs the document's `make run` on a free port until the test ends. flags replace those of the document.
func startServer(t *testing.T, s *Shell, command Command, flags string) server {
	t.Helper()
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	// When the input ends, so does the server, also if the test was killed. make passes the signal on.
	const watch = "exec 3<&0; { read -r <&3; kill $$; } & exec "
	cmd := exec.Command("bash", "-c", watch+command.Text+" ARGS='-addr 127.0.0.1:0 "+flags+"'")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.Dir, s.Env, output, output
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		input.Close()
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Errorf("%s does not stop", command)
		}
	})
	for {
		text, err := os.ReadFile(output.Name())
		if err != nil {
			t.Fatal(err)
		}
		if m := apiURL.FindSubmatch(text); m != nil {
			return server{URL: string(m[1]), Printed: string(text)}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", command, err, text)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestCommandsThatNeedOnlyGo runs the commands that need Go, make and git.
func TestCommandsThatNeedOnlyGo(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a copy of the project")
	}
	t.Parallel()
	script, shell := NewScript(t), newProject(t)
	for _, c := range script.Take("README.md", "run-it-and-test-it") {
		serves(t, startServer(t, shell, c, "").URL)
	}
	for _, c := range script.Take("CONTRIBUTING.md", "golden-files") {
		shell.Check(t, c)
	}
}

func serves(t *testing.T, url string) {
	t.Helper()
	response, err := http.Get(url + "/summary")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("GET /summary: %s, %s", response.Status, response.Header.Get("Content-Type"))
	}
}
