package suppressfile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/package-url/packageurl-go"

	"ecr-continuous-scan/internal/suppress"
)

// errUnsupported means that a suppression can't express a package or a product.
var errUnsupported = errors.New("can't be expressed by a suppression")

// pkg is a package with the name that Amazon Inspector gives it. Both fields can be empty.
type pkg struct{ name, version string }

// parsePackage reads the package URL of a package. The opposite direction is in package render. The qualifiers are ignored: a suppression of a file
// always names a vulnerability, and images of other architectures have the same one. Errors: errUnsupported, or the text for the user.
func parsePackage(s string) (pkg, error) {
	u, err := packageurl.FromString(s)
	if err != nil {
		return pkg{}, errors.New("must be a package URL, such as pkg:deb/debian/openssl@3.0.11-1")
	}
	p := pkg{name: u.Name, version: u.Version}
	switch {
	case strings.Contains(u.Name+u.Namespace+u.Version, "*"):
		return pkg{}, fmt.Errorf("has an asterisk: %w", errUnsupported)
	case u.Type == packageurl.TypeOCI, u.Type == packageurl.TypeDocker:
		return pkg{}, fmt.Errorf("is an image and no package: %w", errUnsupported)
	case u.Type == packageurl.TypeRPM && u.Qualifiers.Map()["epoch"] != "" && u.Qualifiers.Map()["epoch"] != "0" && u.Version != "":
		p.version = u.Qualifiers.Map()["epoch"] + ":" + u.Version
	case u.Type == packageurl.TypePyPi:
		p.name = strings.ReplaceAll(u.Name, "-", "*") // a package URL has a hyphen where the package itself may have an underscore or a dot
	case u.Type == packageurl.TypeGolang && u.Namespace == "" && u.Name == "stdlib":
		p.name = "go/stdlib"
	}
	p.version = strings.TrimPrefix(p.version, "0:")
	if u.Namespace == "" {
		return p, nil
	}
	switch u.Type {
	case packageurl.TypeMaven:
		p.name = u.Namespace + ":" + u.Name
	case packageurl.TypeNPM, packageurl.TypeGolang, packageurl.TypeComposer:
		p.name = u.Namespace + "/" + u.Name
	}
	return p, nil
}

// image is what the package URL of an image names. Empty fields stand for all.
type image struct {
	name       string // the last part of the repository
	repository string // the whole name, if it is known
	registry   string
	region     string
	tag        string
	digest     string
}

var (
	digestForm = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)
	// ecrHost is the address of a registry: account, Region, and a domain of AWS. Each partition has its own domain, and another one for dual stack.
	// Anybody can have another domain. Below s3.amazonaws.com are the buckets of all customers, so the Region must have the form of one. A test
	// compares the domains with the SDK.
	ecrHost = regexp.MustCompile(`^([0-9]{12})\.dkr[.-]ecr(?:-fips)?\.([a-z]{2,}(?:-[a-z]+)+-[0-9]+)\.(?:` +
		`amazonaws\.(?:com|com\.cn|eu)|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov|` +
		`on\.(?:aws|amazonwebservices\.(?:com\.cn|eu)|aws\.ic\.gov|aws\.scloud|cloud-aws\.adc-e\.uk|aws\.hci\.ic\.gov))$`)
)

// parseImage reads the package URL of an image. known is false for another product, also for an image that is not in Amazon ECR. Errors: errUnsupported,
// or the text for the user.
func parseImage(s string) (i image, known bool, err error) {
	u, err := packageurl.FromString(s)
	if err != nil {
		return image{}, false, errors.New("must be a valid package URL, such as pkg:oci/app?repository_url=123456789012.dkr.ecr.us-west-2.amazonaws.com/team/app&tag=1.0")
	}
	if u.Type != packageurl.TypeOCI {
		return image{}, false, nil
	}
	qualifiers := u.Qualifiers.Map()
	i = image{name: u.Name, tag: qualifiers["tag"]}
	switch {
	case digestForm.MatchString(u.Version):
		i.digest, i.tag = u.Version, "" // a tag next to a digest says only what pointed to it once
	case u.Version != "" && i.tag == "":
		i.tag = u.Version
	case u.Version != "":
		return image{}, false, errors.New("has a version that is no digest")
	}
	if strings.Contains(i.name+u.Namespace+i.tag+qualifiers["repository_url"], "*") {
		return image{}, false, fmt.Errorf("has an asterisk: %w", errUnsupported)
	}
	if i.digest == "" && (qualifiers["arch"] != "" || qualifiers["platform"] != "" || qualifiers["os"] != "") {
		return image{}, false, fmt.Errorf("names a platform but no digest: %w", errUnsupported)
	}
	if u.Namespace != "" {
		i.repository = u.Namespace + "/" + u.Name
	}
	address := strings.TrimPrefix(strings.TrimPrefix(qualifiers["repository_url"], "https://"), "oci://")
	if address == "" {
		return i, true, nil
	}
	host, path, _ := strings.Cut(address, "/")
	match := ecrHost.FindStringSubmatch(host)
	if match == nil {
		return i, i.digest != "", nil // copies of the image have the same digest
	}
	i.registry, i.region = match[1], match[2]
	if i.repository = strings.Trim(path, "/"); i.repository != i.name && !strings.HasSuffix(i.repository, "/"+i.name) {
		i.repository = strings.TrimPrefix(i.repository+"/"+i.name, "/")
	}
	return i, true, nil
}

// drafts returns a copy of draft for each suppression that the image needs.
func (i image) drafts(draft suppress.Suppression) []suppress.Suppression {
	draft.Registry, draft.Region, draft.Repository, draft.Tag, draft.Digest = i.registry, i.region, i.repository, i.tag, i.digest
	if i.repository != "" || i.digest != "" {
		return []suppress.Suppression{draft}
	}
	nested := draft
	draft.Repository, nested.Repository = i.name, "*/"+i.name
	return []suppress.Suppression{draft, nested}
}

// overlaps reports whether there can be an image that both name.
func (i image) overlaps(other image) bool {
	return isSame(i.name, other.name) && isSame(i.repository, other.repository) && isSame(i.registry, other.registry) && isSame(i.region, other.region) &&
		isSame(i.tag, other.tag) && isSame(i.digest, other.digest)
}

// overlaps reports whether there can be a package that both name.
func (p pkg) overlaps(other pkg) bool {
	return isSame(p.name, other.name) && isSame(p.version, other.version)
}

func isSame(a, b string) bool { return a == "" || b == "" || a == b }
