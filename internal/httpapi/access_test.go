package httpapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/awslocal/samples"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/test/awstest"
)

const (
	fullKey = "full-Zm9vYmFy+/=&%23"
	readKey = "read key with spaces & ünicode"
)

func hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func TestParseAccess(t *testing.T) {
	for name, test := range map[string]struct {
		full, read string
		wantError  string // "" for none
	}{
		"both":              {hash(fullKey), hash(readKey), ""},
		"upper case":        {strings.ToUpper(hash(fullKey)), "", ""},
		"no keys":           {"none", "", ""},
		"missing":           {"", "", "is missing"},
		"full hash missing": {"", hash(readKey), "is missing"},
		"a key, not a hash": {fullKey, "", "is not 64"},
		"short":             {hash(fullKey)[:62], "", "is not 64"},
		"read malformed":    {hash(fullKey), "none", "read key is not 64"},
	} {
		_, err := httpapi.ParseAccess(test.full, test.read)
		if (err == nil) != (test.wantError == "") || err != nil && !strings.Contains(err.Error(), test.wantError) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && test.full != "" && strings.Contains(err.Error(), test.full) {
			t.Errorf("%s: the error contains the value, which may be a key: %v", name, err)
		}
	}
}

// withAccess returns the API with the given hashes of keys, its log, and the id of a config.
func withAccess(t *testing.T, full, read string) (h http.Handler, logged *bytes.Buffer, id string) {
	t.Helper()
	a := awstest.Start(t, ecr.Options{})
	if err := samples.PutWalkthrough(a.ECR); err != nil {
		t.Fatal(err)
	}
	logged = &bytes.Buffer{}
	log := slog.New(slog.NewJSONHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	access, _ := httpapi.ParseAccess(full, read) // on an error it denies every request, which some tests check
	api := a.Service(log).API(base)
	got := call(handler(t, api), "POST", "/configs", "application/json", valid)
	id = strings.TrimPrefix(got.header.Get("Location"), base+"/configs/")
	api.Access = access
	return handler(t, api), logged, id
}

func basic(user, password string) []string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return []string{"Authorization", r.Header.Get("Authorization")}
}

func inURL(path, key string) string {
	separator := "?key="
	if strings.Contains(path, "?") {
		separator = "&key="
	}
	return path + separator + strings.NewReplacer("+", "%2B", "=", "%3D", "&", "%26", "%", "%25", " ", "+").Replace(key)
}

// The test sends every kind of credential to every route with every method.
func TestAccess(t *testing.T) {
	h, logged, id := withAccess(t, hash(fullKey), hash(readKey))
	type credential struct {
		header      []string
		urlKey      string
		read, write int // the expected status of an error; 0 if the request is allowed
	}
	credentials := map[string]credential{
		"none":                   {nil, "", 401, 401},
		"full, Basic":            {basic("ecr", fullKey), "", 0, 0},
		"full, any user":         {basic("", fullKey), "", 0, 0},
		"full, Bearer":           {[]string{"Authorization", "bearer  " + fullKey}, "", 0, 0},
		"full, in the URL":       {nil, fullKey, 401, 401},
		"full, as the user name": {basic(fullKey, ""), "", 401, 401},
		"full, as a bare header": {[]string{"Authorization", fullKey}, "", 401, 401},
		"full, in X-Api-Key":     {[]string{"X-Api-Key", fullKey}, "", 401, 401},
		"full, as a cookie":      {[]string{"Cookie", "key=" + fullKey}, "", 401, 401},
		"read, Basic":            {basic("ecr", readKey), "", 0, 403},
		"read, Bearer":           {[]string{"Authorization", "Bearer " + readKey}, "", 0, 403},
		"read, in the URL":       {nil, readKey, 0, 403},
		"wrong":                  {basic("ecr", fullKey+"x"), "", 401, 401},
		"wrong, with a good URL": {basic("ecr", "x"), readKey, 401, 401},
		"the hash as the key":    {basic("ecr", hash(fullKey)), "", 401, 401},
		"the read hash":          {nil, hash(readKey), 401, 401},
		"broken base64":          {[]string{"Authorization", "Basic %%%"}, "", 401, 401},
		"huge":                   {basic("ecr", strings.Repeat("x", 100<<10)), "", 401, 401},
		"empty password":         {basic("ecr", ""), "", 401, 401},
		"empty bearer":           {[]string{"Authorization", "Bearer "}, "", 401, 401},
		"odd bytes":              {[]string{"Authorization", "Basic \x00\xff"}, "", 401, 401},
	}
	var refusal string
	for _, path := range []string{"/configs", "/configs/", "/configs/" + id, "/summary", "/gate/" + id + "?max=LOW", "/badge/" + id + ".svg", "/findings", "/findings/all", "/findings/" + id, "/nothing", "/"} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "BREW"} {
			if method == "DELETE" && path == "/configs/"+id {
				continue // it would delete the config that the other requests need
			}
			for name, c := range credentials {
				target := path
				if c.urlKey != "" {
					target = inURL(path, c.urlKey)
				}
				got := call(h, method, target, "", "", c.header...)
				want := c.write
				if method == "GET" || method == "HEAD" || method == "OPTIONS" {
					want = c.read
				}
				switch {
				case want == 0 && (got.status == 401 || got.status == 403):
					t.Errorf("%s %s, %s: refused with %d", method, path, name, got.status)
				case want != 0 && got.status != want:
					t.Errorf("%s %s, %s: %d, want %d", method, path, name, got.status, want)
				case want == 401 && refusal == "":
					refusal = got.body
				case want == 401 && got.body != refusal:
					t.Errorf("%s %s, %s: the body differs from other bodies with 401: %s", method, path, name, got.body)
				}
				if strings.Contains(got.body, fullKey) || strings.Contains(got.body, hash(fullKey)) || name != "read, in the URL" && strings.Contains(got.body, readKey) {
					t.Errorf("%s %s, %s: the response contains a key", method, path, name)
				}
			}
		}
	}
	for what, secret := range map[string]string{"full key": fullKey, "read key": readKey, "hash": hash(fullKey), "read key, escaped": "read+key"} {
		if strings.Contains(logged.String(), secret) {
			t.Errorf("the log contains the %s", what)
		}
	}
}

