package render

import (
	"regexp"
	"strings"

	"github.com/package-url/packageurl-go"

	"ecr-continuous-scan/internal/scan"
)

// purlOf returns the package URL (purl) of a package. It is empty if the type of the package is not certain, as with basic scanning: a purl of the
// type generic matches nothing, and looks as if it did.
func purlOf(p scan.Package) string {
	if p.Name == "" {
		return ""
	}
	var u *packageurl.PackageURL
	if d, known := distributionOf(p.OS); known && strings.EqualFold(p.Manager, "OS") {
		u = d.purl(p)
	} else {
		u = languagePurl(p)
	}
	if u == nil || u.Normalize() != nil {
		return ""
	}
	return u.ToString()
}

// languagePurl returns the purl of a package of a programming language; nil if it is not certain.
func languagePurl(p scan.Package) *packageurl.PackageURL {
	kind, namespace, name := "", "", p.Name
	switch strings.ToUpper(p.Manager) {
	case "NPM", "YARN", "NODEPKG":
		kind = packageurl.TypeNPM
		namespace, name = splitLast(p.Name, "/") // the scope
	case "PIP", "PIPENV", "POETRY", "PYTHONPKG":
		kind = packageurl.TypePyPi
	case "GOBINARY", "GOMOD":
		kind = packageurl.TypeGolang
		namespace, name = splitLast(strings.TrimPrefix(p.Name, "go/"), "/") // Amazon Inspector calls the standard library go/stdlib
	case "JAR", "POM":
		kind = packageurl.TypeMaven
		if namespace, name = splitLast(p.Name, ":"); namespace == "" {
			return nil // a file name without the group
		}
	case "BUNDLER", "GEMSPEC":
		kind = packageurl.TypeGem
	case "CARGO":
		kind = packageurl.TypeCargo
	case "COMPOSER":
		kind = packageurl.TypeComposer
		namespace, name = splitLast(p.Name, "/") // the vendor
	case "NUGET":
		kind = packageurl.TypeNuget
	default:
		return nil
	}
	return packageurl.NewPackageURL(kind, namespace, name, p.Version, nil, "")
}

func splitLast(s, separator string) (before, after string) {
	if at := strings.LastIndex(s, separator); at >= 0 {
		return s[:at], s[at+len(separator):]
	}
	return "", s
}

// distribution is a distribution of Linux. prefix is how Amazon Inspector's names of its releases begin. id is ID in its file os-release, and
// namespace is the namespace of its purls.
type distribution struct{ prefix, kind, namespace, id, release string }

func distributions() []distribution {
	deb, rpm, apk := packageurl.TypeDebian, packageurl.TypeRPM, packageurl.TypeApk
	return []distribution{
		{"ALMALINUX", rpm, "almalinux", "almalinux", ""}, {"ALMA_LINUX", rpm, "almalinux", "almalinux", ""},
		{"ALPINE_LINUX", apk, "alpine", "alpine", ""}, {"ALPINE", apk, "alpine", "alpine", ""},
		{"AMAZON_LINUX", rpm, "amzn", "amzn", ""}, {"CENTOS", rpm, "centos", "centos", ""},
		{"CHAINGUARD", apk, "chainguard", "chainguard", ""}, {"DEBIAN", deb, "debian", "debian", ""},
		{"FEDORA", rpm, "fedora", "fedora", ""}, {"ORACLE_LINUX", rpm, "ol", "ol", ""},
		{"PHOTON_OS", rpm, "photon", "photon", ""}, {"PHOTON", rpm, "photon", "photon", ""},
		{"RHEL", rpm, "redhat", "rhel", ""}, {"ROCKY_LINUX", rpm, "rocky", "rocky", ""}, {"ROCKY", rpm, "rocky", "rocky", ""},
		{"UBUNTU", deb, "ubuntu", "ubuntu", ""}, {"WOLFI", apk, "wolfi", "wolfi", ""},
	}
}

var releaseNumber = regexp.MustCompile(`^[0-9]+(_[0-9]+)*$`)

// distributionOf returns the distribution that Amazon Inspector names, such as UBUNTU_22_04, and false if its kind of packages is unknown.
func distributionOf(name string) (distribution, bool) {
	name = strings.ToUpper(name)
	for _, d := range distributions() {
		rest, found := strings.CutPrefix(name, d.prefix)
		if rest = strings.TrimPrefix(rest, "_"); found && (rest == "" || releaseNumber.MatchString(rest)) {
			d.release = strings.ReplaceAll(rest, "_", ".")
			return d, true
		}
	}
	return distribution{}, false
}

func (d distribution) purl(p scan.Package) *packageurl.PackageURL {
	qualifiers := map[string]string{}
	version := p.Version
	if epoch, rest, found := strings.Cut(version, ":"); found && d.kind == packageurl.TypeRPM {
		qualifiers["epoch"], version = epoch, rest
	}
	if p.Arch != "" {
		qualifiers["arch"] = d.arch(strings.ToLower(p.Arch))
	}
	if d.release != "" {
		qualifiers["distro"] = d.id + "-" + d.release
	}
	return packageurl.NewPackageURL(d.kind, d.namespace, p.Name, version, packageurl.QualifiersFromMap(qualifiers), "")
}

// arch returns the distribution's own name of an architecture.
func (d distribution) arch(name string) string {
	for _, names := range [][2]string{{"amd64", "x86_64"}, {"arm64", "aarch64"}, {"all", "noarch"}} {
		if name == names[0] || name == names[1] {
			if d.kind == packageurl.TypeDebian {
				return names[0]
			}
			return names[1]
		}
	}
	return name
}
