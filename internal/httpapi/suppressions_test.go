package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/internal/suppress"
	"ecr-continuous-scan/test/awstest"
)

const kernel = `{"package":"linux*","reason":"the host's kernel runs"}`

type suppression struct {
	suppress.Suppression
	Ended, Unused bool
	Findings      *int
}

func addSuppression(t *testing.T, h http.Handler, body string) suppression {
	t.Helper()
	got := call(h, "POST", "/suppressions", "application/json", body)
	var s suppression
	if err := json.Unmarshal([]byte(got.body), &s); err != nil || got.status != 201 {
		t.Fatalf("POST: %d %s, %v", got.status, got.body, err)
	}
	if location := got.header.Get("Location"); location != base+"/suppressions/"+s.ID || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", got.header)
	}
	return s
}

func listSuppressions(t *testing.T, h http.Handler) []suppression {
	t.Helper()
	got := call(h, "GET", "/suppressions", "", "")
	var all []suppression
	if err := json.Unmarshal([]byte(got.body), &all); err != nil || got.status != 200 || got.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("GET: %+v, %v", got, err)
	}
	return all
}

// A suppression is added, listed, read, replaced and deleted.
func TestSuppressions(t *testing.T) {
	a, h := start(t)
	if got := call(h, "GET", "/suppressions/", "", ""); got.body != "[]\n" {
		t.Errorf("before the first: %q", got.body)
	}
	first := addSuppression(t, h, kernel)
	until := a.Now().Add(48 * time.Hour).UTC().Format(time.DateOnly)
	second := addSuppression(t, h, `{"vulnerability":"CVE-2016-1585","package":"apparmor","version":"2.*","path":"usr/*","repository":"test/*","tag":"16.*","registry":"123456789012",
		"region":"us-west-2","digest":"sha256:`+strings.Repeat("a", 64)+`","reason":"no profile uses mount rules","until":"`+until+`","justification":"component_not_present"}`)
	if second.Until.Format(time.RFC3339) != until+"T00:00:00Z" || second.Version != "2.*" || second.Digest == "" || second.Justification == "" {
		t.Errorf("%+v", second)
	}
	none := 0
	first.Findings, second.Findings, first.Unused, second.Unused = &none, &none, true, true // no visit has recorded findings
	if diff := cmp.Diff([]suppression{first, second}, listSuppressions(t, h)); diff != "" {
		t.Error(diff)
	}
	path := "/suppressions/" + first.ID
	one := call(h, "GET", path, "", "")
	if tag := one.header.Get("ETag"); one.status != 200 || call(h, "GET", path, "", "", "If-None-Match", tag).status != 304 {
		t.Errorf("%+v", one)
	}
	a.Advance(time.Minute)
	got := call(h, "PUT", path+"/", "application/json", `{"package":"linux-*","reason":"still so"}`)
	var replaced suppression
	if err := json.Unmarshal([]byte(got.body), &replaced); err != nil || got.status != 200 || got.header.Get("ETag") != "" {
		t.Fatalf("PUT: %+v, %v", got, err)
	}
	if replaced.ID != first.ID || replaced.Created != first.Created || replaced.Updated < first.Created+60 || replaced.Package != "linux-*" {
		t.Errorf("replaced: %+v, before: %+v", replaced, first)
	}
	if again := call(h, "GET", path, "", ""); again.body != got.body {
		t.Errorf("GET: %s", again.body)
	}
	a.Advance(48 * time.Hour)
	if all := listSuppressions(t, h); len(all) != 2 || all[0].Ended || !all[1].Ended {
		t.Errorf("after the end of one: %+v", all)
	}
	if got := call(h, "DELETE", path, "", ""); got.status != 204 || got.body != "" {
		t.Errorf("DELETE: %+v", got)
	}
	if all := listSuppressions(t, h); len(all) != 1 || all[0].ID != second.ID {
		t.Errorf("after DELETE: %+v", all)
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		checkProblem(t, call(h, method, path, "application/json", kernel), 404)
	}
}

