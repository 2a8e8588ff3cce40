# Tools for check, lint and gen, built once for each version into the cache folder.
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fixdesk
SQLC := $(TOOLS)/sqlc-v1.31.1
LINT := $(TOOLS)/golangci-lint-v2.15.0
OASDIFF := $(TOOLS)/oasdiff-v1.36.0
OAPI_CODEGEN := $(TOOLS)/oapi-codegen-v2.8.2

# The folder of the programs of make run.
BIN := $(or $(FIXDESK_BIN),bin)

MODULES := db deploy/bench deploy/client deploy/failover deploy/local pkg services/crm services/notification

# Modules outside of the workspace, so that no service gets the versions that their
# dependencies ask for.
APART := deploy/manifests deploy/release

# Runs a command with a temporary PostgreSQL server.
WITHPG := go run ./pkg/dev/pgtest/withpg

# Packages whose tests repeat faults, races and requests (pkg/dev/trials).
LONG := fixdesk/deploy/local/... fixdesk/services/crm/cmd/crm fixdesk/services/crm/internal/app fixdesk/services/crm/internal/eventstream fixdesk/services/crm/internal/identity \
	fixdesk/services/crm/internal/reports fixdesk/services/crm/internal/ticket fixdesk/services/crm/internal/ticketlist fixdesk/services/notification/internal/app fixdesk/services/notification/internal/delivery

# Packages whose goroutines share memory. The concurrency of the others is in the
# database, where the race detector finds nothing; crm/internal/app calls them all.
RACE := $(addprefix fixdesk/pkg/,background dev/launch dev/pgtest dev/subprocess httpapi jwtauth obs pg ratelimit) \
	$(addprefix fixdesk/services/crm/internal/,app attachment console eventstream identity inbound outbox ticket) \
	$(addprefix fixdesk/services/notification/internal/,delivery email inbound)

.DEFAULT_GOAL := help
.PHONY: help run demo token test test-long cover race race-all check lint lint-api test-console test-clients gen gen-typescript build bench bench-large profile test-smtp test-servers test-failover test-manifests release images test-release test-alerts

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start Fixdesk on this machine; ctrl-C stops it
	@deploy/local/build.sh && exec $(BIN)/local

demo: ## make run, filled with a month of tickets if it is empty
	@deploy/local/build.sh && exec $(BIN)/local demo

token: ## print a token: SCOPE="notifications:read" [SUBJECT=ops]
	@test -x $(BIN)/local || { echo "Start Fixdesk with make run first." >&2; exit 1; }
	@$(BIN)/local token $(if $(SCOPE),--scope "$(SCOPE)") $(if $(SUBJECT),--subject "$(SUBJECT)") $(if $(TTL),--ttl "$(TTL)")

# Packages whose tests take longest. They start first, so that none of them runs alone
# at the end.
LONGEST := $(addprefix fixdesk/,services/crm/internal/app services/notification/internal/app deploy/local deploy/local/internal/faulttest \
	services/crm/internal/ticketlist services/crm/internal/ticket services/crm/internal/identity pkg/pg)

# Tests wait more than they compute, so four packages run at a time, and four tests of
# each. Their programs are linked without what only a debugger reads, and run too briefly
# to collect often. make check vets them.
TEST := go test -p=4 -parallel=4 -vet=off -ldflags=-s -shuffle=on

test: ## run every test on a PostgreSQL that is started for it
	GOGC=400 $(WITHPG) $(TEST) -timeout=30m $(LONGEST) work

test-long: ## repeat faults, races and requests FIXDESK_TRIALS times (5)
	FIXDESK_TRIALS=$(or $(FIXDESK_TRIALS),5) $(WITHPG) $(TEST) -timeout=60m -count=1 $(LONG)

cover: ## run every test and print the coverage of each package
	GOGC=400 $(WITHPG) $(TEST) -timeout=20m -coverpkg=fixdesk/... -coverprofile=coverage.out $(LONGEST) work
	@.ci/coverage coverage.out

race: ## tests of what shares memory, race detector (needs gcc)
	$(WITHPG) go test -p=4 -ldflags=-w -race -shuffle=on -timeout=30m $(RACE)

race-all: ## run every test under the race detector
	$(WITHPG) go test -race -shuffle=on -timeout=60m work

check: $(SQLC) $(OAPI_CODEGEN) ## formatting, vet, go.mod files, generated code and pages
	@test -z "$$(gofmt -l $(MODULES) $(APART))" || { echo "not formatted:"; gofmt -l $(MODULES) $(APART); exit 1; }
	go vet work
	@for m in $(MODULES); do (cd $$m && go mod tidy -diff) || exit 1; done
	@for m in $(APART); do (cd $$m && GOWORK=off go mod tidy -diff && GOWORK=off go vet ./...) || exit 1; done
	cd db && $(SQLC) diff
	@OAPI_CODEGEN=$(OAPI_CODEGEN) deploy/client/generate.sh go check
	@docs/configuration.sh | diff docs/configuration.md - || { echo "docs/configuration.md is out of date: make gen"; exit 1; }
	@go run ./pkg/dev/problemdocs | diff docs/problems.md - || { echo "docs/problems.md is out of date: make gen"; exit 1; }

