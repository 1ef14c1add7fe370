package scan

import "strings"

// NormalizePlatform returns the normal spelling of a platform that build tools write in different ways:
// linux/arm64/v8 and linux/aarch64 are linux/arm64, linux/arm is linux/arm/v7. name is os/architecture/variant, and
// the version of the operating system after a space if there is one. The result does not depend on the machine and
// does not change with a new version of this code, because records compare it with platforms of earlier visits. For
// this reason it does not use a library.
func NormalizePlatform(name string) string {
	name, version, hasVersion := strings.Cut(name, " ")
	os, rest, _ := strings.Cut(strings.ToLower(name), "/")
	architecture, variant, _ := strings.Cut(rest, "/")
	if os == "macos" {
		os = "darwin"
	}
	architecture, variant = normalizeArchitecture(architecture, variant)
	name = strings.Trim(os+"/"+architecture+"/"+variant, "/")
	if hasVersion {
		name += " " + version
	}
	return name
}

func normalizeArchitecture(architecture, variant string) (string, string) {
	switch architecture {
	case "i386":
		return "386", ""
	case "x86_64", "x86-64":
		architecture = "amd64"
	case "aarch64":
		architecture = "arm64"
	case "armhf":
		return "arm", "v7"
	case "armel":
		return "arm", "v6"
	}
	if variant != "" && variant[0] >= '0' && variant[0] <= '9' {
		variant = "v" + variant
	}
	switch variant = strings.TrimSuffix(variant, ".0"); architecture + "/" + variant {
	case "amd64/v1", "arm64/v8":
		variant = ""
	case "arm/":
		variant = "v7"
	}
	return architecture, variant
}
