//go:build deployment

package deployment

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// keys are the keys in the key file of `make deploy`.
type keys struct{ API, Read string }

func (s *standIn) keys() keys {
	s.t.Helper()
	path := filepath.Join(s.project, ".ecr-scan-keys", "ecr-continuous-scan.123456789012.us-west-2.json")
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		s.t.Errorf("the key file: %v, %v", info, err)
	}
	var k keys
	if err := json.Unmarshal(text, &k); err != nil || len(k.API) != 52 || len(k.Read) != 52 {
		s.t.Fatalf("the key file is invalid: %v", err)
	}
	return k
}

// checkAccess calls the API with each key and without a key. ECRSCANAPI_URL contains the full key, PLAIN contains
// no key.
func (s *standIn) checkAccess(k keys) {
	t := s.t
	t.Helper()
	s.setenv("FULL", k.API)
	s.setenv("READ", k.Read)
	s.setenv("ID", strings.TrimSpace(s.shell(`curl -s $ECRSCANAPI_URL/configs | jq -r '.[] | select(.repository=="test/centos").id'`)))
	s.setenv("REFUSAL", strings.TrimSuffix(s.shell("curl -s $PLAIN/summary"), "\n"))
	want(t, s.shell("echo $REFUSAL"), `"status": 401`, `"title": "Unauthorized"`)

	// Every route and method: without a key, with a wrong key, and with the full key in the URL, where it is not
	// accepted.
	unexpected := s.shell(`
		for path in /configs /configs/ /configs/$ID /summary /gate/$ID /badge/$ID.svg /findings/$ID; do
			for method in GET POST PUT PATCH DELETE OPTIONS; do
				for how in $PLAIN$path "$PLAIN$path?key=wrong" "$PLAIN$path?key=$FULL" "-u ecr:wrong $PLAIN$path" "--oauth2-bearer $READ-not $PLAIN$path"; do
					got=$(curl -s -w '%{http_code} %{content_type}' --request $method $how)
					[ "$got" = "$REFUSAL"$'\n401 application/problem+json' ] || echo "$method $path: $got"
				done
			done
		done`)
	if unexpected != "" {
		t.Errorf("not refused, or with another text:\n%s", unexpected)
	}

	_, own, _ := strings.Cut(strings.TrimSpace(s.shell("make -s url CONFIG=$ID")), "/Prod/findings/"+s.shell("printf $ID")+"?key=")
	s.setenv("OWN", own)
	for _, key := range []string{"$READ", "$OWN"} {
		want(t, s.shell("curl -s $PLAIN/findings/$ID?key="+key), "<title>ECR repository test/centos in us-west-2</title>", "/Prod/findings/"+s.shell("printf $ID")+"?key="+own+`" rel="self"`)
	}
	for _, path := range []string{"/summary", "/configs", "/configs/$ID", "/findings/all", "/findings", "/changes"} {
		want(t, s.shell("curl -s $PLAIN"+path+"?key=$OWN"), `"status": 401`, "The key of a config opens only")
	}
	want(t, s.shell("curl -s -u reader:$READ $PLAIN/summary"), "Results for test/centos:7")
	want(t, s.shell("curl -s --oauth2-bearer $FULL $PLAIN/summary"), "Results for test/centos:7")
	for _, line := range []string{
		"curl -s --request DELETE $PLAIN/configs/$ID?key=$READ",
		"curl -s --json @scan-config-centos.json $PLAIN/configs?key=$READ",
		"curl -s -u ecr:$READ --request DELETE $PLAIN/configs/$ID",
	} {
		want(t, s.shell(line), `"status": 403`, "The read key may only read")
	}
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs/$ID"), `"repository": "test/centos"`)
}

