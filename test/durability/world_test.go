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

// world is an embedded ECR and S3 in one bubble of testing/synctest, whose clock is that of both.
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

// dated answers with a Date, as a server does.
type dated struct{ http.Handler }

func (d dated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	d.Handler.ServeHTTP(w, r)
}

// process is a function's process: its clock is wrong by skew, and it dies at one of its calls, if that is set.
type process struct {
	skew time.Duration
	log  *slog.Logger
	// dies is at which write or call to ECR; 0 is never. Afterwards tells that the call is done all the same. die is called then.
	dies       int
	afterwards bool
	die        func()
	// loses tells whether the answer to a write is lost.
	loses func() bool
	// pause is what a call waits for before it is made, and saw gets each call that was answered.
	pause func(*http.Request)
	saw   func(*http.Request, []byte, *http.Response)

	mu    sync.Mutex
	calls int
}

// service is the service in this process. The clock of its queue is right.
func (p *process) service(store *awslocal.S3, ecr *ecr.ECR) *awstest.Service {
	log := p.log
	if log == nil {
		log = awstest.Silent()
	}
	now := func() time.Time { return time.Now().Add(p.skew) }
	s := awstest.NewService(p.reach(dated{store}), p.reach(ecr), now, log)
	s.Queue.Now = time.Now
	return s
}

func (p *process) reach(h http.Handler) aws.Config {
	cfg := setup.Loopback("http://aws.example")
	cfg.HTTPClient = &http.Client{Transport: line{p, awslocal.Transport{Handler: h}}}
	return cfg
}

// line is how a process reaches a service.
type line struct {
	*process
	http.RoundTripper
}

var errDead = errors.New("the process is dead")

func (l line) RoundTrip(r *http.Request) (*http.Response, error) {
	doIt, tell := l.allows(r)
	if !doIt {
		return nil, errDead
	}
	if l.pause != nil {
		l.pause(r)
	}
	var body []byte
	if l.saw != nil && r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	response, err := l.RoundTripper.RoundTrip(r)
	if err == nil && l.saw != nil {
		l.saw(r, body, response)
	}
	if err == nil && !tell {
		_ = response.Body.Close()
		return nil, errors.New("the answer is lost")
	}
	return response, err
}

// allows counts a call, and tells whether it is to be done and its answer told.
func (l line) allows(r *http.Request) (doIt, tell bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	write := r.Method == http.MethodPut || r.Method == http.MethodDelete
	toECR := r.Header.Get("X-Amz-Target") != ""
	before := l.dies > 0 && l.calls >= l.dies
	if !write && !toECR || before {
		return !before, true
	}
	l.calls++
	if l.calls == l.dies {
		l.die()
		return l.afterwards, false
	}
	return true, !write || l.loses == nil || !l.loses()
}

// service is a process in which nothing goes wrong.
func (w *world) service() *awstest.Service { return (&process{}).service(w.s3, w.ecr) }

// log is a log that keeps its lines.
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

// store is the store of what is remembered, for a look from outside.
func store(bucket *awslocal.S3) *s3store.Records {
	return s3store.NewRecords(client(bucket), awstest.Bucket)
}

func client(bucket *awslocal.S3) *s3.Client {
	return s3.NewFromConfig((&process{}).reach(dated{bucket}), func(o *s3.Options) { o.UsePathStyle = true })
}

var repo = scan.Repository{Region: awslocal.DefaultRegion, Registry: awslocal.DefaultRegistry, Name: "team/app"} // read only

func ecrID(r scan.Repository) ecr.RepositoryID {
	return ecr.RepositoryID{Region: r.Region, Registry: r.Registry, Name: r.Name}
}

// addConfig makes a config that watches some tags of a repository, all when there are none.
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

// findings are those that are written as "A:HIGH B:LOW".
func findings(text string) []ecr.Finding {
	list := []ecr.Finding{}
	for _, f := range strings.Fields(text) {
		name, severity, _ := strings.Cut(f, ":")
		list = append(list, ecr.Finding{Name: name, Severity: severity, Attributes: []ecr.Attribute{{Key: "package_name", Value: "p"}}})
	}
	return list
}

// inspected are findings as Amazon Inspector has them.
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

// push puts an image that was scanned just now.
func (w *world) push(tag, found string) string {
	return w.ecr.PutImage(ecrID(repo), ecr.Image{Tags: []string{tag}, ScannedAt: time.Now(), Findings: findings(found)})
}

