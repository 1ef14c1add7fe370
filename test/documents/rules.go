package documents

import (
	"slices"
	"strings"
	"testing"
)

// What runs a command. local, deployed and goOnly are the names of test functions.
const (
	local    = "TestCommandsOnOneMachine"   // in this package, with the tag deployment: against `make run`
	deployed = "TestCommandsOfTheDocuments" // in test/deployment, with the tag deployment: against the stand-in of AWS
	goOnly   = "TestCommandsThatNeedOnlyGo" // in this package, without tags
	byCI     = "a step of .ci/run"          // .ci/run has the same line
	demo     = "TestCommandsOfTheDemo"      // in this package, with the tag deployment: against the demo of `make run`
	noTest   = "none, for a Reason"         // the exceptions
)

// Rule says what runs the commands that it matches. The first rule that matches a command is used.
type Rule struct {
	Document, Section string // an empty Section means the whole document
	Start             string // how the commands start
	Tests             []string
	Reason            string
	// Exit is the exit status.
	Exit int
	// Retry says that the result depends on scans and visits that are still running. The test repeats the command for some time.
	Retry bool
	// Input is the name of a file that the command reads. The block above the command is its content.
	Input string
}

var both = []string{local, deployed}

// Rules is the table of all commands of the documents.
var Rules = []Rule{
	{Document: "README.md", Start: "make run ARGS=\"-aws\"", Tests: []string{noTest}, Reason: "needs an AWS account"},
	{Document: "README.md", Start: "make run", Tests: []string{goOnly, local}},
	{Document: "README.md", Start: "make test", Tests: []string{byCI}},
	{Document: "README.md", Section: "the-walkthrough", Start: "export ECRSCANAPI_URL=http://localhost", Tests: []string{local}},
	{Document: "README.md", Section: "the-walkthrough", Start: "curl -s $ECRSCANAPI_URL/summary", Tests: both, Retry: true},
	{Document: "README.md", Section: "the-walkthrough", Start: "curl --fail-with-body -sS \"$ECRSCANAPI_URL/gate/", Tests: both, Retry: true},
	{Document: "README.md", Section: "the-walkthrough", Tests: both},
	{Document: "README.md", Section: "deploy", Tests: []string{deployed}},

	{Document: "CONTRIBUTING.md", Section: "golden-files", Tests: []string{goOnly}},
	{Document: "CONTRIBUTING.md", Section: "fuzzing", Tests: []string{local}},

	{Document: "docs/api.md", Section: "the-gate", Tests: both, Exit: 22, Retry: true}, // the gate fails with max=LOW
	{Document: "docs/api.md", Start: "![", Tests: []string{noTest}, Reason: "Markdown for a README, not a command"},
	{Document: "docs/api.md", Tests: both},
	{Document: "docs/feeds.md", Start: "make url", Tests: []string{deployed}},
	{Document: "docs/feeds.md", Tests: both},
	{Document: "docs/formats.md", Start: "curl ", Tests: both},
	{Document: "docs/formats.md", Tests: []string{noTest}, Reason: "needs a pipeline, or the logs of two days"},

	{Document: "docs/suppressions.md", Section: "files", Start: "curl -s --header \"Content-Type: text/plain\"", Tests: both, Input: ".trivyignore"},
	{Document: "docs/suppressions.md", Section: "files", Start: "curl -s --header \"Content-Type: application/yaml\"", Tests: both, Input: ".trivyignore.yaml"},
	{Document: "docs/suppressions.md", Section: "files", Tests: both, Input: "openvex.json"},
	{Document: "docs/suppressions.md", Tests: both},

	{Document: "docs/operations.md", Section: "alarms", Tests: both},
	{Document: "docs/operations.md", Section: "how-fast", Tests: []string{noTest}, Reason: "takes minutes; the test of test/bench measures small jobs"},

	{Document: "docs/costs.md", Start: "go test ./test/costs -run TestTimes", Tests: []string{noTest}, Reason: "takes a minute, and its figures depend on the machine"},
	{Document: "docs/costs.md", Tests: []string{noTest}, Reason: "writes the document; the test of test/costs runs without -update"},

	// The gate, the changes and the badge follow what happens in the demo.
	{Document: "docs/demo.md", Section: "the-second-minute", Start: "curl --fail-with-body -sS \"$ECRSCANAPI_URL/gate/", Tests: []string{demo}, Exit: 22, Retry: true},
	{Document: "docs/demo.md", Tests: []string{demo}, Retry: true},

	{Document: "docs/deploy.md", Section: "with-repository-policies", Tests: []string{deployed}, Input: "policy.json"},
	{Document: "docs/deploy.md", Section: "run-it-locally", Tests: []string{local}},
	{Document: "docs/deploy.md", Tests: []string{deployed}},
}

