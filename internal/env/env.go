// Package env reads the environment, and it alone: every variable that the service knows is a constant here. What the AWS SDK reads for
// itself (Region, credentials, profile, endpoints) is not repeated.
package env

import (
	"fmt"
	"os"
)

// ConfigBucket names the variable with the S3 bucket that keeps the scan configs.
const ConfigBucket = "ECR_SCAN_CONFIG_BUCKET"

// Names lists every variable, so that a test can hold the template against it.
func Names() []string { return []string{ConfigBucket} }

// Env is what was read.
type Env struct {
	ConfigBucket string
}

// Read reads the environment. Its error names the variable that is missing.
func Read() (Env, error) {
	e := Env{ConfigBucket: os.Getenv(ConfigBucket)}
	if e.ConfigBucket == "" {
		return Env{}, fmt.Errorf("%s is not set: it must name the S3 bucket that keeps the scan configs", ConfigBucket)
	}
	return e, nil
}
