package httpapi

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// The query parameters of each call, besides the key. A list of feeds hands its parameters on to the feeds.
func feedParameters() []string {
	return []string{"by", "cve", "fixable", "format", "package", "page", "severity", "tag"}
}
func feedListParameters() []string {
	return []string{"by", "cve", "fixable", "package", "severity", "tag"}
}
func summaryParameters() []string { return []string{"severity", "tag"} }

// query is what a request asks for in its URL.
type query struct {
	view   scan.View
	since  time.Time // of a summary; zero when it isn't given
	format string    // of a feed: formatAtom, formatJSON, or empty for what the client likes best
	// values are the parameters in their one form, without the key and the page, so that what means the same is the same URL.
	values url.Values
}

// parseQuery reads the query of a request. Errors: Invalid, naming each parameter that is unknown, wrong or given too often.
func parseQuery(r *http.Request, known []string) (query, error) {
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return query{}, invalidQuery([]scan.FieldError{{Detail: "must be name=value pairs, separated by & and validly escaped"}})
	}
	delete(given, "key")
	p := queryParser{given: given}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(known, name) {
			p.fail(name, "is not a parameter of this call: those are "+strings.Join(known, ", "))
			delete(given, name)
		}
	}
	q := query{view: scan.View{Page: p.page(), ByVulnerability: p.choice("by", "vulnerability") != ""}, format: p.choice("format", formatAtom, formatJSON)}
	q.view.Filter = p.filter()
	if len(p.wrong) > 0 {
		return query{}, invalidQuery(p.wrong)
	}
	q.values = q.canonical()
	return q, nil
}

func invalidQuery(wrong []scan.FieldError) error {
	if len(wrong) > maxErrors {
		wrong = append(wrong[:maxErrors:maxErrors], scan.FieldError{Detail: fmt.Sprintf("has %d more wrong parameters", len(wrong)-maxErrors)})
	}
	return &scan.Error{Code: scan.Invalid, Message: "The query has parameters that are unknown or wrong.", Fields: wrong}
}

// queryParser gathers everything that is wrong with a query.
type queryParser struct {
	given url.Values
	wrong []scan.FieldError
}

func (p *queryParser) fail(name, detail string) {
	p.wrong = append(p.wrong, scan.FieldError{Pointer: pointer(name), Detail: detail})
}

// one is the value of a parameter that may be given once.
func (p *queryParser) one(name string) (string, bool) {
	values := p.given[name]
	if len(values) > 1 {
		p.fail(name, "is given twice")
	}
	return p.given.Get(name), len(values) == 1
}

// choice is the value of a parameter that takes one of a few.
func (p *queryParser) choice(name string, choices ...string) string {
	value, ok := p.one(name)
	if !ok || slices.Contains(choices, value) {
		return value
	}
	p.fail(name, "must be "+strings.Join(choices, " or ")+", or left out")
	return ""
}

func (p *queryParser) page() int {
	value, ok := p.one("page")
	if !ok {
		return 1
	}
	page, err := strconv.Atoi(value)
	if err != nil || page < 1 || page > scan.MaxPages {
		p.fail("page", fmt.Sprintf("must be a number from 1 to %d", scan.MaxPages))
	}
	return page
}

func (p *queryParser) filter() scan.Filter {
	severity, given := p.one("severity")
	draft := scan.Filter{
		Severity: scan.Severity(severity), Tags: p.given["tag"], Packages: p.given["package"], Names: p.given["cve"],
		Fixable: p.choice("fixable", "true") != "",
	}
	if given && severity == "" {
		draft.Severity = "?" // nothing is no severity
	}
	filter, err := scan.NewFilter(draft)
	if e, ok := errors.AsType[*scan.Error](err); ok {
		p.wrong = append(p.wrong, e.Fields...)
	}
	return filter
}

func (q query) canonical() url.Values {
	values := url.Values{}
	set := func(name, value string) {
		if value != "" {
			values.Set(name, value)
		}
	}
	set("format", q.format)
	if q.view.ByVulnerability {
		set("by", "vulnerability")
	}
	f := q.view.Filter
	set("severity", string(f.Severity))
	if f.Fixable {
		set("fixable", "true")
	}
	for name, list := range map[string][]string{"tag": f.Tags, "package": f.Packages, "cve": f.Names} {
		if len(list) > 0 {
			values[name] = list
		}
	}
	return values
}

// page are the values for another page of the same feed.
func (q query) page(n int) url.Values {
	values := maps.Clone(q.values)
	if n > 1 {
		values.Set("page", strconv.Itoa(n))
	}
	return values
}
