# What there is to run. Each target stands on its own; none needs another first.

GO ?= go
TOOL = $(GO) tool -modfile=tools/go.mod

# Built rather than run: go run adds a line of its own below the summary.
VERIFY = $(GO) build -buildvcs=false -o .cache/verify ./scripts/verify && .cache/verify

.PHONY: help test full lint fmt fuzz interop bench

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## everything a change must pass; installs what it needs (Debian, root)
	@$(VERIFY) test

full: ## the same, repeated, with whole matrices and FUZZ_S=1800; writes interop/FULL.md
	@$(VERIFY) full

lint: ## gofumpt, go vet, staticcheck, builds for macOS and Windows
	@$(VERIFY) lint

fmt: ## formats every file
	@$(TOOL) gofumpt -w .

fuzz: ## every fuzz target, sharing FUZZ_S seconds (90)
	@$(VERIFY) fuzz

interop: ## the sample of the tests against foreign programs
	@$(VERIFY) interop

bench: ## benchmarks of each package, then the loads side by side with other proxies
	@scripts/install-peers bench
	$(GO) test -run='^$$' -bench=. -benchmem ./...
	@if [ -d bench ]; then $(GO) run ./bench; fi
