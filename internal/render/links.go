package render

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"ecr-continuous-scan/internal/scan"
)

// Advisory returns the link of a finding as a URI. It is empty when the finding has no link, or when the URI is longer than 2000 bytes or four times
// the limit: a shortened link would not work.
func Advisory(link string, limit int) string {
	if strings.ContainsFunc(link, isEscaped) {
		link = escapeURL(link)
	}
	if len(link) > min(maxURL, 4*limit) {
		return ""
	}
	return link
}

// isEscaped reports whether a URI can't contain a character.
func isEscaped(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '<' || r == '>' }

// escapeURL converts an IRI to a URI (RFC 3987, section 3.1), so that characters that look like others become visible.
func escapeURL(link string) string {
	var b strings.Builder
	for i := range len(link) {
		if c := link[i]; isEscaped(rune(c)) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// partition is a part of AWS with its own domains: of the console and of the service endpoints.
type partition struct{ console, service string }

// regionForm has the form of the names of Regions. Its group decides the partition.
var regionForm = regexp.MustCompile(`^([a-z]+(?:-[a-z]+)?)-\w+-\d+$`)

// partitionOf returns the partition of a Region, and false if it is unknown. A test compares the partitions with the SDK.
func partitionOf(region string) (partition, bool) {
	parts := regionForm.FindStringSubmatch(region)
	if parts == nil {
		return partition{}, false
	}
	switch parts[1] {
	case "us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx":
		return partition{"console.aws.amazon.com", "amazonaws.com"}, true
	case "cn":
		return partition{"console.amazonaws.cn", "amazonaws.com.cn"}, true
	case "us-gov":
		return partition{"console.amazonaws-us-gov.com", "amazonaws.com"}, true
	case "eusc-de":
		return partition{"console.amazonaws-eusc.eu", "amazonaws.eu"}, true
	case "us-iso":
		return partition{"console.c2shome.ic.gov", "c2s.ic.gov"}, true
	case "us-isob":
		return partition{"console.sc2shome.sgov.gov", "sc2s.sgov.gov"}, true
	case "eu-isoe":
		return partition{"console.csphome.adc-e.uk", "cloud.adc-e.uk"}, true
	case "us-isof":
		return partition{"console.csphome.hci.ic.gov", "csp.hci.ic.gov"}, true
	}
	return partition{}, false
}

// ConsoleURL returns the URL of a repository's page in the AWS console of its partition, or of the page with all repositories if it is a pattern. It is empty if the partition is unknown.
func ConsoleURL(r scan.Repository) string {
	p, known := partitionOf(r.Region)
	if !known {
		return ""
	}
	path := "/ecr/repositories/private/" + r.Registry + "/" + r.Name
	if r.IsPattern() {
		path = "/ecr/private-registry/repositories"
	}
	u := url.URL{
		Scheme: "https", Host: r.Region + "." + p.console, Path: path,
		RawQuery: url.Values{"region": {r.Region}}.Encode(),
	}
	return u.String()
}

// RegistryHost returns the host name that docker pulls from. If the partition is unknown, it has no domain.
func RegistryHost(r scan.Repository) string {
	host := r.Registry + ".dkr.ecr." + r.Region
	if p, known := partitionOf(r.Region); known {
		host += "." + p.service
	}
	return host
}
