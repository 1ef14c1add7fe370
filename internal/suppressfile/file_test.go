package suppressfile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-cmp/cmp"
	"github.com/openvex/go-vex/pkg/vex"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
	"ecr-continuous-scan/internal/suppressfile"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func read(t *testing.T, name string) []byte {
	t.Helper()
	body, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// lines writes each draft as one line.
func lines(t *testing.T, drafts []suppress.Suppression) []string {
	t.Helper()
	var all []string
	for _, d := range drafts {
		var fields map[string]string
		body, err := json.Marshal(d)
		if err == nil {
			err = json.Unmarshal(body, &fields)
		}
		if err != nil {
			t.Fatal(err)
		}
		var parts []string
		for _, name := range []string{"vulnerability", "package", "version", "path", "registry", "region", "repository", "tag", "digest", "until", "justification", "reason"} {
			if fields[name] != "" {
				parts = append(parts, fields[name])
			}
		}
		all = append(all, strings.Join(parts, " | "))
	}
	return all
}

// Each entry of a file of 40 entries becomes what it means for Trivy, or is skipped and counted.
func TestTrivyIgnore(t *testing.T) {
	file, err := suppressfile.TrivyIgnore(read(t, "trivyignore.yaml"), "", now)
	if err != nil {
		t.Fatal(err)
	}
	const noStatement = " | from .trivyignore.yaml"
	want := []string{
		"CVE-2022-40897 | usr/local/lib/python3.9/site-packages/setuptools-58.1.0.dist-info/METADATA | Accept the risk",
		"CVE-2023-2650" + noStatement,
		"CVE-2023-3446" + noStatement,
		"CVE-2023-3817 | libssl1.1" + noStatement,
		"CVE-2024-45490 | 2027-01-31T00:00:00Z | The parser reads only our own files, and each of them is tested.",
		"CVE-2024-45491 | 2027-01-31T00:00:00Z" + noStatement,
		"CVE-2024-45492 | 2027-01-31T10:00:00Z" + noStatement,
		"GHSA-jfh8-c2jp-5v3q | org.apache.logging.log4j:log4j-core | 2.14.1" + noStatement,
		"GHSA-jfh8-c2jp-5v3q | org.apache.logging.log4j:log4j-api" + noStatement,
		"CVE-2021-44228 | org.apache.logging.log4j:log4j-core | 2.14.1 | log4j-core-2.14.1.jar" + noStatement,
		"CVE-2021-44228 | org.apache.logging.log4j:log4j-core | 2.14.1 | */log4j-core-2.14.1.jar" + noStatement,
		"CVE-2021-44228 | org.apache.logging.log4j:log4j-core | 2.14.1 | opt/app/*" + noStatement,
		"CVE-2019-10744 | lodash | 4.17.11 | only used by the build",
		"CVE-2022-25883 | @babel/traverse | 7.0.0" + noStatement,
		"CVE-2023-45288 | golang.org/x/net | v0.20.0" + noStatement,
		"CVE-2023-45289 | go/stdlib | v1.21.0" + noStatement,
		"CVE-2024-3651 | typing*extensions" + noStatement,
		"CVE-2023-4911 | glibc | 1:2.34-60.el9" + noStatement,
		"CVE-2023-4912 | perl-base | 1:5.36.0-7" + noStatement,
		"CVE-2020-8909 | srv/b.jar" + noStatement,
		"CVE-2020-9999" + noStatement,
	}
	for i := range 20 {
		want = append(want, fmt.Sprintf("CVE-2025-%d | ticket OPS-%d: not reachable", 10000+i, i))
	}
	if diff := cmp.Diff(want, lines(t, file.Drafts)); diff != "" {
		t.Error(diff)
	}
	skipped := map[suppressfile.Skip]int{"ended": 1, "unsupported": 2, "misconfigurations": 2, "secrets": 1, "licenses": 3}
	if diff := cmp.Diff(skipped, file.Skipped); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/vulnerabilities/17/paths/0", "/vulnerabilities/18/paths/0"}, pointers(file.Unsupported)); diff != "" {
		t.Error(diff)
	}
}

func pointers(fields []scan.FieldError) []string {
	var all []string
	for _, f := range fields {
		all = append(all, f.Pointer)
	}
	return all
}

