// Command startscan is StartScanFunc: on a schedule, it starts the scan of every image that is due, by itself or through a queue, from which
// it works too.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"ecr-continuous-scan/internal/scanevents"
	"ecr-continuous-scan/internal/setup"
)

func main() {
	log := lambdacontext.NewLogger()
	watch, chains, err := setup.ScanRuns(context.Background(), log)
	if err != nil {
		log.Error("can't start", "error", err)
		os.Exit(1)
	}
	handler := &scanevents.Handler{Watch: watch, Chains: chains, Log: log, Function: lambdacontext.FunctionName}
	lambda.Start(handler.Handle)
}
