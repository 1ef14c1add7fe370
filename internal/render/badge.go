package render

import (
	"cmp"
	"fmt"
	"html"
	"time"
	"unicode/utf8"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

const (
	badgeLabel = "image scan"
	grey       = "#6e7681"
	green      = "#2c7d32"
)

// Badge returns a small picture (SVG) with the highest severity in the images of a config, and the number of findings of this severity. The badge is
// green only when every image has a completed scan that isn't stale and has no findings. It contains neither the config's id nor its repository,
// because a badge can be public.
func Badge(r report.Report, now time.Time) []byte {
	text, color := badgeWords(r, now)
	return drawBadge(badgeLabel, text, color)
}

func badgeWords(r report.Report, now time.Time) (text, color string) {
	if state := r.Condition().State; state != "" {
		return string(state), grey
	}
	counts, incomplete, unscanned, stale := scan.Counts{}, false, false, false
	seen := make(map[string]bool)
	for _, item := range r.Images {
		incomplete = incomplete || item.Result.Incomplete
		switch digest := item.Image.Digest; {
		case item.Result.State != scan.Completed:
			incomplete, unscanned = true, true
		case !seen[digest]:
			seen[digest] = true
			stale = stale || item.Stale(now)
			for s, n := range item.Result.Counts {
				counts[s] += n
			}
		}
	}
	worst := counts.Ordered()
	switch {
	case len(worst) > 0:
		text, color = fmt.Sprintf("%d %s", worst[0].Count, OneLine(string(worst[0].Severity), maxSeverity)), severityColor(worst[0].Severity)
	case unscanned:
		return "not scanned", grey
	case incomplete:
		return "incomplete", grey
	case stale:
		return "stale", grey
	default:
		return "no findings", green
	}
	if incomplete {
		text += ", incomplete"
	}
	if stale {
		text += ", stale"
	}
	return text, color
}

// severityColor returns the color that the pages use for a severity in light mode.
func severityColor(s scan.Severity) string {
	return cmp.Or(map[scan.Severity]string{
		scan.Critical: "#9a1ccf", scan.High: "#8f0d0d", scan.Medium: "#976e00", scan.Low: "#0a4296", scan.Informational: "#17826a",
	}[s], "#4a525e")
}

// drawBadge draws two texts next to each other. Their widths are fixed, so that they fit in any font.
func drawBadge(label, text, color string) []byte {
	width := func(s string) int { return 7 * utf8.RuneCountInString(s) }
	left, right := width(label), width(text)
	label, text = html.EscapeString(label), html.EscapeString(text)
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="20" role="img" aria-label="%s: %s">
<title>%[2]s: %[3]s</title>
<rect width="%[1]d" height="20" rx="3" fill="#3c4043"/>
<path d="M%[4]d 0h%[5]da3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-%[5]dz" fill="%[6]s"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="6" y="14" textLength="%[7]d">%[2]s</text>
<text x="%[8]d" y="14" textLength="%[9]d">%[3]s</text>
</g>
</svg>
`, left+right+24, label, text, left+12, right+9, color, left, left+18, right)
}
