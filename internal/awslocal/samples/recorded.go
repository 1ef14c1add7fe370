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

const howToRecord = "record an answer with: aws ecr describe-image-scan-findings --repository-name NAME --image-id imageTag=TAG --output json"

// LoadFindings replays recorded answers of aws ecr describe-image-scan-findings:
// each *.json file of dir is one or more full answers, placed by the registry,
// repository and tag that they name, or a bare list of findings, placed as the
// repository of the file's name, tag latest. All go to DefaultRegion, which an
// answer does not name. Answers for the same image are one image. It returns
// which repositories they went to; an error names the file and what to do.
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
	rec := recording{old: e.Now().Add(-25 * time.Hour)}
	for _, file := range files {
		if err := rec.read(file); err != nil {
			return nil, fmt.Errorf("findings file %s: %w; %s > %s, or move the file away", file, err, howToRecord, filepath.Base(file))
		}
	}
	return rec.put(e), nil
}

// document is a full answer, or the imageScanFindings of one.
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

// recordedFinding is a finding of either kind: a bare list does not say which it
// has, its members do.
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

// place is where an image goes. An answer by digest alone has no tag.
type place struct {
	id     ecr.RepositoryID
	tag    string
	digest string // only without a tag
}

type recordedImage struct {
	ecr.Image
	at    place
	files map[string]map[string]bool // the raw findings of each file
}

// recording collects the answers of all files before any is put.
type recording struct {
	old    time.Time // when a scan without a time completed
	images []*recordedImage
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
		if err := rec.value(file, raw); err != nil {
			return err
		}
	}
}

// value takes one JSON value: an answer, a list of answers, or a list of
// findings.
func (rec *recording) value(file string, raw json.RawMessage) error {
	var list []map[string]json.RawMessage
	if json.Unmarshal(raw, &list) == nil && len(list) > 0 && isAnswer(list[0]) {
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

func isAnswer(object map[string]json.RawMessage) bool {
	return object["imageScanFindings"] != nil || object["imageScanStatus"] != nil
}

func (rec *recording) add(file string, doc document) error {
	if doc.Scan == nil && doc.Status == nil {
		if doc.Findings == nil && doc.Enhanced == nil {
			return errors.New("neither an answer of describe-image-scan-findings nor a list of findings")
		}
		doc.Scan = &recordedScan{Counts: map[string]int{}, Findings: doc.Findings, Enhanced: doc.Enhanced}
	}
	at, err := doc.place(file)
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

// image is the image of a place, a new one if there is none yet.
func (rec *recording) image(at place) *recordedImage {
	for _, img := range rec.images {
		if img.at == at {
			return img
		}
	}
	img := &recordedImage{at: at, files: map[string]map[string]bool{}}
	img.Recorded = true
	if at.tag != "" {
		img.Tags = []string{at.tag}
	}
	rec.images = append(rec.images, img)
	return img
}

// Rules for what names an image in a file; compiled once, read only.
var (
	sha256Digest  = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	notAName      = regexp.MustCompile(`[^a-z0-9]+`)
	nameSeparator = regexp.MustCompile(`^(\.|_|__|-+)$`)
)

func (doc *document) place(file string) (place, error) {
	name := cmp.Or(doc.RepositoryName, repositoryNameOf(file))
	at := place{id: ecr.RepositoryID{Registry: doc.RegistryID, Name: name}.WithDefaults(), tag: doc.ImageID.Tag}
	if !ecr.ValidRegistry(at.id.Registry) {
		return at, fmt.Errorf("registryId %q is not twelve digits", at.id.Registry)
	}
	if !ecr.ValidRepositoryName(at.id.Name) {
		return at, fmt.Errorf("repositoryName %q is not a repository's name", at.id.Name)
	}
	if at.tag == "" {
		at.digest = doc.ImageID.Digest
	}
	if at.tag == "" && at.digest == "" {
		at.tag = "latest"
	}
	return at, nil
}

// repositoryNameOf makes a file's name a legal name of a repository.
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

// merge adds an answer to an image. A finding that another file has already
// brought is the same one.
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
	for other, has := range img.files {
		if other != file && has[f.raw] {
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

// finish fills what the answers left open.
func (img *recordedImage) finish(old time.Time) {
	if len(img.Findings) == 0 && len(img.Enhanced) > 0 {
		img.Findings = nil // a bare list of enhanced findings came in as the other kind
	}
	if img.Enhanced != nil && img.ScanStatus == "" && img.Findings == nil {
		img.ScanStatus, img.ScanDescription = "ACTIVE", ecr.ActiveDescription
	}
	if img.ScannedAt.IsZero() {
		img.ScannedAt = old
	}
	if img.Digest == "" {
		img.Digest = ecr.DigestOf(img.at.id.Registry + "/" + img.at.id.Name + ":" + img.at.tag + "@" + img.at.digest)
	}
}

func (rec *recording) put(e *ecr.ECR) []ecr.RepositoryID {
	var ids []ecr.RepositoryID
	for _, img := range rec.images {
		img.finish(rec.old)
		e.PutImage(img.at.id, img.Image)
		if !slices.Contains(ids, img.at.id) {
			ids = append(ids, img.at.id)
		}
	}
	return ids
}
