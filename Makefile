# make, without a target, lists what there is. GNU make 3.81 will do.

.DEFAULT_GOAL := help

# Names in AWS; see README.md. They reach the program in deploy/ through the environment, as ECR_SCAN_API_KEY and ECR_SCAN_READ_KEY do.
ECR_SCAN_STACK_NAME ?= ecr-continuous-scan
ECR_SCAN_SVC_BUCKET ?=
ECR_SCAN_CONFIG_BUCKET ?=
export ECR_SCAN_STACK_NAME ECR_SCAN_SVC_BUCKET ECR_SCAN_CONFIG_BUCKET

# make deploy PARAMETERS="'Schedule=rate(12 hours)' LogRetentionDays=90"
PARAMETERS ?=
# make rotate-key KEY=read (a variable KEY of the environment doesn't count)
KEY := full
# make logs SINCE=24h FUNCTIONS="startscan summary"
SINCE ?= 1h
FUNCTIONS ?=
# make run ARGS="-every 1h"
ARGS ?=

# built first and not `go run`, which would add a line of its own to every error
DEPLOY := go build -o .tools/deploy ./deploy && .tools/deploy
STATICCHECK := .tools/staticcheck

.PHONY: help run test bench build deploy status url rotate-key scan-now logs destroy lint vuln

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run: ## run everything on this machine, without AWS
	@go run ./local $(ARGS)

test: ## run the tests
	go test -shuffle=on ./...

bench: ## run the benchmarks
	go test -run '^$$' -bench . ./test/bench

build: ## compile the four functions into dist/
	@$(DEPLOY) build

deploy: ## build, then make or change the stack on AWS
	@$(DEPLOY) deploy $(PARAMETERS)

status: ## show the deployed stack
	@$(DEPLOY) status

url: ## print the base URL of the deployed API, with the key
	@$(DEPLOY) url

rotate-key: ## make a new key for the API, or with KEY=read for its readers
	@$(DEPLOY) rotate-key $(KEY)

scan-now: ## send a visit of each repository now
	@$(DEPLOY) scan-now

logs: ## print the functions' logs
	@$(DEPLOY) logs -since $(SINCE) $(FUNCTIONS)

destroy: ## delete the stack
	@$(DEPLOY) destroy

lint: $(STATICCHECK) ## check the code's form
	@test -z "$$(gofmt -l .)" || { echo "not formatted by gofmt:"; gofmt -l .; exit 1; }
	go vet ./...
	go vet -tags deployment,feedreaders,browser ./test/deployment ./test/queue ./test/feedreaders ./test/browser
	$(STATICCHECK) ./...
	$(STATICCHECK) -tags deployment,feedreaders,browser ./test/deployment ./test/queue ./test/feedreaders ./test/browser

$(STATICCHECK): .ci/tools/go.mod .ci/tools/go.sum
	go build -C .ci/tools -o "$(CURDIR)/$@" honnef.co/go/tools/cmd/staticcheck

vuln: ## look for known vulnerabilities (asks vuln.go.dev)
	go run golang.org/x/vuln/cmd/govulncheck@latest ./...
