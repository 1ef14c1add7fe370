package sarif

import (
	"testing"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/rendertest"
)

func TestSecuritySeverity(t *testing.T) {
	for _, test := range []struct {
		severity scan.Severity
		score    string
		want     string
	}{
		{scan.Medium, "9.8", "9.8"}, {scan.Medium, "", "5.5"}, {scan.Critical, "NaN", "9.5"}, {scan.High, "11", "8.0"}, {scan.Low, "-1", "2.0"},
		{scan.Informational, "", ""}, {scan.Untriaged, "0", "0.0"}, {"BRAND NEW", "", ""},
	} {
		d := render.NewFindingData(rendertest.Sample(), rendertest.Found("x", scan.Finding{Severity: test.severity, Score: test.score}), 100)
		if got := securitySeverity(d); got != test.want {
			t.Errorf("%s with score %q: %q, want %q", test.severity, test.score, got, test.want)
		}
	}
}
