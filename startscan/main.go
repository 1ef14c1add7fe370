// Command startscan is StartScanFunc: on a schedule it asks for a visit of each repository, and it does the visits that come from the queue.
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
