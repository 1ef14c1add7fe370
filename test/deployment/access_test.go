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

// keys are those that the deploy keeps on the machine.
type keys struct{ API, Read string }

func (s *standIn) keys() keys {
	s.t.Helper()
	path := filepath.Join(s.project, ".ecr-scan-keys", "ecr-continuous-scan.123456789012.us-west-2.json")
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		s.t.Errorf("the keys' file is %v, %v", info, err)
	}
	var k keys
	if err := json.Unmarshal(text, &k); err != nil || len(k.API) != 52 || len(k.Read) != 52 {
		s.t.Fatalf("the keys' file can't be read: %v", err)
	}
	return k
}

// access tries the API with each key and without. ECRSCANAPI_URL has the full key, PLAIN none.
func (s *standIn) access(k keys) {
	t := s.t
	t.Helper()
	s.setenv("FULL", k.API)
	s.setenv("READ", k.Read)
	s.setenv("ID", strings.TrimSpace(s.shell(`curl -s $ECRSCANAPI_URL/configs | jq -r '.[] | select(.repository=="test/centos").id'`)))
	s.setenv("REFUSAL", strings.TrimSuffix(s.shell("curl -s $PLAIN/summary"), "\n"))
	want(t, s.shell("echo $REFUSAL"), `"status": 401`, `"title": "Unauthorized"`)

	// Every route and method: without a key, with a wrong one, with the full key where it doesn't belong.
	odd := s.shell(`
		for path in /configs /configs/ /configs/$ID /summary /gate/$ID /badge/$ID.svg /findings/$ID; do
			for method in GET POST PUT PATCH DELETE OPTIONS; do
				for how in $PLAIN$path "$PLAIN$path?key=wrong" "$PLAIN$path?key=$FULL" "-u ecr:wrong $PLAIN$path" "--oauth2-bearer $READ-not $PLAIN$path"; do
					got=$(curl -s -w '%{http_code} %{content_type}' --request $method $how)
					[ "$got" = "$REFUSAL"$'\n401 application/problem+json' ] || echo "$method $path: $got"
				done
			done
		done`)
	if odd != "" {
		t.Errorf("not refused, or not in the same words:\n%s", odd)
	}

	want(t, s.shell("curl -s $PLAIN/findings/$ID?key=$READ"), "<title>ECR repository test/centos in us-west-2</title>", "/Prod/findings/"+s.shell("printf $ID")+"?key="+k.Read+`" rel="self"`)
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

// rotate makes a new full key and a new read key, and tries the old ones. It returns the new ones.
func (s *standIn) rotate(old keys) keys {
	t := s.t
	t.Helper()
	want(t, s.shell("make rotate-key"), "Made new keys", "The old full key is locked out")
	middle := s.keys()
	if middle.API == old.API || middle.Read != old.Read {
		t.Error("make rotate-key changes the full key and not the read key")
	}
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs"), `"status": 401`)
	s.useAPI(middle.API)
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs"), `"repository": "test/centos"`)
	want(t, s.shell("curl -s -u ecr:$READ $PLAIN/configs"), `"repository": "test/centos"`)

	want(t, s.shell("make rotate-key KEY=read"), "Made new keys", "The old read key is locked out", "/Prod/findings/<scan id>?key=<read key>")
	last := s.keys()
	if last.API != middle.API || last.Read == middle.Read {
		t.Error("make rotate-key KEY=read changes the read key and not the full key")
	}
	want(t, s.shell("curl -s -u ecr:$READ $PLAIN/configs"), `"status": 401`)
	s.setenv("READ", last.Read)
	want(t, s.shell("curl -s -u ecr:$READ $PLAIN/configs"), `"repository": "test/centos"`)
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs"), `"repository": "test/centos"`)
	return last
}

// origins calls as scripts of web pages do. The stack lets in those of https://example.org.
func (s *standIn) origins() {
	t := s.t
	t.Helper()
	const asks = "curl -s -i --request OPTIONS --header 'Access-Control-Request-Method: POST' --header 'Access-Control-Request-Headers: authorization' "
	want(t, s.shell(asks+"--header 'Origin: https://example.org' $PLAIN/configs"),
		" 204 No Content", "Access-Control-Allow-Origin: https://example.org", "Access-Control-Allow-Headers: Authorization")
	want(t, s.shell("curl -s -i --header 'Origin: https://example.org' $ECRSCANAPI_URL/configs"), " 200 OK", "Access-Control-Allow-Origin: https://example.org")
	for _, line := range []string{asks + "--header 'Origin: https://example.com' $PLAIN/configs", "curl -s -i --header 'Origin: https://example.com' $ECRSCANAPI_URL/configs"} {
		if out := s.shell(line); strings.Contains(out, "Access-Control-Allow") {
			t.Errorf("another origin is let in:\n%s", out)
		}
	}
}

// secrets looks for keys in everything that was printed, which `make logs` has to be part of, logged by the stand-in, written to files or
// told to the AWS CLI. where has the keys, each with the lines, or how they begin, by which it is printed.
func (s *standIn) secrets(where map[string][]string) {
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
		for _, line := range lines { // or the search isn't worth much
			if !slices.ContainsFunc(s.said, func(said said) bool { return strings.HasPrefix(said.line, line) }) {
				t.Errorf("nobody typed %s", line)
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
		if strings.Contains(line, form) && !strings.Contains(line, "?key=") { // the stand-in's log of requests, where API Gateway has none
			t.Errorf("a key is in the stand-in's log: %s", line)
		}
	}
	for _, said := range s.said {
		belongs := slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(said.line, line) })
		if strings.Contains(said.printed, form) && !belongs {
			t.Errorf("a key is printed by %s", said.line)
		}
	}
	if out, code, errs := s.try("grep -rlF --exclude-dir=.ecr-scan-keys -e '" + form + "' ."); code != 1 {
		t.Errorf("a key is in the files %s%s", out, errs)
	}
}
