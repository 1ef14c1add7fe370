package demo

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"time"
)

// Days is the length of the story.
const Days = 60

var (
	//go:embed story.json
	storyJSON []byte
	//go:embed vulnerabilities.json
	vulnerabilitiesJSON []byte
)

// story is the content of story.json.
type story struct {
	Repositories []repository        `json:"repositories"`
	Configs      []Config            `json:"configs"`
	Builds       map[string][]string `json:"builds"` // packages with their versions, such as "zlib 1.2.12-r1"
	Events       []event             `json:"events"` // in the order of their days
}

type repository struct {
	Name       string `json:"name"`
	Region     string `json:"region"`
	Registry   string `json:"registry"`
	Enhanced   bool   `json:"enhanced"` // the registry uses enhanced scanning in this Region
	ScanOnPush bool   `json:"scanOnPush"`
}

// Config is what a user of the demo watches.
type Config struct {
	Region     string   `json:"region"`
	Registry   string   `json:"registry"`
	Repository string   `json:"repository"`
	Tags       []string `json:"tags"` // all tags if empty
}

// event is what happens at one time of the story. Each field that is set happens.
type event struct {
	Day  float64 `json:"day"`  // since the start
	Text string  `json:"text"` // for the user

	Push    []push     `json:"push"`
	Chart   []imageRef `json:"chart"`  // push a Helm chart
	Sign    []imageRef `json:"sign"`   // push a signature and an SBOM of the image
	Delete  []imageRef `json:"delete"` // delete the tag
	Archive []imageRef `json:"archive"`
	Restore []imageRef `json:"restore"`
	Fail    []failure  `json:"fail"`    // the scans of the image fail from now on
	Recover []imageRef `json:"recover"` // the scans no longer fail
	Use     []use      `json:"use"`     // this many containers use the image
	Learn   []string   `json:"learn"`   // the scanner knows these vulnerabilities from now on; it knows all others from the start
	Rate    []rating   `json:"rate"`
	Fix     []string   `json:"fix"` // the fixed versions are known from now on; others are known with the vulnerability
	Exploit []string   `json:"exploit"`
	Outage  []outage   `json:"outage"`
}

// push is an image, or with platforms an index.
type push struct {
	Repository string            `json:"repository"`
	Tags       []string          `json:"tags"`
	Build      string            `json:"build"`
	Platforms  map[string]string `json:"platforms"` // builds by platform, such as linux/arm64
	Recorded   string            `json:"recorded"`  // an image of the walkthrough, such as test/ubuntu:16.04, whose findings this image has too
}

type imageRef struct {
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
}

type failure struct {
	imageRef
	Reason string `json:"reason"`
}

type use struct {
	imageRef
	Count int64 `json:"count"`
}

type rating struct {
	Name     string  `json:"name"`
	Severity string  `json:"severity"`
	Score    float64 `json:"score"`
	Vector   string  `json:"vector"`
}

type outage struct {
	Region string  `json:"region"`
	Hours  float64 `json:"hours"`
}

// days returns the duration of a number of days in whole seconds.
func days(n float64) time.Duration {
	return time.Duration(n * 24 * float64(time.Hour)).Round(time.Second)
}

// loadStory reads the embedded files. It can only fail if a file is wrong, which a test would find.
func loadStory() (story, []vulnerability, error) {
	var s story
	var all []vulnerability
	for name, file := range map[string]struct {
		text []byte
		into any
	}{"story.json": {storyJSON, &s}, "vulnerabilities.json": {vulnerabilitiesJSON, &all}} {
		d := json.NewDecoder(bytes.NewReader(file.text))
		d.DisallowUnknownFields()
		if err := d.Decode(file.into); err != nil {
			return s, all, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return s, all, nil
}
