// Package awslocal is an embedded ECR, an embedded S3 and, for tests, an
// embedded SQS with one FIFO queue, each an [http.Handler] that speaks the AWS
// wire protocol, so that a run on one machine and every test go through the
// same SDK clients as a deployment. All count their calls and fail on demand
// ([Traffic]).
//
// It is not a part of what is deployed, checks no signatures, pushes and pulls
// no layers, and keeps ECR in memory only. What ECR's documentation leaves open
// is answered in the stricter way, so that code which is right here is right
// there.
package awslocal