// With public badges, only badges need no key. No notation of a path gives access to anything else.
func TestPublicBadges(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	if err := samples.PutWalkthrough(a.ECR); err != nil {
		t.Fatal(err)
	}
	api := a.Service(awstest.Silent()).API(base)
	id := add(t, handler(t, api), "test/ubuntu")
	badge := "/badge/" + id + ".svg"
	if got := call(handler(t, api), "GET", badge, "", ""); got.status != 200 || got.header.Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("an open API: %d %v", got.status, got.header)
	}
	closed, err := httpapi.ParseAccess(hash(fullKey), hash(readKey))
	if err != nil {
		t.Fatal(err)
	}
	api.Access = closed
	h := handler(t, api)
	checkProblem(t, call(h, "GET", badge, "", ""), 401)
	if got := call(h, "GET", inURL(badge, readKey), "", ""); got.status != 200 || got.header.Get("Cache-Control") != "private, max-age=300" || strings.Contains(got.body, "key") {
		t.Errorf("with the read key: %+v", got)
	}

	api.Access = closed.WithPublicBadges()
	h = handler(t, api)
	for _, target := range []string{badge, badge + "/", badge + "?tag=latest", badge + "?key=neither"} {
		for _, method := range []string{"GET", "HEAD"} {
			got := call(h, method, target, "", "")
			if got.status != 200 || got.header.Get("Cache-Control") != "public, max-age=300" || got.header.Get("ETag") == "" {
				t.Errorf("%s %s: %+v", method, target, got)
			}
			for _, secret := range []string{id, "123456789012", "test/ubuntu", "key"} {
				if strings.Contains(got.body, secret) {
					t.Errorf("%s %s: %s is in %s", method, target, secret, got.body)
				}
			}
		}
	}
	checkProblem(t, call(h, "GET", "/badge/"+exampleID+".svg", "", ""), 404)
	checkProblem(t, call(h, "GET", "/badge/nothing.svg", "", ""), 404)
	for _, method := range []string{"OPTIONS", "POST", "PUT", "DELETE", "PATCH", "BREW", "get"} {
		checkProblem(t, call(h, method, badge, "", ""), 401)
	}
	for _, target := range []string{
		"/", "/badge", "/badge/", "/badge/" + id, "/badge/" + id + ".svg/x", "/badge//" + id + ".svg", "//badge/" + id + ".svg", badge + "//", "/Badge/" + id + ".svg",
		"/badge/../configs", "/badge/../configs.svg", "/badge/x/../../summary.svg", "/badge/./" + id + ".svg", "/badge/%2e%2e/summary", "/badge/%2e%2e%2fsummary.svg", "/badge/..%2Fsummary.svg",
		"/badge%2F" + id + ".svg", "/badge/" + id + "%2Esvg", "/badge/" + id + ".svg%2F", "/badge/" + id + ".svg%00", "/badge/" + id + ".svg%2F..%2F..%2Fconfigs", "/badge/" + id + ".svg;x",
		"/badge/" + id + ".svg\n", "/configs/badge/x.svg", "/findings/" + id + ".svg", "/configs?/badge/" + id + ".svg", "/summary?x=/badge/x.svg", "/gate/" + id + "?max=LOW", "/findings/" + id, "/configs/" + id,
	} {
		for _, method := range []string{"GET", "HEAD"} {
			if got := call(h, method, target, "", ""); got.status != 401 {
				t.Errorf("%s %q: %d %s", method, target, got.status, got.body)
			}
		}
	}
}

