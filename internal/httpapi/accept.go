package httpapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// The values of the format parameter.
const (
	formatText  = "text"
	formatAtom  = "atom"
	formatJSON  = "json"
	formatCSV   = "csv"
	formatSARIF = "sarif"
	formatHTML  = "html"
)

const (
	typeHTML    = "text/html; charset=utf-8"
	typeProblem = "application/problem+json"
)

// offer is one format in which a resource can be sent. An offer without a media type is sent only when the URL names its format.
type offer struct {
	format, mediaType, contentType string
	aliases                        []string // other media types that select this offer; wildcards in Accept do not match them
}

// summaryOffers lists the formats of the summary. In this and the other lists of offers, an earlier offer wins if the client
// accepts two equally. The first offer is sent if the client accepts none of them or sends no Accept header.
func summaryOffers() []offer {
	return []offer{
		{formatText, "text/plain", "text/plain; charset=utf-8", nil},
		{formatHTML, "text/html", typeHTML, nil},
		{formatJSON, "application/json", "application/json", nil},
		{formatCSV, "text/csv", "text/csv; charset=utf-8", nil},
	}
}

func feedOffers() []offer {
	return []offer{
		{formatAtom, "application/atom+xml", "application/atom+xml; charset=utf-8", []string{"application/xml", "text/xml"}},
		{formatJSON, "application/feed+json", "application/feed+json", nil},
		{formatJSON, "application/json", "application/json", nil},
		{formatCSV, "text/csv", "text/csv; charset=utf-8", nil},
		{formatSARIF, "application/sarif+json", "application/sarif+json", nil},
		{formatHTML, "", typeHTML, nil}, // no media type: some feed readers prefer HTML in Accept, but need the feed
	}
}

// changesOffers returns the offers of feedOffers without CSV and SARIF.
func changesOffers() []offer {
	return slices.DeleteFunc(feedOffers(), func(o offer) bool { return o.format == formatCSV || o.format == formatSARIF })
}

// formatsOf lists the formats of the offers without duplicates.
func formatsOf(offers []offer) []string {
	var formats []string
	for _, o := range offers {
		if !slices.Contains(formats, o.format) {
			formats = append(formats, o.format)
		}
	}
	return formats
}

// gateOffers lists the formats of the gate. Only the parameter chooses: the status matters more than the body.
func gateOffers() []offer {
	return []offer{
		{format: formatJSON, contentType: "application/json"},
		{format: formatText, contentType: "text/plain; charset=utf-8"},
	}
}

// negotiate chooses the format of a response and adds its header Vary.
func negotiate(w http.ResponseWriter, r *http.Request, offers []offer, format string) offer {
	varyHeader(w, format)
	return choose(r, offers, format)
}

// varyHeader adds the header Vary: Accept to a response whose format is not the one in the URL.
func varyHeader(w http.ResponseWriter, format string) {
	if format == "" {
		w.Header().Add("Vary", "Accept")
	}
}

// choose selects the format of a response: the format in the URL, otherwise the best match of the Accept header (RFC 9110,
// section 12.5.1). If the client accepts no offer, it gets the first one, which is more useful to it than an error.
func choose(r *http.Request, offers []offer, format string) offer {
	for _, o := range offers {
		if o.format == format {
			return o
		}
	}
	best, bestQuality := offers[0], 0.0
	ranges := parseAccept(r.Header.Values("Accept"))
	if len(ranges) == 0 {
		return best
	}
	for _, o := range offers {
		if q := o.quality(ranges); q > bestQuality && o.mediaType != "" {
			best, bestQuality = o, q
		}
	}
	return best
}

// prefersPage reports whether the client likes a page best, as a browser does. A client that accepts something else equally is a program.
func prefersPage(r *http.Request) bool {
	ranges := parseAccept(r.Header.Values("Accept"))
	page, isNamed := quality(ranges, "text/html")
	problem, _ := quality(ranges, typeProblem)
	return isNamed && page > problem && !slices.ContainsFunc(ranges, func(other mediaRange) bool { return other.quality > page })
}

// mediaRange is one element of an Accept header.
type mediaRange struct {
	main, sub string // "*" matches any
	quality   float64
}

// parseAccept parses the values of the Accept header. It skips invalid elements.
func parseAccept(headers []string) []mediaRange {
	var ranges []mediaRange
	for element := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		name, parameters, _ := strings.Cut(element, ";")
		main, sub, ok := strings.Cut(strings.ToLower(strings.TrimSpace(name)), "/")
		q, valid := qualityOf(parameters)
		if ok && valid && main != "" && sub != "" && (main != "*" || sub == "*") {
			ranges = append(ranges, mediaRange{main, sub, q})
		}
	}
	return ranges
}

func qualityOf(parameters string) (float64, bool) {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		q, err := strconv.ParseFloat(value, 64)
		return q, err == nil && q >= 0 && q <= 1
	}
	return 1, true
}

// quality returns the client's quality value for the offer, from 0 (not accepted) to 1.
func (o offer) quality(ranges []mediaRange) float64 {
	best, _ := quality(ranges, o.mediaType)
	for _, mediaType := range o.aliases {
		if q, exact := quality(ranges, mediaType); exact {
			best = max(best, q)
		}
	}
	return best
}

// quality returns the quality value of the most specific range that matches the media type, or 0 if none matches. exact is true
// if that range names the full media type.
func quality(ranges []mediaRange, mediaType string) (q float64, exact bool) {
	main, sub, _ := strings.Cut(mediaType, "/")
	precision := 0
	for _, r := range ranges {
		match := 0
		switch {
		case r.main == main && r.sub == sub:
			match = 3
		case r.main == main && r.sub == "*":
			match = 2
		case r.main == "*":
			match = 1
		}
		if match > precision {
			q, precision = r.quality, match
		}
	}
	return q, precision == 3
}
