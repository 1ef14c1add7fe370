// Package setup builds the functions from their parts: SDK clients with timeouts, stores, and the use cases that use them. It builds
// everything once, before the first request.
//
// It contains no logic of the service, and it works in the same way with AWS and with the embedded servers.
package setup

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"ecr-continuous-scan/internal/ecrscan"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/internal/scanevents"
	"ecr-continuous-scan/internal/sqsqueue"
	"ecr-continuous-scan/internal/suppresscount"
)

// The timeouts of one attempt of a call to AWS. They are short enough that the calls to an unavailable Region fail before the request
// times out.
const (
	dialTimeout     = 3 * time.Second
	responseTimeout = 10 * time.Second
)

// connections is the maximum number of connections of a function to a host, such as ECR in one Region. To open one costs about as much
// processor time as two calls. The share of a processor that a function has is used up by the calls of fewer connections.
const connections = 32

// BaseURL returns the URL of the API as the client of a request sees it.
type BaseURL func(*http.Request) string

// Configs returns the handler of ConfigsFunc. It stores configs and suppressions, and requests visits. It reads records only to count what
// suppressions match, and does not call ECR. It returns an
// error if a required environment variable is missing.
func Configs(ctx context.Context, log *slog.Logger, base BaseURL) (http.Handler, error) {
	cfg, e, err := fromEnvironment(ctx, log)
	if err != nil {
		return nil, err
	}
	api := newAPI(ctx, log, base, e)
	api.Configs, api.Suppressions = NewConfigs(cfg, e.configBucket, log), NewSuppressions(cfg, e.configBucket)
	api.SuppressionCounter = NewSuppressionCounter(cfg, e.configBucket, api.Configs, log)
	prepare(ctx, e, log, listOnce(api.Configs.List))
	if e.queueURL != "" {
		api.Visits = rescan.Requests{Queue: sqsqueue.New(cfg, e.queueURL), Log: log}
	}
	return api.Handler(api.ConfigRoutes()), nil
}

// Summary returns the handler of SummaryFunc, which only reads. It returns an error if a required environment variable is missing.
func Summary(ctx context.Context, log *slog.Logger, base BaseURL) (http.Handler, error) {
	return newReadHandler(ctx, log, base, (*httpapi.API).SummaryRoutes, recordsAtStart)
}

// Findings returns the handler of FindingsFunc, which only reads. It returns an error if a required environment variable is missing.
func Findings(ctx context.Context, log *slog.Logger, base BaseURL) (http.Handler, error) {
	return newReadHandler(ctx, log, base, (*httpapi.API).FindingsRoutes, 1)
}

// newReadHandler returns a handler for routes that only read. Its API has no store to write to. records is the maximum number of records
// that it reads at once, if the process runs in Lambda.
func newReadHandler(ctx context.Context, log *slog.Logger, base BaseURL, routes func(*httpapi.API) httpapi.Routes, records int) (http.Handler, error) {
	cfg, e, err := fromEnvironment(ctx, log)
	if err != nil {
		return nil, err
	}
	api := newAPI(ctx, log, base, e)
	api.Reports = NewReader(cfg, cfg, e.configBucket, log)
	if e.registryRole != "" {
		if api.Reports.Registry, err = ecrscan.NewWithRole(cfg, ecrscan.Role{ARN: e.registryRole, Session: ecrscan.ReadSession}); err != nil {
			return nil, fmt.Errorf("%s: %w", RegistryRole, err)
		}
	}
	prepare(ctx, e, log, readRecords(api.Reports, records))
	return api.Handler(routes(api)), nil
}

// newAPI returns an API without stores. If the hash of a key is missing or malformed, the API denies every request and newAPI logs the
// error. It does not return the error, because a function that can't start would look like an outage.
func newAPI(ctx context.Context, log *slog.Logger, base BaseURL, e environment) *httpapi.API {
	access, err := httpapi.ParseAccess(e.apiKeyHash, e.readKeyHash)
	if err != nil {
		log.ErrorContext(ctx, "the API denies every request", "error", err)
	} else if e.publicBadges {
		access = access.WithPublicBadges()
	}
	return &httpapi.API{BaseURL: base, Access: access, Origin: e.origin, Now: time.Now, Log: log, Build: Build()}
}

// StartScan returns the event handler of StartScanFunc. It returns an error if a required environment variable is missing.
func StartScan(ctx context.Context, log *slog.Logger) (*scanevents.Handler, error) {
	cfg, e, err := fromEnvironment(ctx, log)
	if err != nil {
		return nil, err
	}
	if e.queueURL == "" {
		return nil, fmt.Errorf("%s is not set: set it to the URL of the SQS queue of visits", QueueURL)
	}
	visitor := NewVisitor(cfg, cfg, e.configBucket, sqsqueue.New(cfg, e.queueURL), log)
	if e.registryRole != "" {
		if visitor.Scanner, err = ecrscan.NewWithRole(cfg, ecrscan.Role{ARN: e.registryRole, Session: ecrscan.VisitSession}); err != nil {
			return nil, fmt.Errorf("%s: %w", RegistryRole, err)
		}
	}
	prepare(ctx, e, log, searchOnce(visitor.Configs))
	metrics := scanevents.Metrics{Log: log, Function: lambdacontext.FunctionName, Now: time.Now}
	return &scanevents.Handler{Visitor: visitor, Metrics: metrics, Log: log}, nil
}

