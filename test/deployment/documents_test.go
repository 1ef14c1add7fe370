//go:build deployment

package deployment

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"ecr-continuous-scan/test/documents"
)

// TestCommandsOfTheDocuments runs the commands that the documents have for AWS, and the walkthrough of the README with
// the deployed API. Package documents has the table of all commands.
func TestCommandsOfTheDocuments(t *testing.T) {
	t.Parallel()
	s := startStandIn(t)
	s.seed()
	s.setenv("AWS_REGION", region)
	key := "the-key-of-a-user-who" + "-has-one"
	s.setenv("ECR_SCAN_API_KEY", key)
	s.setenv("ECR_SCAN_READ_KEY", "the-read-key-of-a-user-who"+"-has-one")
	shell := &documents.Shell{Dir: s.project, Env: s.env, Replace: strings.NewReplacer("NAME", "test/ubuntu")}
	shell.UseStrictCurl(t)
	s.env = shell.Env
	d := documentRun{standIn: s, key: key, script: documents.NewScript(t), shell: shell}

	d.take("docs/deploy.md", "variables")
	d.take("README.md", "deploy")
	s.useAPI(key) // the documents use the same URL with https

	walkthrough := d.script.Take("README.md", "the-walkthrough")
	end := documents.FirstDelete(walkthrough)
	d.check(walkthrough[:end])
	d.take("docs/api.md", "")
	d.take("docs/formats.md", "")
	d.take("docs/feeds.md", "")
	d.take("docs/suppressions.md", "")
	d.take("docs/operations.md", "")
	d.check(d.script.Examples(t))
	d.check(walkthrough[end:])
	if out := s.shell("curl -s $ECRSCANAPI_URL/configs"); out != "[]\n" {
		t.Errorf("after the walkthrough, the configs are %s", out)
	}

	d.take("docs/deploy.md", "")
	want(t, s.shell("make status"), "Schedule=rate(1 hour)", "LogRetentionDays=90")
}

// documentRun runs commands of documents in the environment of a stand-in.
type documentRun struct {
	*standIn
	key    string
	script *documents.Script
	shell  *documents.Shell
}

func (d *documentRun) take(document, section string) {
	d.t.Helper()
	d.check(d.script.Take(document, section))
}

func (d *documentRun) check(commands []documents.Command) {
	d.t.Helper()
	for _, c := range commands {
		if c.Rule.Retry {
			d.awaitVisits() // of new configs, which start the scans
			d.scanNow()     // records the results
		}
		d.shell.Env = d.env
		result := d.shell.Check(d.t, c)
		d.env = d.shell.Env
		if hash := sha256.Sum256([]byte(d.key)); strings.Contains(c.Text, "openssl") && !strings.HasPrefix(result.Stdout, hex.EncodeToString(hash[:])+" ") {
			d.t.Errorf("%s prints %s", c, result.Stdout)
		}
	}
}
