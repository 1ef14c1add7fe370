// Package awslocal contains an embedded Amazon S3: an [http.Handler] that implements S3's HTTP API. The local server and the
// tests use it with the same SDK clients as a deployment. The package also contains what all embedded services share: call
// counts and injected faults ([Traffic]), and AWS's JSON protocol ([JSONAPI]). The embedded ECR is in package ecr.
//
// The deployed functions do not contain it. It does not verify signatures.
package awslocal
