package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
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
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		status = http.StatusInternalServerError
	}
	writeBody(w, contentType, status, b.Bytes())
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
	serveDated(w, r, contentType, body, time.Time{})
}

// serveDated is like serve, but also sends Last-Modified and supports If-Modified-Since. The caller must make sure that a later
// response never has an earlier date.
func serveDated(w http.ResponseWriter, r *http.Request, contentType string, body []byte, modified time.Time) {
	sum := sha256.Sum256(body)
	header(w, contentType)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	// This API supports neither ranges nor conditional changes. http.ServeContent would respond to these headers with errors that are
	// not problem documents.
	plain := r.Clone(r.Context())
	for _, name := range []string{"Range", "If-Range", "If-Match", "If-Unmodified-Since"} {
		plain.Header.Del(name)
	}
	http.ServeContent(noRanges{w}, plain, "", modified, bytes.NewReader(body))
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