// rescan makes a scan of the image complete just now.
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

// visitTime is what a function has for a visit.
const visitTime = 5 * time.Minute

// visit does a schedule and its visits.
func visit(t *testing.T, w *awstest.Service) awstest.Visits {
	t.Helper()
	w.VisitTime = visitTime
	visits, err := w.ScheduleAndVisit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return visits
}

// read reads all findings, as a feed tells them.
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

// lines are the entries of a listing in words, sorted: tag, name, severity, episode, whether resolved, and the hour of publication.
func lines(l report.Listing) []string {
	told := make([]string, len(l.Entries))
	for i, e := range l.Entries {
		told[i] = fmt.Sprintf("%s %s %s #%d %s", e.Images[0].Label(), e.Finding.Name, e.Finding.Severity, e.Finding.Episode, hour(history.StampOf(e.Published)))
		if !e.Resolved.IsZero() {
			told[i] += " resolved"
		}
	}
	slices.Sort(told)
	return told
}

// hour is the nearest hour: when ECR has no date for something, it depends a little on who sees it first.
func hour(s history.Stamp) string {
	if s == 0 {
		return "never"
	}
	return s.Time().Add(30 * time.Minute).Format("Jan02-15h")
}

func exact(s history.Stamp) string { return fmt.Sprint(int64(s)) }

// remembered is the record of the repository in words, with its histories. Each must be there. The dates that ECR gives are exact, but for some
// labels, whose scans the service starts.
func remembered(t *testing.T, bucket *awslocal.S3, started ...string) []string {
	t.Helper()
	records := store(bucket)
	r, err := records.Load(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	told := []string{fmt.Sprint("gone ", hour(r.Gone), " ", periods(r.Absences))}
	for label, i := range r.Images {
		if label == "multi" && i.Kind == scan.Missing && i.History == "" {
			continue // an index is known by its own tag alone while it can't be resolved
		}
		left := "there"
		if i.Left > 0 {
			left = "left " + hour(i.Left)
		}
		date := exact
		if slices.Contains(started, label) {
			date = hour
		}
		told = append(told, fmt.Sprintf("%s: %.12s %s %s, scan %.12s %s %t, since %s, failed %s %s, gaps %s", label, i.Digest, i.Kind, left,
			i.Scan.Digest, date(i.Scan.Completed), i.Scan.Enhanced, date(i.Since), hour(i.Failed), periods(i.Failures), periods(i.Gaps)))
		for _, c := range i.Changes {
			told = append(told, fmt.Sprintf("%s: at %s new %v fixed %v", label, hour(history.StampOf(c.At)), c.New, c.Fixed))
		}
		if i.History == "" {
			continue
		}
		h, err := records.History(t.Context(), repo, i.History)
		if err != nil {
			t.Fatalf("history of %s: %v", label, err)
		}
		if h.Scan != i.Scan || h.Since != i.Since || h.Tag != i.Tag || h.Platform != i.Platform {
			t.Errorf("%s: the record has the scan %+v since %d, the history %+v since %d", label, i.Scan, i.Since, h.Scan, h.Since)
		}
		told = append(told, toldHistory(label, h)...)
	}
	slices.Sort(told)
	return told
}

func toldHistory(label string, h history.History) []string {
	var told []string
	for _, f := range h.Findings {
		told = append(told, fmt.Sprintf("%s: %s#%d %s %s, published %s updated %s ended %s: %s", label, f.Name, f.Episode, f.Severity, f.Fate,
			hour(f.Published), hour(f.Updated), hour(f.Ended), f.Note))
	}
	for _, e := range h.Events {
		told = append(told, fmt.Sprintf("%s: %s %s#%d %s>%s, scan %s at %s", label, e.Kind, e.Name, e.Episode, e.From, e.To, hour(e.Scan), hour(e.At)))
	}
	return told
}

// periods are those that have to be remembered still.
func periods(all []history.Period) string {
	var told []string
	for _, p := range all {
		if time.Since(p.Until.Time()) < history.MemoryTime {
			told = append(told, hour(p.From)+"-"+hour(p.Until))
		}
	}
	return "[" + strings.Join(told, " ") + "]"
}

// keys are the keys of a bucket under a prefix.
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
