package render

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"ecr-continuous-scan/internal/scan"
)

// Advisory returns the link of a finding as a URI. It is empty when the finding has no link, or when the link is longer than 2000 bytes or four times
// the limit: a shortened link would not work.
func Advisory(f scan.Finding, limit int) string {
	var b strings.Builder
	for i := range len(f.URL) { // converts an IRI to a URI (RFC 3987, section 3.1), so that characters that look like others become visible
		if c := f.URL[i]; c > ' ' && c <= '~' && c != '"' && c != '<' && c != '>' {
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

// partition is a part of AWS with its own domains.
type partition struct {
	regions          *regexp.Regexp
	console, service string // domains of the console and of the service endpoints
}

// partitions returns the partitions of the SDK. A test compares them with the SDK.
func partitions() []partition {
	of := func(regions, console, service string) partition {
		return partition{regexp.MustCompile(`^` + regions + `-\w+-\d+$`), console, service}
	}
	return []partition{
		of(`(us|eu|ap|sa|ca|me|af|il|mx)`, "console.aws.amazon.com", "amazonaws.com"),
		of(`cn`, "console.amazonaws.cn", "amazonaws.com.cn"),
		of(`us-gov`, "console.amazonaws-us-gov.com", "amazonaws.com"),
		of(`eusc-de`, "console.amazonaws-eusc.eu", "amazonaws.eu"),
		of(`us-iso`, "console.c2shome.ic.gov", "c2s.ic.gov"),
		of(`us-isob`, "console.sc2shome.sgov.gov", "sc2s.sgov.gov"),
		of(`eu-isoe`, "console.csphome.adc-e.uk", "cloud.adc-e.uk"),
		of(`us-isof`, "console.csphome.hci.ic.gov", "csp.hci.ic.gov"),
	}
}

// partitionOf returns the partition of a Region, and false if it is unknown.
func partitionOf(region string) (partition, bool) {
	for _, p := range partitions() {
		if p.regions.MatchString(region) {
			return p, true
		}
	}
	return partition{}, false
}

// ConsoleURL returns the URL of a repository's page in the AWS console of its partition. It is empty if the partition is unknown.
func ConsoleURL(r scan.Repository) string {
	p, known := partitionOf(r.Region)
	if !known {
		return ""
	}
	u := url.URL{
		Scheme: "https", Host: r.Region + "." + p.console, Path: "/ecr/repositories/private/" + r.Registry + "/" + r.Name,
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
