package httpapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/render/feed"
	"ecr-continuous-scan/internal/render/page"
	"ecr-continuous-scan/internal/render/sarif"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

func (a *API) findings(w http.ResponseWriter, r *http.Request) error {
	return a.listingOf(w, r, feedResource(scan.ConfigFilters()), "", (*report.Reader).Findings)
}

func (a *API) allFindings(w http.ResponseWriter, r *http.Request) error {
	return a.listing(w, r, feedResource(scan.FindingsFilters()), "/findings/all", (*report.Reader).AllFindings)
}

func (a *API) changes(w http.ResponseWriter, r *http.Request) error {
	return a.listingOf(w, r, changesResource(scan.ConfigFilters()), "/changes", (*report.Reader).Changes)
}

func (a *API) allChanges(w http.ResponseWriter, r *http.Request) error {
	return a.listing(w, r, changesResource(scan.FindingsFilters()), "/changes", (*report.Reader).AllChanges)
}

// listingOf serves a listing of the config in the path. suffix is the part of the path after the scan ID.
func (a *API) listingOf(w http.ResponseWriter, r *http.Request, of resource, suffix string, list func(*report.Reader, context.Context, string, report.View) (report.Listing, error)) error {
	id, err := scanID(r)
	if err != nil {
		return err
	}
	return a.listing(w, r, of, "/findings/"+id+suffix, func(reports *report.Reader, ctx context.Context, v report.View) (report.Listing, error) {
		return list(reports, ctx, id, v)
	})
}

// listing serves a feed of findings or changes. Permanent errors of ECR, such as a denied call, are listed in the feed's subtitle
// and the status is 200, because feed readers drop a feed that fails. If nothing can be read because of a temporary error, the
// status is 503, so that feed readers keep their entries.
func (a *API) listing(w http.ResponseWriter, r *http.Request, of resource, path string, list func(*report.Reader, context.Context, report.View) (report.Listing, error)) error {
	q, err := parseQuery(r, of, a.Now())
	if err != nil {
		return err
	}
	chosen := choose(r, of.offers, q.format)
	known := a.knownTags(r, chosen, a.feedLinks(r, path, q, 1))
	l, err := list(known.reader(a.Reports), r.Context(), viewFor(chosen.format, q.view))
	if errors.Is(err, report.ErrKnown) {
		feedHeader(w, q, chosen)
		notModified(w, known.match)
		return nil
	}
	if err != nil {
		return err
	}
	if err := l.Outage(); err != nil {
		return err
	}
	body, pages, err := a.writeListing(r, chosen.format, path, q, l)
	if err != nil {
		return err
	}
	feedHeader(w, q, chosen)
	linkHeader(w, a.feedLinks(r, path, q, pages))
	if chosen.format == formatCSV {
		fileHeader(w, fileName(l))
	}
	if chosen.format == formatHTML { // no Last-Modified: the page marks new findings, so it changes with time
		pageHeader(w)
		serve(w, r, chosen.contentType, body)
		return nil
	}
	serveTagged(w, r, chosen.contentType, body, l.Changed, known.tag(body, l))
	return nil
}

// feedHeader sets the headers for caches of a listing, also if it is not modified.
func feedHeader(w http.ResponseWriter, q query, chosen offer) {
	varyHeader(w, q.format)
	w.Header().Set("Cache-Control", cacheAsk)
	if chosen.format == formatAtom || chosen.format == formatJSON {
		w.Header().Set("Cache-Control", cacheFeed)
	}
}

// viewFor returns the view of a listing in a format. SARIF has its own pages: the results of each are as many as fit into a response.
func viewFor(format string, v report.View) report.View {
	if format == formatSARIF {
		v.AllOpen, v.Page = true, 1
	}
	return v
}

// fileName returns the name of the file with a page of findings, without its extension.
func fileName(l report.Listing) string {
	name := "findings"
	if l.Config != nil {
		name += "-" + l.Config.Repository
	}
	if l.View.Page > 1 {
		name += fmt.Sprintf("-page-%d", l.View.Page)
	}
	return strings.NewReplacer("/", "-", "*", "_").Replace(name)
}

// writeListing writes a listing in a format of feedOffers. It also returns the number of pages in this format.
func (a *API) writeListing(r *http.Request, format, path string, q query, l report.Listing) (body []byte, pages int, err error) {
	if format == formatSARIF {
		if body, pages, err = sarif.Log(l, q.view.Page, a.about(r)); err == nil {
			err = checkPageNumber(q, pages)
		}
		return body, pages, err
	}
	pages = l.Pages()
	if err := checkPageNumber(q, pages); err != nil {
		return nil, 0, err
	}
	links := a.feedLinks(r, path, q, pages)
	switch format {
	case formatJSON:
		body, err = feed.JSON(l, links)
	case formatCSV:
		body, err = render.FindingsCSV(l, q.safe)
	case formatHTML:
		link, linkErr := a.linker(r)
		if linkErr != nil {
			return nil, 0, linkErr
		}
		if l.IsChangeFeed {
			body, err = page.Changes(l, path, q.values, link)
		} else {
			body, err = page.Findings(l, a.Now(), path, q.values, link)
		}
	default:
		body, err = feed.Atom(l, links)
	}
	return body, pages, err
}