// A reason of the request is for entries without a statement.
func TestReasonOfTheRequest(t *testing.T) {
	file, err := suppressfile.TrivyIgnore([]byte("vulnerabilities:\n- id: CVE-1\n- id: CVE-2\n  statement: own\n"), "quarterly review", now)
	if diff := cmp.Diff([]string{"CVE-1 | quarterly review", "CVE-2 | own"}, lines(t, file.Drafts)); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// A malformed file is refused as a whole, with all wrong places.
func TestMalformedTrivyIgnore(t *testing.T) {
	for name, test := range map[string]struct {
		body string
		want []string
	}{
		"empty":                      {"", []string{""}},
		"a text":                     {"CVE-2020-1\nCVE-2020-2\n", []string{""}},
		"a list":                     {"- id: CVE-1\n", []string{""}},
		"no YAML":                    {"vulnerabilities: [\n", []string{""}},
		"without line ends":          {"vulnerabilities:  - id: CVE-1    statement: a", []string{""}},
		"two documents":              {"vulnerabilities: []\n---\nvulnerabilities: []\n", []string{""}},
		"a key twice":                {"vulnerabilities:\n- id: CVE-1\n  id: CVE-2\n", []string{""}},
		"an unknown section":         {"vulnerabilites:\n- id: CVE-1\n", []string{"/vulnerabilites"}},
		"a section of a text":        {"vulnerabilities: CVE-1\n", []string{"/vulnerabilities"}},
		"other sections":             {"vulnerabilities: []\nsecrets: a\n", []string{"/secrets"}},
		"an entry of a text":         {"vulnerabilities:\n- CVE-1\n- id: CVE-2\n", []string{"/vulnerabilities/0"}},
		"an unknown field":           {"vulnerabilities:\n- id: CVE-1\n  expires_at: 2030-01-01\n", []string{"/vulnerabilities/0/expires_at"}},
		"no id":                      {"vulnerabilities:\n- statement: a\n- id: ''\n- id: 5\n", []string{"/vulnerabilities/0/id", "/vulnerabilities/1/id", "/vulnerabilities/2/id"}},
		"a wrong date":               {"vulnerabilities:\n- id: CVE-1\n  expired_at: soon\n- id: CVE-2\n  expired_at: 5\n", []string{"/vulnerabilities/0/expired_at", "/vulnerabilities/1/expired_at"}},
		"an end after the year 9999": {"vulnerabilities:\n- id: CVE-1\n  expired_at: 99999-01-01\n", []string{"/vulnerabilities/0/expired_at"}},
		"a wrong statement":          {"vulnerabilities:\n- id: CVE-1\n  statement: [a]\n", []string{"/vulnerabilities/0/statement"}},
		"a long statement":           {"vulnerabilities:\n- id: CVE-1\n  statement: " + strings.Repeat("a", 1001) + "\n", []string{"/vulnerabilities/0/statement"}},
		"a wrong package URL":        {"vulnerabilities:\n- id: CVE-1\n  purls: [openssl, 'pkg:deb/debian/openssl', 'pkg:deb', 7]\n", []string{"/vulnerabilities/0/purls/0", "/vulnerabilities/0/purls/2", "/vulnerabilities/0/purls/3"}},
		"packages that are no list":  {"vulnerabilities:\n- id: CVE-1\n  purls: pkg:npm/a\n  paths: a\n", []string{"/vulnerabilities/0/purls", "/vulnerabilities/0/paths"}},
		"a path that is no text":     {"vulnerabilities:\n- id: CVE-1\n  paths: [a, [], '']\n", []string{"/vulnerabilities/0/paths/1", "/vulnerabilities/0/paths/2"}},
		"a long path":                {"vulnerabilities:\n- id: CVE-1\n  paths: [" + strings.Repeat("a", 1025) + "]\n", []string{"/vulnerabilities/0/paths"}},
		"a control character":        {"vulnerabilities:\n- id: \"a\\u0001\"\n", []string{"/vulnerabilities/0/id"}},
		"an alias bomb":              {"vulnerabilities: &a [&b [&c [x,x,x,x,x,x,x,x,x],*c,*c,*c,*c,*c,*c,*c,*c],*b,*b,*b,*b,*b,*b,*b,*b]\nsecrets: [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n" + "licenses: [" + strings.Repeat("*a,", 200) + "]\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := suppressfile.TrivyIgnore([]byte(test.body), "", now)
			expectRefused(t, file, err, test.want)
		})
	}
}

