# heroproc: every target says what it does in `make help`; CI runs the same ones.

GO            ?= go
BIN           := bin
GOLANGCI_LINT := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
SQLC          := $(GO) tool -modfile=tools.mod sqlc

# FUZZTIME is spent on each fuzz target, SCALE multiplies the counts of the
# long loops: 1 in CI, more under `make torture`.
FUZZTIME ?= 10s
SCALE    ?= 50

# SQLite is C: without cgo the build would fail far from the cause.
export CGO_ENABLED = 1

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Build, then see heroproc at work in a temporary home, kill -9 included
	@cmd/heroproc/demo.sh $(BIN)/heroproc

.PHONY: test
test: toolchain ## Run every test
	$(GO) test ./...

.PHONY: build
build: toolchain ## Build bin/heroproc
	@mkdir -p $(BIN)
	$(GO) build -o $(BIN)/ ./cmd/...

.PHONY: install
install: build ## Copy bin/heroproc to $(PREFIX)/bin, by default /usr/local/bin
	install -D -m 0755 $(BIN)/heroproc $(DESTDIR)$(or $(PREFIX),/usr/local)/bin/heroproc

.PHONY: generate
generate: toolchain ## Generate db/internal/dbsqlc from sql/
	$(SQLC) generate

.PHONY: verify
verify: verify-generated verify-format verify-modules lint ## Generated code is current, formatting, modules, vet, lint

.PHONY: verify-generated
verify-generated: toolchain
	$(SQLC) diff

.PHONY: verify-format
verify-format: toolchain
	@files=$$(gofmt -l cmd db jobs sql supervisor); test -z "$$files" || { echo "run gofmt -w on:" $$files >&2; exit 1; }

.PHONY: verify-modules
verify-modules: toolchain
	$(GO) mod tidy -diff
	$(GO) mod verify

.PHONY: lint
lint: toolchain ## Vet and lint
	$(GO) vet ./...
	$(GOLANGCI_LINT) run ./...

.PHONY: race
race: toolchain ## Run every test with the race detector
	$(GO) test -race ./...

.PHONY: fuzz
fuzz: toolchain ## Fuzz every fuzz target for FUZZTIME, by default 10s each
	@set -e; for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' "$$package" | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x "$$package"; \
		done; \
	done

.PHONY: bench
bench: toolchain ## Run every benchmark
	$(GO) test -run '^$$' -bench . -benchmem ./...

.PHONY: torture
torture: toolchain ## Run every test with its long loops SCALE times as long, by default 50
	HEROPROC_TORTURE=$(SCALE) $(GO) test -count 1 -timeout 6h ./...

.PHONY: toolchain
toolchain:
	@command -v $(GO) >/dev/null || { echo "heroproc needs Go 1.26 or newer to build: https://go.dev/dl" >&2; exit 1; }
	@cc=$$($(GO) env CC); command -v $${cc%% *} >/dev/null || { echo "heroproc needs a C compiler to build SQLite ($$cc is missing): apt-get install gcc libc6-dev" >&2; exit 1; }
