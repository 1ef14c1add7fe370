package lambdaruntime

import (
	"context"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"ecr-continuous-scan/internal/awslocal"
)

func TestDone(t *testing.T) {
	messages := []types.Message{{MessageId: aws.String("a")}, {MessageId: aws.String("b")}}
	for answer, want := range map[string][]string{
		`{"batchItemFailures":[]}`: {"a", "b"}, `{"batchItemFailures":null}`: {"a", "b"}, `null`: {"a", "b"}, `{}`: {"a", "b"},
		`{"batchItemFailures":[{"itemIdentifier":"a"}]}`: {"b"}, `{"batchItemFailures":[{"itemIdentifier":""}]}`: nil, `"text"`: nil, ``: nil,
	} {
		var got []string
		for _, m := range done(messages, []byte(answer)) {
			got = append(got, *m.MessageId)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", answer, got, want)
		}
	}
}

// A process that has ended is replaced, and a message that none answers for is delivered again until it is a dead letter.
func TestEventSourceReplacesTheDead(t *testing.T) {
	queue := awslocal.NewSQS("scan-runs", awslocal.SQSOptions{Visibility: 10 * time.Millisecond, MaxReceive: 3})
	server := httptest.NewServer(queue)
	defer server.Close()
	client := sqs.New(sqs.Options{Region: region, BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")})
	url := server.URL + "/" + account + "/scan-runs"
	if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")}); err != nil {
		t.Fatal(err)
	}
	binary := Build(t, bare)
	var started, received atomic.Int64
	source := &EventSource{
		Client: client, QueueURL: url, BatchSize: 1, Concurrency: 1, Timeout: long,
		Received: func(types.Message) { received.Add(1) },
		Start: func() *Function {
			f := Start(t, binary, nil)
			if started.Add(1) == 1 {
				f.Kill() // before it answers
			}
			return f
		},
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- source.Run(ctx) }()
	for queue.State().Dead == 0 { // bare answers "ok", which isn't an answer to a batch
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil || started.Load() < 2 || received.Load() != 3 {
		t.Errorf("%d processes, %d deliveries, %v", started.Load(), received.Load(), err)
	}
}