// expectRefused checks that a file was refused, and the places. If want is nil, any place is right.
func expectRefused(t *testing.T, file suppressfile.File, err error, want []string) {
	t.Helper()
	e, ok := errors.AsType[*scan.Error](err)
	if !ok || e.Code != scan.Invalid || len(file.Drafts) > 0 {
		t.Fatalf("%v, %v", lines(t, file.Drafts), err)
	}
	got := pointers(e.Fields)
	slices.Sort(got)
	slices.Sort(want)
	if want != nil && !slices.Equal(got, want) {
		t.Errorf("wrong places %q, want %q", got, want)
	}
}

// A file that curl's --data has made one line is refused with the line, and with what to do.
func TestYAMLWithoutEndsOfLines(t *testing.T) {
	for body, want := range map[string]string{
		"vulnerabilities:  - id: CVE-1    statement: a": "see line 1.",
		"vulnerabilities:- id: CVE-1- id: CVE-2":        "see line 1.",
		"a: b\nvulnerabilities:\n- id: [\n":             "see line 3.",
		"# our filevulnerabilities:- id: CVE-1":         "one line, which is a comment",
	} {
		_, err := suppressfile.TrivyIgnore([]byte(body), "", now)
		e, ok := errors.AsType[*scan.Error](err)
		if !ok || !strings.Contains(e.Message, want) || !strings.Contains(e.Message, "curl's --data-binary") {
			t.Errorf("%q: %v, want %q", body, err, want)
		}
	}
}

// Many wrong places are not all named.
func TestManyWrongPlaces(t *testing.T) {
	_, err := suppressfile.TrivyIgnore([]byte("vulnerabilities:\n"+strings.Repeat("- statement: a\n", 200)), "", now)
	e, _ := errors.AsType[*scan.Error](err)
	if e == nil || len(e.Fields) != 51 || e.Fields[50].Detail != "has 150 more wrong places" {
		t.Errorf("%+v", e)
	}
}

// A file with more suppressions than can be stored is refused before all of them are made.
func TestFileWithTooManySuppressions(t *testing.T) {
	paths := strings.Repeat("a,", 3000)
	packages := strings.Repeat("'pkg:npm/a',", 3000)
	body := "vulnerabilities:\n" + strings.Repeat("- {id: CVE-1, paths: ["+paths+"], purls: ["+packages+"]}\n", 5)
	if _, err := suppressfile.TrivyIgnore([]byte(body), "", now); !errors.Is(err, suppress.ErrFull) {
		t.Errorf("%v", err)
	}
	subcomponents := strings.Repeat(`{"@id":"pkg:npm/a"},`, 1000) + `{"@id":"pkg:npm/a"}`
	product := `{"@id":"pkg:oci/app","subcomponents":[` + subcomponents + `]}`
	document := `{"@context":"https://openvex.dev/ns/v0.2.0","timestamp":"2026-01-01T00:00:00Z","statements":[{"vulnerability":{"name":"CVE-1"},"status":"fixed","products":[` +
		strings.Repeat(product+",", 100) + product + `]}]}`
	if _, err := suppressfile.OpenVEX([]byte(document), "", now); !errors.Is(err, suppress.ErrFull) {
		t.Errorf("%v", err)
	}
	if _, err := suppressfile.OpenVEX(bytes.Repeat([]byte(" "), suppressfile.MaxSize+1), "", now); scan.CodeOf(err) != scan.Invalid {
		t.Errorf("%v", err)
	}
}

// Two asterisks of Trivy stand for any folders, also none. One asterisk matches no slash there, and does here.
func TestTrivyPaths(t *testing.T) {
	for given, want := range map[string][]string{
		"usr/bin/a": {"usr/bin/a"}, "**/a": {"a", "*/a"}, "a/**": {"a/*"}, "a/**/b": {"a/b", "a/*/b"}, "**": {"*"}, "**/**": {"*", "*"},
		"a/**/b/**/c": {"a/b/c", "a/*/b/c", "a/b/*/c", "a/*/b/*/c"}, "a*": nil, "a/*/b": nil, "*": nil, "a?": nil, "a[bc]": nil, "{a,b}": nil, `a\*`: nil, "a**": nil,
		"**/a/**/b/**/c/**/d": nil,
	} {
		file, err := suppressfile.TrivyIgnore([]byte("vulnerabilities:\n- id: CVE-1\n  paths: ['"+given+"']\n"), "", now)
		var got []string
		for _, d := range file.Drafts {
			got = append(got, d.Path)
		}
		if err != nil || !slices.Equal(got, want) || (file.Skipped[suppressfile.Unsupported] == 1) != (want == nil) {
			t.Errorf("%s: %q, want %q; skipped %v, %v", given, got, want, file.Skipped, err)
		}
	}
}

