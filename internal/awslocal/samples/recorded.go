package samples

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode/utf16"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

const howToRecord = "record a response with: aws ecr describe-image-scan-findings --repository-name NAME --image-id imageTag=TAG --output json"

// maxFile is the maximum size of a file, in bytes. Answers of real registries have at most some megabytes.
const maxFile = 256 << 20

// LoadFindings loads recorded responses of aws ecr describe-image-scan-findings into e. Each *.json file in dir contains
// either full responses or a list of findings. The registry, repository, tag and digest of a full response are those in
// the response. The findings of a list belong to the tag latest of a repository that is named after the file. The Region
// is DefaultRegion, because responses do not contain it. See [recording.put] for several responses about one image.
//
// LoadFindings returns the repositories, and an error for each file that can't be read, with its name and what to do.
// These files have no effect on the others. It fails if no file can be read.
func LoadFindings(e *ecr.ECR, dir string) (loaded []ecr.RepositoryID, ignored []error, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, nil, fmt.Errorf("findings folder %s: %w", dir, err)
	}
	if _, err := os.ReadDir(dir); err != nil {
		return nil, nil, fmt.Errorf("findings folder: %w; give a folder with *.json files", err)
	}
	if len(files) == 0 {
		return nil, nil, fmt.Errorf("findings folder %s has no *.json files; %s > %s", dir, howToRecord, filepath.Join(dir, "NAME.json"))
	}
	rec := recording{defaultScanTime: e.Now().Add(-25 * time.Hour)}
	for _, file := range files {
		pages, err := readFile(file)
		if err != nil {
			ignored = append(ignored, fmt.Errorf("findings file %s: %w; %s > %s, or move the file away", file, err, howToRecord, filepath.Base(file)))
			continue
		}
		for _, page := range pages {
			rec.add(page)
		}
	}
	if len(ignored) == len(files) {
		return nil, nil, errors.Join(ignored...)
	}
	return rec.put(e), ignored, nil
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
	Scan      *recordedScan     `json:"imageScanFindings"`
	NextToken string            `json:"nextToken"`
	Findings  []recordedFinding `json:"findings"`
	Enhanced  []recordedFinding `json:"enhancedFindings"`
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

// readFile returns the responses of a file.
func readFile(file string) ([]page, error) {
	content, err := readText(file)
	if err != nil {
		return nil, err
	}
	var pages []page
	dec := json.NewDecoder(bytes.NewReader(content))
	for n := 0; ; n++ {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) && n > 0 {
			return pages, nil
		}
		if err != nil {
			line := 1 + bytes.Count(content[:min(int(dec.InputOffset()), len(content))], []byte("\n"))
			return nil, fmt.Errorf("not JSON, at or after line %d: %w", line, err)
		}
		docs, err := readValue(raw)
		if err != nil {
			return nil, err
		}
		for _, doc := range docs {
			at, err := doc.page(file)
			if err != nil {
				return nil, err
			}
			pages = append(pages, at)
		}
	}
}

// readText returns the text of a file in UTF-8. PowerShell writes UTF-16 with a byte order mark.
func readText(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("more than %d bytes", maxFile)
	}
	return decodeText(content), nil
}

// decodeText returns a text in UTF-8 without a byte order mark.
func decodeText(content []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(content, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(content, []byte("\xfe\xff")):
		order = binary.BigEndian
	default:
		return bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	}
	units := make([]uint16, 0, len(content)/2)
	for rest := content[2:]; len(rest) >= 2; rest = rest[2:] {
		units = append(units, order.Uint16(rest))
	}
	return []byte(string(utf16.Decode(units)))
}

// readValue reads one JSON value: a response, a list of responses, or a list of findings.
func readValue(raw json.RawMessage) ([]document, error) {
	var list []map[string]json.RawMessage
	if json.Unmarshal(raw, &list) == nil && len(list) > 0 && isResponse(list[0]) {
		var docs []document
		err := json.Unmarshal(raw, &docs)
		return docs, err
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
	return []document{doc}, err
}

func isResponse(object map[string]json.RawMessage) bool {
	return object["imageScanFindings"] != nil || object["imageScanStatus"] != nil
}

// Rules for the names and digests in a file.
var (
	sha256Digest  = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	notAName      = regexp.MustCompile(`[^a-z0-9]+`)
	nameSeparator = regexp.MustCompile(`^(\.|_|__|-+)$`)
)

// page checks a response and returns it as a page.
func (doc document) page(file string) (page, error) {
	isAnswer := doc.Scan != nil || doc.Status != nil
	if !isAnswer {
		if doc.Findings == nil && doc.Enhanced == nil {
			return page{}, errors.New("neither a response of describe-image-scan-findings nor a list of findings")
		}
		doc.Scan = &recordedScan{Findings: doc.Findings, Enhanced: doc.Enhanced}
	}
	name := cmp.Or(doc.RepositoryName, repositoryNameOf(file))
	p := page{doc: doc, isAnswer: isAnswer, id: ecr.RepositoryID{Registry: doc.RegistryID, Name: name}.WithDefaults(), tag: doc.ImageID.Tag}
	if !ecr.ValidRegistry(p.id.Registry) {
		return page{}, fmt.Errorf("registryId %q is not twelve digits", p.id.Registry)
	}
	if !ecr.ValidRepositoryName(p.id.Name) {
		return page{}, fmt.Errorf("repositoryName %q is not a valid repository name", p.id.Name)
	}
	if sha256Digest.MatchString(doc.ImageID.Digest) {
		p.digest = doc.ImageID.Digest
	}
	if p.tag == "" && p.digest == "" {
		p.tag = "latest"
	}
	return p, nil
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
