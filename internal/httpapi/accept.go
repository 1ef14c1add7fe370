package httpapi

import (
	"net/http"
	"strconv"
	"strings"
)

// The formats of a feed, as ?format= has them.
const (
	formatAtom = "atom"
	formatJSON = "json"
)

// offer is a way to send a feed.
type offer struct {
	format, mediaType, contentType string
	also                           []string // other media types that ask for it, but only by their full name
}

// offers are in the order of our own liking, which decides between what the client likes alike.
func offers() []offer {
	return []offer{
		{formatAtom, "application/atom+xml", "application/atom+xml; charset=utf-8", []string{"application/xml", "text/xml"}},
		{formatJSON, "application/feed+json", "application/feed+json", nil},
		{formatJSON, "application/json", "application/json", nil},
	}
}

// negotiate chooses how to send a feed (RFC 9110, section 12.5.1). A client that likes nothing of ours gets Atom all the same: a feed reader
// can do more with it than with an error.
func negotiate(r *http.Request, format string) offer {
	all := offers()
	best, most := all[0], 0.0
	if format != "" {
		for _, o := range all {
			if o.format == format {
				return o
			}
		}
	}
	ranges := parseAccept(r.Header.Values("Accept"))
	if len(ranges) == 0 {
		return best
	}
	for _, o := range all {
		if q := o.quality(ranges); q > most {
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
