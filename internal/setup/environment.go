package setup

import (
	"fmt"
	"os"
	"strconv"
)

// Only this file reads the environment. These constants are the names of all variables of the service. The AWS SDK reads its own
// variables (Region, credentials, profile, endpoints).
const (
	// ConfigBucket names the variable with the name of the S3 bucket for scan configs and records.
	ConfigBucket = "ECR_SCAN_CONFIG_BUCKET"
	// APIKeyHash names the variable with the SHA-256 of the full key in hexadecimal digits, or "none" for an API without keys.
	APIKeyHash = "ECR_SCAN_API_KEY_SHA256"
	// ReadKeyHash names the optional variable with the SHA-256 of the read key in hexadecimal digits.
	ReadKeyHash = "ECR_SCAN_READ_KEY_SHA256"
	// Origin names the optional variable with the web origin whose scripts may call the API.
	Origin = "ECR_SCAN_CORS_ORIGIN"
	// PublicBadges names the variable that is "true" if badges need no key.
	PublicBadges = "ECR_SCAN_PUBLIC_BADGES"
	// RegistryRole names the variable with the ARN, in the stack's account, of the role that the functions assume in the accounts of other
	// registries. If they assume none, the ARN ends with "role/": it then only tells the functions their own account.
	RegistryRole = "ECR_SCAN_REGISTRY_ROLE"
	// QueueURL names the variable with the URL of the SQS queue of visits. It is required by StartScanFunc. Without it, ConfigsFunc
	// does not request visits of new configs.
	QueueURL = "ECR_SCAN_QUEUE_URL"
)

// memorySize names the variable that Lambda sets to the memory size of the function, in MiB.
const memorySize = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"

// Variables returns the names of all variables that the template sets. A test compares them with the template.
func Variables() []string {
	return []string{ConfigBucket, APIKeyHash, ReadKeyHash, Origin, PublicBadges, RegistryRole, QueueURL}
}

// environment contains the values of the variables.
type environment struct {
	configBucket            string
	apiKeyHash, readKeyHash string
	origin                  string
	publicBadges            bool
	registryRole            string
	queueURL                string
	// memory is the memory size of the function, in MiB; 0 outside Lambda.
	memory int
}

// readEnvironment reads the environment. Its error names the variable that is missing.
func readEnvironment() (environment, error) {
	memory, _ := strconv.Atoi(os.Getenv(memorySize)) // 0 if missing or invalid
	e := environment{
		configBucket: os.Getenv(ConfigBucket), apiKeyHash: os.Getenv(APIKeyHash), readKeyHash: os.Getenv(ReadKeyHash),
		origin: os.Getenv(Origin), publicBadges: os.Getenv(PublicBadges) == "true", registryRole: os.Getenv(RegistryRole), queueURL: os.Getenv(QueueURL),
		memory: memory,
	}
	if e.configBucket == "" {
		return environment{}, fmt.Errorf("%s is not set: set it to the name of the S3 bucket for scan configs", ConfigBucket)
	}
	return e, nil
}
