package render

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/signin"

	"ecr-continuous-scan/internal/scan"
)

func TestConsoleURL(t *testing.T) {
	for region, want := range map[string]string{
		"us-west-2":      "https://us-west-2.console.aws.amazon.com/ecr/repositories/private/123456789012/test/ubuntu?region=us-west-2",
		"cn-north-1":     "https://cn-north-1.console.amazonaws.cn/ecr/repositories/private/123456789012/test/ubuntu?region=cn-north-1",
		"us-gov-west-1":  "https://us-gov-west-1.console.amazonaws-us-gov.com/ecr/repositories/private/123456789012/test/ubuntu?region=us-gov-west-1",
		"eusc-de-east-1": "https://eusc-de-east-1.console.amazonaws-eusc.eu/ecr/repositories/private/123456789012/test/ubuntu?region=eusc-de-east-1",
		"xx-north-1":     "",
		"us-isox-east-1": "",
		"us-west":        "",
		"us-west-":       "",
		"us--2":          "",
		"eu-gov-west-1":  "",
		"us-west-2/x":    "",
		"us-west-2\n":    "",
		"":               "",
	} {
		if got := ConsoleURL(scan.Repository{Registry: "123456789012", Region: region, Name: "test/ubuntu"}); got != want {
			t.Errorf("%s: %s", region, got)
		}
	}
}

// The domains of each partition are those of the SDK. The console has the domain of the sign-in service.
func TestPartitionsOfTheSDK(t *testing.T) {
	seen := map[string]bool{}
	for _, region := range []string{
		"us-west-2", "mx-central-1", "il-central-1", "cn-northwest-1", "us-gov-east-1", "eusc-de-east-1", "us-iso-west-1", "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1",
	} {
		p, known := partitionOf(region)
		if !known {
			t.Errorf("%s: no partition", region)
			continue
		}
		seen[p.console] = true
		services, err := ecr.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), ecr.EndpointParameters{Region: &region}.WithDefaults())
		if want := "api.ecr." + region + "." + p.service; err != nil || services.URI.Host != want {
			t.Errorf("%s: %s, want %s, %v", region, services.URI.Host, want, err)
		}
		entry, err := signin.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), signin.EndpointParameters{Region: &region}.WithDefaults())
		if want := region + strings.Replace("."+p.console, ".console.", ".signin.", 1); err != nil || entry.URI.Host != want {
			t.Errorf("%s: %s, want %s, %v", region, entry.URI.Host, want, err)
		}
		if got, want := RegistryHost(scan.Repository{Registry: "123456789012", Region: region}), "123456789012.dkr.ecr."+region+"."+p.service; got != want {
			t.Errorf("%s: %s", region, got)
		}
	}
	if len(seen) != 8 {
		t.Errorf("%d partitions are compared", len(seen))
	}
}

// A page has hundreds of links. None of them may compile an expression, or copy a link that needs no change.
func TestMemoryOfLinks(t *testing.T) {
	repo := scan.Repository{Registry: "123456789012", Region: "us-isof-south-1", Name: "test/ubuntu"}
	if n := testing.AllocsPerRun(10, func() { ConsoleURL(repo) }); n > 20 {
		t.Errorf("ConsoleURL: %g allocations", n)
	}
	if n := testing.AllocsPerRun(10, func() { Advisory("https://example.org/CVE-2021-1?a=b&c=d", 1000) }); n > 0 {
		t.Errorf("Advisory: %g allocations", n)
	}
}
