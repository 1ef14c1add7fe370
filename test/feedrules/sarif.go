package feedrules

import (
	"bytes"
	"encoding/json"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
)

// SARIF checks a log of one run by the schema of SARIF 2.1.0 and by [SARIFRules], and returns the run.
func SARIF(t testing.TB, log []byte) *sarif.Run {
	t.Helper()
	run := SARIFRules(t, log)
	report, err := sarif.FromBytes(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range report.Runs { // the library writes these fields empty, which the schema forbids
		run.Language, run.Tool.Driver.Language, run.NewlineSequences = "en-US", "en-US", []string{"\n"}
	}
	if err := report.Validate(); err != nil {
		t.Fatalf("not valid: %.2000s", err)
	}
	return run
}

// SARIFRules checks a log of one run by the rules of GitHub's code scanning that are not in the schema, and returns the run. It is fast enough for a
// fuzz target; the check by the schema is not.
func SARIFRules(t testing.TB, log []byte) *sarif.Run {
	t.Helper()
	text(t, "the log", string(log))
	checkNoNull(t, log)
	var report sarif.Report
	d := json.NewDecoder(bytes.NewReader(log))
	d.DisallowUnknownFields() // by default the library ignores unknown fields
	if err := d.Decode(&report); err != nil {
		t.Fatalf("not SARIF: %v\n%.2000s", err, log)
	}
	if len(report.Runs) != 1 || report.Version != "2.1.0" || !strings.HasSuffix(report.Schema, "sarif-schema-2.1.0.json") {
		t.Fatalf("version %s, schema %s, %d runs", report.Version, report.Schema, len(report.Runs))
	}
	run := report.Runs[0]
	if d := run.Tool.Driver; d.FullName != nil && (d.Version == nil || d.InformationURI == nil || *d.FullName != *d.Name+" "+*d.Version) {
		t.Errorf("the full name of the tool is %s", *d.FullName)
	}
	rules(t, run.Tool.Driver.Rules)
	results(t, run)
	for _, i := range run.Invocations {
		ok := true
		for _, n := range i.ToolExecutionNotifications {
			message(t, "a notification", n.Message.Text)
			ok = ok && n.Level == "note"
			if kind := run.Tool.Driver.Notifications[n.Descriptor.Index]; *kind.ID != *n.Descriptor.ID {
				t.Errorf("the notification %s has the kind %s", *n.Message.Text, *kind.ID)
			}
		}
		if i.ExecutionSuccessful == nil || *i.ExecutionSuccessful != ok {
			t.Errorf("success %v with %d notifications", i.ExecutionSuccessful, len(i.ToolExecutionNotifications))
		}
	}
	if len(run.Invocations) != 1 || run.AutomationDetails == nil || !strings.HasSuffix(*run.AutomationDetails.ID, "/") {
		t.Errorf("%d invocations, automation %+v", len(run.Invocations), run.AutomationDetails)
	}
	return run
}

// checkNoNull checks that no value is null. The library treats null like a missing field.
func checkNoNull(t testing.TB, log []byte) {
	t.Helper()
	for d := json.NewDecoder(bytes.NewReader(log)); ; {
		token, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("not JSON: %v\n%.2000s", err, log)
		}
		if token == nil {
			t.Fatalf("null at byte %d", d.InputOffset())
		}
	}
}

func rules(t testing.TB, rules []*sarif.ReportingDescriptor) {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range rules {
		id := *r.ID
		if id == "" || len(id) > 255 || seen[id] {
			t.Errorf("rule id %q is empty, too long or occurs twice", id)
		}
		seen[id] = true
		if r.Name == nil || *r.Name == id || r.DefaultConfiguration == nil || !slices.Contains([]string{"error", "warning", "note"}, r.DefaultConfiguration.Level) {
			t.Fatalf("rule %s has no name or no level", id)
		}
		for what, m := range map[string]*sarif.MultiformatMessageString{"short": r.ShortDescription, "full": r.FullDescription, "help": r.Help} {
			if m == nil || (m.Markdown != nil) != (what != "short") {
				t.Fatalf("rule %s: no %s text, or a wrong one as Markdown", id, what)
			}
			message(t, "rule "+id, m.Text)
			if m.Markdown != nil {
				harmlessMarkdown(t, "rule "+id, *m.Markdown)
			}
		}
		if full := []rune(*r.FullDescription.Text); len(full) > 2*1024 {
			t.Errorf("rule %s: a description of %d characters", id, len(full))
		}
		if r.HelpURI != nil {
			webLink(t, "rule "+id, *r.HelpURI)
		}
		if score, given := r.Properties.Properties["security-severity"]; given {
			text, _ := score.(string)
			if n, err := strconv.ParseFloat(text, 64); err != nil || n < 0 || n > 10 {
				t.Errorf("rule %s: security-severity %v", id, score)
			}
		}
		if !slices.Contains(r.Properties.Tags, "security") {
			t.Errorf("rule %s has no tag security", id)
		}
	}
}

