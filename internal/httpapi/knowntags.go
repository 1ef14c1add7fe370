package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/render/feed"
	"ecr-continuous-scan/internal/report"
)

// knownTags are the ETags of the listings that the client has. The ETag of a listing is the hash of its body, a hash of what the body depends on,
// and the time in which it does not change without that. So a request for a listing that the client has is answered without reading histories and
// without writing the listing.
type knownTags struct {
	request string // hash of everything in the request that a body depends on; empty for a format without such ETags
	given   []knownTag
	// match is the given ETag of the listing, if the client has it.
	match string
}

type knownTag struct {
	tag, body, basis string
	span             report.Span
}

// knownTags returns the ETags in If-None-Match. links are those of the listing if it has one page. They contain the parameters, the host and the key.
func (a *API) knownTags(r *http.Request, chosen offer, links feed.Links) *knownTags {
	k := &knownTags{}
	if chosen.format == formatHTML { // a page also says how long ago something was
		return k
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", []string{
		Version, a.Build, chosen.format, chosen.contentType, links.Self, links.Summary, links.Vulnerability("CVE-2016-1585"),
	}))
	k.request = hex.EncodeToString(sum[:])
	for tag := range strings.SplitSeq(strings.Join(r.Header.Values("If-None-Match"), ","), ",") {
		if known, ok := parseTag(strings.TrimPrefix(strings.TrimSpace(tag), "W/")); ok {
			k.given = append(k.given, known)
		}
	}
	return k
}

// parseTag parses what knownTags.tag returned.
func parseTag(tag string) (known knownTag, ok bool) {
	inner, isQuoted := strings.CutPrefix(tag, `"`)
	inner, isClosed := strings.CutSuffix(inner, `"`)
	parts := strings.Split(inner, ".")
	if !isQuoted || !isClosed || len(parts) != 4 || strings.Trim(parts[0]+parts[1], "0123456789abcdef") != "" {
		return knownTag{}, false
	}
	from, err := strconv.ParseInt(parts[2], 36, 64)
	until, untilErr := strconv.ParseInt(parts[3], 36, 64)
	return knownTag{tag, parts[0], parts[1], report.Span{From: history.Stamp(from), Until: history.Stamp(until)}}, err == nil && untilErr == nil
}

// reader returns a reader that makes no listing that the client has.
func (k *knownTags) reader(reports *report.Reader) *report.Reader {
	if k.request == "" {
		return reports
	}
	return reports.Unless(func(b report.Basis) bool {
		basis := k.basis(b)
		for _, known := range k.given {
			if known.basis == basis && known.span.Contains(b) {
				k.match = known.tag
				return true
			}
		}
		return false
	})
}

// basis returns the hash of the request and of the basis of a listing.
func (k *knownTags) basis(b report.Basis) string {
	sum := sha256.Sum256([]byte(k.request + b.Hash))
	return hex.EncodeToString(sum[:16])
}

// tag returns the ETag of a listing with this body. If the client has the same body, it is the client's ETag, even if it has another basis.
func (k *knownTags) tag(body []byte, l report.Listing) string {
	hash := hashOf(body)
	for _, known := range k.given {
		if known.body == hash {
			return known.tag
		}
	}
	if l.Basis == nil {
		return `"` + hash + `"`
	}
	stamp := func(s history.Stamp) string { return strconv.FormatInt(int64(s), 36) }
	return `"` + strings.Join([]string{hash, k.basis(*l.Basis), stamp(l.Span.From), stamp(l.Span.Until)}, ".") + `"`
}

// notModified answers that the client has the response with this ETag.
func notModified(w http.ResponseWriter, tag string) {
	w.Header().Set("ETag", tag)
	w.WriteHeader(http.StatusNotModified)
}
