package httpapi_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"html"
	"regexp"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/awslocal/samples"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// keyOf returns the key of a config, as docs/security.md defines it.
func keyOf(id, read string) string {
	sum := sha256.Sum256([]byte(read))
	mac := hmac.New(sha256.New, sum[:])
	mac.Write([]byte(id))
	return hex.EncodeToString(mac.Sum(nil))
}

// OpenSSL computed the expected key. The deploy program makes the same key: its test has the same values.
func TestKeyOfAConfig(t *testing.T) {
	const id, read, key = "01a22442-e3bd-7c4d-9eae-d6ae7207a502", "the-read-key-of-a-test", "2dbba29937f0c63922b26dcb98f3de868b0c0e04e4175c4ddaaa340523a99dac"
	if got := keyOf(id, read); got != key {
		t.Errorf("the tests expect the key %s, want %s", got, key)
	}
	api, _, _ := withTwoConfigs(t)
	api.Access = access(t, read)
	checkProblem(t, call(handler(t, api), "GET", inURL("/findings/"+id, key), "", ""), 404) // the config does not exist, but the key is right
}

// withTwoConfigs returns an API with keys, and the ids of its two configs.
func withTwoConfigs(t *testing.T) (api *httpapi.API, a, b string) {
	t.Helper()
	stack := awstest.Start(t, ecr.Options{})
	if err := samples.PutWalkthrough(stack.ECR); err != nil {
		t.Fatal(err)
	}
	api = stack.Service(awstest.Silent()).API(base)
	a, b = add(t, handler(t, api), "test/ubuntu"), add(t, handler(t, api), "test/centos")
	api.Access = access(t, readKey)
	return api, a, b
}

func access(t *testing.T, read string) httpapi.Access {
	t.Helper()
	access, err := httpapi.ParseAccess(hash(fullKey), hash(read))
	if err != nil {
		t.Fatal(err)
	}
	return access
}

func pathsOf(id string) []string {
	return []string{
		"/findings/" + id, "/findings/" + id + "/", "/findings/" + id + "?format=html", "/findings/" + id + "?format=csv", "/findings/" + id + "?format=sarif",
		"/findings/" + id + "?format=json", "/findings/" + id + "/changes", "/findings/" + id + "/changes?format=html", "/gate/" + id + "?max=CRITICAL", "/badge/" + id + ".svg",
	}
}

// A leaked key of a config opens its pages, feeds, data, gate and badge, and nothing else.
func TestAConfigsKeyOpensThatConfigAlone(t *testing.T) {
	api, a, b := withTwoConfigs(t)
	h := handler(t, api)
	key := keyOf(a, readKey)
	for _, path := range pathsOf(a) {
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			if got := call(h, method, inURL(path, key), "", ""); got.status == 401 || got.status == 403 || got.status >= 404 && got.status != 409 {
				t.Errorf("%s %s with the config's key: %d %s", method, path, got.status, got.body)
			}
		}
		for _, header := range [][]string{basic("ecr", key), {"Authorization", "Bearer " + key}} {
			if got := call(h, "GET", path, "", "", header...); got.status == 401 || got.status == 403 {
				t.Errorf("%s with the config's key in a header: %d", path, got.status)
			}
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "BREW"} {
			got := call(h, method, inURL(path, key), "application/json", valid)
			checkProblem(t, got, 403)
			if !strings.Contains(got.body, "may only read") {
				t.Errorf("%s %s: no hint in %s", method, path, got.body)
			}
		}
		for _, wrong := range []string{strings.ToUpper(key), key[:63], key + "0", "", keyOf(a, "another read key"), keyOf(a, hash(readKey)), hash(readKey), a} {
			checkProblem(t, call(h, "GET", inURL(path, wrong), "", ""), 401)
		}
	}
	others := append(pathsOf(b),
		"/", "/summary", "/summary?repository=test/ubuntu", "/changes", "/findings", "/findings/", "/findings/all", "/findings/all?format=html", "/configs", "/configs/"+a, "/configs/"+b,
		"/nothing", "/findings/"+a+"/../all", "/findings/"+a+"/../"+b, "/findings/./"+a, "//findings/"+a, "/findings//"+a, "/findings/"+a+"%2Fchanges", "/findings/"+a+"%2F..%2Fall",
		"/findings/"+strings.ToUpper(a), "/findings/%30"+a[1:], "/findings%2F"+a, "/Findings/"+a, "/badge/"+a, "/badge/"+a+"%2Esvg", "/badge/"+a+".svg/x", "/gate/"+a+".svg", "/gate/"+a+"%00",
		"/configs/findings/"+a, "/summary/findings/"+a, "/findings/"+a+"/changes/x", "/findings/"+a+"/%2e%2e",
	)
	for _, path := range others {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "DELETE"} {
			got := call(h, method, inURL(path, key), "", "")
			if got.status != 401 {
				t.Errorf("%s %s with the key of another config: %d %.200s", method, path, got.status, got.body)
			}
			if method == "GET" && !strings.Contains(got.body, "key of a config opens only") {
				t.Errorf("%s: no hint in %s", path, got.body)
			}
		}
	}
	checkProblem(t, call(h, "GET", inURL("/findings/all", keyOf("all", readKey)), "", ""), 401)
	missing := "ffffffff-ffff-7fff-bfff-ffffffffffff"
	checkProblem(t, call(h, "GET", inURL("/findings/"+missing, keyOf(missing, readKey)), "", ""), 404)
}