// What was valid before stays in the object for 30 days.
func TestReplacedAndDeletedSuppressionsStay(t *testing.T) {
	a, h := start(t)
	s := addSuppression(t, h, kernel)
	a.Advance(time.Hour)
	call(h, "PUT", "/suppressions/"+s.ID, "application/json", `{"package":"zlib","reason":"another"}`)
	a.Advance(time.Hour)
	call(h, "DELETE", "/suppressions/"+s.ID, "", "")
	l, err := h.Suppressions.Load(t.Context())
	if err != nil || len(l.All) != 2 || l.All[0].Package != "linux*" || l.All[0].Replaced < s.Created+3600 || l.All[1].Deleted < s.Created+7200 {
		t.Errorf("%+v, %v", l.All, err)
	}
}

// A suppression that sets the same aside as another one is added, and the answer links to the other one.
func TestLinkToTheSameSuppression(t *testing.T) {
	a, h := start(t)
	post := func(body string) (id, link string) {
		t.Helper()
		got := call(h, "POST", "/suppressions", "application/json", body)
		var s suppression
		if err := json.Unmarshal([]byte(got.body), &s); err != nil || got.status != 201 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return s.ID, got.header.Get("Link")
	}
	first, link := post(kernel)
	if link != "" {
		t.Errorf("the first one: %s", link)
	}
	want := "<" + base + "/suppressions/" + first + `>; rel="duplicate"`
	for body, want := range map[string]string{
		kernel: want, `{"package":"linux*","reason":"another","justification":"component_not_present"}`: want,
		`{"package":"linux-*","reason":"another"}`: "", `{"package":"linux*","tag":"1","reason":"a"}`: "", `{"package":"linux*","until":"2099-01-01","reason":"a"}`: "",
	} {
		id, link := post(body)
		if link != want {
			t.Errorf("%s: Link %q, want %q", body, link, want)
		}
		call(h, "DELETE", "/suppressions/"+id, "", "")
	}
	second, _ := post(`{"package":"zlib","reason":"a"}`)
	if got := call(h, "PUT", "/suppressions/"+second, "application/json", kernel); got.status != 200 || got.header.Get("Link") != want {
		t.Errorf("PUT: %d %q", got.status, got.header.Get("Link"))
	}
	if got := call(h, "PUT", "/suppressions/"+second, "application/json", `{"package":"zlib","reason":"b"}`); got.status != 200 || got.header.Get("Link") != "" {
		t.Errorf("PUT of another one: %d %q", got.status, got.header.Get("Link"))
	}
	a.Advance(time.Minute)
	call(h, "DELETE", "/suppressions/"+first, "", "")
	if _, link := post(kernel); link != "" {
		t.Errorf("after its deletion: %s", link)
	}
}

