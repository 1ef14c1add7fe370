package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/render/feed"
	"ecr-continuous-scan/internal/report"
)

// FuzzKnownTags checks that an ETag is read as it was written, and that any header of a client is.
func FuzzKnownTags(f *testing.F) {
	f.Add(`"a.b.c.d", W/"e.f.0.zz"`, "body", int64(0), int64(1)<<40)
	f.Add(`*, "", "....", """, W/W/"`, "", int64(-1), int64(1764403200))
	f.Fuzz(func(t *testing.T, header, body string, from, until int64) {
		a, links := &API{}, feed.Links{Self: "https://a.example/", Vulnerability: func(string) string { return "" }}
		l := report.Listing{Basis: &report.Basis{Hash: "hash"}, Span: report.Span{From: history.Stamp(from), Until: history.Stamp(until)}}
		r := httptest.NewRequest("GET", "/findings/all", nil)
		tag := a.knownTags(r, offer{}, links).tag([]byte(body), l)
		known, ok := parseTag(tag)
		if !ok || known.span != l.Span || known.tag != tag || known.body != hashOf([]byte(body)) {
			t.Errorf("%s: %+v", tag, known)
		}
		r.Header["If-None-Match"] = []string{header, "W/" + tag}
		given := a.knownTags(r, offer{}, links).given
		if len(given) == 0 || given[len(given)-1] != known {
			t.Errorf("%q, %s: %+v", header, tag, given)
		}
		for _, one := range given {
			if strings.ContainsAny(one.tag, "\r\n,") {
				t.Errorf("%q", one.tag)
			}
		}
	})
}
