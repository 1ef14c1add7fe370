// Package setup builds the service from its parts: SDK clients with their timeouts, stores, and the use cases over them. Everything is
// made once, before the first request.
//
// It holds no logic of the service, and nothing in it knows whether AWS or an embedded stand-in answers.
package setup

import (
	"context"
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
)

// Timeouts of one attempt of a call to AWS: a Region that doesn't answer must show as such while the others are still waited for.
const (
	dialTimeout     = 3 * time.Second
	responseTimeout = 10 * time.Second
)

// BaseURL gives the URL of the API as the client of a request knows it.
type BaseURL func(*http.Request) string

// Configs builds what ConfigsFunc serves: it keeps configs and requests visits, and reads nothing else.
func Configs(ctx context.Context, log *slog.Logger, base BaseURL) (http.Handler, error) {
	cfg, e, err := fromEnvironment(ctx, log)
	if err != nil {
		return nil, err
	}
	api := newAPI(ctx, log, base, e)
	api.Configs = NewConfigs(cfg, e.configBucket, log)
	if e.queueURL != "" {
		metrics := scanevents.Metrics{Log: log, Function: lambdacontext.FunctionName, Now: time.Now}
		api.Visits = rescan.Requests{Queue: sqsqueue.New(cfg, e.queueURL), Log: log, NotSent: metrics.NotSent}
	}
	return api.Handler(api.ConfigRoutes()), nil
}

// Summary builds what SummaryFunc serves: it only reads.
func Summary(ctx context.Context, log *slog.Logger, base BaseURL) (http.Handler, error) {
	return reading(ctx, log, base, (*httpapi.API).SummaryRoutes)
}

// Findings builds what FindingsFunc serves: it only reads.
func Findings(ctx context.Context, log *slog.Logger, base BaseURL) (http.Handler, error) {
	return reading(ctx, log, base, (*httpapi.API).FindingsRoutes)
}

// reading serves routes of an API that can't store anything.
func reading(ctx context.Context, log *slog.Logger, base BaseURL, routes func(*httpapi.API) httpapi.Routes) (http.Handler, error) {
	cfg, e, err := fromEnvironment(ctx, log)
	if err != nil {
		return nil, err
	}
	api := newAPI(ctx, log, base, e)
	api.Reports = NewReader(cfg, cfg, e.configBucket, log)
	return api.Handler(routes(api)), nil
}

// newAPI is an API without anything to serve. Without a key that it can use it lets nobody in, and says so in the log: a function that doesn't
// start would look like an outage.
func newAPI(ctx context.Context, log *slog.Logger, base BaseURL, e environment) *httpapi.API {
	access, err := httpapi.ParseAccess(e.apiKeyHash, e.readKeyHash)
	if err != nil {
		log.ErrorContext(ctx, "every request is refused", "error", err)
	} else if e.publicBadges {
		access = access.WithPublicBadges()
	}
	return &httpapi.API{BaseURL: base, Access: access, Origin: e.origin, Now: time.Now, Log: log}
}

// StartScan builds what StartScanFunc runs.
func StartScan(ctx context.Context, log *slog.Logger) (*scanevents.Handler, error) {
	cfg, e, err := fromEnvironment(ctx, log)
	if err != nil {
		return nil, err
	}
	if e.queueURL == "" {
		return nil, fmt.Errorf("%s is not set: it must be the URL of the SQS queue of visits", QueueURL)
	}
	visitor := NewVisitor(cfg, cfg, e.configBucket, sqsqueue.New(cfg, e.queueURL), log)
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
	cfg.Logger = logging.LoggerFunc(func(_ logging.Classification, format string, v ...any) { // else it writes lines that are no JSON
		log.Info("the AWS SDK says", "text", fmt.Sprintf(format, v...))
	})
	return cfg, e, err
}

// NewConfigs is the store of configs in a bucket.
func NewConfigs(s3Config aws.Config, bucket string, log *slog.Logger) s3store.ConfigWriter {
	return s3store.NewConfigWriter(s3Client(s3Config), bucket, log)
}

// NewReader tells what is known; S3 and ECR may be reached differently.
func NewReader(s3Config, ecrConfig aws.Config, bucket string, log *slog.Logger) *report.Reader {
	client := s3Client(s3Config)
	source := refresh.Source{Registry: ecrscan.New(ecrConfig), Records: s3store.NewRecords(client, bucket), Now: time.Now, Log: log}
	return &report.Reader{Configs: s3store.NewConfigs(client, bucket, log), Source: source}
}

// NewVisitor visits repositories and asks for visits through a queue; S3 and ECR may be reached differently.
func NewVisitor(s3Config, ecrConfig aws.Config, bucket string, queue rescan.Queue, log *slog.Logger) *rescan.Visitor {
	client := s3Client(s3Config)
	return &rescan.Visitor{
		Configs: s3store.NewConfigs(client, bucket, log), Scanner: ecrscan.New(ecrConfig), Records: s3store.NewRecordWriter(client, bucket, log), Queue: queue,
		Now: time.Now, Log: log,
	}
}

func s3Client(cfg aws.Config) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		// An endpoint that is a plain address has no room for the bucket in its host name.
		o.UsePathStyle = o.BaseEndpoint != nil
		// A checksum of what is read is work for each object, and a line in the log for each that was stored without one; a config that is broken
		// shows as such.
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
}

// AWSConfig loads the SDK's own settings: environment, profile, role.
func AWSConfig(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(httpClient()), config.WithRetryer(newRetryer))
	if err != nil {
		return aws.Config{}, fmt.Errorf("load the AWS settings: %w", err)
	}
	return cfg, nil
}

// Loopback is for an embedded stand-in of AWS at the given URL. It takes nothing from the environment, so that no profile of the user can
// turn it into the real one; the credentials are made up, since the stand-ins check none.
func Loopback(endpoint string) aws.Config {
	return aws.Config{
		Region:       "us-west-2",
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:   httpClient(),
		Retryer:      newRetryer,
	}
}

// httpClient has as many idle connections as there may be calls side by side, of two operations of ECR: with fewer, most calls would open
// one of their own.
func httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithReadTimeout(responseTimeout). // of a body that stalls
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).
		WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = max(s3store.CallsAtOnce, 2*ecrscan.CallsAtOnce)
			t.MaxIdleConns = 8*ecrscan.CallsAtOnce + s3store.CallsAtOnce // of some Regions
			t.ResponseHeaderTimeout = responseTimeout
		})
}
