package ecrscan_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/ecrscan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
)

var (
	repo = scan.Repository{Registry: "123456789012", Region: "us-west-2", Name: "test/app"}
	id   = ecr.RepositoryID{Name: repo.Name}
	old  = time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)
)

func start(t *testing.T) (*ecr.ECR, *ecrscan.Client) {
	a := awstest.Start(t, ecr.Options{})
	return a.ECR, ecrscan.New(awstest.Config(a.ECRURL))
}

func kindsByTag(images []scan.Image) map[string]string {
	m := map[string]string{}
	for _, i := range images {
		if i.Digest == "" || i.Repository != repo {
			m[i.Tag] = fmt.Sprintf("broken: %+v", i)
			continue
		}
		m[i.Tag] = string(i.Kind)
	}
	return m
}

func TestImagesOfEveryKind(t *testing.T) {
	e, c := start(t)
	cosign := "sha256-" + strings.Repeat("0a", 32)
	subject := "sha256:" + strings.Repeat("1b", 32)
	for _, img := range []ecr.Image{
		{Tags: []string{"docker", "same"}},
		{Tags: []string{"oci"}, MediaType: ecr.OCIManifest, ArtifactMediaType: ecr.OCIImageConfig},
		{Tags: []string{"old-oci"}, MediaType: ecr.OCIManifest},
		{Tags: []string{"index"}, MediaType: ecr.OCIIndex, Children: []ecr.Child{{Digest: subject, OS: "linux", Arch: "amd64"}}},
		{Tags: []string{"list"}, MediaType: ecr.DockerList, Children: []ecr.Child{{Digest: subject, OS: "linux", Arch: "arm64"}}},
		{Tags: []string{"archived-index"}, MediaType: ecr.OCIIndex, Status: ecr.Archived},
		{Tags: []string{"chart"}, MediaType: ecr.OCIManifest, ArtifactMediaType: "application/vnd.cncf.helm.config.v1+json"},
		{Tags: []string{cosign + ".sig"}, MediaType: ecr.OCIManifest, ArtifactMediaType: ecr.OCIImageConfig},
		{Tags: []string{cosign + ".txt"}},
		{Tags: []string{"referrer"}, MediaType: ecr.OCIManifest, ArtifactMediaType: ecr.OCIImageConfig, Subject: subject},
		{Tags: []string{"archived"}, Status: ecr.Archived},
		{Digest: "sha256:" + strings.Repeat("2c", 32)}, // untagged
	} {
		e.PutImage(id, img)
	}
	want := map[string]string{
		"docker": "", "same": "", "oci": "", "old-oci": "", "index": "", "list": "", "archived-index": "archived", "chart": "not an image",
		cosign + ".sig": "not an image", cosign + ".txt": "", "referrer": "", "archived": "archived",
	}
	all, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
	if diff := cmp.Diff(want, kindsByTag(all)); err != nil || diff != "" {
		t.Errorf("all tags: %v (-want +got):\n%s", err, diff)
	}
	named, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{Tags: slices.Sorted(maps.Keys(want))}))
	if diff := cmp.Diff(want, kindsByTag(named)); err != nil || diff != "" {
		t.Errorf("the same by name: %v (-want +got):\n%s", err, diff)
	}
}

// More than one page of images and findings, and requested tags that do not exist.
func TestAllPagesAreRead(t *testing.T) {
	e, c := start(t)
	const many = 2345
	tags := make([]string, many)
	for i := range tags {
		tags[i] = fmt.Sprint("t", i)
		e.PutImage(id, ecr.Image{Tags: tags[i : i+1]})
	}
	all, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
	if err != nil || len(kindsByTag(all)) != many {
		t.Errorf("all tags: %d of %d, %v", len(kindsByTag(all)), many, err)
	}
	wanted := append([]string{"missing1"}, tags[:998]...)
	wanted = append(wanted, "missing2")
	named, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{Tags: wanted}))
	if got := kindsByTag(named); err != nil || len(got) != 998 {
		t.Errorf("1,000 named tags, 2 of them missing: %d, %v", len(got), err)
	}
	none, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{Tags: []string{"missing1", "missing2", "missing3"}}))
	if err != nil || len(none) != 0 {
		t.Errorf("only missing tags: %v, %v", none, err)
	}

	findings := make([]ecr.Finding, many)
	for i := range findings {
		findings[i] = ecr.Finding{Name: fmt.Sprintf("CVE-2026-%05d", i), Severity: "LOW"}
	}
	digest := e.PutImage(id, ecr.Image{Tags: []string{"bad"}, ScannedAt: old, Findings: findings})
	result, err := c.Findings(t.Context(), repo, digest)
	if err != nil || len(result.Findings) != many || result.Counts[scan.Low] != many {
		t.Errorf("%d findings, counts %v, %v", len(result.Findings), result.Counts, err)
	}
}

