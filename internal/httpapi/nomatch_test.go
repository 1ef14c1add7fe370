package httpapi_test

import (
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

// An answer without findings says that its filter selects nothing. Otherwise it would look like an answer about clean images.
func TestFilterThatMatchesNothing(t *testing.T) {
	a, h := start(t)
	a.ECR.PutImage(ecr.RepositoryID{Name: "team/app"}, ecr.Image{Tags: []string{"1"}, ScannedAt: time.Now().Add(-time.Hour), Findings: []ecr.Finding{{Name: "CVE-1", Severity: "LOW"}}})
	id := add(t, h, "team/app")
	contains(t, h, map[string][]string{
		"/summary?tag=nix":                                {"Filtered by tag nix: nothing matches.\n\n\n"},
		"/summary?severity=HIGH":                          {"Filtered by severity HIGH and above: nothing matches.\n\n\n"},
		"/summary?severity=LOW":                           {"the rest is left out.\n\n\nResults for"},
		"/summary?tag=nix&format=json":                    {`"matchingImages": 0`, `"configs": []`},
		"/summary?severity=LOW&format=json":               {`"matchingImages": 1`},
		"/summary?format=json":                            {"!matchingImages"},
		"/summary?tag=nix&format=html":                    {"Nothing matches this filter", "!No findings", "!All images have a current result"},
		"/findings/" + id + "?severity=HIGH":              {". No finding of the 1 selected images matches the filter"},
		"/findings/" + id + "?tag=nix":                    {"NO IMAGES with such a tag"},
		"/findings/all?tag=nix":                           {". No image matches the filter"},
		"/findings/all?tag=nix&format=json":               {". No image matches the filter"},
		"/findings/all?tag=nix&format=sarif":              {`"executionSuccessful":false`, "no image matches the filter: tag nix"},
		"/findings/" + id + "?severity=HIGH&format=sarif": {`"executionSuccessful":true`, "no finding matches the filter"},
		"/findings/" + id + "?severity=HIGH&format=html":  {"Nothing matches this filter", "Completed scans with a complete list of findings: 1 of 1 image."},
		"/findings/all?tag=nix&format=html":               {"Nothing matches this filter", "No image is selected."},
		"/changes?tag=nix":                                {". No change matches the filter"},
		"/changes?tag=nix&format=html":                    {"Nothing matches this filter", "No image is selected.", "!No change in"},
		"/summary?repository=nosuch":                      {"Filtered by repository nosuch: nothing matches.\n\n\n"},
		"/findings/all?repository=nosuch":                 {". No config watches this repository", "!There is no config"},
		"/findings/all?repository=nosuch&format=html":     {"Nothing matches this filter", "No config watches this repository.", "!Nothing is watched yet"},
		"/findings/all?repository=nosuch&format=sarif":    {`"executionSuccessful":false`, "no image matches the filter: repository nosuch"},
		"/changes?repository=nosuch":                      {". No config watches this repository", "!There is no config"},
		"/changes?repository=nosuch&format=html":          {"Nothing matches this filter", "No config watches this repository.", "!Nothing is watched yet"},
		"/changes?repository=team/app&owner=nobody":       {". No config of this owner watches this repository"},
		"/findings/" + id + "?repository=nosuch":          {"NO IMAGES that match the filter"},
		"/changes?format=html":                            {"Nothing to compare yet", "!No change in"},
		"/findings/" + id:                                 {"CVE-1", "!matches"},
		"/findings/" + id + "/changes":                    {"!matches"},
	})
}

// A feed has a true date even if there is no config.
func TestFeedWithoutConfigs(t *testing.T) {
	a, h := start(t)
	for _, path := range []string{"/findings/all", "/changes"} {
		f := feed(t, h, path)
		if f.UpdatedParsed == nil || f.UpdatedParsed.Before(a.Now().Add(-time.Minute)) || f.UpdatedParsed.After(a.Now().Add(time.Minute)) || !strings.Contains(f.Subtitle, "There is no config") {
			t.Errorf("%s: updated %s, %q", path, f.Updated, f.Subtitle)
		}
	}
}
