// Package env reads the environment, and it alone: every variable that the service knows is a constant here. What the AWS SDK reads for
// itself (Region, credentials, profile, endpoints) is not repeated.
package env

import (
	"fmt"
	"os"
	"strconv"
)

const (
	// ConfigBucket names the variable with the S3 bucket that keeps the scan configs.
	ConfigBucket = "ECR_SCAN_CONFIG_BUCKET"
	// APIKeyHash names the variable with the SHA-256 of the key that may do everything, in hexadecimal digits, or "none" for an open API.
	APIKeyHash = "ECR_SCAN_API_KEY_SHA256"
	// ReadKeyHash names the variable with the SHA-256 of the key that may only read; without it there is no such key.
	ReadKeyHash = "ECR_SCAN_READ_KEY_SHA256"
	// Origin names the variable with the web origin whose scripts may call the API; without it none may.
	Origin = "ECR_SCAN_CORS_ORIGIN"
	// PublicBadges names the variable that is "true" when everyone may see badges, without a key.
	PublicBadges = "ECR_SCAN_PUBLIC_BADGES"
	// QueueURL names the variable with the URL of the SQS queue that scan runs go through; without it one function does a whole run.
	QueueURL = "ECR_SCAN_QUEUE_URL"
)

// memorySize names the variable in which Lambda itself says how much memory the function has, in MiB.
const memorySize = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"

// Names lists every variable that the template sets, so that a test can hold the two against each other.
func Names() []string {
	return []string{ConfigBucket, APIKeyHash, ReadKeyHash, Origin, PublicBadges, QueueURL}
}

// Env is what was read.
type Env struct {
	ConfigBucket            string
	APIKeyHash, ReadKeyHash string
	Origin                  string
	PublicBadges            bool
	QueueURL                string
	// Memory is what the function has, in MiB; 0 where it is no function.
	Memory int
}

// Read reads the environment. Its error names the variable that is missing.
func Read() (Env, error) {
	memory, _ := strconv.Atoi(os.Getenv(memorySize)) // of anything odd it is 0
	e := Env{
		ConfigBucket: os.Getenv(ConfigBucket), APIKeyHash: os.Getenv(APIKeyHash), ReadKeyHash: os.Getenv(ReadKeyHash),
		Origin: os.Getenv(Origin), PublicBadges: os.Getenv(PublicBadges) == "true", QueueURL: os.Getenv(QueueURL),
		Memory: memory,
	}
	if e.ConfigBucket == "" {
		return Env{}, fmt.Errorf("%s is not set: it must name the S3 bucket that keeps the scan configs", ConfigBucket)
	}
	return e, nil
}
