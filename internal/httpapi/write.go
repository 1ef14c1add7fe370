package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The values of Cache-Control. Only feeds may be shown from a cache without asking, because feed readers poll them. A badge has its
// own value.
const (
	cacheFeed = "private, max-age=900"
	cacheAsk  = "private, no-cache" // with an ETag
	noStore   = "no-store"
)

// writeJSON writes a complete JSON response. If the value can't be encoded, which is a defect of the service, the status is 500.
func writeJSON(w http.ResponseWriter, contentType string, status int, value any) {
	body, err := encodeJSON(value)
	if err != nil {
		status = http.StatusInternalServerError
	}
	writeBody(w, contentType, status, body)
}

func encodeJSON(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return b.Bytes(), err
}

// writeBody writes a complete response.
func writeBody(w http.ResponseWriter, contentType string, status int, body []byte) {
	header(w, contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // an error means that the client closed the connection
}

// serve responds to GET or HEAD with the body, or with 304 if the client's If-None-Match contains the hash of the body.
func serve(w http.ResponseWriter, r *http.Request, contentType string, body []byte) {
	serveTagged(w, r, contentType, body, time.Time{}, etagOf(body))
}

// hashOf returns the part of an ETag that identifies a body.
func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:16])
}

// serveTagged is like serve, but sends this ETag. If modified is not zero, it also sends Last-Modified and supports If-Modified-Since. The caller must
// make sure that a later response never has an earlier date.
func serveTagged(w http.ResponseWriter, r *http.Request, contentType string, body []byte, modified time.Time, tag string) {
	header(w, contentType)
	w.Header().Set("ETag", tag)
	// This API does not support ranges, and it supports If-Match only for PUT and DELETE. http.ServeContent would respond to these headers with errors that are
	// not problem documents.
	plain := r.Clone(r.Context())
	for _, name := range []string{"Range", "If-Range", "If-Match", "If-Unmodified-Since"} {
		plain.Header.Del(name)
	}
	http.ServeContent(noRanges{w}, plain, "", modified, bytes.NewReader(body))
}

// etagOf returns the entity tag of a response body.
func etagOf(body []byte) string {
	return `"` + hashOf(body) + `"`
}

// requireMatch returns an error if the client's If-Match does not name what GET returns now.
func requireMatch(r *http.Request, what string, stored any) error {
	body, err := encodeJSON(stored)
	if err != nil {
		return err
	}
	if !ifMatch(r, etagOf(body)) {
		return &problem{Status: http.StatusPreconditionFailed, Detail: "The " + what + " was changed meanwhile. Read it again, and repeat your change."}
	}
	return nil
}

// ifMatch reports whether the client's If-Match contains the tag (RFC 9110, strong comparison), or is missing.
func ifMatch(r *http.Request, etag string) bool {
	values := r.Header.Values("If-Match")
	given := strings.Split(strings.Join(values, ","), ",") // etagOf makes no tag with a comma
	return len(values) == 0 || slices.ContainsFunc(given, func(one string) bool {
		one = strings.TrimSpace(one)
		return one == etag || one == "*"
	})
}

// fileHeader makes a client save the response as a CSV file with this name.
func fileHeader(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name + ".csv"}))
}

// noRanges removes the header Accept-Ranges that http.ServeContent sets.
type noRanges struct{ http.ResponseWriter }

func (w noRanges) WriteHeader(status int) {
	w.Header().Del("Accept-Ranges")
	w.ResponseWriter.WriteHeader(status)
}

// header sets the headers of every response. nosniff keeps browsers from guessing another content type.
func header(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
}
