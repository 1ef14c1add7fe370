// Package scan has the nouns of the service and their rules, as values: a [Config] names a [Repository] and, if wanted, some of its tags. Each tag
// points to an [Image]; what ECR says of an image is a [Result], and a completed one lists a [Finding] per vulnerability and package. A [Filter]
// chooses among them.
//
// It asks nobody, and knows nothing of what is stored, of AWS, HTTP, Lambda, files or the environment.
package scan