func fromEnvironment(ctx context.Context, log *slog.Logger) (aws.Config, environment, error) {
	e, err := readEnvironment()
	if err != nil {
		return aws.Config{}, e, err
	}
	if e.memory > 0 {
		UseMemory(e.memory)
	}
	cfg, err := AWSConfig(ctx)
	if client, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok && e.memory > 0 {
		cfg.HTTPClient = client.WithTransportOptions(func(t *http.Transport) { t.MaxConnsPerHost = connections })
	}
	cfg.Logger = logging.LoggerFunc(func(_ logging.Classification, format string, v ...any) { // the SDK's default logger writes lines that are not JSON
		log.Info("message of the AWS SDK", "text", fmt.Sprintf(format, v...))
	})
	return cfg, e, err
}

// NewConfigs returns the store of configs in a bucket.
func NewConfigs(s3Config aws.Config, bucket string, log *slog.Logger) s3store.ConfigWriter {
	return s3store.NewConfigWriter(NewS3Client(s3Config), bucket, log)
}

// NewSuppressions returns the store of suppressions in a bucket.
func NewSuppressions(s3Config aws.Config, bucket string) s3store.SuppressionWriter {
	return s3store.NewSuppressionWriter(NewS3Client(s3Config), bucket)
}

// NewSuppressionCounter returns what counts the findings that suppressions match. It reads the records in a bucket.
func NewSuppressionCounter(s3Config aws.Config, bucket string, configs suppresscount.Configs, log *slog.Logger) suppresscount.Counter {
	source := refresh.Source{Records: s3store.NewRecords(NewS3Client(s3Config), bucket), Now: time.Now, Log: log}
	return suppresscount.Counter{Configs: configs, Source: source}
}

// NewReader returns the reader of reports. S3 and ECR may have different settings, such as endpoints.
func NewReader(s3Config, ecrConfig aws.Config, bucket string, log *slog.Logger) *report.Reader {
	client := NewS3Client(s3Config)
	source := refresh.Source{Registry: ecrscan.New(ecrConfig), Records: s3store.NewRecords(client, bucket), Suppressions: s3store.NewSuppressions(client, bucket), Now: time.Now, Log: log}
	return &report.Reader{Configs: s3store.NewConfigs(client, bucket, log), Source: source}
}

// NewVisitor returns the visitor of repositories, which requests visits through the queue. S3 and ECR may have different settings, such
// as endpoints.
func NewVisitor(s3Config, ecrConfig aws.Config, bucket string, queue rescan.Queue, log *slog.Logger) *rescan.Visitor {
	client := NewS3Client(s3Config)
	return &rescan.Visitor{
		Configs: s3store.NewConfigPacker(s3store.NewConfigs(client, bucket, log)), Scanner: ecrscan.New(ecrConfig), Records: s3store.NewRecordWriter(client, bucket, log), Queue: queue,
		Suppressions: s3store.NewSuppressions(client, bucket), Now: time.Now, Log: log,
	}
}

// NewS3Client returns the client of the functions, of the local server and of the tests.
func NewS3Client(cfg aws.Config) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		// The host name of a custom endpoint, such as an IP address, can't contain the bucket name.
		o.UsePathStyle = o.BaseEndpoint != nil
		// Validating checksums costs time for each object, and logs a line for each object without a checksum. A damaged object is
		// noticed without it, because it can't be decoded.
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
}

// AWSConfig loads the SDK's settings from the environment, the profile and the role.
func AWSConfig(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(httpClient()), config.WithRetryer(newRetryer))
	if err != nil {
		return aws.Config{}, fmt.Errorf("load the AWS settings: %w", err)
	}
	return cfg, nil
}

// Loopback returns the settings for an embedded server at the endpoint. It does not read the environment, so that a profile of the user
// can't redirect calls to AWS. The credentials are dummies, because the embedded servers don't check them. All other settings are those
// of [AWSConfig] without environment and profile: the SDK's defaults are in LoadDefaultConfig, not in the clients.
func Loopback(endpoint string) aws.Config {
	return aws.Config{
		Region:       "us-west-2",
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:   httpClient(),
		Retryer:      newRetryer,

		RequestChecksumCalculation:  aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation:  aws.ResponseChecksumValidationWhenSupported,
		AccountIDEndpointMode:       aws.AccountIDEndpointModePreferred,
		DefaultsMode:                aws.DefaultsModeLegacy,
		RequestMinCompressSizeBytes: 10 << 10,
		RestrictFilePermissions:     aws.RestrictFilePermissionsUserReadWrite,
	}
}

// httpClient returns a client that keeps as many idle connections to a host as there can be concurrent calls to it. ECR gets concurrent
// calls of two operations. With fewer idle connections, most calls would open a new one. A new connection resumes the TLS session of an
// earlier one, so that it need not verify certificates.
func httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithReadTimeout(responseTimeout). // for a response body that stalls
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).
		WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = max(s3store.CallsAtOnce, 2*ecrscan.CallsAtOnce)
			t.MaxIdleConns = 8*ecrscan.CallsAtOnce + s3store.CallsAtOnce // for calls to several Regions
			t.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(0)
			t.ResponseHeaderTimeout = responseTimeout
		})
}