func TestInvalidSuppressions(t *testing.T) {
	a, h := start(t)
	for name, test := range map[string]struct {
		body   string
		status int
		want   []string
	}{
		"empty":                   {``, 400, []string{""}},
		"no JSON":                 {`{"package":`, 400, []string{""}},
		"a list":                  {`[` + kernel + `]`, 400, []string{""}},
		"two":                     {kernel + kernel, 400, []string{""}},
		"not UTF-8":               {"{\"package\":\"\xff\"}", 400, []string{""}},
		"nothing":                 {`{}`, 400, []string{"/reason", "/vulnerability"}},
		"no reason":               {`{"package":"a"}`, 400, []string{"/reason"}},
		"no name":                 {`{"reason":"a","repository":"test/*"}`, 400, []string{"/vulnerability"}},
		"an unknown field":        {`{"package":"a","reason":"a","cve":"CVE-1"}`, 400, []string{"/cve"}},
		"a field in another case": {`{"package":"a","Reason":"a"}`, 400, []string{"/Reason", "/reason"}},
		"a field twice":           {`{"package":"a","reason":"a","package":"*"}`, 400, []string{"/package"}},
		"fields of the service": {`{"package":"a","reason":"a","id":"x","created":"1","updated":"1","replaced":"1","deleted":"1","ended":true}`, 400,
			[]string{"/created", "/deleted", "/ended", "/id", "/replaced", "/updated"}},
		"wrong types":             {`{"package":["a"],"reason":1,"until":5,"tag":null}`, 400, []string{"/package", "/reason", "/tag", "/until", "/vulnerability"}},
		"empty texts":             {`{"vulnerability":"CVE-1","package":"","reason":"","tag":""}`, 400, []string{"/package", "/reason", "/tag"}},
		"everything":              {`{"vulnerability":"*","reason":"a"}`, 400, []string{"/vulnerability"}},
		"every package":           {`{"package":"*","reason":"a","repository":"*"}`, 400, []string{"/package"}},
		"two asterisks":           {`{"package":"a**","reason":"a"}`, 400, []string{"/package"}},
		"a long reason":           {`{"package":"a","reason":"` + strings.Repeat("a", 1001) + `"}`, 400, []string{"/reason"}},
		"until in the past":       {`{"package":"a","reason":"a","until":"2020-01-01"}`, 400, []string{"/until"}},
		"until today":             {`{"package":"a","reason":"a","until":"` + a.Now().UTC().Format(time.DateOnly) + `"}`, 400, []string{"/until"}},
		"until a word":            {`{"package":"a","reason":"a","until":"never"}`, 400, []string{"/until"}},
		"until an impossible day": {`{"package":"a","reason":"a","until":"2099-02-30"}`, 400, []string{"/until"}},
		"a justification":         {`{"package":"a","reason":"a","justification":"x"}`, 400, []string{"/justification"}},
		"a repository":            {`{"package":"a","reason":"a","repository":"A","registry":"1","region":"_","digest":"x","tag":"a:b"}`, 400, []string{"/digest", "/region", "/registry", "/repository", "/tag"}},
		"large":                   {`{"package":"a","reason":"` + strings.Repeat("a", 64<<10) + `"}`, 413, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			got := checkProblem(t, call(h, "POST", "/suppressions", "application/json", test.body), test.status)
			if slices.Sort(got); !slices.Equal(got, test.want) {
				t.Errorf("wrong fields %q, want %q", got, test.want)
			}
			got = checkProblem(t, call(h, "PUT", "/suppressions/"+exampleID, "application/json", test.body), test.status)
			if slices.Sort(got); !slices.Equal(got, test.want) {
				t.Errorf("PUT: wrong fields %q, want %q", got, test.want)
			}
		})
	}
	for _, contentType := range []string{"", "text/plain", "application/json; charset=latin1", "application/x-www-form-urlencoded"} {
		status := 415
		if contentType == "text/plain" {
			status = 400 // a .trivyignore does not look so
		}
		checkProblem(t, call(h, "POST", "/suppressions", contentType, kernel), status)
		checkProblem(t, call(h, "PUT", "/suppressions/"+exampleID, contentType, kernel), 415)
	}
	checkProblem(t, call(h, "PUT", "/suppressions/"+exampleID, "application/yaml", "vulnerabilities: []"), 415)
	if keys := keysOf(t, a); slices.Contains(keys, s3store.SuppressionsKey) {
		t.Error("a wrong call stored something")
	}
}

// A change of a suppression that somebody else changed meanwhile is refused.
func TestSuppressionIfMatch(t *testing.T) {
	_, h := start(t)
	s := addSuppression(t, h, kernel)
	path := "/suppressions/" + s.ID
	read := call(h, "GET", path, "", "").header.Get("ETag")
	other := `{"package":"zlib","reason":"another"}`
	if got := call(h, "PUT", path, "application/json", other, "If-Match", read); got.status != 200 {
		t.Fatalf("%+v", got)
	}
	checkProblem(t, call(h, "PUT", path, "application/json", kernel, "If-Match", read), 412)
	checkProblem(t, call(h, "DELETE", path, "", "", "If-Match", read), 412)
	if all := listSuppressions(t, h); len(all) != 1 || all[0].Package != "zlib" {
		t.Errorf("%+v", all)
	}
	for _, method := range []string{"PUT", "DELETE"} {
		checkProblem(t, call(h, method, "/suppressions/"+exampleID, "application/json", kernel, "If-Match", "*"), 404)
	}
	if got := call(h, "DELETE", path, "", "", "If-Match", `"x", `+call(h, "GET", path, "", "").header.Get("ETag")); got.status != 204 {
		t.Errorf("%+v", got)
	}
}

