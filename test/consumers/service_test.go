//go:build consumers

package consumers

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/awslocal/samples"
	"ecr-continuous-scan/test/awstest"
)

// tools is where .ci/run installs the programs.
const tools = "../../.tools/consumers/node_modules"

// service is the whole service with an embedded S3 and ECR.
type service struct {
	*testing.T
	aws *awstest.AWS
	*awstest.Service
	url string
	ids map[string]string // of configs, by repository
}

// start serves the sample registry and the recorded answers of the folders, with a config for each repository.
func start(t *testing.T, folders ...string) *service {
	t.Helper()
	s := &service{T: t, aws: awstest.Start(t, ecr.Options{ScanTime: -1}), ids: map[string]string{}}
	if err := samples.PutWalkthrough(s.aws.ECR); err != nil {
		t.Fatal(err)
	}
	s.Service = s.aws.Service(awstest.Silent())
	repositories := []string{"amazonlinux", "test/centos", "test/ubuntu", "test/hardcases", "test/gone"}
	for _, folder := range folders {
		loaded, _, err := samples.LoadFindings(s.aws.ECR, folder)
		if err != nil || len(loaded) == 0 {
			t.Fatalf("%s: %v, %v", folder, loaded, err)
		}
		for _, repo := range loaded {
			repositories = append(repositories, repo.Name)
		}
	}
	for _, repository := range repositories {
		s.ids[repository] = s.AddConfig(t, repository).ID
	}
	api := s.API("")
	api.BaseURL = func(r *http.Request) string { return "http://" + r.Host }
	server := httptest.NewServer(api.Handler(api.Routes()))
	t.Cleanup(server.Close)
	s.url = server.URL
	s.scan()
	return s
}

// suppress adds a suppression.
func (s *service) suppress(body string) {
	s.Helper()
	r, err := http.Post(s.url+"/suppressions", "application/json", strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusCreated {
		s.Fatalf("%s: %s", body, r.Status)
	}
}

// scan visits each repository twice: the first visits start the scans, and the second visits record the results.
func (s *service) scan() {
	s.Helper()
	for range 2 {
		if _, err := s.ScheduleAndVisit(s.Context()); err != nil {
			s.Fatal(err)
		}
	}
}

// nextDay moves the clock and scans again.
func (s *service) nextDay() {
	s.Helper()
	s.aws.Advance(25 * time.Hour)
	s.scan()
}

func (s *service) get(path string) []byte {
	s.Helper()
	r, err := http.Get(s.url + path)
	if err != nil {
		s.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		s.Fatalf("%s: %s, %v: %s", path, r.Status, err, body)
	}
	return body
}

// save writes an answer to a file and returns its path.
func (s *service) save(path, folder, name string) string {
	s.Helper()
	file := filepath.Join(folder, name)
	if err := os.WriteFile(file, s.get(path), 0o644); err != nil {
		s.Fatal(err)
	}
	return file
}

// run runs a program and returns what it prints.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Env = append(os.Environ(), "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1", "DOTNET_CLI_TELEMETRY_OPTOUT=1")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%.3000s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// node runs a script of JavaScript with arguments.
func node(t *testing.T, script string, args ...string) string {
	t.Helper()
	return run(t, "node", append([]string{"-e", script, "--"}, args...)...)
}

// multitool runs the SARIF Multitool. Its npm package starts it in a shell, which would split the names of rule sets at semicolons.
func multitool(t *testing.T, args ...string) string {
	t.Helper()
	return run(t, tools+"/@microsoft/sarif-multitool-linux/Sarif.Multitool", args...)
}

// module returns the path of an npm package.
func module(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(tools, name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// folders returns the folders with recorded answers.
func folders() []string {
	all := []string{"testdata"}
	for _, shared := range []string{"../../../shared/captures", "../../../shared/cases"} {
		if _, err := os.Stat(shared); err == nil {
			all = append(all, shared)
		}
	}
	return all
}

func pathOf(id, query string) string { return fmt.Sprintf("/findings/%s?format=%s", id, query) }
