// Command findings is FindingsFunc. It serves feeds of findings and of changes.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"ecr-continuous-scan/internal/lambdahttp"
	"ecr-continuous-scan/internal/setup"
)

func main() {
	log := lambdacontext.NewLogger()
	handler, err := setup.Findings(context.Background(), log, lambdahttp.BaseURL)
	if err != nil {
		log.Error("can't start", "error", err)
		os.Exit(1)
	}
	lambdahttp.Start(handler)
}
