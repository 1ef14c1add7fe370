package samples

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

// walkthroughJSON contains the repositories of the README's walkthrough and a repository of unusual images. The findings have
// the format of ECR's responses.
//
//go:embed walkthrough.json
var walkthroughJSON []byte

type seedRepository struct {
	Name   string      `json:"name"`
	Images []seedImage `json:"images"`
}

// seedImage is an Image with an age instead of a time.
type seedImage struct {
	Tags              []string      `json:"tags"`
	SignatureOf       string        `json:"signatureOf"` // tag of an earlier image; this image is its cosign signature
	SubjectOf         string        `json:"subjectOf"`   // tag of an earlier image; this image refers to it
	MediaType         string        `json:"mediaType"`
	ArtifactMediaType string        `json:"artifactMediaType"`
	Status            string        `json:"status"`
	ScanHoursAgo      float64       `json:"scanHoursAgo"` // zero: never scanned
	ScanStatus        string        `json:"scanStatus"`
	ScanDescription   string        `json:"scanDescription"`
	Findings          []ecr.Finding `json:"findings"`
	Children          []seedChild   `json:"children"`
}

// seedChild is the image of one platform in an index.
type seedChild struct {
	OS      string `json:"os"`
	Arch    string `json:"architecture"`
	Variant string `json:"variant"`
	seedImage
}

// PutWalkthrough pushes the repositories of the README's walkthrough into the default registry: amazonlinux, test/centos,
// test/ubuntu and test/hardcases. The scans were completed 25 hours ago, so that the next scan is due.
func PutWalkthrough(e *ecr.ECR) error {
	repositories, err := readWalkthrough()
	if err != nil {
		return err
	}
	for _, r := range repositories {
		s := seeder{e, ecr.RepositoryID{Name: r.Name}, e.Now(), map[string]string{}}
		for _, img := range r.Images {
			s.put(img)
		}
	}
	return nil
}

func readWalkthrough() ([]seedRepository, error) {
	var repositories []seedRepository
	if err := json.Unmarshal(walkthroughJSON, &repositories); err != nil {
		return nil, fmt.Errorf("read the walkthrough's images: %w", err)
	}
	return repositories, nil
}

// seeder pushes the images of one repository.
type seeder struct {
	ecr     *ecr.ECR
	id      ecr.RepositoryID
	now     time.Time
	digests map[string]string // by tag
}

func (s *seeder) put(in seedImage) {
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
		img.Digest = "" // the digest of the index's manifest is used
		img.Children = append(img.Children, ecr.Child{
			Digest: child.Digest, MediaType: child.MediaType, OS: c.OS, Arch: c.Arch, Variant: c.Variant, Size: 1 << 10,
		})
	}
	digest := s.ecr.PutImage(s.id, img)
	for _, tag := range in.Tags {
		s.digests[tag] = digest
	}
}

func (s *seeder) image(in seedImage, name string) ecr.Image {
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

// Findings returns the findings of an image of the walkthrough. Do not modify them.
func Findings(repository, tag string) ([]ecr.Finding, error) {
	repositories, err := readWalkthrough()
	if err != nil {
		return nil, err
	}
	for _, r := range repositories {
		for _, img := range r.Images {
			if r.Name == repository && slices.Contains(img.Tags, tag) {
				return img.Findings, nil
			}
		}
	}
	return nil, fmt.Errorf("the walkthrough has no image %s:%s", repository, tag)
}
