package durability

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
)

// world is an embedded ECR and S3. Both use the clock of the test's bubble of testing/synctest.
type world struct {
	ecr *ecr.ECR
	s3  *awslocal.S3
}

const scanTime = 10 * time.Minute

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{ecr: ecr.New(ecr.Options{ScanTime: scanTime}), s3: newS3(t)}
}

func newS3(t *testing.T) *awslocal.S3 {
	t.Helper()
	store, err := awslocal.NewMemoryS3(awstest.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// dated adds a Date header to each response, as a server does.
type dated struct{ http.Handler }

func (d dated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	d.Handler.ServeHTTP(w, r)
}

// process is the process of a function. Its clock is wrong by skew.
type process struct {
	skew time.Duration
	log  *slog.Logger
	// diesAtCall is the number of the write or call to ECR at which the process dies; 0 is never. If completes is true, S3 or ECR
	// still completes that call. onDeath is called then.
	diesAtCall int
	completes  bool
	onDeath    func()
	// losesResponse reports whether the response to the next write is lost.
	losesResponse func() bool
	// beforeCall is called before each call, onResponse after each response.
	beforeCall func(*http.Request)
	onResponse func(*http.Request, []byte, *http.Response)

	mu    sync.Mutex
	calls int
}

// service returns the service in this process. The clock of its queue is correct.
func (p *process) service(store *awslocal.S3, ecr *ecr.ECR) *awstest.Service {
	log := p.log
	if log == nil {
		log = awstest.Silent()
	}
	now := func() time.Time { return time.Now().Add(p.skew) }
	s := awstest.NewService(p.config(dated{store}), p.config(ecr), now, log)
	s.Queue.Now = time.Now
	return s
}

func (p *process) config(h http.Handler) aws.Config {
	cfg := setup.Loopback("http://aws.example")
	cfg.HTTPClient = &http.Client{Transport: connection{p, awslocal.Transport{Handler: h}}}
	return cfg
}

// connection is the transport between a process and an embedded service.
type connection struct {
	*process
	http.RoundTripper
}

var errDead = errors.New("the process is dead")

func (c connection) RoundTrip(r *http.Request) (*http.Response, error) {
	send, respond := c.countCall(r)
	if !send {
		return nil, errDead
	}
	if c.beforeCall != nil {
		c.beforeCall(r)
	}
	var body []byte
	if c.onResponse != nil && r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	response, err := c.RoundTripper.RoundTrip(r)
	if err == nil && c.onResponse != nil {
		c.onResponse(r, body, response)
	}
	if err == nil && !respond {
		_ = response.Body.Close()
		return nil, errors.New("the response is lost")
	}
	return response, err
}

// countCall counts the writes and calls to ECR. It reports whether the call is sent and whether the process gets
// the response.
func (c connection) countCall(r *http.Request) (send, respond bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	write := r.Method == http.MethodPut || r.Method == http.MethodDelete
	toECR := r.Header.Get("X-Amz-Target") != ""
	dead := c.diesAtCall > 0 && c.calls >= c.diesAtCall
	if !write && !toECR || dead {
		return !dead, true
	}
	c.calls++
	if c.calls == c.diesAtCall {
		c.onDeath()
		return c.completes, false
	}
	return true, !write || c.losesResponse == nil || !c.losesResponse()
}

// service returns the service in a process without failures.
func (w *world) service() *awstest.Service { return (&process{}).service(w.s3, w.ecr) }

// log is a log in memory.
type log struct {
	mu sync.Mutex
	strings.Builder
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.Write(b)
}

func (l *log) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *log) has(words string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.String(), words)
}

// store returns a reader of the stored records for checks by tests.
func store(bucket *awslocal.S3) *s3store.Records {
	return s3store.NewRecords(client(bucket), awstest.Bucket)
}

func client(bucket *awslocal.S3) *s3.Client {
	return setup.NewS3Client((&process{}).config(dated{bucket}))
}

var repo = scan.Repository{Region: awslocal.DefaultRegion, Registry: awslocal.DefaultRegistry, Name: "team/app"} // read only