func TestResultOfEveryState(t *testing.T) {
	completed := scan.Result{State: scan.Completed, Counts: scan.Counts{scan.High: 2, scan.Untriaged: 1}, CompletedAt: old}
	findings := []ecr.Finding{{Name: "a", Severity: "HIGH"}, {Name: "b", Severity: "HIGH"}, {Name: "c", Severity: "UNTRIAGED"}}
	for name, test := range map[string]struct {
		image ecr.Image
		want  scan.Result
	}{
		"completed":         {ecr.Image{ScannedAt: old, Findings: findings}, completed},
		"clean":             {ecr.Image{ScannedAt: old}, scan.Result{State: scan.Completed, Counts: scan.Counts{}, CompletedAt: old}},
		"never scanned":     {ecr.Image{}, scan.Result{State: scan.NotScanned}},
		"in progress":       {ecr.Image{ScannedAt: old, ScanStatus: "IN_PROGRESS"}, scan.Result{State: scan.InProgress}},
		"failed":            {ecr.Image{ScannedAt: old, ScanStatus: "FAILED", ScanDescription: ecr.UnsupportedOS}, scan.Result{State: scan.Failed, Reason: ecr.UnsupportedOS}},
		"failed, no reason": {ecr.Image{ScannedAt: old, ScanStatus: "FAILED"}, scan.Result{State: scan.Failed, Reason: "no reason given"}},
		"not ready":         {ecr.Image{ScannedAt: old, NotReady: true}, scan.Result{State: scan.NotScanned, Reason: "result not ready"}},
		"unsupported":       {ecr.Image{ScannedAt: old, ScanStatus: "UNSUPPORTED_IMAGE"}, scan.Result{State: scan.NotScanned, Reason: "unsupported image"}},
		"pending":           {ecr.Image{ScannedAt: old, ScanStatus: "PENDING"}, scan.Result{State: scan.NotScanned, Reason: "pending"}},
		"expired":           {ecr.Image{ScannedAt: old, ScanStatus: "SCAN_ELIGIBILITY_EXPIRED"}, scan.Result{State: scan.NotScanned, Reason: "scan eligibility expired"}},
		"a new state":       {ecr.Image{ScannedAt: old, ScanStatus: "ON_HOLIDAY"}, scan.Result{State: scan.NotScanned, Reason: "on holiday"}},
		"findings missing":  {ecr.Image{ScannedAt: old, ScanStatus: "FINDINGS_UNAVAILABLE"}, scan.Result{State: scan.NotScanned, Reason: "findings unavailable"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, c := start(t)
			digest := e.PutImage(id, test.image)
			got, err := c.Findings(t.Context(), repo, digest)
			got.Findings = nil
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestBasicFindings(t *testing.T) {
	e, c := start(t)
	digest := e.PutImage(id, ecr.Image{ScannedAt: old, Findings: []ecr.Finding{
		{
			Name: "CVE-1", Severity: "MEDIUM", Description: " text ", URI: "https://example.org/CVE-1 ",
			Attributes: []ecr.Attribute{
				{Key: "package_name", Value: "ssl"}, {Key: "package_version", Value: "1"}, {Key: "CVSS2_SCORE", Value: "5.0"}, {Key: "CVSS2_VECTOR", Value: "v2"},
				{Key: "CVSS3_SCORE", Value: "9.8"}, {Key: "CVSS3_VECTOR", Value: "v3"},
			},
		},
		{Name: "CVE-1", Severity: "HIGH", Attributes: []ecr.Attribute{{Key: "package_name", Value: "ssl"}, {Key: "package_version", Value: "2"}}},
		{Name: "CVE-2", URI: "javascript:alert(1)", Attributes: []ecr.Attribute{{Key: "CVSS2_SCORE", Value: "5.0"}, {Key: "CVSS2_VECTOR", Value: "v2"}}},
		{Severity: "LOW", Description: strings.Repeat("é", 5000)},
	}})
	got, err := c.Findings(t.Context(), repo, digest)
	if err != nil {
		t.Fatal(err)
	}
	want := []scan.Finding{
		{Name: "CVE-1", Package: "ssl", Versions: []string{"1", "2"}, Severity: scan.High, Score: "9.8", Vector: "v3"},
		{Name: strings.Repeat("é", 100), Severity: scan.Low, Description: strings.Repeat("é", 2048) + " …"},
		{Name: "CVE-2", Severity: scan.Undefined, Score: "5.0", Vector: "v2"},
	}
	if diff := cmp.Diff(want, got.Findings); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEnhancedFindings(t *testing.T) {
	e, c := start(t)
	seen, changed := old.Add(time.Hour), old.Add(2*time.Hour)
	digest := e.PutImage(id, ecr.Image{ScannedAt: old, Enhanced: []ecr.EnhancedFinding{
		{
			Title: "CVE-9 - a, b", Description: "text", Severity: "CRITICAL", Score: 9.1, FixAvailable: "PARTIAL", ExploitAvailable: "YES",
			FirstObservedAt: ecr.Time{Time: seen}, UpdatedAt: ecr.Time{Time: changed},
			Remediation: &ecr.Remediation{Recommendation: ecr.Recommendation{Text: "Upgrade."}},
			PackageDetails: &ecr.PackageVulnerability{
				VulnerabilityID: "CVE-9", SourceURL: "https://example.org/CVE-9",
				CVSS: []ecr.CVSS{{BaseScore: 7, ScoringVector: "v2", Version: "2.0"}, {BaseScore: 9, ScoringVector: "v31", Version: "3.1"}},
				VulnerablePackages: []ecr.VulnerablePackage{
					{Name: "a", Version: "1", FixedInVersion: "2"}, {Name: "b", Version: "3", FixedInVersion: "NotAvailable"}, {Name: "a", Version: "1.1", FixedInVersion: "2"},
				},
			},
		},
		{Title: "bare"},
	}})
	e.SetScanType(repo.Region, repo.Registry, ecr.Enhanced)
	got, err := c.Findings(t.Context(), repo, digest)
	if err != nil {
		t.Fatal(err)
	}
	want := []scan.Finding{
		{
			Name: "CVE-9", Package: "a, b", Versions: []string{"1", "1.1", "3"}, FixedIn: []string{"2"}, Severity: scan.Critical, Description: "text",
			Packages: []scan.Package{{Name: "a", Version: "1", FixedIn: "2"}, {Name: "a", Version: "1.1", FixedIn: "2"}, {Name: "b", Version: "3"}},
			URL:      "https://example.org/CVE-9", Score: "9.0", Vector: "v31", FixAvailable: "PARTIAL", Exploit: "YES", Remediation: "Upgrade.",
			FirstSeen: seen, Changed: changed,
		},
		{Name: "bare", Severity: scan.Undefined},
	}
	if diff := cmp.Diff(want, got.Findings); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !got.Enhanced || got.State != scan.Completed {
		t.Errorf("state %s, enhanced %v", got.State, got.Enhanced)
	}
}

func TestStartScan(t *testing.T) {
	for name, test := range map[string]struct {
		image    ecr.Image
		enhanced bool
		fault    awslocal.Fault
		code     scan.Code
		message  string
		calls    int
	}{
		"started":              {ecr.Image{ScannedAt: old}, false, awslocal.Fault{}, "", "", 1},
		"scanned within 24 h":  {ecr.Image{ScannedAt: time.Now().Add(-time.Hour)}, false, awslocal.Fault{}, scan.ScannedRecently, "scanned within 24 h", 1},
		"with throttling code": {ecr.Image{}, false, awslocal.Fault{Code: "ThrottlingException", Message: "The scan quota per image has been exceeded. Wait and try again."}, scan.ScannedRecently, "scanned within 24 h", 1},
		"registry's quota":     {ecr.Image{}, false, awslocal.Fault{Code: "LimitExceededException", Message: "The scan quota of the registry has been exceeded."}, scan.Unavailable, "the registry's limit of scans in 24 h is reached", 1},
		"enhanced":             {ecr.Image{}, true, awslocal.Fault{}, scan.EnhancedScanning, "enhanced scanning", 1},
		"archived":             {ecr.Image{Status: ecr.Archived}, false, awslocal.Fault{}, scan.NotScannable, "archived", 1},
		"an index":             {ecr.Image{MediaType: ecr.OCIIndex}, false, awslocal.Fault{}, scan.NotScannable, "unsupported image type", 1},
		"throttled twice":      {ecr.Image{}, false, awslocal.Fault{Code: "ThrottlingException", Message: "Rate exceeded", Calls: 2}, "", "", 3},
		"500 twice":            {ecr.Image{}, false, awslocal.Fault{Status: 500, Calls: 2}, "", "", 3},
		"truncated once":       {ecr.Image{}, false, awslocal.Fault{Cut: true, Calls: 1}, scan.ScannedRecently, "scanned within 24 h", 2},
		"500 always":           {ecr.Image{}, false, awslocal.Fault{Status: 500}, scan.Unavailable, "ECR in us-west-2 answered with an error", 6},
		"connection dropped":   {ecr.Image{}, false, awslocal.Fault{Drop: true}, scan.Unavailable, "ECR in us-west-2 can't be reached", 6},
		"denied":               {ecr.Image{}, false, awslocal.Fault{Code: "AccessDeniedException", Message: "User: arn:aws:sts::1:x is not authorized to perform: ecr:StartImageScan on resource: arn:aws:ecr:us-west-2:1:repository/x"}, scan.NoAccess, "no access to ecr:StartImageScan", 1},
		"a new error code":     {ecr.Image{}, false, awslocal.Fault{Code: "BrandNewException", Message: "secret"}, scan.Internal, "ECR refused the request", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the SDK waits between retries
			e, c := start(t)
			digest := e.PutImage(id, test.image)
			if test.enhanced {
				e.SetScanType(repo.Region, repo.Registry, ecr.Enhanced)
			}
			if test.fault != (awslocal.Fault{}) {
				e.InjectFault(test.fault)
			}
			err := c.StartScan(t.Context(), repo, digest)
			if scan.CodeOf(err) != test.code || err != nil && scan.MessageOf(err) != test.message {
				t.Errorf("got %q, %v", scan.MessageOf(err), err)
			}
			if got := e.Count().Calls["StartImageScan"]; got != test.calls {
				t.Errorf("%d calls, want %d", got, test.calls)
			}
		})
	}
}

func TestMissingRepositoryAndImage(t *testing.T) {
	e, c := start(t)
	if _, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{})); scan.CodeOf(err) != scan.RepositoryNotFound {
		t.Errorf("repository: %v", err)
	}
	if _, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{Tags: []string{"a", "b"}})); scan.CodeOf(err) != scan.RepositoryNotFound {
		t.Errorf("repository, by tags: %v", err)
	}
	e.PutRepository(id, ecr.Repository{})
	missing := "sha256:" + strings.Repeat("00", 32)
	if _, err := c.Findings(t.Context(), repo, missing); scan.CodeOf(err) != scan.ImageNotFound {
		t.Errorf("image: %v", err)
	}
	if images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{})); len(images) != 0 || err != nil {
		t.Errorf("an empty repository: %v, %v", images, err)
	}
}

