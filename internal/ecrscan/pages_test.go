package ecrscan_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/ecrscan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// findingsOfPages returns the result that a client reads from an ECR that returns these pages one after the other, and the last
// of them again and again.
func findingsOfPages(t *testing.T, pages ...string) (scan.Result, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, pages[0])
		pages = pages[min(1, len(pages)-1):]
	}))
	defer server.Close()
	return ecrscan.New(awstest.Config(server.URL)).Findings(t.Context(), repo, "sha256:x")
}

// Whatever the second page repeats or omits, the result is read. If it belongs to another scan, neither a part nor a mixture is
// returned.
func TestSecondPage(t *testing.T) {
	page := func(status, counts string, at int, findings, token string) string {
		return fmt.Sprintf(`{"imageScanStatus":{"status":%q},"imageScanFindings":{"findingSeverityCounts":%s,"imageScanCompletedAt":%d,"findings":[%s]}%s}`, status, counts, at, findings, token)
	}
	first := page("COMPLETE", `{"HIGH":2}`, 1000, `{"name":"a","severity":"HIGH"}`, `,"nextToken":"2"`)
	rest := `{"name":"b","severity":"HIGH"}`
	for name, test := range map[string]struct {
		second string
		want   string // the state, the number of findings, and the number of those that ECR did not return; or the code of the error
	}{
		"repeats everything":       {page("COMPLETE", `{"HIGH":2}`, 1000, rest, ""), "completed 2 0"},
		"no status":                {`{"imageScanFindings":{"findings":[` + rest + `]}}`, "completed 2 0"},
		"no time":                  {`{"imageScanStatus":{"status":"COMPLETE"},"imageScanFindings":{"findingSeverityCounts":{"HIGH":2},"findings":[` + rest + `]}}`, "completed 2 0"},
		"no counts":                {`{"imageScanStatus":{"status":"COMPLETE"},"imageScanFindings":{"imageScanCompletedAt":1000,"findings":[` + rest + `]}}`, "completed 2 0"},
		"counts of its own":        {page("COMPLETE", `{"HIGH":1}`, 1000, rest, ""), "completed 2 0"},
		"no findings":              {`{"imageScanStatus":{"status":"COMPLETE"}}`, "completed 1 1"},
		"empty":                    {`{}`, "completed 1 1"},
		"a scan began":             {`{"imageScanStatus":{"status":"IN_PROGRESS"}}`, "in progress 0 0"},
		"a scan failed":            {`{"imageScanStatus":{"status":"FAILED"}}`, "unavailable"},
		"a scan completed":         {page("COMPLETE", `{"HIGH":2}`, 2000, rest, ""), "unavailable"},
		"the same token":           {page("COMPLETE", `{"HIGH":2}`, 1000, rest, `,"nextToken":"2"`), "incomplete 2 0"},
		"the same token, no entry": {page("COMPLETE", `{"HIGH":2}`, 1000, "", `,"nextToken":"2"`), "incomplete 1 1"},
	} {
		got, err := findingsOfPages(t, first, test.second)
		state := got.State
		if got.Incomplete {
			state = scan.Incomplete
		}
		is := fmt.Sprint(state, " ", len(got.Findings), " ", got.Unlisted)
		if err != nil {
			is = string(scan.CodeOf(err))
		}
		if is != test.want || got.State == scan.Completed && (got.Counts[scan.High] != 2 || got.CompletedAt.Unix() != 1000) {
			t.Errorf("%s: %s, want %s: %+v, %v", name, is, test.want, got, err)
		}
	}
}

