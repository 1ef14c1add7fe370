# make without a target lists the targets. GNU make 3.81 or later is required.

.DEFAULT_GOAL := help

# Names in AWS; see docs/deploy.md. The program in deploy/ reads them from the environment, like ECR_SCAN_API_KEY and ECR_SCAN_READ_KEY.
ECR_SCAN_STACK_NAME ?= ecr-continuous-scan
ECR_SCAN_SVC_BUCKET ?=
ECR_SCAN_CONFIG_BUCKET ?=
export ECR_SCAN_STACK_NAME ECR_SCAN_SVC_BUCKET ECR_SCAN_CONFIG_BUCKET

# make deploy PARAMETERS="'Schedule=rate(12 hours)' LogRetentionDays=90"
PARAMETERS ?=
# make rotate-key KEY=read (an environment variable KEY is ignored)
KEY := full
# make url CONFIG=01a22442-e3bd-7c4d-9eae-d6ae7207a502 (an environment variable CONFIG is ignored)
CONFIG :=
# make logs SINCE=24h FUNCTIONS="startscan summary"
SINCE ?= 1h
FUNCTIONS ?=
# make run ARGS="-every 1h", make bench ARGS="-job feed"
ARGS ?=

# These build first because `go run` adds a line to every error, and does not record the commit for -version.
LOCAL := { test -x .tools/local || echo "Compiling. The first time takes a minute or two." >&2; } && go build -o .tools/local ./local && exec .tools/local
BENCH := go build -o .tools/bench ./test/bench && exec .tools/bench
DEPLOY := go build -o .tools/deploy ./deploy && .tools/deploy
STATICCHECK := .tools/staticcheck

.PHONY: help run test bench growth build deploy status url rotate-key scan-now logs destroy lint vuln

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run: ## run the whole service on this machine, without AWS
	@$(LOCAL) $(ARGS)

test: ## run the tests
	go test -shuffle=on ./...

bench: ## measure the compiled functions as they are deployed
	@$(BENCH) $(ARGS)

growth: ## simulate how time, calls and memory grow with the number of images
	go -C test/scale test -count=1 -timeout 60m -run '^TestGrowth$$' -growth

build: ## compile the four functions into dist/
	@$(DEPLOY) build

deploy: ## build, then create or update the stack on AWS
	@$(DEPLOY) deploy $(PARAMETERS)

status: ## show the deployed stack and its version
	@$(DEPLOY) status

url: ## print the base URL of the deployed API with the key, or with CONFIG=<scan ID> the URL of a feed that opens only this config
	@$(DEPLOY) url $(CONFIG)

rotate-key: ## replace the full key of the API, or with KEY=read the read key
	@$(DEPLOY) rotate-key $(KEY)

scan-now: ## request a visit of each repository now
	@$(DEPLOY) scan-now

logs: ## print the functions' logs
	@$(DEPLOY) logs -since $(SINCE) $(FUNCTIONS)

destroy: ## delete the stack
	@$(DEPLOY) destroy

lint: $(STATICCHECK) ## check the formatting, run go vet and staticcheck
	@test -z "$$(gofmt -l .)" || { echo "not formatted by gofmt:"; gofmt -l .; exit 1; }
	go vet ./...
	go vet -tags deployment,feedreaders,browser,consumers ./test/deployment ./test/documents ./test/queue ./test/feedreaders ./test/browser ./test/consumers
	$(STATICCHECK) ./...
	$(STATICCHECK) -tags deployment,feedreaders,browser,consumers ./test/deployment ./test/documents ./test/queue ./test/feedreaders ./test/browser ./test/consumers

$(STATICCHECK): .ci/tools/go.mod .ci/tools/go.sum
	go build -C .ci/tools -o "$(CURDIR)/$@" honnef.co/go/tools/cmd/staticcheck

vuln: ## check for known vulnerabilities (reads vuln.go.dev)
	go run golang.org/x/vuln/cmd/govulncheck@latest ./...