func TestDeleteNeedsTheFullKey(t *testing.T) {
	h, _, id := withAccess(t, hash(fullKey), hash(readKey))
	checkProblem(t, call(h, "DELETE", inURL("/configs/"+id, readKey), "", ""), 403)
	checkProblem(t, call(h, "PUT", inURL("/configs/"+id, readKey), "application/json", valid), 403)
	if got := call(h, "DELETE", "/configs/"+id, "", "", basic("ecr", fullKey)...); got.status != 204 {
		t.Errorf("with the full key: %d", got.status)
	}
}

// If a hash is missing or malformed, every request is denied.
func TestEveryRequestIsDeniedWithoutValidHashes(t *testing.T) {
	for _, hashes := range [][2]string{{"", ""}, {"", hash(readKey)}, {"NONE", ""}, {hash(fullKey), "x"}} {
		h, _, _ := withAccess(t, hashes[0], hashes[1])
		for _, header := range [][]string{nil, basic("ecr", fullKey), basic("ecr", readKey), basic("ecr", "none"), basic("ecr", "")} {
			checkProblem(t, call(h, "GET", "/configs", "", "", header...), 401)
		}
		checkProblem(t, call(h, "GET", inURL("/configs", readKey), "", ""), 401)
	}
	h, _, _ := withAccess(t, hash(fullKey), "") // no read key
	checkProblem(t, call(h, "GET", "/configs?key=", "", ""), 401)
	h, _, _ = withAccess(t, "none", "")
	if got := call(h, "GET", "/configs", "", ""); got.status != 200 {
		t.Errorf("without keys: %d", got.status)
	}
}

// Links contain the read key only if the URL of the request contains it.
func TestLinksCarryTheReadKey(t *testing.T) {
	h, _, id := withAccess(t, hash(fullKey), hash(readKey))
	with := call(h, "GET", inURL("/findings/all", readKey), "", "")
	self := `<link href="` + base + `/findings/all?key=read+key+with+spaces+%26+%C3%BCnicode" rel="self"`
	if !strings.Contains(with.body, self) {
		t.Errorf("no %s in %.1500s", self, with.body)
	}
	without := call(h, "GET", "/findings/all", "", "", basic("ecr", readKey)...)
	if !strings.Contains(without.body, `<link href="`+base+`/findings/all" rel="self"`) || strings.Contains(without.body, "key=") {
		t.Errorf("the key is not in the URL: %.1500s", without.body)
	}
	for _, path := range []string{"/findings/" + id, "/findings/all", "/summary"} {
		for _, key := range []string{fullKey, "neither"} {
			if got := call(h, "GET", inURL(path, key), "", "", basic("ecr", fullKey)...); got.status != 200 || strings.Contains(got.body, "key=") {
				t.Errorf("%s with an ignored key in the URL: %d %.1500s", path, got.status, got.body)
			}
		}
	}
	if with.body == without.body || strings.ReplaceAll(with.body, "?key=read+key+with+spaces+%26+%C3%BCnicode", "") != without.body {
		t.Error("the key changes more than the links")
	}
}

func TestAllowedOrigin(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	access, err := httpapi.ParseAccess(hash(fullKey), "")
	if err != nil {
		t.Fatal(err)
	}
	api := a.Service(awstest.Silent()).API(base)
	api.Access = access
	send := func(origin, method string, header ...string) response {
		if origin != "" {
			header = append(header, "Origin", origin)
		}
		return call(handler(t, api), method, "/configs", "", "", header...)
	}
	const requestMethod = "Access-Control-Request-Method"
	if got := send("https://a.example", "OPTIONS", requestMethod, "POST"); got.status != 401 || got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("without an allowed origin: %+v", got)
	}
	api.Origin = "https://a.example"
	got := send("https://a.example", "OPTIONS", requestMethod, "POST")
	if got.status != 204 || got.header.Get("Access-Control-Allow-Origin") != api.Origin || !strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "Authorization") ||
		!strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "If-Match") || !strings.Contains(got.header.Get("Access-Control-Allow-Methods"), "PUT") {
		t.Errorf("preflight: %+v", got)
	}
	got = send("https://a.example", "GET", basic("", fullKey)...)
	if got.status != 200 || got.header.Get("Access-Control-Allow-Origin") != api.Origin || got.header.Get("Vary") != "Origin" {
		t.Errorf("call: %+v", got)
	}
	if got := send("https://a.example", "GET"); got.status != 401 || got.header.Get("Access-Control-Allow-Origin") != api.Origin {
		t.Errorf("without a key: %+v", got)
	}
	for _, origin := range []string{"", "https://b.example", "null", "https://a.example.evil"} {
		if got := send(origin, "OPTIONS", requestMethod, "POST"); got.status != 401 || got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("origin %q: %+v", origin, got)
		}
	}
}