// Configs have keys only if there is a read key, and another read key makes other keys.
func TestAnotherReadKeyRevokesTheKeysOfConfigs(t *testing.T) {
	api, a, _ := withTwoConfigs(t)
	path := "/findings/" + a
	api.Access = access(t, "the next read key")
	h := handler(t, api)
	checkProblem(t, call(h, "GET", inURL(path, keyOf(a, readKey)), "", ""), 401)
	if got := call(h, "GET", inURL(path, keyOf(a, "the next read key")), "", ""); got.status != 200 {
		t.Errorf("the key of the next read key: %d", got.status)
	}
	onlyFull, err := httpapi.ParseAccess(hash(fullKey), "")
	if err != nil {
		t.Fatal(err)
	}
	api.Access = onlyFull
	h = handler(t, api)
	for _, key := range []string{keyOf(a, readKey), keyOf(a, ""), keyOf(a, fullKey), hex.EncodeToString(hmacOf(a, nil))} {
		checkProblem(t, call(h, "GET", inURL(path, key), "", ""), 401)
	}
	if got := call(h, "GET", "/findings", "", "", basic("ecr", fullKey)...); got.status != 200 || strings.Contains(got.body, "key=") {
		t.Errorf("the list of feeds of an API without a read key: %d %s", got.status, got.body)
	}
}

func hmacOf(id string, secret []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id))
	return mac.Sum(nil)
}

var link = regexp.MustCompile(`https://[^"<> ,]+`)

// linksIn returns the links to the API in a body, with the key of each.
func linksIn(t *testing.T, body string) map[string]string {
	t.Helper()
	keys := map[string]string{}
	for _, url := range link.FindAllString(html.UnescapeString(strings.NewReplacer(`action="https:`, "", `\u0026`, "&").Replace(body)), -1) {
		path, ok := strings.CutPrefix(url, base)
		if !ok {
			continue
		}
		rest, key, _ := strings.Cut(path, "key=")
		key, after, _ := strings.Cut(key, "&")
		if after != "" {
			after = "&" + after
		}
		keys[strings.TrimRight(rest, "?&")+after] = key
	}
	if len(keys) == 0 {
		t.Fatalf("no links in %.500s", body)
	}
	return keys
}