// A tag that moves to an image of a later page while the pages are read is listed once.
func TestTagThatMovesBetweenTwoPages(t *testing.T) {
	first := `{"imageDetails":[{"imageDigest":"sha256:a","imageTags":["v1","v2"]}],"nextToken":"2"}`
	pages := []string{
		first, first, // with and without untagged images
		`{"imageDetails":[{"imageDigest":"sha256:b","imageTags":["v1","v3"]}]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, pages[0])
		pages = pages[1:]
	}))
	defer server.Close()
	images, err := imagesOf(ecrscan.New(awstest.Config(server.URL)).Images(t.Context(), repo, scan.Wanted{}))
	var got []string
	for _, i := range images {
		got = append(got, i.Tag+" "+i.Digest)
	}
	if diff := cmp.Diff([]string{"v2 sha256:a", "v1 sha256:b", "v3 sha256:b"}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// A completed enhanced scan without findings is not taken for a basic one.
func TestEmptyListOfEachKindOfScanning(t *testing.T) {
	for list, enhanced := range map[string]bool{
		`"enhancedFindings":[]`: true, `"findings":[]`: false, `"findings":[],"enhancedFindings":[]`: false, `"findings":[],"enhancedFindings":[{}]`: true,
	} {
		got, err := findingsOfPages(t, `{"imageScanStatus":{"status":"COMPLETE"},"imageScanFindings":{"findingSeverityCounts":{},"imageScanCompletedAt":1000,`+list+`}}`)
		if err != nil || got.State != scan.Completed || got.Enhanced != enhanced {
			t.Errorf("%s: %+v, %v", list, got, err)
		}
	}
}

// Without a list of findings, it is not known which kind of scanning an answer is from. If ECR counts findings, the answer is not
// complete.
func TestNoListOfFindings(t *testing.T) {
	for counts, missing := range map[string]int{`{}`: 0, `{"HIGH":2}`: 2} {
		got, err := findingsOfPages(t, `{"imageScanStatus":{"status":"COMPLETE"},"imageScanFindings":{"findingSeverityCounts":`+counts+`,"imageScanCompletedAt":1000}}`)
		if err != nil || got.State != scan.Completed || !got.KindUnknown || got.Incomplete != (missing > 0) || got.Unlisted != missing {
			t.Errorf("%s: %+v, %v", counts, got, err)
		}
	}
	for _, list := range []string{`"findings":[]`, `"enhancedFindings":[]`} {
		got, err := findingsOfPages(t, `{"imageScanStatus":{"status":"COMPLETE"},"imageScanFindings":{"findingSeverityCounts":{},"imageScanCompletedAt":1000,`+list+`}}`)
		if err != nil || got.KindUnknown {
			t.Errorf("%s: %+v, %v", list, got, err)
		}
	}
}

// Pages without end are not read for ever.
func TestPagesWithoutEnd(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		fmt.Fprintf(w, `{"imageScanStatus":{"status":"COMPLETE"},"imageScanFindings":{"findingSeverityCounts":{},"imageScanCompletedAt":1000,"findings":[]},"nextToken":"%d"}`, requests)
	}))
	defer server.Close()
	got, err := ecrscan.New(awstest.Config(server.URL)).Findings(t.Context(), repo, "sha256:x")
	if err != nil || !got.Incomplete || requests != 100 {
		t.Errorf("%d requests: %+v, %v", requests, got, err)
	}
}

// Findings without counts or without the time of the scan are a result. Without findings, such an answer is not clean.
func TestFindingsWithoutCountsOrTime(t *testing.T) {
	inspector := func(updated, observed int) string {
		return fmt.Sprintf(`{"severity":"HIGH","updatedAt":%d,"lastObservedAt":%d,"packageVulnerabilityDetails":{"vulnerabilityId":"CVE-%d"}}`, updated, observed, updated)
	}
	for name, test := range map[string]struct {
		found     string
		completed int64 // 0: not ready
		high      int
	}{
		"no counts, basic":         {`"imageScanCompletedAt":1000,"findings":[{"name":"a","severity":"HIGH"}]`, 1000, 1},
		"counts {}, basic":         {`"imageScanCompletedAt":1000,"findingSeverityCounts":{},"findings":[{"name":"a","severity":"HIGH"}]`, 1000, 1},
		"no time, enhanced":        {`"findingSeverityCounts":{"HIGH":2},"enhancedFindings":[` + inspector(3000, 2000) + `,` + inspector(1000, 4000) + `]`, 4000, 2},
		"neither, enhanced":        {`"enhancedFindings":[` + inspector(3000, 2000) + `]`, 3000, 1},
		"no time, basic":           {`"findingSeverityCounts":{"HIGH":1},"findings":[{"name":"a","severity":"HIGH"}]`, 0, 0},
		"neither, basic":           {`"findings":[{"name":"a","severity":"HIGH"}]`, 0, 0},
		"no time, an empty list":   {`"findingSeverityCounts":{},"enhancedFindings":[]`, 0, 0},
		"no counts, an empty list": {`"imageScanCompletedAt":1000,"findings":[]`, 0, 0},
		"nothing":                  {``, 0, 0},
	} {
		got, err := findingsOfPages(t, `{"imageScanStatus":{"status":"ACTIVE"},"imageScanFindings":{`+test.found+`}}`)
		want := scan.Completed
		if test.completed == 0 {
			want = scan.NotScanned
		}
		if err != nil || got.State != want || got.Counts[scan.High] != test.high || test.completed > 0 && got.CompletedAt.Unix() != test.completed {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// Of the list and the counts the worse holds, and the difference is known.
func TestFewerFindingsThanCounted(t *testing.T) {
	low := []ecr.Finding{{Name: "CVE-2021-43396", Severity: "LOW"}}
	counts := map[string]int{"CRITICAL": 6, "HIGH": 12, "MEDIUM": 18, "UNDEFINED": 1, "LOW": 3}
	asCounted := scan.Counts{scan.Critical: 6, scan.High: 12, scan.Medium: 18, scan.Undefined: 1, scan.Low: 3}
	for name, test := range map[string]struct {
		image ecr.Image
		want  scan.Result
	}{
		"cut":                       {ecr.Image{Findings: low, Counts: counts, Cut: true}, scan.Result{Counts: asCounted, Unlisted: 39, Incomplete: true}},
		"cut, nothing known":        {ecr.Image{Counts: map[string]int{}, Cut: true}, scan.Result{Counts: scan.Counts{}, Incomplete: true}},
		"read to its end":           {ecr.Image{Findings: low, Counts: counts}, scan.Result{Counts: asCounted, Unlisted: 39}},
		"more findings than counts": {ecr.Image{Findings: low, Counts: map[string]int{}}, scan.Result{Counts: scan.Counts{scan.Low: 1}}},
		"another severity":          {ecr.Image{Findings: low, Counts: map[string]int{"HIGH": 1}}, scan.Result{Counts: scan.Counts{scan.High: 1, scan.Low: 1}, Unlisted: 1}},
	} {
		e, c := start(t)
		test.image.ScannedAt, test.want.State, test.want.CompletedAt = old, scan.Completed, old
		got, err := c.Findings(t.Context(), repo, e.PutImage(id, test.image))
		if len(got.Findings) != len(test.image.Findings) {
			t.Errorf("%s: findings %v", name, got.Findings)
		}
		got.Findings = nil
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// FuzzSecondPage reads pages with any content. It never returns a clean result for an answer that is not complete.
func FuzzSecondPage(f *testing.F) {
	f.Add(`{"imageScanStatus":{"status":"COMPLETE"},"imageScanFindings":{"findingSeverityCounts":{"HIGH":2},"findings":[{"name":"b"}]}}`)
	f.Add(`{"imageScanFindings":{"enhancedFindings":[{"updatedAt":1,"severity":"X","packageVulnerabilityDetails":{}}]},"nextToken":"2"}`)
	f.Add(`{"nextToken":"3"}`)
	first := `{"imageScanStatus":{"status":"COMPLETE"},"imageScanFindings":{"findingSeverityCounts":{"HIGH":1},"imageScanCompletedAt":1000,"findings":[]},"nextToken":"2"}`
	f.Fuzz(func(t *testing.T, second string) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if strings.Contains(string(body), "nextToken") {
				_, _ = io.WriteString(w, second)
				return
			}
			_, _ = io.WriteString(w, first)
		}))
		defer server.Close()
		got, err := ecrscan.New(awstest.Config(server.URL)).Findings(t.Context(), repo, "sha256:x")
		if err != nil || got.State != scan.Completed {
			return
		}
		sum := 0
		for _, n := range got.Counts {
			sum += n
		}
		if got.Counts[scan.High] == 0 || sum != len(got.Findings)+got.Unlisted || !got.CompletedAt.Equal(time.Unix(1000, 0)) {
			t.Errorf("%+v", got)
		}
	})
}
