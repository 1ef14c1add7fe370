package render

import (
	"fmt"
	"net/url"
	"strings"

	"ecr-continuous-scan/internal/scan"
)

// Advisory is the link of a finding as a URI. It is empty when the finding has none, or one of more than 2000 bytes or four times the room: a link
// can't be cut.
func Advisory(f scan.Finding, room int) string {
	var b strings.Builder
	for i := range len(f.URL) { // an IRI becomes a URI (RFC 3987, section 3.1): what it is made of shows, whatever it looks like
		if c := f.URL[i]; c > ' ' && c <= '~' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() > min(maxURL, 4*room) {
		return ""
	}
	return b.String()
}

// ConsoleURL is the page of a repository in the AWS console of its partition.
func ConsoleURL(r scan.Repository) string {
	domain := "console.aws.amazon.com"
	switch {
	case strings.HasPrefix(r.Region, "cn-"):
		domain = "console.amazonaws.cn"
	case strings.HasPrefix(r.Region, "us-gov-"):
		domain = "console.amazonaws-us-gov.com"
	}
	u := url.URL{
		Scheme: "https", Host: r.Region + "." + domain, Path: "/ecr/repositories/private/" + r.Registry + "/" + r.Name,
		RawQuery: url.Values{"region": {r.Region}}.Encode(),
	}
	return u.String()
}
