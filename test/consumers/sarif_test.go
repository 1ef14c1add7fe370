//go:build consumers

package consumers

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/documents"
	"ecr-continuous-scan/test/feedrules"
)

// complaint matches an error or a warning of multitool. It exits with 0 after both.
var complaint = regexp.MustCompile(`(?m)^.*: (error|warning) ([A-Za-z0-9]+): .*$`)

func complaints(t *testing.T, folder string) []string {
	t.Helper()
	out := multitool(t, "validate", filepath.Join(folder, "*.sarif"), "--rule-kind", "Sarif;Ghas;Ado", "--level", "Error;Warning")
	if !strings.Contains(out, "Analysis completed successfully") {
		t.Fatalf("%s", out)
	}
	return complaint.FindAllString(out, -1)
}

// Each log is valid for SARIF, GitHub and Azure DevOps, but for the ids of a pipeline, which the jq line of the documents adds.
func TestValidate(t *testing.T) {
	s := start(t, folders()...)
	logs, azure := t.TempDir(), t.TempDir()
	for repository, id := range s.ids {
		s.save(pathOf(id, "sarif"), logs, strings.ReplaceAll(repository, "/", "-")+".sarif")
	}
	s.save("/findings/all?format=sarif", logs, "all.sarif")
	s.save("/findings/all?format=sarif&by=vulnerability", logs, "by-vulnerability.sarif")
	s.save("/findings/all?format=sarif&tag=nix", logs, "nothing.sarif")
	s.suppress(`{"package":"systemd*","reason":"the image has no init process","until":"9999-12-31","justification":"vulnerable_code_not_in_execute_path"}`)
	for _, value := range []string{"include", "only"} {
		path := s.save("/findings/all?format=sarif&suppressed="+value, logs, "suppressed-"+value+".sarif")
		if log, err := os.ReadFile(path); err != nil || !strings.Contains(string(log), `"suppressions":[{"kind":"external","status":"accepted"`) {
			t.Errorf("%v, no suppressed result in %.2000s", err, log)
		}
	}
	for _, line := range complaints(t, logs) {
		if rule := complaint.FindStringSubmatch(line)[2]; rule != "GHAzDO1019" && rule != "GHAzDO1020" {
			t.Errorf("%s", line)
		}
	}
	for _, name := range []string{"all.sarif", "test-hardcases.sarif"} {
		azureLog(t, filepath.Join(logs, name), filepath.Join(azure, name))
	}
	for _, line := range complaints(t, azure) {
		t.Errorf("with the ids of a pipeline: %s", line)
	}
	entries, err := os.ReadDir(logs)
	if err != nil || len(entries) < 8 {
		t.Errorf("%d logs, %v", len(entries), err)
	}
	t.Logf("%d logs", len(entries))
}

// azureLog runs the jq line of the documents in the environment of a pipeline.
func azureLog(t *testing.T, from, to string) {
	t.Helper()
	all, err := documents.Read()
	if err != nil {
		t.Fatal(err)
	}
	commands, _ := documents.Commands(all)
	i := slices.IndexFunc(commands, func(c documents.Command) bool {
		return c.Document == "docs/formats.md" && strings.HasPrefix(c.Text, "jq ")
	})
	for name, value := range map[string]string{
		"SYSTEM_COLLECTIONID": "11111111-1111-4111-8111-111111111111", "SYSTEM_TEAMPROJECTID": "22222222-2222-4222-8222-222222222222", "SYSTEM_DEFINITIONID": "7",
		"SYSTEM_PHASEID": "33333333-3333-4333-8333-333333333333", "SYSTEM_PHASENAME": "Job", "BUILD_SOURCEBRANCH": "refs/heads/main", "BUILD_BUILDID": "9", "BUILD_DEFINITIONNAME": "scan",
	} {
		t.Setenv(name, value)
	}
	line := strings.NewReplacer("findings.sarif", from, "azure.sarif", to).Replace(commands[i].Text)
	run(t, "bash", "-c", line)
}

// finding returns a basic finding in a package.
func finding(name, severity, pkg string) ecr.Finding {
	return ecr.Finding{Name: name, Severity: severity, Attributes: []ecr.Attribute{{Key: "package_name", Value: pkg}}}
}

