//go:build deployment

package queue

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"ecr-continuous-scan/internal/setup"
)

// With moto's queue, too, visits of a repository never overlap, and the scan of each due image is started once.
func TestEachDueScanIsStartedOnceWithMoto(t *testing.T) {
	endpoint := startMoto(t)
	client := sqs.NewFromConfig(setup.Loopback(endpoint))
	queueURL, deadURL := createQueues(t, client)
	w := newWorld(t, endpoint, queueURL)
	w.schedule(2)
	w.work()
	w.checkEachStartedOnce()
	began := w.starts()
	w.schedule(1)
	w.work()
	w.checkEachStartedOnce()
	if again := w.starts() - began; again > 0 {
		t.Errorf("the next visits tried to start %d scans", again)
	}
	out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &deadURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil || out.Attributes["ApproximateNumberOfMessages"] != "0" {
		t.Errorf("dead letters: %v, %v", out, err)
	}
}

// startMoto starts moto's server and returns its URL. The server ends with the test.
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
		t.Fatalf("this test needs moto_server: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	t.Cleanup(func() {
		_ = server.Process.Kill() // an error means that it has already ended
		<-ended
	})
	endpoint := fmt.Sprintf("http://127.0.0.1:%d", port)
	for {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, endpoint+"/moto-api/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close() // the body is not needed
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

// createQueues creates a FIFO queue and its dead-letter queue.
func createQueues(t *testing.T, client *sqs.Client) (queueURL, deadURL string) {
	t.Helper()
	create := func(name string, attributes map[string]string) string {
		attributes["FifoQueue"] = "true"
		out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
		if err != nil {
			t.Fatal(err)
		}
		return *out.QueueUrl
	}
	dead := create("dead.fifo", map[string]string{})
	out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &dead, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		t.Fatal(err)
	}
	return create("visits.fifo", map[string]string{
		"VisibilityTimeout": strconv.Itoa(int(visibility.Seconds())), "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId",
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":50}`, out.Attributes["QueueArn"]),
	}), dead
}
