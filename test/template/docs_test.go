package template

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The documented policy for a repository of another account permits exactly the ECR actions of the functions,
// except those that a policy of a repository can't permit: they are about a registry.
func TestDocumentedRepositoryPolicy(t *testing.T) {
	_, text, _ := strings.Cut(document(t, "docs/deploy.md"), "```json\n")
	text, _, _ = strings.Cut(text, "```")
	var policy struct{ Statement []struct{ Action []string } }
	if err := json.Unmarshal([]byte(text), &policy); err != nil || len(policy.Statement) != 1 {
		t.Fatalf("the policy: %v\n%s", err, text)
	}
	want := map[string]bool{}
	for _, f := range functions(t, load(t)) {
		for action := range granted(t, f) {
			if strings.HasPrefix(action, "ecr:") && action != "ecr:DescribeRepositories" && action != "ecr:BatchGetRepositoryScanningConfiguration" {
				want[action] = true
			}
		}
	}
	if diff := cmp.Diff(sorted(want), slices.Sorted(slices.Values(policy.Statement[0].Action))); diff != "" {
		t.Errorf("the actions of the template and the documentation differ (-template +documentation):\n%s", diff)
	}
}

// Every parameter that `make deploy PARAMETERS=…` accepts is in docs/deploy.md with its default.
func TestDocumentedParameters(t *testing.T) {
	_, table, _ := strings.Cut(document(t, "docs/deploy.md"), "\n## Parameters\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for name, p := range at(t, load(t), "Parameters").(object) {
		if name == "ConfigBucket" || strings.HasSuffix(name, "KeySha256") { // set by environment variables
			continue
		}
		var row string
		for line := range strings.Lines(table) {
			if cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |"); strings.Contains(cell, "`"+name+"`") {
				row = line
			}
		}
		value := fmt.Sprint(p.(object)["Default"])
		if value == "" {
			value = "none"
		}
		if !strings.Contains(row, value) {
			t.Errorf("%s, by default %s, is not in the table of docs/deploy.md: %q", name, value, row)
		}
	}
}

// The table of the functions' permissions in docs/deploy.md has the actions of the template.
func TestDocumentedPermissions(t *testing.T) {
	_, table, _ := strings.Cut(document(t, "docs/deploy.md"), "\n## Permissions of the functions\n")
	table, _, _ = strings.Cut(table, "\n## ")
	action := regexp.MustCompile("`([a-z0-9]+:[A-Za-z]+)`")
	documented := map[string][]string{}
	for line := range strings.Lines(table) {
		names, rest, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for name := range strings.SplitSeq(names, ", ") {
			if !strings.HasPrefix(line, "| ") || !strings.HasSuffix(name, "Func") {
				continue
			}
			actions := map[string]bool{}
			for _, match := range action.FindAllStringSubmatch(rest, -1) {
				actions[match[1]] = true
			}
			documented[name] = sorted(actions)
		}
	}
	want := map[string][]string{}
	for name, f := range functions(t, load(t)) {
		want[name] = sorted(granted(t, f))
	}
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Errorf("the actions of the template and the documentation differ (-template +documentation):\n%s", diff)
	}
}
