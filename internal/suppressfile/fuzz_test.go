package suppressfile_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/openvex/go-vex/pkg/vex"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
	"ecr-continuous-scan/internal/suppressfile"
)

// checkFile checks what is true of each file: all suppressions are valid and name one vulnerability, or the file is refused.
func checkFile(t *testing.T, file suppressfile.File, err error) {
	t.Helper()
	if err != nil {
		e, isInvalid := errors.AsType[*scan.Error](err)
		if len(file.Drafts) > 0 || !errors.Is(err, suppress.ErrFull) && (!isInvalid || e.Code != scan.Invalid || len(e.Fields) == 0) {
			t.Errorf("%d suppressions, %v", len(file.Drafts), err)
		}
		return
	}
	for _, d := range file.Drafts {
		if err := d.Validate(now); err != nil || d.Vulnerability == "" || strings.Contains(d.Vulnerability, "*") || d.ID != "" {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

func FuzzTrivyIgnore(f *testing.F) {
	f.Add([]byte("vulnerabilities:\n- id: CVE-1\n  paths: ['**/a/**']\n  purls: ['pkg:npm/%40a/b@1?c=d#e']\n  expired_at: 2030-01-01\n  statement: a\n"), "reason")
	f.Add([]byte("a: &a [x]\nvulnerabilities: [{id: CVE-1, <<: *a}]\nsecrets: *a\n"), "")
	f.Fuzz(func(t *testing.T, body []byte, reason string) {
		if suppress.ValidReason(reason) {
			file, err := suppressfile.TrivyIgnore(body, reason, now)
			checkFile(t, file, err)
		}
	})
}

// A document that go-vex finds valid is not refused because of its statuses and justifications. go-vex does not look at products. vex.Parse also
// accepts names in other case, such as stAtus, so another parser fills its types.
func FuzzOpenVEX(f *testing.F) {
	f.Add(document(statement("not_affected", "pkg:oci/app?tag=1", `,"justification":"component_not_present"`), statement("affected", "pkg:oci/app@sha256:a", `,"action_statement":"a"`)))
	f.Add(document(`{"vulnerability":{"name":"GO-1","aliases":["CVE-1"]},"status":"fixed","products":[{"identifiers":{"purl":"pkg:oci/a"},"subcomponents":[{"@id":"pkg:pypi/a-b@1"}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		file, err := suppressfile.OpenVEX(body, "", now)
		checkFile(t, file, err)
		e, isRefused := errors.AsType[*scan.Error](err)
		var d vex.VEX
		parseErr := json.Unmarshal(body, &d)
		if !isRefused || parseErr != nil || slices.ContainsFunc(d.Statements, func(s vex.Statement) bool { return s.Validate() != nil }) {
			return
		}
		for _, wrong := range e.Fields {
			if strings.HasSuffix(wrong.Pointer, "/status") || strings.HasSuffix(wrong.Pointer, "/justification") {
				t.Errorf("%s %s", wrong.Pointer, wrong.Detail)
			}
		}
	})
}
