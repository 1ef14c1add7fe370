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
	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// resource describes one kind of call: its URL parameters and its response formats.
type resource struct {
	parameters []string // sorted, without the key
	offers     []offer
}

// listed returns the end of a sentence with the names of the parameters.
func (r resource) listed() string {
	if len(r.parameters) == 0 {
		return ", which has none"
	}
	return "; the parameters are " + strings.Join(r.parameters, ", ")
}

// unknown returns an error for each given parameter that the resource does not have.
func (r resource) unknown(given url.Values) (wrong []scan.FieldError) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(r.parameters, name) {
			wrong = append(wrong, scan.FieldError{Pointer: scan.PointerTo(name), Detail: "is not a parameter of this call" + r.listed()})
		}
	}
	return wrong
}

// keep returns the given parameters that the resource has.
func (r resource) keep(given url.Values) url.Values {
	kept := maps.Clone(given)
	maps.DeleteFunc(kept, func(name string, _ []string) bool { return !slices.Contains(r.parameters, name) })
	return kept
}

// newResource returns a resource with the parameters of the filters and the others.
func newResource(offers []offer, filters []scan.FilterRow, others ...string) resource {
	for _, row := range filters {
		others = append(others, row.Name)
	}
	slices.Sort(others)
	return resource{others, offers}
}

// feedResource and changesResource have the filters of a listing of one config, or of all configs.
func feedResource(filters []scan.FilterRow) resource {
	return newResource(feedOffers(), filters, "by", "format", "page", "safe", "sort")
}

// changesResource has no parameter by, because a change belongs to one image.
func changesResource(filters []scan.FilterRow) resource {
	return newResource(changesOffers(), filters, "format", "page")
}

// feedListResource has no parameter format: the list is always OPML, and its parameters are those of the feeds of all configs.
func feedListResource() resource { return newResource(nil, scan.FindingsFilters(), "by") }

func summaryResource() resource {
	return newResource(summaryOffers(), scan.SummaryFilters(), "format", "safe", "since")
}

func gateResource() resource {
	return newResource(gateOffers(), scan.GateFilters(), "format", "max", "new", "suppressed", "unjudged")
}

func badgeResource() resource { return newResource(nil, scan.ImageFilters()) }

// query contains the parsed URL parameters of a request.
type query struct {
	view      report.View
	since     time.Time     // of a summary; zero if it isn't given
	format    string        // one of the resource's formats; "" means that the Accept header decides
	sinceText string        // the parameter since, as the client wrote it
	max       scan.Severity // of a gate
	firstSeen time.Time     // of a gate: the parameter new; zero if it isn't given
	unjudged  string        // of a gate: "fail" or ""
	safe      render.SafeFor
	// values are the parameters in canonical form, without the key and the page. Queries with the same meaning have the same values,
	// so that their feeds have the same URL.
	values url.Values
}

// parseQuery parses the query of a request. It computes relative times from now. Errors: Invalid, which names each parameter that
// is unknown, wrong or given too often.
func parseQuery(r *http.Request, of resource, now time.Time) (query, error) {
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return query{}, invalidQuery([]scan.FieldError{{Detail: "must be name=value pairs, separated by & and validly escaped"}})
	}
	delete(given, "key")
	if slices.Equal(given["format"], []string{formatHTML}) {
		dropEmptyFields(given)
	}
	wrong := of.unknown(given)
	given = of.keep(given)
	p := queryParser{given, wrong}
	q := query{
		view:   report.View{Page: p.page(), ByVulnerability: p.choice("by", "vulnerability") != ""},
		format: p.choice("format", formatsOf(of.offers)...),
	}
	q.since, q.sinceText = p.since(now)
	if slices.Contains(of.parameters, "max") {
		q.max = p.max()
		if p.choice("suppressed", scan.IncludeSuppressed) == "" || len(given["suppressed"]) > 1 {
			delete(given, "suppressed") // a gate does not judge only suppressed findings
		}
	}
	q.firstSeen, q.unjudged = p.firstSeen(now), p.choice("unjudged", "fail")
	q.safe = p.safe(q.format)
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

// withParameters returns a handler that rejects requests with parameters other than the named ones.
func withParameters(h Handler, names ...string) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		given := r.URL.Query()
		delete(given, "key")
		if wrong := (resource{parameters: names}).unknown(given); len(wrong) > 0 {
			return invalidQuery(wrong)
		}
		return h(w, r)
	}
}

func invalidQuery(wrong []scan.FieldError) error {
	return scan.NewInvalid("The query has unknown or invalid parameters.", "parameters", wrong)
}

// queryParser reads parameters and collects their errors.
type queryParser struct {
	given url.Values
	wrong []scan.FieldError
}

func (p *queryParser) fail(name, detail string) {
	p.wrong = append(p.wrong, scan.FieldError{Pointer: scan.PointerTo(name), Detail: detail})
}

