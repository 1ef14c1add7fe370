package samples

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

// walkthroughJSON describes the repositories of the README's walkthrough and
// one of hard cases. Findings in it are in the form of ECR's own answers.
//
//go:embed walkthrough.json
var walkthroughJSON []byte

type seedRepository struct {
	Name   string      `json:"name"`
	Images []seedImage `json:"images"`
}

// seedImage is an Image with ages for times.
type seedImage struct {
	Tags              []string      `json:"tags"`
	SignatureOf       string        `json:"signatureOf"` // a tag of an image before this one: cosign's tag for it
	SubjectOf         string        `json:"subjectOf"`   // a tag of an image before this one: refers to it
	MediaType         string        `json:"mediaType"`
	ArtifactMediaType string        `json:"artifactMediaType"`
	Status            string        `json:"status"`
	ScanHoursAgo      float64       `json:"scanHoursAgo"` // zero: never scanned
	ScanStatus        string        `json:"scanStatus"`
	ScanDescription   string        `json:"scanDescription"`
	Findings          []ecr.Finding `json:"findings"`
	Children          []seedPart    `json:"children"`
}

// seedPart is an image that an index has for a platform.
type seedPart struct {
	OS      string `json:"os"`
	Arch    string `json:"architecture"`
	Variant string `json:"variant"`
	seedImage
}

// PutWalkthrough fills the default registry with what the README walks through:
// amazonlinux, test/centos and test/ubuntu with scans completed 25 hours ago,
// so that the next is due, and test/hardcases.
func PutWalkthrough(e *ecr.ECR) error {
	var repositories []seedRepository
	if err := json.Unmarshal(walkthroughJSON, &repositories); err != nil {
		return fmt.Errorf("read the walkthrough's images: %w", err)
	}
	for _, r := range repositories {
		s := seeding{e, ecr.RepositoryID{Name: r.Name}, e.Now(), map[string]string{}}
		for _, img := range r.Images {
			s.put(img)
		}
	}
	return nil
}

// seeding puts the images of one repository.
type seeding struct {
	ecr     *ecr.ECR
	id      ecr.RepositoryID
	now     time.Time
	digests map[string]string // by tag
}

func (s *seeding) put(in seedImage) {
	img := s.image(in, strings.Join(in.Tags, ","))
	if in.SignatureOf != "" {
		img.Tags = []string{strings.Replace(s.digests[in.SignatureOf], ":", "-", 1) + ".sig"}
		img.Digest = ecr.DigestOf("signature of " + s.digests[in.SignatureOf])
	}
	if in.SubjectOf != "" {
		img.Subject = s.digests[in.SubjectOf]
		img.Digest = ecr.DigestOf("referrer to " + img.Subject)
	}
	for _, c := range in.Children {
		child := s.image(c.seedImage, fmt.Sprint(in.Tags, c.OS, c.Arch, c.Variant))
		s.ecr.PutImage(s.id, child)
		img.Digest = "" // that of the index's manifest
		img.Children = append(img.Children, ecr.Child{
			Digest: child.Digest, MediaType: child.MediaType, OS: c.OS, Arch: c.Arch, Variant: c.Variant, Size: 1 << 10,
		})
	}
	digest := s.ecr.PutImage(s.id, img)
	for _, tag := range in.Tags {
		s.digests[tag] = digest
	}
}

func (s *seeding) image(in seedImage, name string) ecr.Image {
	img := ecr.Image{
		Digest: ecr.DigestOf(s.id.Name + " " + name), Tags: in.Tags,
		MediaType: in.MediaType, ArtifactMediaType: in.ArtifactMediaType, Size: 30 << 20, Status: in.Status,
		Findings: in.Findings, ScanStatus: in.ScanStatus, ScanDescription: in.ScanDescription,
		PushedAt: s.now.Add(-100 * 24 * time.Hour),
	}
	if in.ScanHoursAgo > 0 {
		img.ScannedAt = s.now.Add(-time.Duration(in.ScanHoursAgo * float64(time.Hour)))
	}
	return img
}
