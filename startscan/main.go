// Command startscan is StartScanFunc: on a schedule, it starts the scan of every image that is due, and returns the run's report.
package main

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"ecr-continuous-scan/internal/emf"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
)

func main() {
	log := lambdacontext.NewLogger()
	watch, err := setup.Watch(context.Background(), log)
	if err != nil {
		log.Error("can't start", "error", err)
		os.Exit(1)
	}
	lambda.Start(func(ctx context.Context) (scan.RunReport, error) {
		report, err := watch.Run(ctx)
		if err == nil || report.Configs > 0 { // otherwise nothing is known, and zeros would be false
			emf.Log(ctx, log, lambdacontext.FunctionName, report, time.Now())
		}
		return report, err
	})
}