// single returns the value of a parameter that may be given only once, and false unless it is given once.
func (p *queryParser) single(name string) (string, bool) {
	values := p.given[name]
	if len(values) > 1 {
		p.fail(name, "is given twice")
	}
	return p.given.Get(name), len(values) == 1
}

// choice returns the value of an optional parameter with a fixed set of values.
func (p *queryParser) choice(name string, choices ...string) string {
	value, ok := p.single(name)
	if !ok || slices.Contains(choices, value) {
		return value
	}
	p.fail(name, "must be "+orList(choices)+", or omitted")
	return ""
}

// orList joins the choices: "a, b or c".
func orList(choices []string) string {
	last := len(choices) - 1
	if last < 1 {
		return strings.Join(choices, "")
	}
	return strings.Join(choices[:last], ", ") + " or " + choices[last]
}

// since returns the time in the parameter since and the parameter's text. Without the parameter it returns the zero time and "".
func (p *queryParser) since(now time.Time) (time.Time, string) {
	value, ok := p.single("since")
	if !ok {
		return time.Time{}, ""
	}
	since, ok := parseSince(value, now)
	if !ok || since.After(now) || since.Before(now.Add(-history.Retention)) {
		p.fail("since", "must be a time such as 2026-11-20T08:00:00Z, a date such as 2026-11-20, or a duration before now such as 36h or 7d; at most 30 days ago and not in the future")
	}
	return since, value
}

// maxNew is the longest span of the parameter new.
const maxNew = 365 * 24 * time.Hour

// firstSeen returns the time in the parameter new. Without the parameter it returns the zero time.
func (p *queryParser) firstSeen(now time.Time) time.Time {
	value, ok := p.single("new")
	if !ok {
		return time.Time{}
	}
	since, ok := parseSince(value, now)
	if !ok || !since.Before(now) || since.Before(now.Add(-maxNew)) {
		p.fail("new", "must be a duration such as 36h or 7d, a date such as 2026-11-20 or a time such as 2026-11-20T08:00:00Z; before now and at most 365 days ago")
	}
	return since
}

// parseSince parses a time or a date in RFC 3339, or a duration before now. A date means midnight UTC. A duration may be a number
// of days such as 7d.
func parseSince(s string, now time.Time) (time.Time, bool) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return now.Add(-time.Duration(n) * 24 * time.Hour), err == nil
	}
	if span, err := time.ParseDuration(s); err == nil {
		return now.Add(-span), true
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		// url.ParseQuery turns the + of a time zone offset into a space if the client did not escape it.
		if at, err := time.Parse(layout, strings.ReplaceAll(s, " ", "+")); err == nil {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}

// max returns the highest severity that a gate allows. The parameter has no default, because only the user can choose this.
func (p *queryParser) max() scan.Severity {
	value, _ := p.single("max")
	severity := scan.Severity(strings.ToUpper(value))
	switch names := strings.Join(scan.SeverityNames(), ", "); {
	case value == "":
		p.fail("max", "is required: the highest severity allowed, one of "+names)
	case !slices.Contains(scan.Severities(), severity):
		p.fail("max", "must be the highest severity allowed, one of "+names)
	}
	return severity
}

func (p *queryParser) page() int {
	value, ok := p.single("page")
	if !ok {
		return 1
	}
	page, err := strconv.Atoi(value)
	if err != nil || page < 1 || page > report.MaxPages {
		p.fail("page", fmt.Sprintf("must be a number from 1 to %d", report.MaxPages))
	}
	return page
}

// order returns the order of an HTML page, and whether it is reversed by a leading "-". Feeds have a fixed order.
func (p *queryParser) order(format string) (report.Order, bool) {
	choices := make([]string, 0, 2*len(report.Orders()))
	for _, o := range report.Orders() {
		choices = append(choices, string(o), "-"+string(o))
	}
	order, reverse := strings.CutPrefix(p.choice("sort", choices...), "-")
	if order != "" && format != formatHTML {
		p.fail("sort", "is allowed only with format="+formatHTML)
	}
	return report.Order(order), reverse
}

// safe returns the kind of program for which a table is made safe. The Accept header can also choose the format.
func (p *queryParser) safe(format string) render.SafeFor {
	safe := p.choice("safe", string(render.Spreadsheet))
	if safe != "" && format != "" && format != formatCSV {
		p.fail("safe", "is allowed only with format="+formatCSV)
	}
	return render.SafeFor(safe)
}

// dropEmptyFields removes empty values and trims spaces, because a browser's form also sends its empty fields.
func dropEmptyFields(given url.Values) {
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
	set("since", q.sinceText)
	set("safe", string(q.safe))
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

// page returns the parameters of page n of the same feed.
func (q query) page(n int) url.Values {
	values := maps.Clone(q.values)
	if n > 1 {
		values.Set("page", strconv.Itoa(n))
	}
	return values
}
