// Package scan is the domain: what is watched, what was found, and the three things the service does with it (sum up, list, re-scan).
//
// A [Config] names a [Repository] and, if wanted, some of its tags. Each tag points to an [Image]; what ECR says of an image is a [Result],
// and a completed one lists a [Finding] per vulnerability and package. [Watch] holds the use cases and asks for what it needs through two
// small interfaces, [ConfigStore] and [Registry].
//
// It knows nothing of AWS, HTTP, Lambda, files or the environment: those translate to it at the edge.
package scan