// Calls to a Region that doesn't respond end with their context and do not block calls to other Regions.
func TestUnresponsiveRegionBlocksNoOther(t *testing.T) {
	e, c := start(t)
	responsive := scan.Repository{Registry: repo.Registry, Region: "eu-west-1", Name: repo.Name}
	for _, region := range []string{"us-west-2", "eu-west-1"} {
		e.PutImage(ecr.RepositoryID{Region: region, Name: repo.Name}, ecr.Image{Tags: []string{"a"}, ScannedAt: old})
	}
	e.InjectFault(awslocal.Fault{Region: "us-west-2", Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error)
	for range 2 * ecrscan.CallsAtOnce {
		go func() {
			_, err := imagesOf(c.Images(ctx, repo, scan.Wanted{}))
			errs <- err
		}()
	}
	for e.Count().InFlight < ecrscan.CallsAtOnce/2 { // the calls that a new process makes at once
		time.Sleep(time.Millisecond)
	}
	if images, err := imagesOf(c.Images(t.Context(), responsive, scan.Wanted{})); err != nil || len(images) != 1 {
		t.Errorf("the responsive Region: %v, %v", images, err)
	}
	if most := e.Count().MaxInFlight; most > ecrscan.CallsAtOnce/2+1 {
		t.Errorf("%d calls in progress in two Regions, want at most %d of one Region and one of the other", most, ecrscan.CallsAtOnce/2)
	}
	cancel()
	for range 2 * ecrscan.CallsAtOnce {
		if err := <-errs; scan.CodeOf(err) != scan.Unavailable {
			t.Errorf("the unresponsive Region: %v", err)
		}
	}
}

// ACTIVE means that Amazon Inspector scans the image continuously, and COMPLETE that it scanned the image on push.
func TestContinuousScanning(t *testing.T) {
	for status, want := range map[string]bool{"ACTIVE": true, "COMPLETE": false} {
		e, c := start(t)
		e.SetScanType(repo.Region, repo.Registry, ecr.Enhanced)
		digest := e.PutImage(id, ecr.Image{ScannedAt: old, ScanStatus: status, Enhanced: []ecr.EnhancedFinding{{Severity: "HIGH"}}})
		if got, err := c.Findings(t.Context(), repo, digest); err != nil || got.Continuous != want || !got.Enhanced {
			t.Errorf("%s: %+v, %v", status, got, err)
		}
	}
}

// If the host of the endpoint does not exist, the message says so, and there is no retry.
func TestNoEndpoint(t *testing.T) {
	for host, want := range map[string]string{
		"api.ecr.us-west-2.amazonaws.example": "ECR has no endpoint in us-west-2", "api.ecr-fips.us-west-2.amazonaws.example": "ECR has no FIPS endpoint in us-west-2",
	} {
		calls := 0
		cfg := setup.Loopback("https://" + host)
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			calls++
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
		})}
		_, err := ecrscan.New(cfg).Findings(t.Context(), repo, "sha256:x")
		if scan.CodeOf(err) != scan.Unavailable || scan.MessageOf(err) != want || calls != 1 {
			t.Errorf("%s, %d calls: %q, %v", host, calls, scan.MessageOf(err), err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// An answer that can't be decoded is not "can't be reached". It does not affect the other images.
func TestAnswersThatCannotBeDecoded(t *testing.T) {
	for name, test := range map[string]struct {
		status        int
		body, message string
	}{
		"not JSON":            {200, "<html>a proxy</html>", "the answer of ECR in us-west-2 can't be read"},
		"another type":        {200, `{"imageScanStatus":{"status":7}}`, "the answer of ECR in us-west-2 can't be read"},
		"a time that is none": {200, `{"imageScanFindings":{"imageScanCompletedAt":"yesterday"}}`, "the answer of ECR in us-west-2 can't be read"},
		"an error page":       {502, "<html>bad gateway</html>", "ECR in us-west-2 answered with an error"},
		"a refusal page":      {403, "<html>forbidden</html>", "the answer of ECR in us-west-2 can't be read"},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := ecr.New(ecr.Options{})
			bad, good := e.PutImage(id, ecr.Image{ScannedAt: time.Now()}), e.PutImage(id, ecr.Image{Digest: "sha256:" + strings.Repeat("1", 64), ScannedAt: time.Now()})
			c := ecrscan.New(inProcessConfig(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if strings.Contains(string(body), bad) {
					w.WriteHeader(test.status)
					fmt.Fprint(w, test.body)
					return
				}
				r.Body = io.NopCloser(strings.NewReader(string(body)))
				e.ServeHTTP(w, r)
			})))
			if _, err := c.Findings(t.Context(), repo, bad); scan.CodeOf(err) != scan.Unavailable || scan.MessageOf(err) != test.message {
				t.Errorf("%s: %q, %v", name, scan.MessageOf(err), err)
			}
			if got, err := c.Findings(t.Context(), repo, good); err != nil || got.State != scan.Completed {
				t.Errorf("%s: another image: %+v, %v", name, got, err)
			}
		})
	}
}
