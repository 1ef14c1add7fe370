package scan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func TestCountsOrdered(t *testing.T) {
	got := Counts{Untriaged: 1, Undefined: 2, "ODD": 9, Informational: 3, Low: 4, Medium: 5, High: 0, Critical: 7}.Ordered()
	want := []SeverityCount{{Critical, 7}, {Medium, 5}, {Low, 4}, {Informational, 3}, {Undefined, 2}, {Untriaged, 1}, {"ODD", 9}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseSeverity(t *testing.T) {
	for in, want := range map[string]Severity{"high": High, " LOW ": Low, "": Undefined, "weird": "WEIRD", strings.Repeat("é", 40): Severity(strings.Repeat("É", 32))} {
		if got := ParseSeverity(in); got != want {
			t.Errorf("ParseSeverity(%q) = %q", in, got)
		}
	}
}

func TestMergeFindings(t *testing.T) {
	early, late := time.Unix(1000, 0), time.Unix(2000, 0)
	got := MergeFindings([]Finding{
		{Name: "CVE-2", Package: "a", Severity: Low},
		{Name: "CVE-1", Package: "ssl", Severity: Medium, Versions: []string{"2"}, FirstSeen: late, Changed: early, Description: "milder"},
		{Name: "CVE-1", Package: "crypto", Severity: Medium},
		{Name: "CVE-1", Package: "ssl", Severity: High, Versions: []string{"1"}, FixedIn: []string{"3"}, FirstSeen: early, Changed: late, Description: "worse"},
		{Name: "CVE-1", Package: "ssl", Severity: Low, Versions: []string{"1"}},
	})
	want := []Finding{
		{Name: "CVE-1", Package: "ssl", Severity: High, Versions: []string{"1", "2"}, FixedIn: []string{"3"}, FirstSeen: early, Changed: late, Description: "worse"},
		{Name: "CVE-1", Package: "crypto", Severity: Medium},
		{Name: "CVE-2", Package: "a", Severity: Low},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The test compares fixed values, because feed readers show every finding as new when the ids change.
func TestFindingID(t *testing.T) {
	image := Image{Repository: Repository{"123456789012", "us-west-2", "test/ubuntu"}, Tag: "16.04", Digest: "sha256:1"}
	f := Finding{Name: "CVE-2016-1585", Package: "apparmor", Severity: Medium}
	id := FindingID(image, f)
	if want := "3d253546-f490-575e-834b-0f6b7071c0b1"; id.String() != want {
		t.Errorf("id %s, want %s", id, want)
	}
	same := f
	same.Severity, same.Description, same.Versions, same.URL, same.Score = Low, "new text", []string{"2"}, "http://x", "9.9"
	repushed := image
	repushed.Digest = "sha256:2"
	if FindingID(repushed, same) != id {
		t.Error("the id changes with the severity, text, version, URL, score or digest")
	}
	ids := map[string]string{id.String(): "the first finding"}
	for what, other := range map[string]struct {
		image Image
		f     Finding
	}{
		"registry":              {Image{Repository: Repository{"210987654321", "us-west-2", "test/ubuntu"}, Tag: "16.04"}, f},
		"region":                {Image{Repository: Repository{"123456789012", "us-east-1", "test/ubuntu"}, Tag: "16.04"}, f},
		"repository":            {Image{Repository: Repository{"123456789012", "us-west-2", "test/debian"}, Tag: "16.04"}, f},
		"tag":                   {Image{Repository: image.Repository, Tag: "latest"}, f},
		"platform":              {Image{Repository: image.Repository, Tag: "16.04", Platform: "linux/arm64"}, f},
		"name":                  {image, Finding{Name: "CVE-2016-1586", Package: "apparmor"}},
		"package":               {image, Finding{Name: "CVE-2016-1585", Package: "libapparmor"}},
		"episode":               {image, Finding{Name: "CVE-2016-1585", Package: "apparmor", Episode: 1}},
		"a package in the name": {image, Finding{Name: `CVE-2016-1585" "apparmor`}},
	} {
		got := FindingID(other.image, other.f).String()
		if ids[got] != "" {
			t.Errorf("with another %s the id is the same as that of %s", what, ids[got])
		}
		ids[got] = what
	}
}

// Of merged findings the worse holds, as the gate judges them: a finding without a rating by its score, and an unknown severity
// above all. The order of the findings does not matter.
// Stored and published ids depend on the format of the name.
func TestNameID(t *testing.T) {
	for _, parts := range [][]string{nil, {""}, {"a"}, {"a", "b"}, {`a" "b`}, {"é\n\x00\xff\u2028🙂", `\`}} {
		if got, want := NameID(parts...), uuid.NewSHA1(namespace, fmt.Appendf(nil, "%q", parts)); got != want {
			t.Errorf("%q: %s, want %s", parts, got, want)
		}
	}
}

func TestMergedFindingsHaveTheWorseSeverity(t *testing.T) {
	for name, test := range map[string]struct {
		findings []Finding
		want     Severity
		score    string
	}{
		"no rating, critical by score":      {[]Finding{{Severity: Undefined, Score: "9.8"}, {Severity: Low, Score: "3.1"}}, Critical, "9.8"},
		"not triaged, high by score":        {[]Finding{{Severity: Untriaged, Score: "7.5"}, {Severity: Medium}}, High, "7.5"},
		"no rating, milder by score":        {[]Finding{{Severity: Undefined, Score: "3.1"}, {Severity: High, Score: "7.5"}}, High, "7.5"},
		"no rating, no score":               {[]Finding{{Severity: Undefined}, {Severity: Low, Score: "9.8"}}, Low, "9.8"},
		"no rating, score 0":                {[]Finding{{Severity: Undefined, Score: "0.0"}, {Severity: Informational}}, Informational, "0.0"},
		"no ratings":                        {[]Finding{{Severity: Untriaged, Score: "9.8"}, {Severity: Undefined, Score: "5.0"}}, Undefined, "9.8"},
		"no ratings and a rating":           {[]Finding{{Severity: Untriaged, Score: "9.8"}, {Severity: Undefined}, {Severity: Low}}, Critical, "9.8"},
		"a low one with a high score":       {[]Finding{{Severity: Undefined, Score: "5.0"}, {Severity: Low, Score: "9.8"}, {Severity: Medium}}, Medium, "9.8"},
		"an unknown severity and a low one": {[]Finding{{Severity: "WEIRD"}, {Severity: Low}, {Severity: Critical}}, "WEIRD", ""},
		"two unknown severities":            {[]Finding{{Severity: "WEIRD"}, {Severity: "ODD"}, {Severity: Undefined, Score: "9.8"}}, "ODD", "9.8"},
	} {
		for range 6 {
			got := MergeFindings(test.findings)
			if len(got) != 1 || got[0].Severity != test.want || got[0].Score != test.score {
				t.Errorf("%s: %+v of %+v, want %s %s", name, got, test.findings, test.want, test.score)
			}
			last := len(test.findings) - 1
			test.findings = append([]Finding{test.findings[last]}, test.findings[:last]...)
			if last > 1 {
				test.findings[0], test.findings[1] = test.findings[1], test.findings[0]
			}
		}
	}
}
