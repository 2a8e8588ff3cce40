# Tools that nothing needs for running or testing; pinned here, built on demand.
SQLC := go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1
LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# The programs of make run.
BIN := $(or $(FIXDESK_BIN),bin)

MODULES := db deploy/bench deploy/local pkg services/crm services/notification

.DEFAULT_GOAL := help
.PHONY: help run token test race check gen lint build bench test-smtp

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start Fixdesk on this machine; ctrl-C stops it
	@deploy/local/build.sh && exec $(BIN)/local

token: ## print a service token: make token SCOPE="notifications:read" [SUBJECT=ops] [TTL=1h]
	@test -x $(BIN)/local || { echo "Start Fixdesk with make run first." >&2; exit 1; }
	@$(BIN)/local token $(if $(SCOPE),--scope "$(SCOPE)") $(if $(SUBJECT),--subject "$(SUBJECT)") $(if $(TTL),--ttl "$(TTL)")

test: ## run every test on a real PostgreSQL that is started for it
	go run ./pkg/dev/pgtest/withpg go test -shuffle=on work

race: ## the same under the race detector (needs a C compiler)
	go run ./pkg/dev/pgtest/withpg go test -race -shuffle=on work

check: ## what must not drift: formatting, vet, go.mod files, generated code
	@test -z "$$(gofmt -l $(MODULES))" || { echo "not formatted:"; gofmt -l $(MODULES); exit 1; }
	go vet work
	@for m in $(MODULES); do (cd $$m && go mod tidy -diff) || exit 1; done
	cd db && $(SQLC) diff

gen: ## generate the Go of the SQL in db/
	cd db && $(SQLC) generate

lint: ## golangci-lint with .golangci.yml
	@for m in $(MODULES); do echo "$$m" && (cd $$m && $(LINT) run ./...) || exit 1; done

build: ## build both services into bin/
	go build -o bin/ ./services/crm/cmd/crm ./services/notification/cmd/notification

bench: ## measure speed against pgbench and smtp-source; prints a table, never fails a build
	@go run ./deploy/bench

test-smtp: ## try the notification service against Debian's Postfix and OpenSMTPD (root, on a throwaway machine)
	services/notification/test-smtp.sh
