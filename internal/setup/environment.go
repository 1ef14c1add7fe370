package setup

import (
	"fmt"
	"os"
	"strconv"
)

// The environment is read here, and only here: every variable that the service knows is a constant. What the AWS SDK reads for itself (Region,
// credentials, profile, endpoints) is not repeated.
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
	// QueueURL names the variable with the URL of the SQS queue of visits. StartScanFunc needs it; without it a new config waits for the schedule.
	QueueURL = "ECR_SCAN_QUEUE_URL"
)

// memorySize names the variable in which Lambda itself says how much memory the function has, in MiB.
const memorySize = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"

// Variables lists every variable that the template sets, so that a test can hold the two against each other.
func Variables() []string {
	return []string{ConfigBucket, APIKeyHash, ReadKeyHash, Origin, PublicBadges, QueueURL}
}

// environment is what was read.
type environment struct {
	configBucket            string
	apiKeyHash, readKeyHash string
	origin                  string
	publicBadges            bool
	queueURL                string
	// memory is what the function has, in MiB; 0 where it is no function.
	memory int
}

// readEnvironment reads the environment. Its error names the variable that is missing.
func readEnvironment() (environment, error) {
	memory, _ := strconv.Atoi(os.Getenv(memorySize)) // of anything odd it is 0
	e := environment{
		configBucket: os.Getenv(ConfigBucket), apiKeyHash: os.Getenv(APIKeyHash), readKeyHash: os.Getenv(ReadKeyHash),
		origin: os.Getenv(Origin), publicBadges: os.Getenv(PublicBadges) == "true", queueURL: os.Getenv(QueueURL),
		memory: memory,
	}
	if e.configBucket == "" {
		return environment{}, fmt.Errorf("%s is not set: it must name the S3 bucket that keeps the scan configs", ConfigBucket)
	}
	return e, nil
}