func checkPageNumber(q query, pages int) error {
	if q.view.Page > pages {
		return &problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("There is no such page. The last page is %d.", pages)}
	}
	return nil
}

// about describes the service in a SARIF log. Its URL has no key, because logs are uploaded to other services.
func (a *API) about(r *http.Request) sarif.About {
	about := sarif.About{Version: Version}
	if base := a.BaseURL(r); base != "" {
		about.URL = base + "/summary"
	}
	return about
}

// feedLinks returns the links of one page of a feed. The URL of the first page has no page parameter, so that it is the URL that
// readers subscribe to.
func (a *API) feedLinks(r *http.Request, path string, q query, pages int) feed.Links {
	to := a.links(r)
	if q.format != formatHTML {
		to = to.ofFeed(path)
	}
	at := func(n int) string { return to.to(path, q.page(n)) }
	links := feed.Links{Self: at(q.view.Page), Summary: to.to("/summary", ofSummary(q.values)), Vulnerability: func(name string) string {
		return vulnerabilityLink(to, path, name)
	}}
	if pages == 1 {
		return links
	}
	links.First, links.Last = at(1), at(pages)
	if q.view.Page > 1 {
		links.Previous = at(q.view.Page - 1)
	}
	if q.view.Page < pages {
		links.Next = at(q.view.Page + 1)
	}
	return links
}

// vulnerabilityLink returns the URL of the page that lists a vulnerability in the images of a feed.
func vulnerabilityLink(to links, path, name string) string {
	if path = strings.TrimSuffix(path, "/changes"); path == "" { // the changes of all configs
		path = "/findings/all"
	}
	filter, err := scan.ParseFilter(map[string][]string{"cve": {name}})
	if err != nil {
		filter = scan.Filter{} // not a name that a filter accepts
	}
	values := url.Values(filter.Values())
	values.Set("format", formatHTML)
	return to.to(path, values)
}

// linkHeader adds Link headers (RFC 8288) to the other pages, for formats that can't contain links.
func linkHeader(w http.ResponseWriter, links feed.Links) {
	for _, link := range [][2]string{{"first", links.First}, {"previous", links.Previous}, {"next", links.Next}, {"last", links.Last}} {
		if link[1] != "" {
			w.Header().Add("Link", fmt.Sprintf("<%s>; rel=%q", link[1], link[0]))
		}
	}
}

// feedList serves the feeds of all configs as OPML, for import into feed readers.
func (a *API) feedList(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r, feedListResource(), a.Now())
	if err != nil {
		return err
	}
	if a.BaseURL(r) == "" {
		return errors.New("list the feeds: the API's own URL is unknown")
	}
	configs, err := a.Reports.Configs.List(r.Context())
	if err != nil {
		return err
	}
	list, err := feed.OPML(a.subscriptions(r, q, configs))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", cacheAsk)
	serve(w, r, "text/x-opml; charset=utf-8", list)
	return nil
}

// subscriptions returns the feeds of each config that the filter selects, and then those of all configs: the findings and the changes. The feeds of a
// config have its key, also if the request has no key in its URL, because the list is for programs that can't send a header.
func (a *API) subscriptions(r *http.Request, q query, configs []scan.Config) []feed.Subscription {
	to := a.links(r)
	home := to.to("/summary", ofSummary(q.values))
	var feeds []feed.Subscription
	add := func(listing report.Listing, findings, changes string, values url.Values) {
		feeds = append(feeds, feed.Subscription{Listing: listing, URL: to.ofConfig(findings).to(findings, values), Home: home})
		listing.IsChangeFeed, listing.View.ByVulnerability = true, false
		ofChanges := maps.Clone(values)
		ofChanges.Del("by")
		feeds = append(feeds, feed.Subscription{Listing: listing, URL: to.ofConfig(changes).to(changes, ofChanges), Home: home})
	}
	view, values := q.view, ofConfig(q.values)
	view.Filter.Owners = nil
	for _, c := range configs {
		if !q.view.Filter.MatchesConfig(c) {
			continue
		}
		own, params := view, maps.Clone(values)
		if !c.IsPattern() { // it has only the repository that the filter selects
			own.Filter.Repositories = nil
			params.Del("repository")
		}
		add(report.Listing{Config: &c, View: own}, "/findings/"+c.ID, "/findings/"+c.ID+"/changes", params)
	}
	add(report.Listing{View: q.view}, "/findings/all", "/changes", q.values)
	return feeds
}

// ofConfig returns the parameters of a feed of all configs without those that a feed of one config does not have.
func ofConfig(values url.Values) url.Values {
	return newResource(nil, scan.ConfigFilters(), "by").keep(values)
}

// ofSummary returns the filters of a feed that a summary has too.
func ofSummary(values url.Values) url.Values {
	return newResource(nil, scan.SummaryFilters()).keep(values)
}