// Methods and paths are those of configs.
func TestMethodsOfSuppressions(t *testing.T) {
	_, h := start(t)
	s := addSuppression(t, h, kernel)
	for path, allow := range map[string]string{"/suppressions": "GET, HEAD, OPTIONS, POST", "/suppressions/" + s.ID: "DELETE, GET, HEAD, OPTIONS, PUT"} {
		if got := call(h, "OPTIONS", path, "", ""); got.status != 204 || got.header.Get("Allow") != allow {
			t.Errorf("OPTIONS %s: %+v", path, got)
		}
		if got := call(h, "HEAD", path+"/", "", ""); got.status != 200 {
			t.Errorf("HEAD %s: %+v", path, got)
		}
		got := call(h, "PATCH", path, "application/json", kernel)
		checkProblem(t, got, 405)
		if got.header.Get("Allow") != allow {
			t.Errorf("PATCH %s: %v", path, got.header)
		}
	}
	for _, path := range []string{"/suppressions/x", "/suppressions/" + strings.ToUpper(s.ID), "/suppressions/" + s.ID + "/x", "/suppressions/" + exampleID} {
		checkProblem(t, call(h, "GET", path, "", ""), 404)
	}
}

// Only the full key writes. The read key reads. The key of a config does neither.
func TestAccessToSuppressions(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	api := a.Service(awstest.Silent()).API(base)
	s := addSuppression(t, handler(t, api), kernel)
	api.Access = access(t, readKey)
	h := handler(t, api)
	for _, path := range []string{"/suppressions", "/suppressions/" + s.ID} {
		if got := call(h, "GET", inURL(path, readKey), "", ""); got.status != 200 {
			t.Errorf("GET %s with the read key: %d", path, got.status)
		}
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			checkProblem(t, call(h, method, inURL(path, readKey), "application/json", kernel), 403)
			checkProblem(t, call(h, method, path, "application/json", kernel), 401)
		}
		checkProblem(t, call(h, "GET", inURL(path, keyOf(s.ID, readKey)), "", ""), 401)
	}
	if got := call(h, "POST", "/suppressions", "application/json", kernel, basic("ecr", fullKey)...); got.status != 201 {
		t.Errorf("POST with the full key: %d", got.status)
	}
}

// Three clients that write at the same time lose nothing.
func TestThreeClientsLoseNothing(t *testing.T) {
	a, _ := start(t)
	var done sync.WaitGroup
	for range 3 {
		client := handler(t, a.Service(awstest.Silent()).API(base))
		done.Go(func() {
			for i := range 4 {
				if got := call(client, "POST", "/suppressions", "application/json", kernel); got.status != 201 {
					t.Errorf("%d: %+v", i, got)
				}
			}
		})
	}
	done.Wait()
	if all := listSuppressions(t, handler(t, a.Service(awstest.Silent()).API(base))); len(all) != 12 {
		t.Errorf("%d of 12 suppressions", len(all))
	}
}

// added is the answer to a file.
type added struct {
	Added, Unchanged int
	Skipped          map[string]int
	Unsupported      []map[string]string
	IDs              []string
}

func addFile(t *testing.T, h http.Handler, target, contentType, body string, status int) added {
	t.Helper()
	got := call(h, "POST", target, contentType, body)
	var file added
	if err := json.Unmarshal([]byte(got.body), &file); err != nil || got.status != status || got.header.Get("Location") != "" {
		t.Fatalf("POST: %d %s, %v", got.status, got.body, err)
	}
	return file
}

