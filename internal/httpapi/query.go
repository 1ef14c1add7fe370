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

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// resource is what a call takes in its URL besides the key, and in which formats it answers.
type resource struct {
	parameters []string
	offers     []offer
}

// newResource is a resource that takes some filters and other parameters.
func newResource(offers []offer, filters []scan.FilterRow, others ...string) resource {
	for _, row := range filters {
		others = append(others, row.Name)
	}
	slices.Sort(others)
	return resource{others, offers}
}

func feedResource() resource {
	return newResource(feedOffers(), scan.FindingsFilters(), "by", "format", "page", "sort")
}

// changesResource has no groups: a change is of one image.
func changesResource() resource {
	return newResource(changesOffers(), scan.FindingsFilters(), "format", "page")
}

// feedListResource has no format: a list of feeds hands its parameters on to the feeds.
func feedListResource() resource { return newResource(nil, scan.FindingsFilters(), "by") }

func summaryResource() resource {
	return newResource(summaryOffers(), scan.SummaryFilters(), "format", "since")
}

func gateResource() resource { return newResource(nil, scan.ImageFilters(), "max") }

func badgeResource() resource { return newResource(nil, scan.ImageFilters()) }

// query is what a request asks for in its URL.
type query struct {
	view   report.View
	since  time.Time     // of a summary; zero when it isn't given
	format string        // one of the resource's, or empty for what the client likes best
	given  string        // of since, as it was given
	max    scan.Severity // of a gate
	// values are the parameters in their one form, without the key and the page, so that what means the same is the same URL.
	values url.Values
}

// parseQuery reads the query of a request at a time. Errors: Invalid, naming each parameter that is unknown, wrong or given too often.
func parseQuery(r *http.Request, of resource, now time.Time) (query, error) {
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return query{}, invalidQuery([]scan.FieldError{{Detail: "must be name=value pairs, separated by & and validly escaped"}})
	}
	delete(given, "key")
	if slices.Equal(given["format"], []string{formatHTML}) {
		tidyForm(given)
	}
	p := queryParser{given: given}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(of.parameters, name) {
			p.fail(name, "is not a parameter of this call: those are "+strings.Join(of.parameters, ", "))
			delete(given, name)
		}
	}
	q := query{
		view:   report.View{Page: p.page(), ByVulnerability: p.choice("by", "vulnerability") != ""},
		format: p.choice("format", formatsOf(of.offers)...),
	}
	q.since, q.given = p.since(now)
	if slices.Contains(of.parameters, "max") {
		q.max = p.max()
	}
	q.view.Filter = p.filter()
	q.view.Order, q.view.Reverse = p.order(q.format)
	if len(p.wrong) > 0 {
		return query{}, invalidQuery(p.wrong)
	}
	q.values = q.canonical()
	if q.format == formatHTML && q.view.Order == report.FeedOrder {
		q.view.Order = report.BySeverity
	}
	return q, nil
}

func invalidQuery(wrong []scan.FieldError) error {
	return invalid("The query has parameters that are unknown or wrong.", "parameters", wrong)
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
	p.fail(name, "must be "+orList(choices)+", or left out")
	return ""
}

// orList names choices: a, b or c.
func orList(choices []string) string {
	last := len(choices) - 1
	if last < 1 {
		return strings.Join(choices, "")
	}
	return strings.Join(choices[:last], ", ") + " or " + choices[last]
}

// since is the point in time that is asked for, and what was given for it; the zero time when nothing was.
func (p *queryParser) since(now time.Time) (time.Time, string) {
	value, ok := p.one("since")
	if !ok {
		return time.Time{}, ""
	}
	since, ok := parseSince(value, now)
	if !ok || since.After(now) || since.Before(now.Add(-history.MemoryTime)) {
		p.fail("since", "must be a time such as 2026-11-20T08:00:00Z, a date, or a span before now such as 36h or 7d; at most 30 days ago and not in the future")
	}
	return since, value
}

// parseSince reads a time or a date (RFC 3339; a date begins at midnight UTC), or a span of time before now, for which there are days too.
func parseSince(s string, now time.Time) (time.Time, bool) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return now.Add(-time.Duration(n) * 24 * time.Hour), err == nil
	}
	if span, err := time.ParseDuration(s); err == nil {
		return now.Add(-span), true
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		// The + of an offset that wasn't escaped is a blank by now.
		if at, err := time.Parse(layout, strings.ReplaceAll(s, " ", "+")); err == nil {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}

// max is the severity of a gate, which must be given: what may pass is not for us to say.
func (p *queryParser) max() scan.Severity {
	value, _ := p.one("max")
	severity := scan.Severity(strings.ToUpper(value))
	if !slices.Contains(scan.Severities(), severity) {
		p.fail("max", "must be the worst severity that may pass: one of "+strings.Join(scan.SeverityNames(), ", "))
	}
	return severity
}

func (p *queryParser) page() int {
	value, ok := p.one("page")
	if !ok {
		return 1
	}
	page, err := strconv.Atoi(value)
	if err != nil || page < 1 || page > report.MaxPages {
		p.fail("page", fmt.Sprintf("must be a number from 1 to %d", report.MaxPages))
	}
	return page
}

// order is how a page is sorted; a leading - turns it around. A feed keeps its own order.
func (p *queryParser) order(format string) (report.Order, bool) {
	choices := make([]string, 0, 2*len(report.Orders()))
	for _, o := range report.Orders() {
		choices = append(choices, string(o), "-"+string(o))
	}
	order, reverse := strings.CutPrefix(p.choice("sort", choices...), "-")
	if order != "" && format != formatHTML {
		p.fail("sort", "is for format="+formatHTML+" alone")
	}
	return report.Order(order), reverse
}

// tidyForm takes out what a form sends for fields that were left empty, and blanks around what was typed.
func tidyForm(given url.Values) {
	for name, values := range given {
		for i, v := range values {
			values[i] = strings.TrimSpace(v)
		}
		given[name] = slices.DeleteFunc(values, func(v string) bool { return v == "" })
		if len(given[name]) == 0 {
			delete(given, name)
		}
	}
}

func (p *queryParser) filter() scan.Filter {
	filter, err := scan.ParseFilter(p.given)
	if e, ok := errors.AsType[*scan.Error](err); ok {
		p.wrong = append(p.wrong, e.Fields...)
	}
	return filter
}

func (q query) canonical() url.Values {
	values := url.Values(q.view.Filter.Values())
	set := func(name, value string) {
		if value != "" {
			values.Set(name, value)
		}
	}
	set("format", q.format)
	set("since", q.given)
	if q.view.ByVulnerability {
		set("by", "vulnerability")
	}
	order := string(q.view.Order)
	if q.view.Reverse {
		order = "-" + order
	}
	set("sort", order)
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
