//go:build trial

package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"ecr-continuous-scan/internal/setup"
)

// The same with an SQS that others have made.
func TestEverythingIsStartedOnceWithMoto(t *testing.T) {
	endpoint := startMoto(t)
	client := sqs.NewFromConfig(setup.Loopback(endpoint))
	queueURL, deadURL := createQueues(t, client)
	w := newWorld(t, client, endpoint, queueURL)
	w.received = sendTwice(t, client, queueURL)
	w.scenario()
	out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &deadURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil || out.Attributes["ApproximateNumberOfMessages"] != "0" {
		t.Errorf("dead letters: %v, %v", out, err)
	}
}

// startMoto starts moto's server, which ends with the test, and gives its URL.
func startMoto(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("moto_server", "-H", "127.0.0.1", "-p", strconv.Itoa(port))
	if err := server.Start(); err != nil {
		t.Fatalf("the trial needs moto_server: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	t.Cleanup(func() {
		_ = server.Process.Kill() // an error says that it is gone already
		<-ended
	})
	endpoint := fmt.Sprintf("http://127.0.0.1:%d", port)
	for {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, endpoint+"/moto-api/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close() // nothing of it was asked for
			return endpoint
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("moto_server ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// createQueues makes a queue and the one of its dead letters.
func createQueues(t *testing.T, client *sqs.Client) (queueURL, deadURL string) {
	t.Helper()
	create := func(name string, attributes map[string]string) string {
		out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
		if err != nil {
			t.Fatal(err)
		}
		return *out.QueueUrl
	}
	dead := create("dead", nil)
	out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &dead, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		t.Fatal(err)
	}
	return create("scan-runs", map[string]string{
		"VisibilityTimeout": strconv.Itoa(int(visibility.Seconds())),
		"RedrivePolicy":     fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":50}`, out.Attributes["QueueArn"]),
	}), dead
}

// sendTwice sends a second copy of some of the messages that are received, for moto's queue delivers each once, in order.
func sendTwice(t *testing.T, client *sqs.Client, queueURL string) func(types.Message) {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(7, 0))
	return func(m types.Message) {
		mu.Lock()
		twice, delay := random.IntN(3) == 0, random.Int32N(3)
		mu.Unlock()
		if !twice {
			return
		}
		_, err := client.SendMessage(context.WithoutCancel(t.Context()), &sqs.SendMessageInput{QueueUrl: &queueURL, MessageBody: m.Body, DelaySeconds: delay})
		if err != nil {
			t.Error(aws.ToString(m.MessageId), err)
		}
	}
}
