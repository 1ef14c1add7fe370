package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/sqslocal"
)

// The time after which a stand-in responds.
const (
	s3Latency  = 15 * time.Millisecond
	ecrLatency = 30 * time.Millisecond
	sqsLatency = 10 * time.Millisecond
)

// queueName is the name of the queue of visits.
const queueName = "visits.fifo"

// serveStandIns runs stand-ins of S3, ECR and SQS in this process until its input ends. It serves [StandIns] on the input and
// the output.
func serveStandIns() error {
	s, err := newStandIns()
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.Register(s); err != nil {
		return err
	}
	server.ServeCodec(jsonrpc.NewServerCodec(inputAndOutput{os.Stdin, os.Stdout}))
	return nil
}

// inputAndOutput joins a reader and a writer.
type inputAndOutput struct {
	io.Reader
	io.WriteCloser
}

// services are the services of one world.
type services struct {
	s3  *awslocal.S3
	ecr *ecr.ECR
	sqs *sqslocal.SQS
}

// StandIns controls the stand-ins. Its exported methods are procedures of net/rpc.
type StandIns struct {
	addresses Addresses

	mu      sync.Mutex
	now     time.Time
	delayed bool
	current services
}

// Addresses says where the stand-ins are.
type Addresses struct {
	S3, ECR, SQS string
	Certificate  []byte // of the authority that signed theirs, as PEM
}

// Queue returns the URL of the queue of visits.
func (a Addresses) Queue() string { return a.SQS + "/" + awslocal.DefaultRegistry + "/" + queueName }

// Data describes the data of the stand-ins.
type Data struct {
	World World
	Now   time.Time
}

// Calls are the numbers of calls, by service and operation.
type Calls struct{ S3, ECR, SQS map[string]int }

func newStandIns() (*StandIns, error) {
	certificate, authority, err := newCertificate()
	if err != nil {
		return nil, err
	}
	s := &StandIns{addresses: Addresses{Certificate: authority}}
	for address, service := range map[*string]http.Handler{
		&s.addresses.S3:  s.handler(s3Latency, func(all services) http.Handler { return all.s3 }),
		&s.addresses.ECR: s.handler(ecrLatency, func(all services) http.Handler { return all.ecr }),
		&s.addresses.SQS: s.handler(sqsLatency, func(all services) http.Handler { return all.sqs }),
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		*address = "https://" + listener.Addr().String()
		server := &http.Server{
			Handler: service, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
			TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/1.1, as S3
			ErrorLog:     log.New(io.Discard, "", 0),                               // a function that is killed ends its connections
		}
		go func() { _ = server.ServeTLS(listener, "", "") }() // it ends with the process
	}
	return s, nil
}

// handler serves a service of the current world. Each response has the date of the stand-ins' clock, and is sent when its
// latency has passed since the request. So the latency includes the time of the stand-in itself.
func (s *StandIns) handler(latency time.Duration, service func(services) http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		s.mu.Lock()
		current, delayed := s.current, s.delayed
		s.mu.Unlock()
		response := httptest.NewRecorder()
		service(current).ServeHTTP(response, r)
		if delayed {
			time.Sleep(time.Until(began.Add(latency)))
		}
		maps.Copy(w.Header(), response.Header())
		w.Header().Set("Date", s.clock().UTC().Format(http.TimeFormat))
		w.WriteHeader(response.Code)
		_, _ = io.Copy(w, bytes.NewReader(response.Body.Bytes())) // an error means that the function was killed
	})
}

// clock is the clock of S3 and ECR. It stands still, so that the records have the same age in each request.
func (s *StandIns) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Addresses returns where the stand-ins are.
func (s *StandIns) Addresses(_ struct{}, reply *Addresses) error {
	*reply = s.addresses
	return nil
}

// Reset replaces everything that is stored. The stand-ins then respond without latency.
func (s *StandIns) Reset(d Data, _ *struct{}) error {
	store, err := awslocal.NewMemoryS3(awstest.Bucket)
	if err != nil {
		return err
	}
	queue, err := sqslocal.New(queueName, sqslocal.Options{})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.now, s.delayed = d.Now, false
	s.mu.Unlock()
	registry := ecr.New(ecr.Options{Now: s.clock, ScanTime: -1})
	d.World.fill(registry)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = services{store, registry, queue}
	return nil
}

// Delay sets the clock of S3 and ECR. From now on, the stand-ins respond with latency.
func (s *StandIns) Delay(now time.Time, _ *struct{}) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.delayed = now, true
	return nil
}

// TakeMessages removes all messages from the queue and returns them.
func (s *StandIns) TakeMessages(_ struct{}, reply *[]types.Message) error {
	s.mu.Lock()
	queue := s.current.sqs
	s.mu.Unlock()
	url := s.addresses.Queue()
	client := sqs.New(sqs.Options{
		Region: awslocal.DefaultRegion, BaseEndpoint: aws.String("http://sqs.example"),
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:  &http.Client{Transport: awslocal.Transport{Handler: queue}},
	})
	*reply = []types.Message{}
	for {
		out, err := client.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		if err != nil || len(out.Messages) == 0 {
			return err
		}
		*reply = append(*reply, out.Messages...)
		for _, m := range out.Messages {
			if _, err := client.DeleteMessage(context.Background(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return err
			}
		}
	}
}

// TakeCalls returns the calls since the last time.
func (s *StandIns) TakeCalls(_ struct{}, reply *Calls) error {
	s.mu.Lock()
	all := s.current
	s.mu.Unlock()
	reply.S3, reply.ECR, reply.SQS = all.s3.Count().Calls, all.ecr.Count().Calls, all.sqs.Count().Calls
	all.s3.ResetCount()
	all.ecr.ResetCount()
	all.sqs.ResetCount()
	return nil
}

// total returns the sum of the calls of a service.
func total(calls map[string]int) (sum int) {
	for _, n := range calls {
		sum += n
	}
	return sum
}
