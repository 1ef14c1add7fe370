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

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"ecr-continuous-scan/internal/awsretry"
	"ecr-continuous-scan/internal/ecrscan"
	"ecr-continuous-scan/internal/env"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/sqsqueue"
)

// Timeouts of one attempt of a call to AWS: a Region that doesn't answer must show as such while the others are still waited for.
const (
	dialTimeout     = 3 * time.Second
	responseTimeout = 10 * time.Second
)

// API builds what the three HTTP functions serve from. Without a key that it can use it lets nobody in, and says so in the log: a function
// that doesn't start would look like an outage.
func API(ctx context.Context, log *slog.Logger, baseURL func(*http.Request) string) (*httpapi.API, error) {
	cfg, e, err := fromEnvironment(ctx, log)
	if err != nil {
		return nil, err
	}
	access, err := httpapi.ParseAccess(e.APIKeyHash, e.ReadKeyHash)
	if err != nil {
		log.ErrorContext(ctx, "every request is refused", "error", err)
	} else if e.PublicBadges {
		access = access.WithPublicBadges()
	}
	return &httpapi.API{Watch: New(cfg, cfg, e.ConfigBucket, log), BaseURL: baseURL, Access: access, Origin: e.Origin, Log: log}, nil
}

// ScanRuns builds what StartScanFunc needs. The chains are nil when no queue is set.
func ScanRuns(ctx context.Context, log *slog.Logger) (*scan.Watch, *scan.Chains, error) {
	cfg, e, err := fromEnvironment(ctx, log)
	if err != nil {
		return nil, nil, err
	}
	watch := New(cfg, cfg, e.ConfigBucket, log)
	if e.QueueURL == "" {
		return watch, nil, nil
	}
	return watch, Chains(watch, cfg, cfg, e.ConfigBucket, e.QueueURL), nil
}

// Chains builds scan runs through the queue at a URL; S3 and SQS may be reached differently.
func Chains(watch *scan.Watch, s3Config, sqsConfig aws.Config, bucket, queueURL string) *scan.Chains {
	return &scan.Chains{Watch: watch, Queue: sqsqueue.New(sqsConfig, queueURL), Markers: s3store.NewMarkers(s3Client(s3Config), bucket)}
}

func fromEnvironment(ctx context.Context, log *slog.Logger) (aws.Config, env.Env, error) {
	e, err := env.Read()
	if err != nil {
		return aws.Config{}, e, err
	}
	if e.Memory > 0 {
		UseMemory(e.Memory)
	}
	cfg, err := AWSConfig(ctx)
	cfg.Logger = logging.LoggerFunc(func(_ logging.Classification, format string, v ...any) { // else it writes lines that are no JSON
		log.Info("the AWS SDK says", "text", fmt.Sprintf(format, v...))
	})
	return cfg, e, err
}

// New builds the use cases from values; S3 and ECR may be reached differently.
func New(s3Config, ecrConfig aws.Config, bucket string, log *slog.Logger) *scan.Watch {
	client := s3Client(s3Config)
	return &scan.Watch{
		Configs: s3store.NewConfigs(client, bucket, log), Registry: ecrscan.New(ecrConfig), Records: s3store.NewRecords(client, bucket, log),
		Now: time.Now, Log: log,
	}
}

func s3Client(cfg aws.Config) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		// An endpoint that is a plain address has no room for the bucket in its host name.
		o.UsePathStyle = o.BaseEndpoint != nil
		o.Retryer = awsretry.New()
		// A checksum of what is read is work for each object, and a line in the log for each that was stored without one; a config that is broken
		// shows as such.
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
}

// AWSConfig loads the SDK's own settings: environment, profile, role.
func AWSConfig(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(httpClient()))
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
			t.MaxIdleConns = ecrscan.AllCallsAtOnce + s3store.CallsAtOnce
			t.ResponseHeaderTimeout = responseTimeout
		})
}