// Each statement of an OpenVEX document becomes what it means, or is skipped and counted. A later statement supersedes an earlier one.
func TestOpenVEX(t *testing.T) {
	file, err := suppressfile.OpenVEX(read(t, "openvex.json"), "", now)
	if err != nil {
		t.Fatal(err)
	}
	digest := "sha256:" + strings.Repeat("a", 64)
	const app = "123456789012 | us-west-2 | team/app"
	const unreachable = "vulnerable_code_not_in_execute_path | The app never sets a key length."
	want := []string{
		"CVE-2023-5363 | openssl | 3.0.11-1~deb12u1 | " + app + " | 1.0 | " + unreachable,
		"CVE-2023-5363 | libssl3 | " + app + " | 1.0 | " + unreachable,
		"GO-2022-0969 | " + digest + " | built with Go 1.24",
		"CVE-2022-27664 | " + digest + " | built with Go 1.24",
		"CVE-2024-0001 | worker | no network",
		"CVE-2024-0001 | */worker | no network",
		"CVE-2024-0002 | tool | component_not_present | from an OpenVEX document",
		"CVE-2024-0002 | */tool | component_not_present | from an OpenVEX document",
		"CVE-2024-0003 | " + app + " | from an OpenVEX document",
	}
	if diff := cmp.Diff(want, lines(t, file.Drafts)); diff != "" {
		t.Error(diff)
	}
	skipped := map[suppressfile.Skip]int{"affected": 1, "underInvestigation": 1, "superseded": 1, "otherProducts": 3, "unsupported": 1}
	if diff := cmp.Diff(skipped, file.Skipped); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/statements/7/products/3/@id"}, pointers(file.Unsupported)); diff != "" {
		t.Error(diff)
	}
}

// document returns an OpenVEX document with these statements.
func document(statements ...string) []byte {
	return []byte(`{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://example.org/1","author":"a","timestamp":"2026-01-02T00:00:00Z","version":1,"statements":[` +
		strings.Join(statements, ",") + `]}`)
}

func statement(status, product, more string) string {
	return `{"vulnerability":{"name":"CVE-1"},"status":"` + status + `","products":[{"@id":"` + product + `"}]` + more + `}`
}

