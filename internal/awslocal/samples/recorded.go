package samples

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

const howToRecord = "record a response with: aws ecr describe-image-scan-findings --repository-name NAME --image-id imageTag=TAG --output json"

// LoadFindings loads recorded responses of aws ecr describe-image-scan-findings into e. Each *.json file in dir contains
// either full responses or a list of findings. The registry, repository and tag of a full response are those in the
// response. The findings of a list belong to the tag latest of a repository that is named after the file. The Region is
// DefaultRegion, because responses do not contain it. Responses about the same image are merged. LoadFindings returns the
// repositories. An error contains the name of the file and what to do.
func LoadFindings(e *ecr.ECR, dir string) ([]ecr.RepositoryID, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("findings folder %s: %w", dir, err)
	}
	if _, err := os.ReadDir(dir); err != nil {
		return nil, fmt.Errorf("findings folder: %w; give a folder with *.json files", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("findings folder %s has no *.json files; %s > %s", dir, howToRecord, filepath.Join(dir, "NAME.json"))
	}
	rec := recording{defaultScanTime: e.Now().Add(-25 * time.Hour)}
	for _, file := range files {
		if err := rec.read(file); err != nil {
			return nil, fmt.Errorf("findings file %s: %w; %s > %s, or move the file away", file, err, howToRecord, filepath.Base(file))
		}
	}
	return rec.put(e), nil
}

// document is a full response, or only its imageScanFindings.
type document struct {
	RegistryID     string `json:"registryId"`
	RepositoryName string `json:"repositoryName"`
	ImageID        struct {
		Digest string `json:"imageDigest"`
		Tag    string `json:"imageTag"`
	} `json:"imageId"`
	Status *struct {
		Status      string `json:"status"`
		Description string `json:"description"`
	} `json:"imageScanStatus"`
	Scan     *recordedScan     `json:"imageScanFindings"`
	Findings []recordedFinding `json:"findings"`
	Enhanced []recordedFinding `json:"enhancedFindings"`
}

type recordedScan struct {
	CompletedAt     ecr.Time          `json:"imageScanCompletedAt"`
	SourceUpdatedAt ecr.Time          `json:"vulnerabilitySourceUpdatedAt"`
	Counts          map[string]int    `json:"findingSeverityCounts"`
	Findings        []recordedFinding `json:"findings"`
	Enhanced        []recordedFinding `json:"enhancedFindings"`
}

// recordedFinding is a basic or an enhanced finding. The type of a finding in a list is detected from its JSON fields.
type recordedFinding struct {
	raw      string
	basic    ecr.Finding
	enhanced *ecr.EnhancedFinding
}

func (r *recordedFinding) UnmarshalJSON(b []byte) error {
	var is map[string]json.RawMessage
	if err := json.Unmarshal(b, &is); err != nil || is == nil {
		return fmt.Errorf("a finding is not an object: %.40s", b)
	}
	r.raw = string(b)
	for _, key := range []string{"findingArn", "packageVulnerabilityDetails", "title", "firstObservedAt", "awsAccountId"} {
		if _, ok := is[key]; ok {
			r.enhanced = &ecr.EnhancedFinding{}
			return json.Unmarshal(b, r.enhanced)
		}
	}
	return json.Unmarshal(b, &r.basic)
}

// imageLocation identifies an image. A response without a tag has a digest.
type imageLocation struct {
	id     ecr.RepositoryID
	tag    string
	digest string // only without a tag
}

type recordedImage struct {
	ecr.Image
	location imageLocation
	files    map[string]map[string]bool // set of the JSON texts of the findings, by file
}

// recording collects the responses of all files before the images are pushed.
type recording struct {
	defaultScanTime time.Time // completion time of scans without a time
	images          []*recordedImage
}

func (rec *recording) read(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	dec := json.NewDecoder(bytes.NewReader(content))
	for n := 0; ; n++ {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) && n > 0 {
			return nil
		}
		if err != nil {
			line := 1 + bytes.Count(content[:min(int(dec.InputOffset()), len(content))], []byte("\n"))
			return fmt.Errorf("not JSON, at or after line %d: %w", line, err)
		}
		if err := rec.readValue(file, raw); err != nil {
			return err
		}
	}
}

// readValue reads one JSON value: a response, a list of responses, or a list of findings.
func (rec *recording) readValue(file string, raw json.RawMessage) error {
	var list []map[string]json.RawMessage
	if json.Unmarshal(raw, &list) == nil && len(list) > 0 && isResponse(list[0]) {
		var docs []document
		if err := json.Unmarshal(raw, &docs); err != nil {
			return err
		}
		for _, doc := range docs {
			if err := rec.add(file, doc); err != nil {
				return err
			}
		}
		return nil
	}
	var doc document
	var err error
	switch raw[0] {
	case '[':
		doc.Findings = []recordedFinding{}
		err = json.Unmarshal(raw, &doc.Findings)
	case '{':
		err = json.Unmarshal(raw, &doc)
	}
	if err != nil {
		return err
	}
	return rec.add(file, doc)
}

func isResponse(object map[string]json.RawMessage) bool {
	return object["imageScanFindings"] != nil || object["imageScanStatus"] != nil
}

