//go:build deployment

package documents

import (
	"regexp"
	"strings"
	"testing"
)

var ecrAddress = regexp.MustCompile(`ECR +(http://\S+)`)

// TestCommandsOnOneMachine runs the commands that need `make run`, curl, jq, and for one of them the AWS CLI.
func TestCommandsOnOneMachine(t *testing.T) {
	t.Parallel()
	script, shell := NewScript(t), newProject(t)
	runs := script.Take("README.md", "run-it-and-test-it")
	if len(runs) != 1 {
		t.Fatalf("README.md starts %d servers, want 1", len(runs))
	}
	server := startServer(t, shell, runs[0], "")
	ecr := ecrAddress.FindStringSubmatch(server.Printed)
	if ecr == nil {
		t.Fatalf("make run prints no address of ECR:\n%s", server.Printed)
	}
	shell.Replace = strings.NewReplacer("http://localhost:8080", server.URL, "ADDRESS", ecr[1])
	shell.Env = append(shell.Env, "AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any")

	shell.UseStrictCurl(t)
	walkthrough := script.Take("README.md", "the-walkthrough")
	end := FirstDelete(walkthrough)
	check(t, shell, walkthrough[:end])
	for _, document := range []string{"docs/api.md", "docs/formats.md", "docs/feeds.md", "docs/operations.md", "docs/deploy.md"} {
		check(t, shell, script.Take(document, ""))
	}
	check(t, shell, script.Examples(t))
	check(t, shell, walkthrough[end:])
	check(t, shell, walkthrough[:end])                       // the README says that it can run again
	check(t, shell, script.Take("docs/suppressions.md", "")) // after the README's summary: the end of a suppression is a change in it
	check(t, shell, walkthrough[end:])
	if r := shell.Run(t, "curl -s $ECRSCANAPI_URL/configs/"); r.Stdout != "[]\n" {
		t.Errorf("after the walkthrough, the configs are %s", r.Stdout)
	}
	if r := shell.Run(t, "git status --porcelain"); r.Stdout != "" {
		t.Errorf("git does not ignore the files of the commands:\n%s", r.Stdout)
	}
	for _, c := range script.Take("CONTRIBUTING.md", "fuzzing") {
		c.Text = strings.Replace(c.Text, "-fuzztime 5m", "-fuzztime 10x", 1)
		shell.Check(t, c)
	}
}

// TestCommandsOfTheDemo runs the three minutes of the demo with shorter days.
func TestCommandsOfTheDemo(t *testing.T) {
	t.Parallel()
	script, shell := NewScript(t), newProject(t)
	first := script.Take("docs/demo.md", "the-first-minute")
	if len(first) == 0 || first[0].Text != "make run ARGS=-demo" {
		t.Fatalf("docs/demo.md starts with %v", first)
	}
	server := startServer(t, shell, first[0], "-demo -demo-day 4s")
	shell.Replace = strings.NewReplacer("http://localhost:8080", server.URL)
	check(t, shell, first[1:])
	check(t, shell, script.Take("docs/demo.md", "the-second-minute"))
	check(t, shell, script.Take("docs/demo.md", "the-third-minute"))
}

func check(t *testing.T, shell *Shell, commands []Command) {
	t.Helper()
	for _, c := range commands {
		shell.Check(t, c)
	}
}
