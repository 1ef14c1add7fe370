package render

import (
	"fmt"
	"net/url"
	"strings"

	"ecr-continuous-scan/internal/scan"
)

// Advisory returns the link of a finding as a URI. It is empty when the finding has no link, or when the link is longer than 2000 bytes or four times
// the limit: a shortened link would not work.
func Advisory(f scan.Finding, limit int) string {
	var b strings.Builder
	for i := range len(f.URL) { // converts an IRI to a URI (RFC 3987, section 3.1), so that characters that look like others become visible
		if c := f.URL[i]; c > ' ' && c <= '~' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() > min(maxURL, 4*limit) {
		return ""
	}
	return b.String()
}

// ConsoleURL returns the URL of a repository's page in the AWS console of its partition.
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
