# `make run` shows Drover, `make test` proves it. Both need Rust, Node 20+ and a C compiler.
# Everything runs in the release profile, so that the world is compiled once.

CARGO ?= cargo
NPM ?= npm

.PHONY: run test build web lint test-rust test-web tools bench clean help

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

run: build ## Build everything and start the demo city at http://localhost:8080
	./target/release/drover demo

build: web ## Build the page and the binary
	$(CARGO) build --release --locked --workspace --bin drover

web: web/dist/index.html ## Build the page into web/dist

# Not `npm ci`: newer versions refuse a lock file without the packages of other platforms, which not every
# registry carries. This installs what the lock file says and leaves it as it is.
web/node_modules: web/package-lock.json web/package.json
	cd web && $(NPM) install --no-save --no-audit --no-fund
	@touch web/node_modules

web/dist/index.html: web/node_modules $(shell find web/src web/public web/index.html web/vite.config.ts -type f 2>/dev/null)
	cd web && $(NPM) run build
	@touch web/dist/index.html

tools: ## Install what the tests need beyond Rust and Node (Debian, Ubuntu), or say what is missing
	./scripts/test-tools

test: tools build test-rust test-web ## Run all tests, the browser tests included

test-rust: ## Rust tests: units, properties, and whole-system scenarios with the real binary
	$(CARGO) test --release --locked --workspace --no-fail-fast

test-web: web/node_modules ## Page tests: units, then a real browser against the real binary
	cd web && $(NPM) test && $(NPM) run e2e

lint: web/node_modules ## Format, clippy with warnings denied, page lint and types
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	cd web && $(NPM) run lint && $(NPM) run typecheck

bench: build ## Measure every scenario in bench/ with its peer (takes about half an hour)
	./bench/run_all

clean: ## Remove everything that was built
	$(CARGO) clean
	rm -rf web/dist web/node_modules
