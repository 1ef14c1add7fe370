//go:build feedreaders

package feedreaders

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/test/feedrules"
)

// schema is the RelaxNG schema of RFC 4287, appendix B. It is not part of the project.
const schema = "../../../shared/atom.rng"

// Every variant of the Atom feeds is valid according to the schema of the RFC.
func TestSchema(t *testing.T) {
	if _, err := os.Stat(schema); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("the schema is missing: ", err)
	}
	s := start(t)
	s.hostile()
	for path := range s.feeds() { // reads the feeds before the change
		get(t, s.url+path).Body.Close()
	}
	s.addVulnerability("test/ubuntu", "latest", "CVE-2026-99999 <b>&")
	s.rescan()
	ubuntu, hard, gone := "/findings/"+s.ids["test/ubuntu"], "/findings/"+s.ids["team/hard"], "/findings/"+s.ids["test/gone"]
	home, args := t.TempDir(), []string{}
	for i, path := range []string{
		ubuntu, ubuntu + "?by=vulnerability", ubuntu + "?severity=HIGH&tag=a&tag=b&package=x&cve=CVE-1&fixable=true", ubuntu + "?key=a%26b%3C", "/findings/all",
		"/findings/all?by=vulnerability&severity=LOW", hard, hard + "?page=2", hard + "?by=vulnerability&page=3", gone,
		ubuntu + "/changes", "/changes", gone + "/changes",
	} {
		body, err := io.ReadAll(get(t, s.url+path).Body)
		if err != nil {
			t.Fatal(err)
		}
		entries := feedrules.Atom(t, body).Entries
		// A repository that never existed has no changes.
		if hasChanges := len(entries) > 0; strings.HasSuffix(path, "changes") && hasChanges == strings.HasPrefix(path, gone) {
			t.Errorf("%s has %d changes", path, len(entries))
		}
		args = append(args, write(t, home, fmt.Sprintf("%d.xml", i), string(body)))
	}
	grammar, err := os.ReadFile(schema)
	if err != nil {
		t.Fatal(err)
	}
	run(t, home, "jing", append([]string{write(t, home, "atom.rng", string(grammar))}, args...)...)
	run(t, home, "xmllint", append([]string{"--noout"}, args...)...)
}

// hostile adds a repository with hostile texts and three pages of findings, and a config of a repository that does
// not exist.
func (s *service) hostile() {
	s.t.Helper()
	var findings []ecr.Finding
	for i := range 2*report.PageSize + 1 {
		findings = append(findings, ecr.Finding{
			Name: fmt.Sprintf("CVE-%d <b>]]>\x1b[31m\u202e\ufffe", i), Severity: "<i>", URI: "https://example.org/?a=1&b=<2>",
			Description: "</content><script>alert(1)</script>\x00\n\n🙂 &#0; \u2028" + strings.Repeat("x", 10_000),
			Attributes:  []ecr.Attribute{{Key: "package_name", Value: "a & b\t\n"}, {Key: "CVSS3_VECTOR", Value: "\xff\xfe"}},
		})
	}
	s.aws.ECR.PutImage(ecr.RepositoryID{Name: "team/hard"}, ecr.Image{Tags: []string{"v1"}, ScannedAt: time.Now().Add(-time.Hour), Findings: findings})
	for _, repository := range []string{"team/hard", "test/gone"} {
		s.ids[repository] = s.AddConfig(s.t, repository).ID
	}
}
