# rbg-autoscaler: `make help` lists what there is.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rbg-autoscaler
DENY_VERSION := 0.20.2
DENY := $(CACHE)/bin/cargo-deny-$(DENY_VERSION)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: prerequisites
prerequisites:
	@command -v cargo >/dev/null || { echo "missing: cargo. Install Rust with rustup (the version is in rust-toolchain.toml)."; exit 1; }
	@command -v cc >/dev/null || { echo "missing: a C compiler. Install gcc or clang (Debian: apt-get install gcc libc6-dev)."; exit 1; }

.PHONY: tools
tools: prerequisites ## Build the control plane of tests and demo into the cache (15-25 min the first time)
	@tests/control-plane/build

.PHONY: demo-tools
demo-tools: prerequisites
	@tests/control-plane/build --demo

.PHONY: build
build: prerequisites ## Build the three programs and the tests' programs
	cargo build --workspace --all-targets

.PHONY: demo
demo: demo-tools ## Scale a simulated LLM fleet on a real control plane (SCENARIO=contended: beside a plain HPA; KEEP=1 leaves it running)
	@cargo build --workspace --bins
	@cargo run --quiet --bin rbga-demo -- $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(filter 1 yes true,$(KEEP)),--keep) $(ARGS)

.PHONY: test
test: tools build ## Unit tests and end-to-end tests on a real control plane
	RUST_BACKTRACE=0 cargo test --workspace --no-fail-fast

.PHONY: unit
unit: prerequisites ## Only the tests that need no control plane
	cargo test --workspace --lib --bins
	cargo test -p rbg-autoscaler -p rbg-metrics-adapter -p rbg-autoscaler-controller

.PHONY: laws
laws: prerequisites ## The laws of a decision over 100,000 new random groups each (CASES=n for another number, SEED=n for the same again)
	@seed=$(or $(SEED),$$RANDOM$$RANDOM); echo "seed $$seed"; \
	export PROPTEST_RNG_SEED=$$seed RBGA_LAW_CASES=$(or $(CASES),100000); \
	cargo test --release -p rbg-autoscaler --no-default-features --lib laws

.PHONY: fuzz
fuzz: prerequisites ## Feed everything that reads foreign bytes with broken ones (MINUTES=10 per target, TARGETS=path …)
	@fuzz/run $(TARGETS)

.PHONY: bench
bench: bench-decide bench-controller bench-adapter bench-direct ## All benchmarks

.PHONY: bench-decide
bench-decide: prerequisites ## What a decision and a full sync cost; fails when a goal is missed
	cargo bench -p rbg-autoscaler --no-default-features --bench decide
	cargo bench -p rbg-autoscaler-controller --bench sync

.PHONY: bench-controller
bench-controller: prerequisites tools ## The controller with 1,000 groups; fails when a goal is missed (QUICK=1: a first look)
	cargo build --release -p rbg-autoscaler-controller -p rbg-autoscaler-tests --bin rbg-autoscaler --bin rbga-bench
	target/release/rbga-bench controller $(if $(filter 1 yes true,$(QUICK)),--quick)

.PHONY: bench-adapter
bench-adapter: prerequisites tools ## The adapter beside prometheus-adapter; fails when a goal is missed (QUICK=1: a first look; PODS=1000 or 10000 only)
	cargo build --release -p rbg-metrics-adapter -p rbg-autoscaler-tests --bin rbg-metrics-adapter --bin rbga-bench
	target/release/rbga-bench adapter $(if $(filter 1 yes true,$(QUICK)),--quick) $(if $(PODS),--pods $(PODS))

.PHONY: bench-direct
bench-direct: prerequisites tools ## The adapter without Prometheus: what scraping 1,000 and 5,000 pods costs (QUICK=1: a first look)
	cargo build --release -p rbg-metrics-adapter -p rbg-autoscaler-tests --bin rbg-metrics-adapter --bin rbga-bench
	target/release/rbga-bench direct $(if $(filter 1 yes true,$(QUICK)),--quick)

.PHONY: lint
lint: prerequisites ## Format, clippy and purity of the library
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	tests/pure-library

.PHONY: deny
deny: $(DENY) ## Licences, banned crates and sources of the dependencies
	$(DENY) check --hide-inclusion-graph bans licenses sources

$(DENY):
	@echo "building cargo-deny $(DENY_VERSION) (about 4 minutes, once)"
	@mkdir -p $(CACHE)/bin
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT \
	  && CARGO_TARGET_DIR=$$tmp/target cargo install cargo-deny --version $(DENY_VERSION) --locked --quiet --root $$tmp \
	  && mv $$tmp/bin/cargo-deny $@

.PHONY: manifests
manifests: tools ## Write what the chart renders into deploy/kustomize
	deploy/kustomize/render $(CACHE)/bin/helm-$(shell awk '$$1 == "helm" { print $$2 }' tests/control-plane/programs)

.PHONY: docs
docs: prerequisites ## Write the CRD, and the pages of docs/ that are made from it and from the catalog of signals
	cargo build --workspace --bins
	@tmp=$$(mktemp) && trap 'rm -f "$$tmp"' EXIT && cargo run --quiet --bin kubectl-rbga -- crds > "$$tmp" \
	  && cat "$$tmp" > deploy/crds/rolebasedgroupautoscalers.yaml
	cargo run --bin rbga-docs

.PHONY: clean
clean: ## Remove build output (not the cache of tools)
	cargo clean
