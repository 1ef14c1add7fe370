package httpapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// The formats, as ?format= has them.
const (
	formatText  = "text"
	formatAtom  = "atom"
	formatJSON  = "json"
	formatCSV   = "csv"
	formatSARIF = "sarif"
	formatHTML  = "html"
)

const typeHTML = "text/html; charset=utf-8"

// offer is a way to send a resource. One without a media type is only sent when the URL asks for its format.
type offer struct {
	format, mediaType, contentType string
	also                           []string // other media types that ask for it, but only by their full name
}

// The offers of each resource are in the order of our own liking, which decides between what the client likes alike. The first is what a
// client gets that likes nothing of ours, or says nothing.
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
		{formatHTML, "", typeHTML, nil}, // there are readers that like a page best and then find no feed
	}
}

// changesOffers are the feeds among feedOffers.
func changesOffers() []offer {
	return slices.DeleteFunc(feedOffers(), func(o offer) bool { return o.format != formatAtom && o.format != formatJSON })
}

// formatsOf lists the formats of some offers, each once.
func formatsOf(offers []offer) []string {
	var formats []string
	for _, o := range offers {
		if !slices.Contains(formats, o.format) {
			formats = append(formats, o.format)
		}
	}
	return formats
}

// negotiate chooses how to send a resource: as the URL says, or else as the client likes it best (RFC 9110, section 12.5.1), which the answer
// then says of itself. A client that likes nothing of ours gets the first offer all the same: it can do more with it than with an error.
func negotiate(w http.ResponseWriter, r *http.Request, offers []offer, format string) offer {
	for _, o := range offers {
		if o.format == format {
			return o
		}
	}
	w.Header().Add("Vary", "Accept")
	best, most := offers[0], 0.0
	ranges := parseAccept(r.Header.Values("Accept"))
	if len(ranges) == 0 {
		return best
	}
	for _, o := range offers {
		if q := o.quality(ranges); q > most && o.mediaType != "" {
			best, most = o, q
		}
	}
	return best
}

// mediaRange is one element of an Accept header.
type mediaRange struct {
	main, sub string // * for any
	quality   float64
}

// parseAccept leaves out what makes no sense.
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

// quality is how well the client likes the offer, from 0 to 1.
func (o offer) quality(ranges []mediaRange) float64 {
	most, _ := quality(ranges, o.mediaType)
	for _, mediaType := range o.also {
		if q, exact := quality(ranges, mediaType); exact {
			most = max(most, q)
		}
	}
	return most
}

// quality is what the most precise range says of a media type, 0 when none does, and whether that range names it.
func quality(ranges []mediaRange, mediaType string) (q float64, exact bool) {
	main, sub, _ := strings.Cut(mediaType, "/")
	precision := 0
	for _, r := range ranges {
		is := 0
		switch {
		case r.main == main && r.sub == sub:
			is = 3
		case r.main == main && r.sub == "*":
			is = 2
		case r.main == "*":
			is = 1
		}
		if is > precision {
			q, precision = r.quality, is
		}
	}
	return q, precision == 3
}