// A .trivyignore.yaml that is sent again adds only what is new.
func TestSuppressionsOfATrivyIgnore(t *testing.T) {
	_, h := start(t)
	body, err := os.ReadFile("../suppressfile/testdata/trivyignore.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := addFile(t, h, "/suppressions", "application/yaml", string(body), 201)
	skipped := map[string]int{"ended": 1, "unsupported": 2, "misconfigurations": 2, "secrets": 1, "licenses": 3}
	if diff := cmp.Diff(skipped, file.Skipped); diff != "" || file.Added != 41 || file.Unchanged != 0 || len(file.IDs) != 41 || len(file.Unsupported) != 2 {
		t.Errorf("%+v %s", file, diff)
	}
	all := listSuppressions(t, h)
	if len(all) != 41 || !slices.ContainsFunc(all, func(s suppression) bool {
		return s.Vulnerability == "CVE-2023-2650" && s.Reason == "from .trivyignore.yaml"
	}) {
		t.Errorf("%d suppressions: %+v", len(all), all)
	}
	if again := addFile(t, h, "/suppressions", "application/yaml; charset=utf-8", string(body), 200); again.Added != 0 || again.Unchanged != 41 || again.IDs == nil || len(again.IDs) != 0 {
		t.Errorf("again: %+v", again)
	}
	more := strings.Replace(string(body), "vulnerabilities:", "vulnerabilities:\n  - id: CVE-2026-0001\n", 1)
	if again := addFile(t, h, "/suppressions?reason=quarterly+review", "application/yaml", more, 201); again.Added == 0 || listSuppressions(t, h)[41].Reason != "quarterly review" {
		t.Errorf("one more: %+v", again)
	}
	if s := addSuppression(t, h, `{"vulnerability":"CVE-2023-2650","reason":"from .trivyignore.yaml"}`); s.ID == "" {
		t.Error("a suppression on its own is always added")
	}
}

// The same for a .trivyignore without sections.
func TestSuppressionsOfAPlainTrivyIgnore(t *testing.T) {
	_, h := start(t)
	const body = "# accepted\nCVE-2023-2650\nCVE-2023-3446 exp:2099-01-31\nCVE-2019-1234 exp:2020-01-01\nAVD-AWS-0104\n"
	file := addFile(t, h, "/suppressions", "text/plain", body, 201)
	if diff := cmp.Diff(map[string]int{"ended": 1, "otherIds": 1}, file.Skipped); diff != "" || file.Added != 2 || len(file.IDs) != 2 {
		t.Errorf("%+v %s", file, diff)
	}
	all := listSuppressions(t, h)
	slices.SortFunc(all, func(a, b suppression) int { return strings.Compare(a.Vulnerability, b.Vulnerability) })
	if len(all) != 2 || all[0].Vulnerability != "CVE-2023-2650" || all[0].Reason != "from .trivyignore" || all[1].Until.Format(time.DateOnly) != "2099-01-31" {
		t.Errorf("%+v", all)
	}
	if again := addFile(t, h, "/suppressions?reason=a", "text/plain; charset=utf-8", body, 200); again.Unchanged != 2 {
		t.Errorf("again: %+v", again)
	}
	if more := addFile(t, h, "/suppressions?reason=quarterly+review", "text/plain", body+"CVE-2026-0001\n", 201); more.Added != 1 || !slices.ContainsFunc(listSuppressions(t, h), func(s suppression) bool {
		return s.Vulnerability == "CVE-2026-0001" && s.Reason == "quarterly review"
	}) {
		t.Errorf("one more: %+v", more)
	}
	got := call(h, "POST", "/suppressions", "text/plain", "CVE-2026-0002\n\nCVE-2026-0003 exp:soon\n")
	if checkProblem(t, got, 400); !strings.Contains(got.body, "line 3: the end must be a date") || len(listSuppressions(t, h)) != 3 {
		t.Errorf("a wrong line: %s", got.body)
	}
}

func TestSuppressionsOfAnOpenVEXDocument(t *testing.T) {
	_, h := start(t)
	body, err := os.ReadFile("../suppressfile/testdata/openvex.json")
	if err != nil {
		t.Fatal(err)
	}
	file := addFile(t, h, "/suppressions", "application/json", string(body), 201)
	if file.Added != 9 || file.Skipped["affected"] != 1 || file.Skipped["superseded"] != 1 || len(listSuppressions(t, h)) != 9 {
		t.Errorf("%+v", file)
	}
}

// A malformed file adds nothing, and the error names each wrong place.
func TestMalformedFiles(t *testing.T) {
	a, h := start(t)
	yaml := "vulnerabilities:\n- id: CVE-1\n- statement: a\n- id: CVE-2\n  expired_at: soon\n"
	got := checkProblem(t, call(h, "POST", "/suppressions", "application/yaml", yaml), 400)
	if slices.Sort(got); !slices.Equal(got, []string{"/vulnerabilities/1/id", "/vulnerabilities/2/expired_at"}) {
		t.Errorf("%q", got)
	}
	got = checkProblem(t, call(h, "POST", "/suppressions", "application/json", `{"@context":"https://openvex.dev/ns/v0.2.0","timestamp":"2026-01-01T00:00:00Z","statements":[{"vulnerability":{"name":"CVE-1"},"status":"fixd","products":[{"@id":"pkg:oci/a"}]}]}`), 400)
	if !slices.Equal(got, []string{"/statements/0/status"}) {
		t.Errorf("%q", got)
	}
	for query, pointer := range map[string]string{"reasno=a": "/reasno", "reason=a&reason=b": "/reason", "reason=": "/reason", "reason=a%0Ab": "/reason", "reason=" + strings.Repeat("a", 1001): "/reason"} {
		if got := checkProblem(t, call(h, "POST", "/suppressions?"+query, "application/yaml", "vulnerabilities: [{id: CVE-1}]"), 400); !slices.Equal(got, []string{pointer}) {
			t.Errorf("%.30s: %q", query, got)
		}
	}
	checkProblem(t, call(h, "POST", "/suppressions", "application/yaml", strings.Repeat("#", 2<<20+1)), 413)
	if keys := keysOf(t, a); slices.Contains(keys, s3store.SuppressionsKey) {
		t.Error("a wrong file stored something")
	}
}

// A call rejects parameters that it does not have, so that a mistyped one is not lost.
func TestParametersOfSuppressionsAndConfigs(t *testing.T) {
	_, h := start(t)
	draft := `{"vulnerability":"CVE-2026-1","reason":"not reachable"}`
	path, config := "/suppressions/"+addSuppression(t, h, draft).ID, "/configs/"+addJSON(t, h, valid)
	for _, tt := range []struct{ method, path, body string }{
		{"GET", "/suppressions", ""}, {"POST", "/suppressions", draft}, {"GET", path, ""}, {"PUT", path, draft}, {"DELETE", path, ""},
		{"GET", "/configs", ""}, {"POST", "/configs", valid}, {"GET", config, ""}, {"PUT", config, valid}, {"DELETE", config, ""},
	} {
		if got := checkProblem(t, call(h, tt.method, tt.path+"?owner=platform", "application/json", tt.body), 400); !slices.Equal(got, []string{"/owner"}) {
			t.Errorf("%s %s: %q", tt.method, tt.path, got)
		}
	}
	for _, path := range []string{path, config} {
		if status := call(h, "GET", path+"?key=k", "", "").status; status != 200 {
			t.Errorf("%s was deleted or changed: %d", path, status)
		}
	}
}

// More suppressions than can be stored are refused, and the error says what to do.
func TestTooManySuppressions(t *testing.T) {
	_, h := start(t)
	var body strings.Builder
	body.WriteString("vulnerabilities:\n")
	for i := range suppress.MaxCount {
		fmt.Fprintf(&body, "- id: CVE-2026-%d\n", i)
	}
	if file := addFile(t, h, "/suppressions", "application/yaml", body.String(), 201); file.Added != suppress.MaxCount {
		t.Fatalf("%d added", file.Added)
	}
	for _, refused := range []response{
		call(h, "POST", "/suppressions", "application/json", kernel),
		call(h, "POST", "/suppressions", "application/yaml", "vulnerabilities: [{id: CVE-1}]"),
		call(h, "POST", "/suppressions", "application/yaml", body.String()+"- id: CVE-1\n"),
		call(h, "PUT", "/suppressions/"+listSuppressions(t, h)[0].ID, "application/json", kernel),
	} {
		checkProblem(t, refused, 409)
		if !strings.Contains(refused.body, "10000 suppressions") {
			t.Errorf("%s", refused.body)
		}
	}
}

// The list has the number of recorded findings that each suppression matches. If they can't be counted, it has none.
func TestFindingsOfSuppressions(t *testing.T) {
	a, h := start(t)
	addConfig(t, h, valid)
	h.visit(t)
	addSuppression(t, h, `{"package":"apparmor","reason":"a","repository":"test/*"}`)
	addSuppression(t, h, `{"package":"apparmor","reason":"a","repository":"another"}`)
	all := listSuppressions(t, h)
	if len(all) != 2 || all[0].Findings == nil || *all[0].Findings == 0 || all[0].Unused || all[1].Findings == nil || *all[1].Findings != 0 || !all[1].Unused {
		t.Errorf("%+v", all)
	}
	if one := call(h, "GET", "/suppressions/"+all[0].ID, "", ""); strings.Contains(one.body, "findings") {
		t.Errorf("the ETag would change with each scan: %s", one.body)
	}
	a.S3.InjectFault(awslocal.Fault{Operation: "ListObjectsV2", Code: "AccessDenied"})
	if all = listSuppressions(t, h); len(all) != 2 || all[0].Findings != nil || all[1].Unused {
		t.Errorf("without records: %+v", all)
	}
}

// If the object can't be read, calls fail, and nothing is overwritten.
func TestSuppressionsThatCannotBeRead(t *testing.T) {
	a, h := start(t)
	_, err := a.S3Client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(awstest.Bucket), Key: aws.String(s3store.SuppressionsKey), Body: strings.NewReader("written by hand")})
	if err != nil {
		t.Fatal(err)
	}
	calls := func() {
		t.Helper()
		for _, got := range []response{
			call(h, "GET", "/suppressions", "", ""), call(h, "GET", "/suppressions/"+exampleID, "", ""), call(h, "POST", "/suppressions", "application/json", kernel),
			call(h, "POST", "/suppressions", "application/yaml", "vulnerabilities: [{id: CVE-1}]"),
			call(h, "PUT", "/suppressions/"+exampleID, "application/json", kernel), call(h, "DELETE", "/suppressions/"+exampleID, "", ""),
		} {
			checkProblem(t, got, 503)
			if got.header.Get("Retry-After") == "" {
				t.Errorf("headers %v", got.header)
			}
		}
	}
	calls()
	a.S3.InjectFault(awslocal.Fault{Code: "AccessDenied"})
	calls()
}

