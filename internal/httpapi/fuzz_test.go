package httpapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/feedrules"
)

// oneConfig is a store with one config and no record. It is also a registry, in which the repository has two images with the same
// findings.
type oneConfig struct {
	refresh.Registry
	config scan.Config
	tag    string
	result scan.Result
}

func (oneConfig) LastDeleted(context.Context) (time.Time, error) { return time.Time{}, nil }

func (o oneConfig) Get(context.Context, string) (scan.Config, error) { return o.config, nil }
func (o oneConfig) List(context.Context) ([]scan.Config, error)      { return []scan.Config{o.config}, nil }
func (o oneConfig) Images(_ context.Context, repo scan.Repository, _ scan.Wanted) (scan.Listing, error) {
	return scan.Listing{Images: []scan.Image{{Repository: repo, Tag: o.tag, Digest: "1"}, {Repository: repo, Tag: o.tag + "2", Digest: "2"}}}, nil
}
func (o oneConfig) Findings(context.Context, scan.Repository, string) (scan.Result, error) {
	return o.result, nil
}

// Load returns an empty record, as before the first visit.
func (o oneConfig) Load(context.Context, scan.Repository) (history.Record, error) {
	return history.Record{}, nil
}
func (oneConfig) RepositoriesIn(context.Context, scan.Registry, string) ([]scan.Repository, error) {
	return nil, nil
}
func (oneConfig) Patterns(context.Context) (history.Patterns, error) { return history.Patterns{}, nil }
func (o oneConfig) Histories(_ context.Context, _ scan.Repository, names []string, use func(int, history.History, error)) {
	for i := range names {
		use(i, history.History{}, &scan.Error{Code: scan.NotFound, Message: "no such history"})
	}
}

// For any query and any texts of a scanner, the response is a valid feed or a problem document that names what is wrong.
func FuzzFeedOfQuery(f *testing.F) {
	f.Add("severity=HIGH&tag=16.04&by=vulnerability&page=1", "*/*", "CVE-2016-1585", "apparmor", "MEDIUM", "text", "16.04")
	f.Add("format=json&cve=cve-1&package=a&fixable=true", "", "CVE-1", "a", "HIGH", "<script>alert(1)</script>\x1b[31m\u202e", "\xff<")
	f.Add("page=2&key=%00&tag=<a>", "application/feed+json;q=0.3, text/xml;q=0.2", "]]>", "\u2028", "\x00", "&#0;\ufffe", "")
	f.Add("format=csv&by=vulnerability", "", "=1+1", ";@x", "-1", "+2;\t=3", "@a")
	f.Add("format=sarif", "", "{0}", "[a](http://b)", "HIGH", "]( \\ {1}", "../..:a?b#c")
	f.Add("a=1;b", "application/json", "", "", "", strings.Repeat("x ", 50), "a b")
	f.Fuzz(func(t *testing.T, query, accept, name, pkg, severity, text, tag string) {
		finding := scan.Finding{Name: name, Package: pkg, Severity: scan.ParseSeverity(severity), Description: text, Score: text, FixedIn: []string{text}}
		other := finding
		other.Package = "2" + pkg // SARIF cuts a long name at its end
		o := oneConfig{
			config: scan.Config{ID: exampleID, Region: "us-west-2", Registry: "123456789012", Repository: "test/ubuntu"}, tag: tag,
			result: scan.Result{State: scan.Completed, CompletedAt: time.Unix(1569929237, 0), Findings: []scan.Finding{finding, other}},
		}
		api := &httpapi.API{
			Reports: &report.Reader{Configs: o, Source: refresh.Source{Registry: o, Records: o, Now: time.Now, Log: awstest.Silent()}},
			BaseURL: func(*http.Request) string { return base }, Access: httpapi.OpenAccess(), Now: time.Now, Log: awstest.Silent(),
		}
		for _, path := range []string{"/findings/" + exampleID, "/findings/all", "/findings"} {
			r := httptest.NewRequest("GET", path, nil)
			r.URL.RawQuery = query
			r.Header.Set("Accept", accept)
			w := httptest.NewRecorder()
			api.Handler(api.Routes()).ServeHTTP(w, r)
			switch contentType := w.Header().Get("Content-Type"); {
			case w.Code == 400 || w.Code == 404:
				pointers := checkProblem(t, response{w.Code, w.Header(), w.Body.String()}, w.Code)
				if w.Code == 400 && len(pointers) == 0 {
					t.Errorf("%s: no error is named in %s", path, w.Body)
				}
			case w.Code != 200:
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			case strings.HasPrefix(contentType, "application/atom+xml"):
				feedrules.Atom(t, w.Body.Bytes())
			case strings.HasPrefix(contentType, "text/x-opml"):
				feedrules.OPML(t, w.Body.Bytes())
			case strings.HasPrefix(contentType, "text/csv"):
				feedrules.CSV(t, w.Body.Bytes())
			case contentType == "application/sarif+json":
				feedrules.SARIFRules(t, w.Body.Bytes())
			default:
				feedrules.JSON(t, w.Body.Bytes())
			}
		}
	})
}