// What a reader subscribes to has the key of its config. A link from page to page has the key with which the page was opened.
func TestFeedsCarryTheKeyOfTheirConfig(t *testing.T) {
	api, a, b := withTwoConfigs(t)
	h := handler(t, api)
	const read = "read+key+with+spaces+%26+%C3%BCnicode"
	ofA, ofB := keyOf(a, readKey), keyOf(b, readKey)
	get := func(path, key string, header ...string) string {
		t.Helper()
		if key != "" {
			path = inURL(path, key)
		}
		got := call(h, "GET", path, "", "", header...)
		if got.status != 200 {
			t.Fatalf("%s: %d %s", path, got.status, got.body)
		}
		return got.body
	}
	check := func(name, body string, want func(path string) string) {
		t.Helper()
		for path, key := range linksIn(t, body) {
			if key != want(path) {
				t.Errorf("%s: the link to %s has the key %.12q, want %.12q", name, path, key, want(path))
			}
		}
	}
	byPath := func(path string) string { // of documents that all configs share
		switch isPage := strings.Contains(path, "format=html"); {
		case strings.HasPrefix(path, "/findings/"+a) && !isPage:
			return ofA
		case strings.HasPrefix(path, "/findings/"+b) && !isPage:
			return ofB
		}
		return read
	}
	for _, path := range []string{"/findings/" + a, "/findings/" + a + "?format=json", "/findings/" + a + "/changes", "/findings/" + a + "/changes?format=json"} {
		body := get(path, readKey)
		check(path+" with the read key", body, func(string) string { return ofA })
		if other := get(path, ofA); body != other {
			t.Errorf("%s: the feed is different with the config's key", path)
		}
		if strings.Contains(body, base+"/summary") {
			t.Errorf("%s: the feed links to the summary, which its key does not open", path)
		}
	}
	for _, path := range []string{"/findings/all", "/changes", "/findings", "/summary?format=json", "/summary?format=csv", "/summary?format=html", "/findings/all?format=html", "/findings/" + a + "?format=html", "/findings/" + a + "/changes?format=html"} {
		check(path+" with the read key", get(path, readKey), byPath)
	}
	for _, path := range []string{"/findings/" + a + "?format=html", "/findings/" + a + "/changes?format=html"} {
		check(path+" with the config's key", get(path, ofA), func(path string) string {
			if !strings.HasPrefix(path, "/findings/"+a) {
				return "no link to " + path
			}
			return ofA
		})
	}
	if body := get("/findings", "", basic("ecr", fullKey)...); !strings.Contains(body, ofA) || !strings.Contains(body, ofB) || strings.Contains(body, "all?key") {
		t.Errorf("the list of feeds, with the full key in a header: %s", body)
	}
	for _, path := range []string{"/findings/" + a, "/summary?format=json", "/findings/" + a + "?format=html"} {
		if body := get(path, "", basic("ecr", fullKey)...); strings.Contains(body, "key=") {
			t.Errorf("%s with a key in a header has a key in a link", path)
		}
	}
}

// Neither the log nor an error has the key.
func TestNothingLogsTheKeyOfAConfig(t *testing.T) {
	h, logged, id := withAccess(t, hash(fullKey), hash(readKey))
	key := keyOf(id, readKey)
	for _, path := range append(pathsOf(id), "/summary", "/findings/all", "/configs") {
		for method, body := range map[string]string{"GET": "", "POST": "{"} {
			got := call(h, method, inURL(path, key), "application/json", body)
			var problem struct{ Detail string }
			if got.status >= 400 && json.Unmarshal([]byte(got.body), &problem) == nil && strings.Contains(got.body, key) {
				t.Errorf("%s %s: the problem has the key: %s", method, path, got.body)
			}
		}
	}
	if strings.Contains(logged.String(), key) {
		t.Error("the log has the key of a config")
	}
}

// An API without keys ignores the key of a URL, so a URL of a deployed API also works there.
func TestAnOpenAPIIgnoresTheKeyOfAConfig(t *testing.T) {
	api, a, _ := withTwoConfigs(t)
	api.Access = httpapi.OpenAccess()
	key := keyOf(a, readKey)
	for _, path := range append(pathsOf(a), "/summary", "/configs") {
		if got := call(handler(t, api), "GET", inURL(path, key), "", ""); got.status != 200 && got.status != 409 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

// Only a scan ID has a key.
func TestAllIsNoScanID(t *testing.T) {
	if scan.ValidID("all") {
		t.Error("a config could have the id all, whose key would open the findings of all configs")
	}
}
