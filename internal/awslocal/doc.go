// Package awslocal is an embedded Amazon S3, an [http.Handler] that speaks the AWS wire protocol, so that a run on one machine and every test go
// through the same SDK clients as a deployment. It has what all embedded services share: they count their calls and fail on demand ([Traffic]), and
// those that speak JSON do it alike ([JSONAPI]). The embedded ECR is package ecr.
//
// It is not a part of what is deployed, and checks no signatures.
package awslocal
