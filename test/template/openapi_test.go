package template

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/openapi"
)

func openAPI(t *testing.T) *openapi.Document {
	t.Helper()
	d, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// wholeAPI returns the API of all functions without keys and configs.
func wholeAPI(t *testing.T) http.Handler {
	t.Helper()
	return awstest.Start(t, ecr.Options{}).Service(awstest.Silent()).Handler("https://api.test")
}

// request returns a request to a path of the document. The body of a POST is a config or a suppression.
func request(method, path string) *http.Request {
	const id = "01a21034-4364-7edd-b2e3-8637732cb583"
	body := ""
	if method == http.MethodPost || method == http.MethodPut {
		body = `{"region": "us-west-2", "registry": "123456789012", "repository": "test/ubuntu"}`
		if strings.HasPrefix(path, "/suppressions") {
			body = `{"package": "linux*", "reason": "the host's kernel runs"}`
		}
	}
	r := httptest.NewRequest(method, strings.NewReplacer("{scanid}", id, "{id}", id, "{badge}", id+".svg").Replace(path), strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func send(h http.Handler, method, path, query string) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request(method, path+query))
	return w.Result()
}

// refusal returns the reason why the API refuses a query, or "" if it accepts it.
func refusal(t *testing.T, h http.Handler, path, query string) string {
	t.Helper()
	answer := send(h, http.MethodGet, path, query)
	if answer.StatusCode != http.StatusBadRequest {
		return ""
	}
	var problem struct{ Errors []struct{ Detail string } }
	if err := json.NewDecoder(answer.Body).Decode(&problem); err != nil || len(problem.Errors) == 0 {
		t.Fatalf("GET %s%s: %v, %+v", path, query, err, problem)
	}
	return problem.Errors[0].Detail
}

func TestPathsOfOpenAPI(t *testing.T) {
	got := slices.Sorted(maps.Keys(openAPI(t).Paths.Map()))
	if diff := cmp.Diff(new(httpapi.API).Routes().Paths(), got); diff != "" {
		t.Errorf("the paths of the code and of openapi.yaml differ (-code +openapi.yaml):\n%s", diff)
	}
	var routes []string
	for _, f := range functions(t, load(t)) {
		for _, e := range at(t, f, "Events").(object) {
			if event := e.(object); event["Type"] == "Api" {
				routes = append(routes, at(t, event, "Properties", "Path").(string))
			}
		}
	}
	slices.Sort(routes)
	if diff := cmp.Diff(routes, got); diff != "" {
		t.Errorf("the paths of template.yaml and of openapi.yaml differ (-template +openapi.yaml):\n%s", diff)
	}
}

func TestMethodsOfOpenAPI(t *testing.T) {
	h := wholeAPI(t)
	for path, item := range openAPI(t).Paths.Map() {
		documented := slices.Sorted(maps.Keys(item.Operations()))
		if diff := cmp.Diff(strings.Split(send(h, http.MethodOptions, path, "").Header.Get("Allow"), ", "), documented); diff != "" {
			t.Errorf("the methods of %s differ (-code +openapi.yaml):\n%s", path, diff)
		}
	}
}

// If a call gets an unknown parameter, its error lists the known ones.
func TestParametersOfOpenAPI(t *testing.T) {
	h, d := wholeAPI(t), openAPI(t)
	for path := range d.Paths.Map() {
		known := []string{}
		if _, list, ok := strings.Cut(refusal(t, h, path, "?nosuch=1"), "the parameters are "); ok {
			known = strings.Split(list, ", ")
		}
		if diff := cmp.Diff(known, d.QueryParameters(path)); diff != "" {
			t.Errorf("the parameters of %s differ (-code +openapi.yaml):\n%s", path, diff)
		}
	}
}

// If a parameter gets an unknown value, the error lists the allowed values. The call accepts each of them.
func TestChoicesOfOpenAPI(t *testing.T) {
	h := wholeAPI(t)
	found := 0
	for path, item := range openAPI(t).Paths.Map() {
		for _, p := range item.Parameters {
			documented := choices(p.Value.Schema.Value)
			if p.Value.In != openapi3.ParameterInQuery || len(documented) == 0 {
				continue
			}
			found++
			required := "" // of the gate
			if strings.HasPrefix(path, "/gate/") && p.Value.Name != "max" {
				required = "&max=HIGH"
			}
			named := namedIn(refusal(t, h, path, "?"+p.Value.Name+"=nosuch"+required))
			if diff := cmp.Diff(slices.Sorted(slices.Values(named)), slices.Sorted(slices.Values(documented))); diff != "" {
				t.Errorf("the values of %s of %s differ (-code +openapi.yaml):\n%s", p.Value.Name, path, diff)
			}
			for _, value := range documented {
				query := url.Values{p.Value.Name: {value}}
				if p.Value.Name == "sort" {
					query.Set("format", "html") // only pages can be sorted
				}
				if reason := refusal(t, h, path, "?"+query.Encode()+required); reason != "" {
					t.Errorf("GET %s with %s=%s is refused: %s", path, p.Value.Name, value, reason)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no parameter has choices")
	}
}

// choices returns the values that a schema allows, in the form of a query. For a number these are its limits.
func choices(s *openapi3.Schema) []string {
	var values []string
	for _, v := range s.Enum {
		values = append(values, fmt.Sprint(v))
	}
	if s.Min != nil && s.Max != nil {
		values = append(values, fmt.Sprint(*s.Min), fmt.Sprint(*s.Max))
	}
	return values
}

// namedIn returns the values in an error such as "must be atom or json, or omitted" or "… one of …".
func namedIn(detail string) []string {
	if _, list, ok := strings.Cut(detail, "one of "); ok {
		return strings.Split(list, ", ")
	}
	around := []string{"must", "be", "or", "omitted", "a", "number", "from", "to"}
	return slices.DeleteFunc(regexp.MustCompile(`-?\w+`).FindAllString(detail, -1), func(word string) bool { return slices.Contains(around, word) })
}

// openapi.yaml documents each error of the gateway for each call that can get it.
func TestGatewayResponsesInOpenAPI(t *testing.T) {
	d := openAPI(t)
	for kind, r := range at(t, load(t), "Resources", "Api", "Properties", "GatewayResponses").(object) {
		status := at(t, r, "StatusCode").(int)
		header := http.Header{}
		for name, v := range at(t, r, "ResponseParameters", "Headers").(object) {
			header.Set(name, strings.Trim(v.(string), "'"))
		}
		text := at(t, r, "ResponseTemplates", "application/json").(string)
		check := func(method, path string) {
			t.Helper()
			answer := &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(text))}
			if err := d.Check(request(method, path), answer); err != nil {
				t.Errorf("%s of %s %s: %v", kind, method, path, err)
			}
		}
		switch status {
		case http.StatusNotFound:
			check(http.MethodGet, "/nowhere")
		case http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType: // of a request with a body
			check(http.MethodPost, "/configs")
		default:
			for path, item := range d.Paths.Map() {
				for method := range item.Operations() {
					check(method, path+required(item))
				}
			}
		}
	}
}

// required returns a query with the required parameters of a path.
func required(item *openapi3.PathItem) string {
	query := url.Values{}
	for _, p := range item.Parameters {
		if p.Value.In == openapi3.ParameterInQuery && p.Value.Required {
			query.Set(p.Value.Name, fmt.Sprint(p.Value.Example))
		}
	}
	return "?" + query.Encode()
}

// The examples in openapi.yaml are those of the walkthrough.
func TestExamplesOfOpenAPI(t *testing.T) {
	d := openAPI(t)
	if diff := cmp.Diff(awstest.WalkthroughSummary, d.Components.Examples["SummaryText"].Value.Value); diff != "" {
		t.Errorf("the summary (-walkthrough +openapi.yaml):\n%s", diff)
	}
	samples := d.Paths.Value("/configs").Post.RequestBody.Value.Content["application/json"].Examples
	for _, name := range []string{"amazonlinux", "centos", "ubuntu"} {
		text, err := os.ReadFile("../../scan-config-" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var want any
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, samples[name].Value.Value); diff != "" {
			t.Errorf("the config %s (-sample +openapi.yaml):\n%s", name, diff)
		}
	}
}
