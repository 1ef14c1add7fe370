package setup_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/scanevents"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
)

// The settings for embedded servers are those of the deployed functions, except for what names the server and the credentials. So
// the tests and the local server send the same requests as a deployment.
func TestLoopbackHasTheSettingsOfADeployment(t *testing.T) {
	start(t)
	deployed, err := setup.AWSConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	local := setup.Loopback("http://127.0.0.1:1")
	different := []string{"BaseEndpoint", "Credentials", "ConfigSources", "Logger", "HTTPClient", "Retryer"}
	a, b := reflect.ValueOf(deployed), reflect.ValueOf(local)
	for i := range a.NumField() {
		if name := a.Type().Field(i).Name; !slices.Contains(different, name) && fmt.Sprintf("%+v", a.Field(i)) != fmt.Sprintf("%+v", b.Field(i)) {
			t.Errorf("%s: %+v deployed, %+v for embedded servers", name, a.Field(i), b.Field(i))
		}
	}
	if reflect.TypeOf(deployed.HTTPClient) != reflect.TypeOf(local.HTTPClient) || deployed.Retryer().MaxAttempts() != local.Retryer().MaxAttempts() {
		t.Errorf("%T with %d attempts deployed, %T with %d for embedded servers", deployed.HTTPClient, deployed.Retryer().MaxAttempts(),
			local.HTTPClient, local.Retryer().MaxAttempts())
	}
}

// secureS3 puts the embedded S3 behind TLS, and makes the functions use it. It returns the number of uploads in aws-chunked encoding,
// which the SDK uses only over TLS.
func secureS3(t *testing.T, s *stack) *atomic.Int32 {
	var chunked atomic.Int32
	trust(t, httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Encoding") == "aws-chunked" && r.Header.Get("X-Amz-Trailer") == "x-amz-checksum-crc32" {
			chunked.Add(1)
		}
		s.S3.ServeHTTP(w, r)
	})))
	return &chunked
}

// trust starts a server with TLS, and makes the functions call it as S3.
func trust(t *testing.T, server *httptest.Server) {
	server.StartTLS()
	t.Cleanup(server.Close)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(bundle, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	t.Setenv("AWS_ENDPOINT_URL_S3", server.URL)
}

// Over TLS, as in a deployment, the functions upload objects in aws-chunked encoding with a checksum behind the body. S3 stores the
// objects without the encoding.
func TestFunctionsOverTLS(t *testing.T) {
	s := start(t)
	chunked := secureS3(t, s)
	configs, err := setup.Configs(t.Context(), awstest.Silent(), base)
	if err != nil {
		t.Fatal(err)
	}
	checkStatus(t, configs, "POST /configs 201")
	startscan, err := setup.StartScan(t.Context(), awstest.Silent())
	if err != nil {
		t.Fatal(err)
	}
	visit(t, startscan, s.config)
	if n := chunked.Load(); n < 3 {
		t.Errorf("%d uploads in aws-chunked encoding, want the config, the history and the record", n)
	}
	record, err := s.Service(awstest.Silent()).Visitor.Records.Load(t.Context(), s.config.Repo())
	if image, ok := record.Images["v1"]; err != nil || !ok || image.Last.State != scan.Completed {
		t.Errorf("the visit recorded %+v, %v", record, err)
	}
	stored, err := s.Service(awstest.Silent()).Configs.List(t.Context())
	if err != nil || len(stored) != 2 {
		t.Errorf("%d configs, %v", len(stored), err)
	}
	for _, c := range stored {
		out, err := s.S3Client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(awstest.Bucket), Key: aws.String(c.ID + ".json")})
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(out.Body); err != nil || !strings.HasPrefix(string(body), "{") || aws.ToString(out.ContentEncoding) != "" {
			t.Errorf("stored as %q, %v, %v", body, err, aws.ToString(out.ContentEncoding))
		}
	}
	findings, err := setup.Findings(t.Context(), awstest.Silent(), base)
	if err != nil {
		t.Fatal(err)
	}
	checkStatus(t, findings, "GET /findings/"+s.config.ID+" 200")
}

// A new connection resumes the TLS session of an earlier one, which needs less processor time.
func TestConnectionsResumeTheirSession(t *testing.T) {
	s := start(t)
	var resumed []bool
	trust(t, httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resumed = append(resumed, r.TLS.DidResume)
		w.Header().Set("Connection", "close")
		s.S3.ServeHTTP(w, r)
	})))
	cfg, err := setup.AWSConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := setup.NewS3Client(cfg)
	for range 2 {
		if _, err := client.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String(awstest.Bucket)}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(resumed, []bool{false, true}) {
		t.Errorf("resumed: %v", resumed)
	}
}

// In Lambda, a visit with many calls opens a limited number of connections to ECR.
func TestConnectionsOfAFunction(t *testing.T) {
	s := start(t)
	inLambda(t)
	var mu sync.Mutex
	var calls, most int // at once. The client can replace connections at any time, so their number says nothing
	add := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		calls += n
		most = max(most, calls)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		add(1)
		defer add(-1)
		s.ECR.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_ECR", server.URL)
	s.ECR.InjectFault(awslocal.Fault{Delay: 10 * time.Millisecond}) // so that calls overlap
	for i := range 150 {
		s.ECR.PutImage(ecr.RepositoryID{Name: "app"}, ecr.Image{Tags: []string{fmt.Sprintf("due-%d", i)}, ScannedAt: s.Now().Add(-25 * time.Hour)})
	}
	startscan, err := setup.StartScan(t.Context(), awstest.Silent())
	if err != nil {
		t.Fatal(err)
	}
	visit(t, startscan, s.config)
	if n := s.ECR.Count().Calls["StartImageScan"]; n != 150 || most > 32 { // without the limit 64
		t.Errorf("%d scans were started with %d connections", n, most)
	}
}

// visit sends a function the message of a visit.
func visit(t *testing.T, startscan *scanevents.Handler, c scan.Config) {
	t.Helper()
	body, _ := json.Marshal(rescan.NewMessage(c.Repo(), c.ID))
	event, _ := json.Marshal(map[string]any{"Records": []any{map[string]any{"eventSource": "aws:sqs", "messageId": "1", "body": string(body)}}})
	if _, err := startscan.Handle(t.Context(), event); err != nil {
		t.Fatal(err)
	}
}
