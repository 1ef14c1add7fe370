// Package deployment puts the stack up on a stand-in of AWS (stack.py), with `make deploy` itself, and goes through what a user does with it:
// the calls of the README with curl, a redeploy, a change, the end. The deployed functions are the compiled arm64 binaries.
//
// Its tests need more than Go: the AWS CLI, curl, jq, moto's server, aws-sam-translator and qemu-user. They run with -tags deployment.
package deployment
