// Package sarif writes a listing as SARIF 2.1.0, for code scanning tools.
package sarif

import (
	"encoding/json"
	"fmt"
	"slices"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// About describes the service to the readers of a log. Both fields can be empty.
type About struct {
	Version string
	URL     string // of the summary
}

// Log returns a page of the open findings of a listing, and the number of pages. The listing must have all of them ([report.View.AllOpen]). Resolved
// findings are absent, so that the tools close them. Each image without a result is a result too. For each image without a current result there is a
// notification, and then the run is marked as not successful.
func Log(l report.Listing, number int, about About) (log []byte, pages int, err error) {
	w := writer{Listing: l, about: about, number: max(1, number)}
	for _, w.textLimit = range render.TextLimits()[1:] {
		log, pages, err = w.write()
		if err != nil {
			return nil, 0, fmt.Errorf("write the SARIF of %s: %w", render.ListingTitle(l), err)
		}
		if pages <= report.MaxPages { // more pages can't be requested
			break
		}
	}
	return log, pages, nil
}

// writer writes the page with this number.
type writer struct {
	report.Listing
	about     About
	number    int
	textLimit int
}

// invocation returns the notifications on a page: a warning for each image or config without a current result, and a note for each image of which ECR
// lists fewer findings than it counts. Only the first page names them all. The run is successful if there is no warning.
func (w *writer) invocation(number int) invocation {
	i := invocation{true, []notification{}}
	withoutResult, more := render.WithoutResult(w.Listing)
	isFailure := more > 0 || slices.ContainsFunc(withoutResult, func(d render.WithoutResultData) bool { return stateLevel(d) != levelNote })
	switch {
	case number == 1:
		i.nameImages(withoutResult, more, render.ShortLists(w.Listing))
	case isFailure:
		i.add(kindNotScanned, levelWarning, fmt.Sprintf("%d have no current result. The first page names them", len(withoutResult)+more), nil)
	}
	if more := w.Total - len(w.Entries); more > 0 {
		i.add(kindNotListed, levelWarning, fmt.Sprintf("%d findings are not listed. Use filters to select fewer", more), nil)
	}
	switch filter := w.View.Filter; {
	case filter.IsZero() || w.Total > 0:
	case w.matchesNoImage():
		i.add(kindNothingMatches, levelWarning, w.noImageWords(), nil)
	default:
		i.add(kindNothingMatches, levelNote, "no finding matches the filter: "+render.FilterWords(filter), nil)
	}
	return i
}

func (i *invocation) nameImages(withoutResult []render.WithoutResultData, more int, shortLists []render.WithoutResultData) {
	for _, d := range withoutResult {
		i.add(kindNotScanned, stateLevel(d), stateWords(d), &d)
	}
	if more > 0 {
		i.add(kindNotScanned, levelWarning, fmt.Sprintf("%d more have no current result", more), nil)
	}
	for _, d := range shortLists {
		i.add(kindFindingsMissing, levelNote, stateWords(d), &d)
	}
}

func (w *writer) matchesNoImage() bool {
	return !w.View.Filter.IsZero() && w.Total == 0 && render.CountImages(w.Listing) == 0
}

func (w *writer) noImageWords() string {
	return "no image matches the filter: " + render.FilterWords(w.View.Filter)
}

func (i *invocation) add(kind int, level, words string, d *render.WithoutResultData) {
	n := notification{Descriptor: reference{descriptors()[kind].ID, kind}, Level: level, Message: message(words + "."), Properties: d}
	if d != nil {
		n.Locations = []location{newLocation(d.Place(), d.ImageName(), "")}
	}
	i.Notifications = append(i.Notifications, n)
	i.Successful = i.Successful && level == levelNote
}

// spare is the size of the digits of the numbers that are known only at the end.
const spare = 100

// write divides the results into pages, as many as fit on each, and returns the page.
func (w *writer) write() (log []byte, pages int, err error) {
	p := pager{number: w.number, sayAll: w.View.Filter.Suppressed != ""}
	for i, number := range []int{1, 2} { // the pages after the second have the same notifications
		empty, err := encode(w.document(page{}, number, report.MaxPages, w.Total))
		if err != nil {
			return nil, 0, err
		}
		p.maxSizes[i] = render.MaxSent - render.SentSize(empty) - spare
	}
	for d := range render.AllWithoutResult(w.Listing) {
		if d.State != string(scan.Completed) { // an image whose recorded result is shown has its findings
			p.addState(stateLevel(d), func(rule int) result { return stateResult(d, rule) })
		}
	}
	if !w.IsOfOneRepository() && w.matchesNoImage() {
		p.addState(levelWarning, func(rule int) result { return nothingResult(w.noImageWords(), rule) })
	}
	for _, e := range w.Entries {
		p.addFinding(render.NewFindingData(w.Listing, e, w.textLimit))
	}
	if p.err != nil {
		return nil, 0, p.err
	}
	log, err = encode(w.document(p.wanted(), w.number, p.pages(), p.total))
	return log, p.pages(), err
}

func (w *writer) document(p page, number, pages, total int) document {
	d := driver{Name: "ecr-continuous-scan", Version: w.about.Version, InformationURI: w.about.URL, Rules: p.describe(), Notifications: descriptors()}
	if d.Version != "" {
		d.FullName = d.Name + " " + d.Version
	}
	results := p.results
	if results == nil {
		results = []json.RawMessage{}
	}
	return document{schema, "2.1.0", []run{{
		Tool: tool{d}, Automation: automation{fmt.Sprintf("ecr-image-scan/%s/page-%d/", w.FeedID(), number)},
		Invocations: []invocation{w.invocation(number)}, Results: results, Properties: pageOf{total, number, pages},
	}}}
}

// encode writes JSON on one line: indents would be a third of the size.
func encode(v any) ([]byte, error) { return render.EncodeJSON(v, false) }
