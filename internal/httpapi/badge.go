package httpapi

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/scan"
)

// badgeAge is how long clients may cache a badge, in seconds.
const badgeAge = 300

// badge serves an SVG image of a config's state. It checks the suffix .svg itself, because a ServeMux pattern can't match a part
// of a path segment.
func (a *API) badge(w http.ResponseWriter, r *http.Request) error {
	id, ok := strings.CutSuffix(r.PathValue("badge"), ".svg")
	if !ok || !scan.ValidID(id) {
		return &scan.Error{Code: scan.NotFound, Message: "There is no badge with this name. Use a scan ID followed by .svg."}
	}
	q, err := parseQuery(r, badgeResource(), a.Now())
	if err != nil {
		return err
	}
	report, err := a.Reports.Current(r.Context(), id, q.view.Filter.Tags)
	if err != nil {
		return err
	}
	visibility := "private"
	if a.Access.opensBadges() {
		visibility = "public"
	}
	w.Header().Set("Cache-Control", fmt.Sprintf("%s, max-age=%d", visibility, badgeAge))
	w.Header().Set("Content-Security-Policy", "default-src 'none'") // a browser that opens the SVG directly treats it as a page
	serve(w, r, "image/svg+xml", render.Badge(report, a.Now()))
	return nil
}

// badgePath matches the escaped path of a badge. Paths in any other notation need a key, so that escapes can't be used to reach
// another resource.
var badgePath = regexp.MustCompile(`^/badge/[0-9A-Za-z-]+\.svg$`)

func isBadgeRequest(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && badgePath.MatchString(r.URL.EscapedPath())
}