func (rec *recording) add(file string, doc document) error {
	if doc.Scan == nil && doc.Status == nil {
		if doc.Findings == nil && doc.Enhanced == nil {
			return errors.New("neither a response of describe-image-scan-findings nor a list of findings")
		}
		doc.Scan = &recordedScan{Counts: map[string]int{}, Findings: doc.Findings, Enhanced: doc.Enhanced}
	}
	at, err := doc.location(file)
	if err != nil {
		return err
	}
	img := rec.image(at)
	img.merge(file, doc)
	if img.Digest == "" && sha256Digest.MatchString(doc.ImageID.Digest) {
		img.Digest = doc.ImageID.Digest
	}
	return nil
}

// image returns the image of a location. It adds the image if it doesn't exist yet.
func (rec *recording) image(at imageLocation) *recordedImage {
	for _, img := range rec.images {
		if img.location == at {
			return img
		}
	}
	img := &recordedImage{location: at, files: map[string]map[string]bool{}}
	img.Recorded = true
	if at.tag != "" {
		img.Tags = []string{at.tag}
	}
	rec.images = append(rec.images, img)
	return img
}

// Rules for the names and digests in a file.
var (
	sha256Digest  = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	notAName      = regexp.MustCompile(`[^a-z0-9]+`)
	nameSeparator = regexp.MustCompile(`^(\.|_|__|-+)$`)
)

func (doc *document) location(file string) (imageLocation, error) {
	name := cmp.Or(doc.RepositoryName, repositoryNameOf(file))
	at := imageLocation{id: ecr.RepositoryID{Registry: doc.RegistryID, Name: name}.WithDefaults(), tag: doc.ImageID.Tag}
	if !ecr.ValidRegistry(at.id.Registry) {
		return at, fmt.Errorf("registryId %q is not twelve digits", at.id.Registry)
	}
	if !ecr.ValidRepositoryName(at.id.Name) {
		return at, fmt.Errorf("repositoryName %q is not a valid repository name", at.id.Name)
	}
	if at.tag == "" {
		at.digest = doc.ImageID.Digest
	}
	if at.tag == "" && at.digest == "" {
		at.tag = "latest"
	}
	return at, nil
}

// repositoryNameOf converts the name of a file to a valid repository name.
func repositoryNameOf(file string) string {
	name := strings.ToLower(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
	name = notAName.ReplaceAllStringFunc(name, func(s string) string {
		if nameSeparator.MatchString(s) {
			return s
		}
		return "-"
	})
	name = strings.Trim(name[:min(len(name), 256)], "._-")
	if len(name) < 2 {
		name = strings.Trim("findings-"+name, "-")
	}
	return name
}

// merge adds a response to an image. It ignores a finding that another file already contains.
func (img *recordedImage) merge(file string, doc document) {
	if doc.Status != nil && doc.Status.Status != "COMPLETE" {
		img.ScanStatus, img.ScanDescription = doc.Status.Status, doc.Status.Description
	}
	if doc.Scan == nil {
		return
	}
	img.NotReady = doc.Scan.Counts == nil && doc.Scan.CompletedAt.IsZero() && len(doc.Scan.Findings)+len(doc.Scan.Enhanced) == 0
	if doc.Scan.CompletedAt.After(img.ScannedAt) {
		img.ScannedAt, img.SourceUpdatedAt = doc.Scan.CompletedAt.Time, doc.Scan.SourceUpdatedAt.Time
	}
	if doc.Scan.Findings != nil && img.Findings == nil {
		img.Findings = []ecr.Finding{}
	}
	if doc.Scan.Enhanced != nil && img.Enhanced == nil {
		img.Enhanced = []ecr.EnhancedFinding{}
	}
	for _, f := range slices.Concat(doc.Scan.Findings, doc.Scan.Enhanced) {
		img.addFinding(file, f)
	}
}

func (img *recordedImage) addFinding(file string, f recordedFinding) {
	for other, texts := range img.files {
		if other != file && texts[f.raw] {
			return
		}
	}
	if img.files[file] == nil {
		img.files[file] = map[string]bool{}
	}
	img.files[file][f.raw] = true
	if f.enhanced == nil {
		img.Findings = append(img.Findings, f.basic)
		return
	}
	img.Enhanced = append(img.Enhanced, *f.enhanced)
}

// setDefaults sets the fields that the responses do not contain.
func (img *recordedImage) setDefaults(old time.Time) {
	if len(img.Findings) == 0 && len(img.Enhanced) > 0 {
		img.Findings = nil // a list of enhanced findings was read as the field findings
	}
	if img.Enhanced != nil && img.ScanStatus == "" && img.Findings == nil {
		img.ScanStatus, img.ScanDescription = "ACTIVE", ecr.ActiveDescription
	}
	if img.ScannedAt.IsZero() {
		img.ScannedAt = old
	}
	if img.Digest == "" {
		img.Digest = ecr.DigestOf(img.location.id.Registry + "/" + img.location.id.Name + ":" + img.location.tag + "@" + img.location.digest)
	}
}

func (rec *recording) put(e *ecr.ECR) []ecr.RepositoryID {
	var ids []ecr.RepositoryID
	for _, img := range rec.images {
		img.setDefaults(rec.defaultScanTime)
		e.PutImage(img.location.id, img.Image)
		if !slices.Contains(ids, img.location.id) {
			ids = append(ids, img.location.id)
		}
	}
	return ids
}