func TestMalformedOpenVEX(t *testing.T) {
	const fixed = `"status":"fixed","products":[{"@id":"pkg:oci/app"}]`
	for name, test := range map[string]struct {
		body []byte
		want []string
	}{
		"empty":                       {nil, []string{""}},
		"a list":                      {[]byte("[]"), []string{""}},
		"a name twice":                {[]byte(`{"@context":"a","@context":"b"}`), []string{""}},
		"not UTF-8":                   {[]byte("{\"@context\":\"\xff\"}"), []string{""}},
		"nothing":                     {[]byte(`{}`), []string{"/@context", "/timestamp", "/statements"}},
		"another version":             {[]byte(`{"@context":"https://openvex.dev/ns/v0.0.1","timestamp":"2026-01-02T00:00:00Z","statements":[]}`), []string{"/@context"}},
		"a wrong time":                {[]byte(`{"@context":"https://openvex.dev/ns","timestamp":"yesterday","statements":[]}`), []string{"/timestamp"}},
		"no list":                     {[]byte(`{"@context":"https://openvex.dev/ns","timestamp":"2026-01-02T00:00:00Z","statements":{}}`), []string{"/statements"}},
		"a statement":                 {document(`5`), []string{"/statements/0"}},
		"an empty statement":          {document(`{}`), []string{"/statements/0/vulnerability", "/statements/0/status"}},
		"an old vulnerability":        {document(`{"vulnerability":"CVE-1",` + fixed + `}`), []string{"/statements/0/vulnerability"}},
		"no name":                     {document(`{"vulnerability":{"@id":"a"},` + fixed + `}`), []string{"/statements/0/vulnerability/name"}},
		"wrong aliases":               {document(`{"vulnerability":{"name":"a","aliases":[1]},` + fixed + `}`), []string{"/statements/0/vulnerability/aliases/0"}},
		"an unknown status":           {document(statement("Fixed", "pkg:oci/app", "")), []string{"/statements/0/status"}},
		"without a justification":     {document(statement("not_affected", "pkg:oci/app", "")), []string{"/statements/0"}},
		"a wrong justification":       {document(statement("not_affected", "pkg:oci/app", `,"justification":"we think so"`)), []string{"/statements/0/justification"}},
		"a wrong time of a statement": {document(statement("fixed", "pkg:oci/app", `,"timestamp":"2026-01-02"`)), []string{"/statements/0/timestamp"}},
		"no product":                  {document(`{"vulnerability":{"name":"a"},"status":"fixed"}`), []string{"/statements/0/products"}},
		"a product as a text":         {document(`{"vulnerability":{"name":"a"},"status":"fixed","products":["pkg:oci/app"]}`), []string{"/statements/0/products/0"}},
		"a wrong package URL":         {document(statement("fixed", "pkg:oci", "")), []string{"/statements/0/products/0/@id"}},
		"a wrong version":             {document(statement("fixed", "pkg:oci/app@1?tag=2", "")), []string{"/statements/0/products/0/@id"}},
		"a wrong tag":                 {document(statement("fixed", "pkg:oci/app?tag=a%20b", "")), []string{"/statements/0/products/0"}},
		"a wrong subcomponent": {document(`{"vulnerability":{"name":"a"},"status":"fixed","products":[{"@id":"pkg:oci/app","subcomponents":[{"@id":"pkg:deb"},5]}]}`),
			[]string{"/statements/0/products/0/subcomponents/0/@id", "/statements/0/products/0/subcomponents/1"}},
		"a wrong affected one": {document(statement("affected", "pkg:oci", "")), []string{"/statements/0/products/0/@id"}},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := suppressfile.OpenVEX(test.body, "", now)
			if e, ok := errors.AsType[*scan.Error](err); ok {
				e.Fields = slices.CompactFunc(e.Fields, func(a, b scan.FieldError) bool { return a.Pointer == b.Pointer })
			}
			expectRefused(t, file, err, test.want)
		})
	}
}

// Which images a product names.
func TestProducts(t *testing.T) {
	digest := "sha256:" + strings.Repeat("b", 64)
	const registry = "repository_url=123456789012.dkr.ecr.eu-west-1.amazonaws.com"
	const of = "123456789012 | eu-west-1 | "
	for product, want := range map[string][]string{
		"pkg:oci/app?" + registry + "/team/app":                         {of + "team/app"},
		"pkg:oci/app?" + registry + "/team":                             {of + "team/app"},
		"pkg:oci/app?" + registry:                                       {of + "app"},
		"pkg:oci/app?" + registry + "/app/":                             {of + "app"},
		"pkg:oci/app?" + registry + "/team/app&tag=v1.0":                {of + "team/app | v1.0"},
		"pkg:oci/app@" + digest + "?" + registry + "/team/app&tag=v1.0": {of + "team/app | " + digest},
		"pkg:oci/app@" + strings.Replace(digest, ":", "%3A", 1):         {digest},
		"pkg:oci/app@" + digest + "?repository_url=ghcr.io/team/app":    {digest},
		"pkg:oci/app?repository_url=ghcr.io/team/app":                   nil,
		"pkg:oci/app@1.0":        {"app | 1.0", "*/app | 1.0"},
		"pkg:oci/team/app?tag=1": {"team/app | 1"},
		"pkg:oci/app?repository_url=https://123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/app": {"123456789012 | cn-north-1 | app"},
		"pkg:oci/app?repository_url=123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/app":    {"123456789012 | us-gov-west-1 | app"},
		"pkg:oci/app?repository_url=123456789012.dkr-ecr.us-west-2.on.aws/app":                    {"123456789012 | us-west-2 | app"},
	} {
		file, err := suppressfile.OpenVEX(document(statement("fixed", product, "")), "r", now)
		var full []string
		for _, w := range want {
			full = append(full, "CVE-1 | "+w+" | r")
		}
		if got := lines(t, file.Drafts); err != nil || !slices.Equal(got, full) || (file.Skipped[suppressfile.OtherProducts] == 1) != (want == nil) {
			t.Errorf("%s: %q, want %q; skipped %v, %v", product, got, full, file.Skipped, err)
		}
	}
}

