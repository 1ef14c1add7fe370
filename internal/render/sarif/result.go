package sarif

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/scan"
)

// findingResult returns the result of a finding. Its location ends in the package: tools that compare two logs match the results of a rule by their
// location before they read the fingerprint, so a resolved and a new finding of one vulnerability would be the same to them.
func findingResult(d render.FindingData, ruleIndex int) result {
	_, fingerprint, _ := strings.Cut(d.ID, "urn:uuid:")
	return result{
		RuleID: ruleID(d), RuleIndex: ruleIndex, Level: levelOf(d.Severity), Message: message(findingWords(d)),
		Locations: []location{newLocation(d.Place(), d.ImageName(), d.Package)}, Fingerprints: fingerprints(fingerprint), Properties: d,
	}
}

// fingerprints contains the id of a result. GitHub uses only the first one. Without it, the uploader would compute one from a line of a source file.
func fingerprints(id string) map[string]string {
	return map[string]string{"primaryLocationLineHash": id + ":1", "findingId/v1": id}
}

func findingWords(d render.FindingData) string {
	words := d.Severity + ": " + ruleID(d)
	if d.Package != "" {
		words += " in " + strings.TrimSpace(d.Package+" "+strings.Join(d.Versions, ", "))
	}
	words += " of " + d.ImageName()
	if len(d.Images) > 0 {
		words += ", images " + strings.Join(d.Images, ", ")
	}
	if more := d.ImageCount - len(d.Images); more > 0 {
		words += fmt.Sprintf(" and %d more", more)
	}
	if len(d.FixedIn) > 0 {
		words += ". Fixed in " + strings.Join(d.FixedIn, ", ")
	}
	return words + "."
}

// stateResult returns the result of an image or a config without a current result.
func stateResult(d render.WithoutResultData, ruleIndex int) result {
	id := scan.NameID(notScanned, d.Registry, d.Region, d.Repository, d.Tag, d.Platform).String()
	return result{
		RuleID: notScanned, RuleIndex: ruleIndex, Level: stateLevel(d), Message: message(stateWords(d) + "."),
		Locations: []location{newLocation(d.Place(), d.ImageName(), "")}, Fingerprints: fingerprints(id), Properties: d,
	}
}

// nothingResult returns the result of a request for all configs whose filter matches no image. It belongs to no repository.
func nothingResult(words string, ruleIndex int) result {
	const all = "all-configs"
	return result{
		RuleID: notScanned, RuleIndex: ruleIndex, Level: levelWarning, Message: message(words + "."),
		Locations:    []location{{physical{artifact{all}, region{1}}, []logical{{all, all, "resource"}}}},
		Fingerprints: fingerprints(scan.NameID(notScanned, words).String()),
	}
}

func stateWords(d render.WithoutResultData) string {
	words := d.ImageName() + " in " + d.Region + ": " + d.State
	if d.AsOf != "" {
		words += " as of " + d.AsOf
	}
	if d.Reason != "" {
		words += ", " + d.Reason
	}
	return words
}

// stateLevel returns note for an archived image: nobody can run it, and ECR does not scan it.
func stateLevel(d render.WithoutResultData) string {
	if d.State == string(scan.NotScanned) && d.Reason == string(scan.Archived) {
		return levelNote
	}
	return levelWarning
}

// newLocation returns the image's name as a file path, because code scanning tools require a file. The first part of the path contains no colon,
// so that tools don't mistake it for the scheme of a URL. pkg can be empty.
func newLocation(place scan.Image, name, pkg string) location {
	host := render.RegistryHost(place.Repository)
	path := host + "/" + place.Repository.Name
	if place.Tag != "" {
		path += place.Separator() + url.PathEscape(strings.ReplaceAll(place.Tag, "/", "_")) // tags contain no slash; this keeps a malformed tag from changing the folder
	}
	qualified := host + "/" + name
	if pkg != "" {
		pkg = render.OneLine(pkg, render.MaxName)
		qualified += "/" + pkg
	}
	return location{physical{artifact{path}, region{1}}, []logical{{cmp.Or(pkg, name), qualified, "resource"}}}
}
