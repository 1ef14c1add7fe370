// Command summary is SummaryFunc: it sums up what was found over all scan configs.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/lambdahttp"
	"ecr-continuous-scan/internal/setup"
)

func main() {
	log := lambdacontext.NewLogger()
	watch, err := setup.FromEnvironment(context.Background(), log)
	if err != nil {
		log.Error("can't start", "error", err)
		os.Exit(1)
	}
	api := &httpapi.API{Watch: watch, BaseURL: lambdahttp.BaseURL, Log: log}
	lambdahttp.Start(api.Handler(api.Summary()))
}