func results(t testing.TB, run *sarif.Run) {
	t.Helper()
	seen, places := map[string]bool{}, map[string]bool{}
	for i, r := range run.Results {
		what := "result " + strconv.Itoa(i)
		if r.RuleIndex < 0 || r.RuleIndex >= len(run.Tool.Driver.Rules) || *run.Tool.Driver.Rules[r.RuleIndex].ID != *r.RuleID {
			t.Fatalf("%s: rule %s is not the one at %d", what, *r.RuleID, r.RuleIndex)
		}
		message(t, what, r.Message.Text)
		if !slices.Contains([]string{"error", "warning", "note"}, r.Level) || len(r.Locations) != 1 {
			t.Fatalf("%s: level %s, %d locations", what, r.Level, len(r.Locations))
		}
		location := r.Locations[0]
		if location.PhysicalLocation == nil || location.PhysicalLocation.Region == nil || *location.PhysicalLocation.Region.StartLine != 1 || len(location.LogicalLocations) != 1 {
			t.Fatalf("%s has an incomplete location", what)
		}
		uri := *location.PhysicalLocation.ArtifactLocation.URI
		if u, err := url.Parse(uri); err != nil || u.Scheme != "" || u.Host != "" || strings.HasPrefix(uri, "/") || u.RawQuery != "" || u.Fragment != "" || slices.Contains(strings.Split(u.Path, "/"), "..") {
			t.Errorf("%s: %q is not a relative path", what, uri)
		}
		line := r.PartialFingerprints["primaryLocationLineHash"]
		if line == "" || seen[line] {
			t.Errorf("%s: the fingerprint %q is empty or occurs twice", what, line)
		}
		seen[line] = true
		if qualified := *location.LogicalLocations[0].FullyQualifiedName; *r.RuleID != "not-scanned" && places[*r.RuleID+"\n"+qualified] {
			t.Errorf("%s: another result of the rule is at %s", what, qualified)
		}
		places[*r.RuleID+"\n"+*location.LogicalLocations[0].FullyQualifiedName] = true
	}
}

// ownMarkup matches the Markdown that the service writes itself.
var ownMarkup = regexp.MustCompile(`(?m)^\*\*[A-Z][A-Za-z ]+:\*\* |^\[Advisory\]\(<https?://[^<>]*>\)$|^\| --- \| --- \| --- \|$`)

// escaped matches a character of Markdown without its meaning.
var escaped = regexp.MustCompile(`\\[!-/:-@\[-` + "`" + `{-~]`)

// harmlessMarkdown checks that a text contains no markup but the service's own: no link, picture, code, HTML or placeholder.
func harmlessMarkdown(t testing.TB, what, s string) {
	t.Helper()
	rest := escaped.ReplaceAllString(ownMarkup.ReplaceAllString(s, ""), "")
	if strings.ContainsAny(rest, "*_`[]<>&#{}!~@") || strings.Contains(rest, "://") || strings.Contains(rest, "www.") {
		t.Errorf("%s: %q contains markup", what, s)
	}
}

var placeholder = regexp.MustCompile(`\{[0-9]+\}`)

// message checks that a text contains neither a placeholder nor a link.
func message(t testing.TB, what string, s *string) {
	t.Helper()
	if s == nil || strings.TrimSpace(*s) == "" {
		t.Errorf("%s has an empty text", what)
		return
	}
	if placeholder.MatchString(*s) || strings.Contains(*s, "](") {
		t.Errorf("%s: %q contains a placeholder or a link", what, *s)
	}
}
