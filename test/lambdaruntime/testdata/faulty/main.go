// Command faulty is a function that fails in the way that its event, a JSON string, names.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

func main() {
	fmt.Fprintln(os.Stderr, "starting")
	switch os.Getenv("INIT") {
	case "exit":
		fmt.Fprintln(os.Stderr, "no bucket given")
		os.Exit(3)
	case "done":
		return
	}
	lambda.Start(handle)
}

func handle(ctx context.Context, fault string) (any, error) {
	fmt.Println("handling", fault)
	switch fault {
	case "error":
		return nil, errors.New("the function failed")
	case "panic":
		panic("on purpose")
	case "exit":
		os.Exit(4)
	case "sleep":
		time.Sleep(time.Hour)
	case "large":
		return strings.Repeat("x", 7<<20), nil
	case "stream":
		return brokenStream{strings.NewReader("half")}, nil
	case "environ":
		return os.Environ(), nil
	case "context":
		deadline, _ := ctx.Deadline()
		lc, _ := lambdacontext.FromContext(ctx)
		return map[string]any{"left": time.Until(deadline).Seconds(), "id": lc.AwsRequestID, "arn": lc.InvokedFunctionArn,
			"trace": os.Getenv("_X_AMZN_TRACE_ID")}, nil
	}
	return fault, nil
}

// brokenStream is a response that ends with an error.
type brokenStream struct{ *strings.Reader }

func (s brokenStream) Read(p []byte) (int, error) {
	if s.Len() == 0 {
		return 0, errors.New("the stream broke")
	}
	return s.Reader.Read(p)
}

func (s brokenStream) MarshalJSON() ([]byte, error) { return nil, errors.New("a stream") }