// ecrHosts returns the hosts of a registry in a Region of each partition. Their domains are those that the SDK has for the API of Amazon ECR.
func ecrHosts(t *testing.T) map[string]string {
	t.Helper()
	hosts := map[string]string{}
	for _, region := range []string{
		"us-west-2", "us-gov-east-1", "cn-north-1", "eusc-de-east-1", "us-iso-west-1", "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1",
	} {
		for _, dualStack := range []bool{false, true} {
			parameters := ecr.EndpointParameters{Region: &region, UseDualStack: &dualStack}
			endpoint, err := ecr.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), parameters.WithDefaults())
			if err != nil {
				t.Fatal(err)
			}
			_, domain, _ := strings.Cut(endpoint.URI.Host, "."+region+".")
			service := "123456789012.dkr.ecr"
			if dualStack {
				service, domain = "123456789012.dkr-ecr", "on."+strings.TrimPrefix(domain, "api.")
			}
			hosts[service+"."+region+"."+domain], hosts[service+"-fips."+region+"."+domain] = region, region
		}
	}
	return hosts
}

// Only the hosts of Amazon ECR are taken for it. Somebody else can have any other name.
func TestHostsOfProducts(t *testing.T) {
	hosts := ecrHosts(t)
	for _, host := range []string{
		"123456789012.dkr.ecr.us-west-2.amazonaws.com", "123456789012.dkr.ecr-fips.us-gov-east-1.amazonaws.com",
		"123456789012.dkr-ecr.us-west-2.on.aws", "123456789012.dkr-ecr-fips.cn-north-1.on.amazonwebservices.com.cn",
	} {
		if hosts[host] == "" {
			t.Errorf("%s is not compared", host)
		}
	}
	for _, other := range []string{
		"123456789012.dkr.ecr.us-west-2.example.org", "123456789012.dkr.ecr.us-west-2.amazonaws.com.evil.com", "123456789012.dkr.ecr.us-west-2.evilamazonaws.com",
		"123456789012.dkr.ecr.us-west-2.evil.amazonaws.com", "123456789012.dkr.ecr.us-west-2.amazonaws.org", "123456789012.dkr.ecr.us-west-2.amazonawsxcom",
		"123456789012.dkr.ecr.us-west-2.amazonaws.com.cn.evil.com", "123456789012.dkr-ecr.us-west-2.on.aws.evil.com", "123456789012.dkr-ecr.us-west-2.aws",
		"123456789012.dkr-ecr.us-west-2.evil-on.aws", "123456789012.dkr-ecr.us-west-2.evil.on.aws",
		"evil.com.123456789012.dkr.ecr.us-west-2.amazonaws.com", "12345678901.dkr.ecr.us-west-2.amazonaws.com", "123456789012.dkrxecr.us-west-2.amazonaws.com",
		"123456789012.dkr.ecr.s3.amazonaws.com", "123456789012.dkr.ecr.s3-us-west-2.amazonaws.com", // the addresses of a bucket 123456789012.dkr.ecr in Amazon S3
		"123456789012.dkr.ecr.us-west-2.amazonaws.com@evil.com", "123456789012.dkr.ecr.us-west-2.amazonaws.com:5000", "123456789012.dkr.ecr.us-west-2.",
	} {
		hosts[other] = ""
	}
	for host, region := range hosts {
		file, err := suppressfile.OpenVEX(document(statement("fixed", "pkg:oci/ubuntu?repository_url="+host+"/test/ubuntu", "")), "r", now)
		var want []string
		if region != "" {
			want = []string{"CVE-1 | 123456789012 | " + region + " | test/ubuntu | r"}
		}
		if got := lines(t, file.Drafts); err != nil || !slices.Equal(got, want) || (file.Skipped[suppressfile.OtherProducts] == 1) != (want == nil) {
			t.Errorf("%s: %q, want %q; skipped %v, %v", host, got, want, file.Skipped, err)
		}
	}
}