// Example is a shown answer without its command above it.
type Example struct {
	Document, Section string
	Test              string
	Exit              int
	Command           string // prints such an answer
}

// Examples is the table of the shown answers that are not below their command.
var Examples = []Example{
	{"docs/api.md", "fields-of-the-summary", local, 0, `curl -s "$ECRSCANAPI_URL/summary?format=json" | jq '.configs[] | select(.repository == "test/centos").images[0]'`},
	{"docs/api.md", "errors", local, 22, `curl -s --json '{"region":"us-west-2","registry":"1","repository":"test/ubuntu"}' $ECRSCANAPI_URL/configs`},
	{"docs/operations.md", "schedule-and-visits", deployed, 0, "make -s scan-now"},
}

// RuleOf returns the first rule for a command.
func RuleOf(c Command) (Rule, bool) {
	i := slices.IndexFunc(Rules, func(r Rule) bool { return r.matches(c) })
	if i < 0 {
		return Rule{}, false
	}
	return Rules[i], true
}

func (r Rule) matches(c Command) bool {
	return r.Document == c.Document && (r.Section == "" || r.Section == c.Section) && strings.HasPrefix(c.Text, r.Start)
}

// Script has the commands that the rules give to the running test.
type Script struct {
	commands []Command
	taken    map[string]bool
	examples []Block
}

// NewScript reads the documents. The test fails at its end if it did not take all of its commands.
func NewScript(t *testing.T) *Script {
	t.Helper()
	documents, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	s := &Script{taken: map[string]bool{}}
	all, examples := Commands(documents)
	s.examples = examples
	for _, c := range all {
		c.Rule, _ = RuleOf(c)
		if slices.Contains(c.Rule.Tests, t.Name()) {
			s.commands = append(s.commands, c)
		}
	}
	t.Cleanup(func() {
		for _, c := range s.commands {
			if !t.Failed() && !s.taken[c.String()] {
				t.Errorf("the test did not run %s", c)
			}
		}
	})
	return s
}

// Take returns the commands of a section in order. If the section is empty, it returns the commands of the document that
// were not taken yet.
func (s *Script) Take(document, section string) []Command {
	var found []Command
	for _, c := range s.commands {
		if c.Document == document && (c.Section == section || section == "" && !s.taken[c.String()]) {
			found = append(found, c)
		}
	}
	for _, c := range found {
		s.taken[c.String()] = true
	}
	return found
}

// FirstDelete returns the index of the first command that deletes a config.
func FirstDelete(commands []Command) int {
	return slices.IndexFunc(commands, func(c Command) bool { return strings.Contains(c.Text, "--request DELETE") })
}

// Examples returns a command for each shown answer that the table gives to the running test. Shown is the answer.
func (s *Script) Examples(t *testing.T) []Command {
	t.Helper()
	var found []Command
	for _, e := range Examples {
		i := slices.IndexFunc(s.examples, func(b Block) bool { return b.Document == e.Document && b.Section == e.Section })
		if e.Test == t.Name() && i >= 0 {
			found = append(found, Command{Document: e.Document, Section: e.Section, Line: s.examples[i].Line, Text: e.Command, Shown: &s.examples[i], Rule: Rule{Exit: e.Exit}})
		}
	}
	return found
}
