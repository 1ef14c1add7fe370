package httpapi

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/render/feed"
	"ecr-continuous-scan/internal/render/page"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/openapi"
)

// The test fails if a filter is implemented only in part. Each filter in the table must be parsed, be kept in links, exclude something,
// change the id of a feed, be in the form and the text of pages, and be in openapi.yaml. The sample values are those of openapi.yaml.
func TestEachFilter(t *testing.T) {
	summary, findings := names(scan.SummaryFilters()), names(scan.FindingsFilters())
	rows := slices.Sorted(slices.Values(names(scan.Filters())))
	if fields := reflect.TypeFor[scan.Filter]().NumField(); len(slices.Compact(rows)) != fields {
		t.Errorf("scan.Filter has %d fields, the table has the filters %v", fields, rows)
	}
	for _, row := range scan.Filters() {
		t.Run(row.Name, func(t *testing.T) {
			parameter := documented(t, row.Name)
			sample := sampleOf(t, parameter)
			given := url.Values{row.Name: {sample}}
			f, err := scan.ParseFilter(given)
			if err != nil || f.IsZero() {
				t.Fatalf("%v is parsed as %+v, %v", given, f, err)
			}
			if !slices.Contains(summary, row.Name) && !slices.Contains(findings, row.Name) {
				t.Error("no call has the parameter")
			}
			checkCalls(t, row.Name, sample)
			checkSchema(t, row, parameter.Schema.Value)
			if row.Name != "suppressed" { // a finding does not know whether it is suppressed
				checkNarrows(t, f)
			}
			if slices.Contains(summary, row.Name) {
				checkSummary(t, row, f, sample)
			}
			if slices.Contains(findings, row.Name) {
				checkListing(t, row, f, sample)
			}
		})
	}
}

func names(rows []scan.FilterRow) []string {
	var names []string
	for _, row := range rows {
		names = append(names, row.Name)
	}
	return names
}

func documented(t *testing.T, name string) *openapi3.Parameter {
	t.Helper()
	d, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	for key, p := range d.Components.Parameters {
		if p.Value.Name == name && !strings.HasPrefix(key, "Gate") {
			return p.Value
		}
	}
	t.Fatalf("openapi.yaml has no parameter %s", name)
	return nil
}

// sampleOf returns the example of a parameter, or its only value.
func sampleOf(t *testing.T, p *openapi3.Parameter) string {
	t.Helper()
	switch example := p.Example.(type) {
	case string:
		return example
	case []any:
		return fmt.Sprint(example[0])
	}
	if len(p.Schema.Value.Enum) != 1 {
		t.Fatal("openapi.yaml has no example of the parameter")
	}
	return fmt.Sprint(p.Schema.Value.Enum[0])
}

// checkCalls sends the filter to each kind of resource. A resource with this parameter keeps it in its links.
func checkCalls(t *testing.T, name, sample string) {
	t.Helper()
	for _, of := range []resource{
		summaryResource(), feedResource(scan.FindingsFilters()), feedResource(scan.ConfigFilters()), changesResource(scan.FindingsFilters()), changesResource(scan.ConfigFilters()),
		feedListResource(), gateResource(), badgeResource(),
	} {
		query := url.Values{name: {sample}}
		if slices.Contains(of.parameters, "max") {
			query.Set("max", "HIGH")
		}
		q, err := parseQuery(httptest.NewRequest("GET", "/x?"+query.Encode(), nil), of, time.Unix(1569929237, 0))
		if accepted := slices.Contains(of.parameters, name); accepted != (err == nil) || accepted && !slices.Equal(q.values[name], []string{sample}) {
			t.Errorf("the call with the parameters %v: %v, links have %v", of.parameters, err, q.values)
		}
	}
}

func checkSchema(t *testing.T, row scan.FilterRow, schema *openapi3.Schema) {
	t.Helper()
	many := make([]string, 51)
	for i := range many {
		many[i] = fmt.Sprintf("a%d", i)
	}
	_, err := scan.ParseFilter(url.Values{row.Name: many})
	repeatable := row.Choices == nil && !row.IsSwitch()
	if reported := strings.Contains(fmt.Sprintf("%+v", err.(*scan.Error).Fields), "may be given at most 50 times"); reported != repeatable {
		t.Errorf("given 51 times: %v", err)
	}
	if documented := schema.Type.Is("array") && schema.MaxItems != nil && *schema.MaxItems == 50; documented != repeatable {
		t.Errorf("it may be given several times: %t, in openapi.yaml %t", repeatable, documented)
	}
	if documented := len(schema.Enum) == 1; documented != row.IsSwitch() {
		t.Errorf("it is on or off: %t, in openapi.yaml %t", row.IsSwitch(), documented)
	}
	if row.Choices != nil {
		if diff := cmp.Diff(row.Choices, texts(schema.Enum)); diff != "" {
			t.Errorf("the choices (-code +openapi.yaml):\n%s", diff)
		}
	}
}

