// Command bare is the smallest possible function with aws-lambda-go. The cold starts of other functions are
// compared with it.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	lambda.Start(func(context.Context) (string, error) { return "ok", nil })
}