lint: $(LINT) ## golangci-lint with .golangci.yml
	@for m in $(MODULES); do echo "$$m" && (cd $$m && $(LINT) run --allow-parallel-runners ./...) || exit 1; done
	@for m in $(APART); do echo "$$m" && (cd $$m && GOWORK=off $(LINT) run --allow-parallel-runners ./...) || exit 1; done

lint-api: $(OASDIFF) ## both OpenAPI documents: rules, breaking changes (npm)
	@OASDIFF=$(OASDIFF) .ci/api/lint

test-console: ## the console in Chromium, its types (npm, chromium)
	@deploy/local/build.sh
	cd services/crm/internal/console && npm ci --no-audit --no-fund --silent && node check-types.js && npx playwright test

test-clients: ## the TypeScript client: generated code, types, use (npm)
	cd deploy/client/typescript && npm ci && npm test
	deploy/client/generate.sh typescript check
	FIXDESK_TEST_TYPESCRIPT=1 go test -count=1 -run TypeScript ./deploy/local

gen: $(SQLC) $(OAPI_CODEGEN) ## generate Go from SQL, the Go clients, pages of docs/
	cd db && $(SQLC) generate
	OAPI_CODEGEN=$(OAPI_CODEGEN) deploy/client/generate.sh go
	docs/configuration.sh >docs/configuration.md.part && mv docs/configuration.md.part docs/configuration.md
	go run ./pkg/dev/problemdocs >docs/problems.md.part && mv docs/problems.md.part docs/problems.md
	deploy/prometheus/kubernetes.sh >deploy/kubernetes/production/rules.yaml

gen-typescript: ## generate the TypeScript client (needs npm)
	cd deploy/client/typescript && npm ci
	deploy/client/generate.sh typescript

build: ## build the programs into bin/
	deploy/local/build.sh

bench: ## measure speed beside pgbench and smtp-source [JSON=file]
	@go run ./deploy/bench $(if $(JSON),-json "$(JSON)")

# DIR (/var/tmp) is where bench-large has its data, 50 GB.
bench-large: ## delivery beside SIZE=100000000 old recipients, hours
	@go run ./deploy/bench -only large -size $(or $(SIZE),100000000) -dir "$(or $(DIR),/var/tmp)"

profile: ## pprof files of services under load: WORK=get, list, mail…
	@go run ./deploy/bench -profile "$(or $(WORK),get)"

test-smtp: ## Debian's Postfix and OpenSMTPD (root, throwaway machine)
	services/notification/test-smtp.sh

release: ## archives and images in dist/, the same bytes each time
	cd deploy/release && GOWORK=off go run .

images: ## the images alone; PUSH=registry.example.com/x pushes them
	cd deploy/release && GOWORK=off go run . $(if $(PUSH),-push $(PUSH)) images

test-release: ## images, archives, systemd units (root for some)
	cd deploy/release && GOWORK=off go test -timeout=30m ./...

test-manifests: ## docker-compose.yml, deploy/kubernetes, deploy/grafana
	cd deploy/manifests && GOWORK=off go test ./...

test-alerts: ## metrics, rules, dashboards; each alert under its fault
	@command -v promtool >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq prometheus >/dev/null; }
	FIXDESK_TEST_ALERTS=1 go test -count=1 -timeout=20m -run 'Alert|Rules|Metrics' ./deploy/local/internal/faulttest

test-servers: ## Postfix, Dovecot, clamd, S3 (root, throwaway machine)
	services/notification/test-servers.sh
	services/crm/test-clamd.sh
	services/crm/test-s3.sh

test-failover: ## Patroni, HAProxy, PgBouncer (root, throwaway machine)
	FIXDESK_TEST_FAILOVER=1 go test -count=1 -timeout=30m -v ./deploy/failover

# install PACKAGE@VERSION builds a tool for the target, which is named after it
# and its version.
define install
@echo "Building $(notdir $@), once."
@mkdir -p $(TOOLS) && GOBIN=$(TOOLS)/$(notdir $@).part GOWORK=off go install $(1) && \
	mv $(TOOLS)/$(notdir $@).part/* $@ && rmdir $(TOOLS)/$(notdir $@).part
endef

$(SQLC):
	$(call install,github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1)

$(OASDIFF):
	$(call install,github.com/oasdiff/oasdiff@v1.36.0)

$(OAPI_CODEGEN):
	$(call install,github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2)

$(LINT):
	$(call install,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0)
