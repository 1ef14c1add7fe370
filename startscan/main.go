// Command startscan is StartScanFunc. On a schedule it sends a message for each repository to the queue. For each message from the queue
// it visits the repository.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"ecr-continuous-scan/internal/setup"
)

func main() {
	log := lambdacontext.NewLogger()
	handler, err := setup.StartScan(context.Background(), log)
	if err != nil {
		log.Error("can't start", "error", err)
		os.Exit(1)
	}
	lambda.Start(handler.Handle)
}