// The latest statement about an image and a package applies. What may be affected is not set aside.
func TestContradictions(t *testing.T) {
	const app, tagged = "pkg:oci/app", "pkg:oci/app?tag=1"
	at := func(day string) string { return `,"timestamp":"2026-01-` + day + `T00:00:00Z"` }
	const notAffected = `,"justification":"component_not_present"`
	withPackage := func(status, purl, more string) string {
		return `{"vulnerability":{"name":"CVE-1"},"status":"` + status + `","products":[{"@id":"pkg:oci/app","subcomponents":[{"@id":"` + purl + `"}]}]` + more + `}`
	}
	for name, test := range map[string]struct {
		statements []string
		kept       bool
	}{
		"affected before":                  {[]string{statement("affected", app, at("01")), statement("fixed", app, at("03"))}, true},
		"affected later":                   {[]string{statement("fixed", app, at("01")), statement("affected", app, at("03"))}, false},
		"affected later, written first":    {[]string{statement("affected", app, at("03")), statement("fixed", app, at("01"))}, false},
		"the same time, affected is last":  {[]string{statement("fixed", app, ""), statement("affected", app, "")}, false},
		"the same time, affected is first": {[]string{statement("affected", app, ""), statement("fixed", app, "")}, true},
		"the document's time":              {[]string{statement("affected", app, at("03")), statement("fixed", app, "")}, false},
		"under investigation later":        {[]string{statement("not_affected", app, notAffected), statement("under_investigation", app, "")}, false},
		"another image":                    {[]string{statement("fixed", app, ""), statement("affected", "pkg:oci/other", "")}, true},
		"one tag is affected":              {[]string{statement("fixed", app, ""), statement("affected", tagged, "")}, false},
		"all tags are affected":            {[]string{statement("fixed", tagged, ""), statement("affected", app, "")}, false},
		"another tag":                      {[]string{statement("fixed", tagged, ""), statement("affected", "pkg:oci/app?tag=2", "")}, true},
		"another vulnerability":            {[]string{statement("fixed", app, ""), strings.Replace(statement("affected", app, ""), "CVE-1", "CVE-2", 1)}, true},
		"another package":                  {[]string{withPackage("fixed", "pkg:npm/a", ""), withPackage("affected", "pkg:npm/b", "")}, true},
		"the same package":                 {[]string{withPackage("fixed", "pkg:npm/a", ""), withPackage("affected", "pkg:npm/a", "")}, false},
		"one version":                      {[]string{withPackage("fixed", "pkg:npm/a", ""), withPackage("affected", "pkg:npm/a@1", "")}, false},
		"a component without package URL":  {[]string{withPackage("fixed", "pkg:npm/a", ""), withPackage("affected", "cpe:/a:b", "")}, false},
		"a platform is affected":           {[]string{statement("fixed", app, ""), statement("affected", app+"?arch=arm64", "")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := suppressfile.OpenVEX(document(test.statements...), "", now)
			if err != nil || (len(file.Drafts) > 0) != test.kept || (file.Skipped[suppressfile.Superseded] == 0) != test.kept {
				t.Errorf("%q, skipped %v, %v", lines(t, file.Drafts), file.Skipped, err)
			}
		})
	}
}

// What openvex/go-vex writes can be read.
func TestDocumentOfGoVEX(t *testing.T) {
	d := vex.New()
	d.ID, d.Author = "https://example.org/1", "a"
	d.Statements = append(d.Statements, vex.Statement{
		Vulnerability: vex.Vulnerability{Name: "CVE-1"},
		Products: []vex.Product{{
			Component:     vex.Component{ID: "pkg:oci/app"},
			Subcomponents: []vex.Subcomponent{{Component: vex.Component{ID: "pkg:npm/a@1.0"}}},
		}},
		Status: vex.StatusNotAffected, Justification: vex.ComponentNotPresent,
	})
	var body bytes.Buffer
	if err := d.ToJSON(&body); err != nil {
		t.Fatal(err)
	}
	file, err := suppressfile.OpenVEX(body.Bytes(), "r", now)
	want := []string{"CVE-1 | a | 1.0 | app | component_not_present | r", "CVE-1 | a | 1.0 | */app | component_not_present | r"}
	if got := lines(t, file.Drafts); err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	for _, j := range vex.Justifications() {
		if !slices.Contains(suppress.Justifications(), j) {
			t.Errorf("%s is no justification here", j)
		}
	}
}

func TestIsOpenVEX(t *testing.T) {
	for body, want := range map[string]bool{`{"@context":"x"}`: true, `{"@context":5}`: true, `{"package":"a"}`: false, `[]`: false, `{"@context":null}`: false} {
		if got := suppressfile.IsOpenVEX([]byte(body)); got != want {
			t.Errorf("%s: %v", body, got)
		}
	}
}