// What multitool calls new and absent is what the change feed calls NEW and FIXED. A raised severity is unchanged for multitool.
func TestMatchResultsForward(t *testing.T) {
	s := start(t)
	repo := ecr.RepositoryID{Name: "team/app"}
	s.aws.ECR.PutImage(repo, ecr.Image{Tags: []string{"v1"}, Findings: []ecr.Finding{
		finding("CVE-1", "HIGH", "a"), finding("CVE-2", "LOW", "a"), finding("CVE-3", "LOW", "a"), finding("CVE-4", "LOW", "a"),
	}})
	id := s.AddConfig(t, repo.Name).ID
	s.nextDay()
	folder := t.TempDir()
	yesterday := s.save(pathOf(id, "sarif"), folder, "yesterday.sarif")
	err := s.aws.ECR.UpdateImage(repo, "v1", func(i *ecr.Image) {
		i.Findings = []ecr.Finding{
			finding("CVE-1", "HIGH", "b"), // resolved in a, new in b
			finding("CVE-2", "LOW", "a"), finding("CVE-3", "CRITICAL", "a"), finding("CVE-5", "MEDIUM", "a"),
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	s.nextDay()
	today := s.save(pathOf(id, "sarif"), folder, "today.sarif")
	out := filepath.Join(folder, "compared.sarif")
	multitool(t, "match-results-forward", today, "--previous", yesterday, "--output-file-path", out)
	got := map[string][]string{}
	for _, r := range readLog(t, out) {
		got[r.BaselineState] = append(got[r.BaselineState], r.RuleID+" "+r.Properties.Package)
	}
	for _, list := range got {
		slices.Sort(list)
	}
	want := map[string][]string{"new": {"CVE-1 b", "CVE-5 a"}, "absent": {"CVE-1 a", "CVE-4 a"}, "unchanged": {"CVE-2 a", "CVE-3 a"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	changes := feedrules.JSON(t, s.get("/findings/"+id+"/changes?format=json"))
	kinds := map[string]int{}
	for _, c := range changes.Items {
		kinds[strings.SplitAfter(c.Title, "]")[0]]++
	}
	if diff := cmp.Diff(map[string]int{"[NEW]": 2, "[FIXED]": 2, "[SEVERITY RAISED]": 1}, kinds); diff != "" {
		t.Errorf("the change feed (-want +got):\n%s", diff)
	}
}

type resultInLog struct {
	RuleID, BaselineState, Level string
	Properties                   struct{ Package string }
}

func readLog(t *testing.T, file string) []resultInLog {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var log struct {
		Runs []struct{ Results []resultInLog }
	}
	if err := json.Unmarshal(content, &log); err != nil {
		t.Fatal(err)
	}
	var all []resultInLog
	for _, run := range log.Runs {
		all = append(all, run.Results...)
	}
	return all
}

// A config with a CRITICAL finding never reads as empty, and one without a result never as success, in any program. Merging keeps each result.
func TestNothingReadsAsClean(t *testing.T) {
	s := start(t, "testdata")
	folder, merged := t.TempDir(), t.TempDir()
	counts := map[string]int{}
	for _, repository := range []string{"amazonlinux", "team/inspector", "test/hardcases", "test/gone"} {
		file := s.save(pathOf(s.ids[repository], "sarif"), folder, strings.ReplaceAll(repository, "/", "-")+".sarif")
		results := readLog(t, file)
		counts[repository] = len(results)
		noNotes := slices.DeleteFunc(slices.Clone(results), func(r resultInLog) bool { return r.Level == "note" })
		if tests, failures := junit(t, file); tests != len(results) || failures != len(noNotes) {
			t.Errorf("%s: %d results, %d of them notes; sarif-junit shows %d tests and %d failures", repository, len(results), len(results)-len(noNotes), tests, failures)
		}
		page := markdownOf(t, file)
		for _, r := range results {
			if !strings.Contains(page, r.RuleID) {
				t.Errorf("%s: sarif-to-markdown does not show %s:\n%s", repository, r.RuleID, page)
			}
		}
	}
	if counts["amazonlinux"] != 0 || counts["team/inspector"] != 3 || counts["test/hardcases"] < 4 || counts["test/gone"] != 1 {
		t.Errorf("results: %v", counts)
	}
	out := filepath.Join(merged, "merged.sarif")
	multitool(t, "merge", filepath.Join(folder, "*.sarif"), "--output-directory", merged, "--output-file", "merged.sarif")
	notScanned := 0
	all := readLog(t, out)
	for _, r := range all {
		if r.RuleID == "not-scanned" {
			notScanned++
		}
	}
	if want := counts["team/inspector"] + counts["test/hardcases"] + counts["test/gone"]; len(all) != want || notScanned < 2 {
		t.Errorf("merged: %d results of %d, %d not scanned", len(all), want, notScanned)
	}
}

// junit returns the number of tests and failures in the JUnit XML of sarif-junit. A note is a test that passes.
func junit(t *testing.T, file string) (tests, failures int) {
	t.Helper()
	xml := file + ".xml"
	run(t, "node", tools+"/sarif-junit/bin/sarif-junit.js", "-i", file, "-o", xml)
	content, err := os.ReadFile(xml)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(content), "<testcase"), strings.Count(string(content), "<failure")
}

func markdownOf(t *testing.T, file string) string {
	t.Helper()
	return node(t, fmt.Sprintf(`
const { sarifToMarkdown } = require(%q);
const log = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
const options = { title: "t", owner: "o", repo: "r", branch: "b", sourceRoot: "", suppressedResults: [], simple: false };
for (const r of sarifToMarkdown(options)(log)) console.log(r.body, r.shouldFail === undefined ? "" : r.shouldFail);`, module(t, "@security-alert/sarif-to-markdown")), file)
}
