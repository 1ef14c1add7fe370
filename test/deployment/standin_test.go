//go:build deployment

package deployment

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// standIn is a stand-in of AWS, which is a process on loopback, and a copy of the project that is deployed to it.
type standIn struct {
	t        *testing.T
	endpoint string
	// project is the folder of the copy. Deploys build in it, and tests can change it.
	project string
	// log is the output of the stand-in.
	log *os.File
	// calls is the file with all command lines of the AWS CLI.
	calls string
	env   []string
	// commands are all commands that ran, with their output.
	commands []command
}

// command is a line of bash with its output.
type command struct{ line, output string }

const region = "us-west-2"

// startStandIn starts a stand-in without resources. It ends with the test.
func startStandIn(t *testing.T) *standIn {
	t.Helper()
	for _, program := range []string{"aws", "curl", "jq", "python3", "qemu-aarch64", "make", "git"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("this test needs %s", program)
		}
	}
	port := freePort(t)
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s := &standIn{t: t, endpoint: "http://localhost:" + strconv.Itoa(port), project: copyProject(t)}
	s.env = s.environment(t, address)
	s.run(t, port)
	s.await("http://" + address + "/moto-api/")
	return s
}

// run starts the process. The process ends when its standard input is closed, so it also ends if the test is killed.
func (s *standIn) run(t *testing.T, port int) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "stack.log"))
	if err != nil {
		t.Fatal(err)
	}
	s.log = log
	cmd := exec.Command("python3", "stack.py", strconv.Itoa(port))
	cmd.Env = append(os.Environ(), "AWS_DEFAULT_REGION="+region, "TMPDIR="+t.TempDir())
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		timer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // it ends itself with a signal
		timer.Stop()
		if t.Failed() {
			t.Logf("the stand-in's log ends with:\n%s", s.lastLog(3000))
		}
		log.Close()
	})
}

// await waits until the stand-in responds.
func (s *standIn) await(url string) {
	s.t.Helper()
	for range 300 {
		if response, err := http.Get(url); err == nil {
			response.Body.Close()
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	s.t.Fatalf("the stand-in does not start:\n%s", s.lastLog(6000))
}

func (s *standIn) lastLog(n int) string {
	text, err := os.ReadFile(s.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-n):])
}

// environment returns the environment of a user with a configured AWS CLI. curl connects the API's host name to the
// stand-in.
func (s *standIn) environment(t *testing.T, address string) []string {
	home := t.TempDir()
	config, keys := filepath.Join(home, "config"), filepath.Join(home, "credentials")
	writeFile(t, config, "[default]\nregion = "+region+"\n")
	writeFile(t, keys, "[default]\naws_access_key_id = deployment\naws_secret_access_key = deployment\n")
	writeFile(t, filepath.Join(home, ".curlrc"), "connect-to = \"::"+address+"\"\n")
	folder := startCLI(t)
	linkOnce(t, folder)
	s.calls = filepath.Join(folder, "calls")
	mine := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "ECR_SCAN_") })
	return append(mine, "PATH="+folder+":"+os.Getenv("PATH"),
		"AWS_CONFIG_FILE="+config, "AWS_SHARED_CREDENTIALS_FILE="+keys, "AWS_ENDPOINT_URL="+s.endpoint, "CURL_HOME="+home, "no_proxy=*")
}

// startCLI starts the process of aws.py, which runs all commands of the AWS CLI, and returns the folder of its command. The
// process ends with the test.
func startCLI(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	cmd := exec.Command("python3", "aws.py", folder)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("aws.py does not start: %q, %v", line, err)
	}
	return folder
}

// setenv sets a variable for all later commands.
func (s *standIn) setenv(name, value string) { s.env = append(s.env, name+"="+value) }

// shell runs a line of bash in the copy of the project and returns its standard output. The line must succeed.
func (s *standIn) shell(line string) string {
	s.t.Helper()
	out, code, errs := s.try(line)
	if code != 0 {
		s.t.Fatalf("%s\nexit code %d\n%s%s", line, code, out, errs)
	}
	return out
}

// try runs a line of bash that may fail.
func (s *standIn) try(line string) (stdout string, code int, stderr string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "bash", "-o", "pipefail", "-c", line)
	cmd.Dir, cmd.Env = s.project, s.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		s.t.Fatalf("%s: %v", line, err)
	}
	s.commands = append(s.commands, command{line, out.String() + errs.String()})
	return out.String(), cmd.ProcessState.ExitCode(), errs.String()
}

// copyProject copies all files that git tracks or would add, because deploys write into the folder and tests change
// the functions.
func copyProject(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	names, err := list.Output()
	if err != nil {
		t.Fatalf("list the project's files: %v", err)
	}
	folder := t.TempDir()
	for name := range strings.SplitSeq(strings.Trim(string(names), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // deleted, but still tracked
		}
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(folder, name), string(text))
	}
	return folder
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// post sends a JSON document to the stand-in.
func (s *standIn) post(path string, document []byte) {
	s.t.Helper()
	response, err := http.Post(s.endpoint+path, "application/json", bytes.NewReader(document))
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode/100 != 2 {
		s.t.Fatal(fmt.Errorf("POST %s: %s: %s %w", path, response.Status, text, err))
	}
}
