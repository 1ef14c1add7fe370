//go:build browser

package browser

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// localServer starts the local server of `make run` with some flags and returns its URL.
func localServer(t *testing.T, flags ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "local")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./local")
	build.Dir = "../.."
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build ./local: %v\n%s", err, output)
	}
	if len(flags) == 0 {
		flags = []string{"-data", t.TempDir(), "-scan-time", "0s"}
	}
	server := exec.CommandContext(t.Context(), binary, append(flags, "-addr", "127.0.0.1:0")...)
	server.Cancel = func() error { return server.Process.Signal(os.Interrupt) }
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Wait() }) // the end of the test's context stops it
	address := regexp.MustCompile(`API +(http://localhost:\d+)$`)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if match := address.FindStringSubmatch(lines.Text()); match != nil {
			go func() { _, _ = io.Copy(io.Discard, stdout) }() // the demo prints what happens
			return match[1]
		}
	}
	t.Fatal("the local server did not print its address")
	return ""
}

// scanIDs returns the scan IDs of all configs by repository.
func scanIDs(t *testing.T, base string) map[string]string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/configs", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var configs []scan.Config
	if err := json.NewDecoder(res.Body).Decode(&configs); err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, c := range configs {
		ids[c.Repository] = c.ID
	}
	return ids
}

// post stores a config and returns its scan ID.
func post(t *testing.T, base, config string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/configs", strings.NewReader(config))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var stored scan.Config
	if err := json.NewDecoder(res.Body).Decode(&stored); err != nil || stored.ID == "" {
		t.Fatalf("POST %s: %s, %v", config, res.Status, err)
	}
	return stored.ID
}

// sampleConfigs returns the configs of the walkthrough.
func sampleConfigs(t *testing.T) []string {
	t.Helper()
	var configs []string
	for _, name := range []string{"amazonlinux", "centos", "ubuntu"} {
		config, err := os.ReadFile("../../scan-config-" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		configs = append(configs, string(config))
	}
	return configs
}

// service serves the API over HTTP, with an embedded ECR that the test fills.
func service(t *testing.T, access httpapi.Access) (*awstest.AWS, *awstest.Service, string) {
	t.Helper()
	a := awstest.Start(t, ecr.Options{ScanTime: -1})
	s := a.Service(awstest.Silent())
	api := s.API("")
	api.Access, api.BaseURL = access, func(r *http.Request) string { return "http://" + r.Host }
	server := httptest.NewServer(api.Handler(api.Routes()))
	t.Cleanup(server.Close)
	return a, s, server.URL
}
