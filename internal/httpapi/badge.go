package httpapi

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/scan"
)

// badgeAge is how long a badge may be shown before it is asked for anew, in seconds.
const badgeAge = 300

// badge answers with a picture of one config's state. Its path is the scan ID with .svg behind it, which a pattern can't say.
func (a *API) badge(w http.ResponseWriter, r *http.Request) error {
	id, ok := strings.CutSuffix(r.PathValue("badge"), ".svg")
	if !ok || !scan.ValidID(id) {
		return &scan.Error{Code: scan.NotFound, Message: "There is no badge of this name: it is a scan ID and .svg."}
	}
	q, err := parseQuery(r, badgeResource(), a.Now())
	if err != nil {
		return err
	}
	report, err := a.Reports.Current(r.Context(), id, q.view.Filter.Tags)
	if err != nil {
		return err
	}
	reach := "private"
	if a.Access.opensBadges() {
		reach = "public"
	}
	w.Header().Set("Cache-Control", fmt.Sprintf("%s, max-age=%d", reach, badgeAge))
	w.Header().Set("Content-Security-Policy", "default-src 'none'") // opened by itself it is a page
	serve(w, r, "image/svg+xml", render.Badge(report, a.Now()))
	return nil
}

// badgePath is a path that can be a badge's and nothing else, in its escaped form: no other way to write it is let in without a key.
var badgePath = regexp.MustCompile(`^/badge/[0-9A-Za-z-]+\.svg$`)

func asksForBadge(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && badgePath.MatchString(r.URL.EscapedPath())
}