var _ httpapi.SuppressionStore = s3store.SuppressionWriter{}

// What a file says is set aside at once in all reads, and comes back when the suppressions are deleted.
func TestFilesSetFindingsAside(t *testing.T) {
	const vex = `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://example.org/1","author":"a","timestamp":"2026-01-01T00:00:00Z","version":1,"statements":[{
		"vulnerability":{"name":"CVE-2016-1585"},"status":"not_affected","justification":"vulnerable_code_not_in_execute_path","products":[{
		"@id":"pkg:oci/ubuntu?repository_url=123456789012.dkr.ecr.us-west-2.amazonaws.com/test/ubuntu&tag=16.04","subcomponents":[{"@id":"pkg:deb/ubuntu/apparmor?arch=amd64"}]}]}]}`
	for contentType, body := range map[string]string{
		"application/yaml": "vulnerabilities:\n- id: CVE-2016-1585\n  purls: ['pkg:deb/ubuntu/apparmor']\n",
		"application/json": vex,
	} {
		t.Run(contentType, func(t *testing.T) {
			_, h := start(t)
			c, _ := addConfig(t, h, valid)
			h.visit(t)
			lists := func(query string) bool {
				t.Helper()
				got := call(h, "GET", "/findings/"+c.ID+"?format=csv&tag=16.04"+query, "", "")
				if got.status != 200 {
					t.Fatalf("%+v", got)
				}
				return strings.Contains(got.body, "CVE-2016-1585")
			}
			if !lists("") {
				t.Fatal("the finding is missing before")
			}
			addFile(t, h, "/suppressions", contentType, body, 201)
			if lists("") || !lists("&suppressed=include") {
				t.Error("the finding is not set aside")
			}
			for _, s := range listSuppressions(t, h) {
				if s.Findings == nil || *s.Findings == 0 || s.Unused {
					t.Errorf("%+v", s)
				}
				call(h, "DELETE", "/suppressions/"+s.ID, "", "")
			}
			if !lists("") {
				t.Error("the finding is missing afterwards")
			}
		})
	}
}
