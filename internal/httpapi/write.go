package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// writeJSON writes a whole answer. Values come from the service's own types, which always encode.
func writeJSON(w http.ResponseWriter, contentType string, status int, value any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		status = http.StatusInternalServerError
	}
	header(w, contentType)
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client is gone then
}

// serve answers a GET or HEAD with a body that is complete, or with 304 when the client has it already, by the bytes alone.
func serve(w http.ResponseWriter, r *http.Request, contentType string, body []byte) {
	serveDated(w, r, contentType, body, time.Time{})
}

// serveDated is serve for what has a date: no answer has an older date than one before it.
func serveDated(w http.ResponseWriter, r *http.Request, contentType string, body []byte, modified time.Time) {
	sum := sha256.Sum256(body)
	header(w, contentType)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	// Parts of an answer, and conditions on changing it, are no part of this API; what net/http would answer to them is no problem document.
	plain := r.Clone(r.Context())
	for _, name := range []string{"Range", "If-Range", "If-Match", "If-Unmodified-Since"} {
		plain.Header.Del(name)
	}
	http.ServeContent(noRanges{w}, plain, "", modified, bytes.NewReader(body))
}

// noRanges takes back the offer of parts that http.ServeContent makes.
type noRanges struct{ http.ResponseWriter }

func (w noRanges) WriteHeader(status int) {
	w.Header().Del("Accept-Ranges")
	w.ResponseWriter.WriteHeader(status)
}

// header sets what every answer carries: browsers must neither guess another type nor run anything of it.
func header(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
}
