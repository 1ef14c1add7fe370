package scan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Finding is one vulnerability in one package of an image. Its JSON form is that of the record.
type Finding struct {
	// Name is the vulnerability's name, usually a CVE number.
	Name string `json:"name"`
	// Package is the name of the package it was found in; empty when the scanner did not say.
	Package string `json:"package,omitempty"`
	// Versions are the installed versions of the package, more than one when several copies were found.
	Versions []string `json:"versions,omitempty"`
	Severity Severity `json:"severity"`
	// Description is the scanner's text. It comes from outside, as all strings here do: escape it where it lands.
	Description string `json:"description,omitempty"`
	// URL leads to the advisory. It is empty or http(s).
	URL string `json:"url,omitempty"`
	// Score and Vector are the CVSS base score, as a decimal number, and its vector; empty when unknown.
	Score  string `json:"score,omitempty"`
	Vector string `json:"vector,omitempty"`
	// FixedIn are the versions that mend it; empty when there are none or the scanner did not say.
	FixedIn []string `json:"fixedIn,omitempty"`
	// FixAvailable and Exploit are YES, NO or PARTIAL, as Amazon Inspector has it; empty with basic scanning.
	FixAvailable string `json:"fixAvailable,omitempty"`
	Exploit      string `json:"exploit,omitempty"`
	// Remediation is Amazon Inspector's advice, if any.
	Remediation string `json:"remediation,omitempty"`
	// FirstSeen and Changed are when Amazon Inspector first saw and last changed it; zero with basic scanning, which does not tell.
	FirstSeen time.Time `json:"firstSeen,omitzero"`
	Changed   time.Time `json:"changed,omitzero"`
	// Episode counts how often the finding came back or rose in severity; the first is 0.
	Episode int `json:"episode,omitempty"`
}

// namespace is the fixed root of all name-based ids. Changing it makes every feed reader show everything as new.
var namespace = uuid.MustParse("9b1a7a44-64a7-4d0e-8f6b-2f4be0a3c6d1")

// FindingID is the identity of a finding of an image over time: the same through re-scans, pushes under the same tag, new versions, new
// texts and lower severities.
func FindingID(image Image, f Finding) uuid.UUID {
	return NameID("finding", image.Repository.Registry, image.Repository.Region, image.Repository.Name, image.Tag, image.Platform,
		f.Name, f.Package, strconv.Itoa(f.Episode))
}

// VulnerabilityID is the identity of a finding in all images of a repository, whatever their tags and platforms.
func VulnerabilityID(repo Repository, f Finding) uuid.UUID {
	return NameID("vulnerability", repo.Registry, repo.Region, repo.Name, f.Name, f.Package, strconv.Itoa(f.Episode))
}

// NameID quotes each part, so that no part can pose as two.
func NameID(parts ...string) uuid.UUID {
	return uuid.NewSHA1(namespace, fmt.Appendf(nil, "%q", parts))
}

// CompareFindings orders worst first, then by name and package.
func CompareFindings(a, b Finding) int {
	return cmp.Or(CompareSeverity(a.Severity, b.Severity), strings.Compare(a.Name, b.Name), strings.Compare(a.Package, b.Package))
}

// MergeFindings makes one finding of all that have the same name and package, keeping the highest severity and every version, and sorts
// the rest worst first. Scanners repeat a vulnerability for each copy of a package.
func MergeFindings(findings []Finding) []Finding {
	type key struct{ name, pkg string }
	place := make(map[key]int, len(findings))
	merged := make([]Finding, 0, len(findings))
	for _, f := range findings {
		k := key{f.Name, f.Package}
		if at, known := place[k]; known {
			merged[at] = MergeFinding(merged[at], f)
			continue
		}
		place[k] = len(merged)
		merged = append(merged, f)
	}
	for i := range merged {
		slices.Sort(merged[i].Versions)
		slices.Sort(merged[i].FixedIn)
	}
	slices.SortFunc(merged, CompareFindings)
	return merged
}

// MergeFinding is one finding of two of the same vulnerability and package: the more severe one, with the versions and the fixes of both.
func MergeFinding(a, b Finding) Finding {
	if CompareSeverity(b.Severity, a.Severity) < 0 {
		a, b = b, a
	}
	a.Versions = union(a.Versions, b.Versions)
	a.FixedIn = union(a.FixedIn, b.FixedIn)
	if !b.FirstSeen.IsZero() && (a.FirstSeen.IsZero() || b.FirstSeen.Before(a.FirstSeen)) {
		a.FirstSeen = b.FirstSeen
	}
	if b.Changed.After(a.Changed) {
		a.Changed = b.Changed
	}
	return a
}

func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
