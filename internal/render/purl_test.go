package render

import (
	"testing"

	"github.com/package-url/packageurl-go"

	"ecr-continuous-scan/internal/scan"
)

func TestPurl(t *testing.T) {
	for _, test := range []struct {
		p    scan.Package
		want string
	}{
		{scan.Package{Name: "openssl", Manager: "OS", OS: "UBUNTU_22_04", Arch: "AMD64", Version: "3.0.2-0ubuntu1.10"}, "pkg:deb/ubuntu/openssl@3.0.2-0ubuntu1.10?arch=amd64&distro=ubuntu-22.04"},
		{scan.Package{Name: "krb5", Manager: "OS", OS: "DEBIAN_12", Arch: "X86_64", Version: "1:1.20.1-2+deb12u2"}, "pkg:deb/debian/krb5@1:1.20.1-2%2Bdeb12u2?arch=amd64&distro=debian-12"},
		{scan.Package{Name: "systemd", Manager: "OS", OS: "RHEL_8", Arch: "AMD64", Version: "2:239-45.el8"}, "pkg:rpm/redhat/systemd@239-45.el8?arch=x86_64&distro=rhel-8&epoch=2"},
		{scan.Package{Name: "bash", Manager: "OS", OS: "AMAZON_LINUX_2023", Arch: "NOARCH", Version: "5.2.15-1.amzn2023"}, "pkg:rpm/amzn/bash@5.2.15-1.amzn2023?arch=noarch&distro=amzn-2023"},
		{scan.Package{Name: "libssl3", Manager: "os", OS: "ALPINE_LINUX_3_18", Arch: "aarch64", Version: "3.1.1-r1"}, "pkg:apk/alpine/libssl3@3.1.1-r1?arch=aarch64&distro=alpine-3.18"},
		{scan.Package{Name: "glibc", Manager: "OS", OS: "WOLFI"}, "pkg:apk/wolfi/glibc"},
		{scan.Package{Name: "@babel/traverse", Manager: "NODEPKG", Version: "7.22.1"}, "pkg:npm/%40babel/traverse@7.22.1"},
		{scan.Package{Name: "Flask_Login", Manager: "PYTHONPKG", Version: "0.6"}, "pkg:pypi/flask-login@0.6"},
		{scan.Package{Name: "golang.org/x/net", Manager: "GOBINARY", Version: "v0.7.0"}, "pkg:golang/golang.org/x/net@v0.7.0"},
		{scan.Package{Name: "go/stdlib", Manager: "GOBINARY", Version: "1.24.4"}, "pkg:golang/stdlib@1.24.4"},
		{scan.Package{Name: "org.apache.logging.log4j:log4j-core", Manager: "JAR", Version: "2.14.1"}, "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"},
		{scan.Package{Name: "rack", Manager: "GEMSPEC", Version: "2.0"}, "pkg:gem/rack@2.0"},
		{scan.Package{Name: "time", Manager: "CARGO", Version: "0.1.43"}, "pkg:cargo/time@0.1.43"},
		{scan.Package{Name: "Symfony/http-kernel", Manager: "COMPOSER", Version: "v5.4.0"}, "pkg:composer/symfony/http-kernel@v5.4.0"},
		{scan.Package{Name: "Newtonsoft.Json", Manager: "NUGET", Version: "12.0.1"}, "pkg:nuget/Newtonsoft.Json@12.0.1"},
		{scan.Package{Name: "a b?c#d@e", Manager: "GEMSPEC"}, "pkg:gem/a%20b%3Fc%23d%40e"},

		// Nothing is certain enough.
		{scan.Package{Name: "log4j-core", Manager: "JAR", Version: "2"}, ""},
		{scan.Package{Name: "openssl", Manager: "OS", Version: "1"}, ""},
		{scan.Package{Name: "openssl", Manager: "OS", OS: "WINDOWS_SERVER_2022", Version: "1"}, ""},
		{scan.Package{Name: "openssl", Manager: "OS", OS: "DEBIANISH", Version: "1"}, ""},
		{scan.Package{Name: "openssl", OS: "DEBIAN_12", Version: "1"}, ""},
		{scan.Package{Name: "openssl", Manager: "DOTNET_CORE", Version: "1"}, ""},
		{scan.Package{Manager: "NPM", Version: "1"}, ""},
	} {
		got := purlOf(test.p)
		if got != test.want {
			t.Errorf("%+v: %q, want %q", test.p, got, test.want)
		}
		if _, err := packageurl.FromString(got); got != "" && err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
}

// FuzzPurl checks that each purl can be parsed, has a known type, and contains nothing that ends a cell or a list.
func FuzzPurl(f *testing.F) {
	f.Add("@babel/traverse", "NPM", "", "X86_64", "1:2-3+4")
	f.Add("a/b", "OS", "UBUNTU_22_04", "|", " | ")
	f.Add("//", "GOMOD", "", "\xff", "\x00")
	f.Fuzz(func(t *testing.T, name, manager, system, arch, version string) {
		got := purlOf(scan.Package{Name: name, Manager: manager, OS: system, Arch: arch, Version: version})
		if got == "" {
			return
		}
		if _, err := packageurl.FromString(got); err != nil {
			t.Errorf("%q: %v", got, err)
		}
		for _, c := range got {
			if c <= ' ' || c > '~' || c == '|' || c == '"' {
				t.Errorf("%q contains %q", got, c)
			}
		}
	})
}