// rotateKeys replaces both keys, checks that the old ones no longer work, and returns the new ones.
func (s *standIn) rotateKeys(old keys) keys {
	t := s.t
	t.Helper()
	want(t, s.shell("make rotate-key"), "Created new keys", "The old full key no longer works")
	middle := s.keys()
	if middle.API == old.API || middle.Read != old.Read {
		t.Error("make rotate-key must change only the full key")
	}
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs"), `"status": 401`)
	s.useAPI(middle.API)
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs"), `"repository": "test/centos"`)
	want(t, s.shell("curl -s -u ecr:$READ $PLAIN/configs"), `"repository": "test/centos"`)

	want(t, s.shell("make rotate-key KEY=read"), "Created new keys", "The old read key no longer works", "/Prod/findings/<scan id>?key=<read key>")
	last := s.keys()
	if last.API != middle.API || last.Read == middle.Read {
		t.Error("make rotate-key KEY=read must change only the read key")
	}
	want(t, s.shell("curl -s -u ecr:$READ $PLAIN/configs"), `"status": 401`)
	want(t, s.shell("curl -s $PLAIN/findings/$ID?key=$OWN"), `"status": 401`)
	s.setenv("READ", last.Read)
	want(t, s.shell("curl -s -u ecr:$READ $PLAIN/configs"), `"repository": "test/centos"`)
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs"), `"repository": "test/centos"`)
	return last
}

// checkOrigins sends requests like scripts of web pages. The stack allows the origin https://example.org.
func (s *standIn) checkOrigins() {
	t := s.t
	t.Helper()
	const preflight = "curl -s -i --request OPTIONS --header 'Access-Control-Request-Method: POST' --header 'Access-Control-Request-Headers: authorization' "
	want(t, s.shell(preflight+"--header 'Origin: https://example.org' $PLAIN/configs"),
		" 204 No Content", "Access-Control-Allow-Origin: https://example.org", "Access-Control-Allow-Headers: Authorization")
	want(t, s.shell("curl -s -i --header 'Origin: https://example.org' $ECRSCANAPI_URL/configs"), " 200 OK", "Access-Control-Allow-Origin: https://example.org")
	for _, line := range []string{preflight + "--header 'Origin: https://example.com' $PLAIN/configs", "curl -s -i --header 'Origin: https://example.com' $ECRSCANAPI_URL/configs"} {
		if out := s.shell(line); strings.Contains(out, "Access-Control-Allow") {
			t.Errorf("another origin is allowed:\n%s", out)
		}
	}
}

// checkLeaks searches for keys in all output (which must include that of `make logs`), in the stand-in's log, in
// files and in the command lines of the AWS CLI. where lists, for each key, the commands that may print it, by the
// beginnings of their lines.
func (s *standIn) checkLeaks(where map[string][]string) {
	t := s.t
	t.Helper()
	standIn, err := os.ReadFile(s.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	calls, err := os.ReadFile(s.calls)
	if err != nil || !strings.Contains(string(calls), "cloudformation deploy") {
		t.Fatalf("the calls of the AWS CLI: %v", err)
	}
	for key, lines := range where {
		for _, line := range lines { // without these commands, the search proves little
			if !slices.ContainsFunc(s.commands, func(c command) bool { return strings.HasPrefix(c.line, line) }) {
				t.Errorf("the test did not run %s", line)
			}
		}
		for _, form := range []string{key, url.QueryEscape(key), url.UserPassword("ecr", key).String(), base64.StdEncoding.EncodeToString([]byte("ecr:" + key))} {
			s.search(form, string(calls), string(standIn), lines)
		}
	}
}

func (s *standIn) search(form, calls, standIn string, lines []string) {
	t := s.t
	t.Helper()
	if strings.Contains(calls, form) {
		t.Error("a key is on a command line of the AWS CLI")
	}
	for line := range strings.Lines(standIn) {
		if strings.Contains(line, form) && !strings.Contains(line, "?key=") { // the stand-in logs the URLs of requests, API Gateway does not
			t.Errorf("a key is in the stand-in's log: %s", line)
		}
	}
	for _, c := range s.commands {
		expected := slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(c.line, line) })
		if strings.Contains(c.output, form) && !expected {
			t.Errorf("a key is printed by %s", c.line)
		}
	}
	if out, code, errs := s.try("grep -rlF --exclude-dir=.ecr-scan-keys -e '" + form + "' ."); code != 1 {
		t.Errorf("a key is in the files %s%s", out, errs)
	}
}