func texts(values []any) []string {
	var all []string
	for _, v := range values {
		all = append(all, fmt.Sprint(v))
	}
	return all
}

// checkNarrows checks that the filter includes a finding that matches all samples of openapi.yaml, and excludes one that matches none.
func checkNarrows(t *testing.T, f scan.Filter) {
	t.Helper()
	passes := func(config scan.Config, image scan.Image, found scan.Finding) bool {
		return f.MatchesConfig(config) && f.MatchesImage(image) && f.Matches(found)
	}
	if !passes(sampleConfig(), sampleImage(), scan.Finding{Name: "CVE-2016-1585", Package: "openssl", Severity: scan.High, FixedIn: []string{"2"}, InUse: 1}) {
		t.Error("the filter excludes a matching finding")
	}
	if passes(scan.Config{Repository: "test/other", Owner: "other"}, scan.Image{Tag: "other"}, scan.Finding{Name: "CVE-1", Package: "other", Severity: scan.Low}) {
		t.Error("the filter includes a finding that does not match")
	}
}

// sampleConfig returns a config that matches all samples of openapi.yaml.
func sampleConfig() scan.Config { return scan.Config{Repository: "test/ubuntu", Owner: "platform"} }

// sampleImage returns an image that matches all samples of openapi.yaml.
func sampleImage() scan.Image {
	return scan.Image{Repository: scan.Repository{Name: "test/ubuntu"}, Tag: "latest", Platform: "linux/arm64", Digest: "sha256:9ac3dc8f231c7589c2330f13bc9fb25ca4eaf38015534054d11ba09d534195d3"}
}

func checkSummary(t *testing.T, row scan.FilterRow, f scan.Filter, sample string) {
	t.Helper()
	items := func(image scan.Image, counts scan.Counts) []report.Item {
		return []report.Item{{Image: image, Result: scan.Result{State: scan.Completed, Counts: counts}}}
	}
	o := report.Overview{Reports: []report.Report{
		{Config: sampleConfig(), Repository: sampleConfig().Repo(), Images: items(sampleImage(), scan.Counts{scan.High: 1})},
		{Config: scan.Config{Repository: "test/other"}, Repository: scan.Repository{Name: "test/other"}, Images: items(scan.Image{Repository: scan.Repository{Name: "test/other"}, Tag: "other"}, scan.Counts{scan.Low: 1})},
	}}
	if kept := report.Narrow(o.Reports, f); len(kept) != 1 || kept[0].Config.Repository != "test/ubuntu" {
		t.Errorf("the summary has %+v", kept)
	}
	shown, err := page.Summary(o, f, nil, plainLink)
	checkPage(t, "summary", shown, err, row, sample)
	if text := string(render.Summary(o, f)); !strings.HasPrefix(text, "Filtered by "+row.Noun) {
		t.Errorf("the summary is %s", text)
	}
	if data, err := render.SummaryJSON(o, f, func(string) string { return "" }); err != nil || !strings.Contains(strings.SplitAfter(string(data), `"configs"`)[0], `"`+sample+`"`) {
		t.Errorf("the summary as JSON: %v %s", err, data)
	}
}

func checkListing(t *testing.T, row scan.FilterRow, f scan.Filter, sample string) {
	t.Helper()
	l := report.Listing{View: report.View{Filter: f}}
	if l.FeedID() == (report.Listing{}).FeedID() {
		t.Error("the feed has the id of the feed without a filter")
	}
	shown, err := page.Findings(l, time.Unix(1569929237, 0), "/findings/all", nil, plainLink)
	checkPage(t, "findings", shown, err, row, sample)
	atom, err := feed.Atom(l, feed.Links{})
	if err != nil || !strings.Contains(string(atom), "findings: "+row.Noun) {
		t.Errorf("the feed: %v, %s", err, atom)
	}
}

// checkPage checks that the page's form contains the sample, and that its text names the filter.
func checkPage(t *testing.T, name string, page []byte, err error, row scan.FilterRow, sample string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	field := fmt.Sprintf(`name="%s" value="%s"`, row.Name, sample)
	if row.Choices != nil {
		field = fmt.Sprintf(`<option value="%s" selected>`, sample)
	}
	for _, want := range []string{field, `<label for="` + row.Name + `">`, "Filtered by " + row.Noun, "Show everything"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page %s has no %s", name, want)
		}
	}
}

func plainLink(path string, values url.Values) string {
	return "http://test" + path + "?" + values.Encode()
}
