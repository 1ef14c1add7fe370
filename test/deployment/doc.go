// Package deployment deploys the stack with `make deploy` to a stand-in of AWS (stack.py). It then does what a user
// does: the commands of the documents, a deploy without a change, a deploy with a change, and the end. The deployed
// functions are the compiled arm64 binaries.
//
// Its tests need the AWS CLI, curl, jq, moto's server, aws-sam-translator and qemu-user. They are only built with
// the tag deployment.
package deployment