func ecrID(r scan.Repository) ecr.RepositoryID {
	return ecr.RepositoryID{Region: r.Region, Registry: r.Registry, Name: r.Name}
}

// addConfig stores a config for some tags of a repository, or for all tags if none are given.
func addConfig(t *testing.T, w *awstest.Service, r scan.Repository, tags ...string) scan.Config {
	t.Helper()
	c, err := scan.NewConfig(scan.Config{Region: r.Region, Registry: r.Registry, Repository: r.Name, Tags: tags}, time.Now())
	if err == nil {
		err = w.Configs.Put(t.Context(), c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// findings parses findings such as "A:HIGH B:LOW".
func findings(text string) []ecr.Finding {
	list := []ecr.Finding{}
	for _, f := range strings.Fields(text) {
		name, severity, _ := strings.Cut(f, ":")
		list = append(list, ecr.Finding{Name: name, Severity: severity, Attributes: []ecr.Attribute{{Key: "package_name", Value: "p"}}})
	}
	return list
}

// inspected parses enhanced findings such as "A:HIGH B:LOW".
func inspected(text string) []ecr.EnhancedFinding {
	list := []ecr.EnhancedFinding{}
	for _, f := range strings.Fields(text) {
		name, severity, _ := strings.Cut(f, ":")
		list = append(list, ecr.EnhancedFinding{
			Severity:       severity,
			PackageDetails: &ecr.PackageVulnerability{VulnerabilityID: name, VulnerablePackages: []ecr.VulnerablePackage{{Name: "p"}}},
		})
	}
	return list
}

// push pushes an image that has just been scanned.
func (w *world) push(tag, found string) string {
	return w.ecr.PutImage(ecrID(repo), ecr.Image{Tags: []string{tag}, ScannedAt: time.Now(), Findings: findings(found)})
}

// rescan completes a scan of the image now.
func (w *world) rescan(t *testing.T, ref, found string) {
	t.Helper()
	w.update(t, ref, func(i *ecr.Image) { i.ScannedAt, i.Findings, i.ScanStatus = time.Now(), findings(found), "" })
}

func (w *world) update(t *testing.T, ref string, change func(*ecr.Image)) {
	t.Helper()
	if err := w.ecr.UpdateImage(ecrID(repo), ref, change); err != nil {
		t.Fatal(err)
	}
}

// visitTime is the time limit of a visit.
const visitTime = 5 * time.Minute

// visit runs a schedule and its visits.
func visit(t *testing.T, w *awstest.Service) awstest.Visits {
	t.Helper()
	w.VisitTimeout = visitTime
	visits, err := w.ScheduleAndVisit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return visits
}

// read returns the entries of the feed of all findings as texts.
func read(t *testing.T, w *awstest.Service) []string {
	t.Helper()
	l, err := w.Reader.AllFindings(t.Context(), report.View{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range l.Reports {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	return lines(l)
}

// lines returns the entries of a listing as texts, sorted: label, name, severity, episode, hour of publication,
// whether resolved.
func lines(l report.Listing) []string {
	texts := make([]string, len(l.Entries))
	for i, e := range l.Entries {
		texts[i] = fmt.Sprintf("%s %s %s #%d %s", e.Images[0].Label(), e.Finding.Name, e.Finding.Severity, e.Finding.Episode, hour(history.StampOf(e.Published)))
		if !e.Resolved.IsZero() {
			texts[i] += " resolved"
		}
	}
	slices.Sort(texts)
	return texts
}

// hour rounds a date to the nearest hour. A date that ECR does not provide depends slightly on which process reads
// the result first.
func hour(s history.Stamp) string {
	if s == 0 {
		return "never"
	}
	return s.Time().Add(30 * time.Minute).Format("Jan02-15h")
}

func exact(s history.Stamp) string { return fmt.Sprint(int64(s)) }

// recordLines returns the record of the repository with its histories as texts. It fails if a history is missing.
// Dates from ECR are exact, except those of the labels in started, whose scans the service starts.
func recordLines(t *testing.T, bucket *awslocal.S3, started ...string) []string {
	t.Helper()
	records := store(bucket)
	r, err := records.Load(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{fmt.Sprint("missing since ", hour(r.MissingSince), " ", periods(r.Absences))}
	for label, i := range r.Images {
		if label == "multi" && i.Kind == scan.Missing && i.History == "" {
			continue // an index that cannot be resolved is only known by its tag
		}
		presence := "present"
		if i.MissingSince > 0 {
			presence = "missing since " + hour(i.MissingSince)
		}
		date := exact
		if slices.Contains(started, label) {
			date = hour
		}
		texts = append(texts, fmt.Sprintf("%s: %.12s %s %s, scan %.12s %s %t, since %s, failed %s %s, gaps %s", label, i.Digest, i.Kind, presence,
			i.Scan.Digest, date(i.Scan.Completed), i.Scan.Enhanced, date(i.Since), hour(i.FailedSince), periods(i.Failures), periods(i.Gaps)))
		for _, c := range i.Changes {
			texts = append(texts, fmt.Sprintf("%s: at %s new %v fixed %v", label, hour(history.StampOf(c.At)), c.New, c.Fixed))
		}
		if i.History == "" {
			continue
		}
		var h history.History
		records.Histories(t.Context(), repo, []string{i.History}, func(_ int, read history.History, failed error) { h, err = read, failed })
		if err != nil {
			t.Fatalf("history of %s: %v", label, err)
		}
		if h.Scan != i.Scan || h.Since != i.Since || h.Tag != i.Tag || h.Platform != i.Platform {
			t.Errorf("%s: the record has the scan %+v since %d, the history %+v since %d", label, i.Scan, i.Since, h.Scan, h.Since)
		}
		texts = append(texts, historyLines(label, h)...)
	}
	slices.Sort(texts)
	return texts
}

// packKeys returns the sorted keys of the packs that the record references.
func packKeys(t *testing.T, bucket *awslocal.S3) []string {
	t.Helper()
	r, err := store(bucket).Load(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, i := range r.Images {
		if pack, _, _ := strings.Cut(i.History, "/"); pack != "" {
			all = append(all, "record/123456789012/us-west-2/team~app/"+pack)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func historyLines(label string, h history.History) []string {
	var texts []string
	for _, f := range h.Findings {
		texts = append(texts, fmt.Sprintf("%s: %s#%d %s %s, published %s updated %s ended %s: %s", label, f.Name, f.Episode, f.Severity, f.Status,
			hour(f.Published), hour(f.Updated), hour(f.Ended), f.Note))
	}
	for _, e := range h.Events {
		texts = append(texts, fmt.Sprintf("%s: %s %s#%d %s>%s, scan %s at %s", label, e.Kind, e.Name, e.Episode, e.From, e.To, hour(e.Scan), hour(e.At)))
	}
	return texts
}

// periods returns the periods that are still within the retention time as text.
func periods(all []history.Period) string {
	var texts []string
	for _, p := range all {
		if time.Since(p.Until.Time()) < history.Retention {
			texts = append(texts, hour(p.From)+"-"+hour(p.Until))
		}
	}
	return "[" + strings.Join(texts, " ") + "]"
}

// keys returns the keys of a bucket with a prefix.
func keys(t *testing.T, bucket *awslocal.S3, prefix string) []string {
	t.Helper()
	var found []string
	pages := s3.NewListObjectsV2Paginator(client(bucket), &s3.ListObjectsV2Input{Bucket: aws.String(awstest.Bucket), Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			found = append(found, aws.ToString(o.Key))
		}
	}
	return found
}

func get(t *testing.T, bucket *awslocal.S3, key string) []byte {
	t.Helper()
	out, err := client(bucket).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(awstest.Bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func put(t *testing.T, bucket *awslocal.S3, key, body string) {
	t.Helper()
	_, err := client(bucket).PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(awstest.Bucket), Key: &key, Body: strings.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
}
