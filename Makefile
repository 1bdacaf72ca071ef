# Everything a developer or a newcomer runs. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PUBLIC_IMG := ghcr.io/hera-io/hera-operator:0.1.0
IMG ?= $(PUBLIC_IMG)
# dev reuses what tests have built; the figures are a little worse.
BENCH_PROFILE ?= release
MUSL := x86_64-unknown-linux-musl
TARGET := $(or $(CARGO_TARGET_DIR),target)
TESTBED := $(TARGET)/debug/hera-testbed
CARGO_DENY := 0.18.9
CARGO_CYCLONEDX := 0.5.9
# Notes how long what follows takes; alone it tells, and begins anew.
TIMED := tests/timed
C_POLICY := $(TARGET)/wasm32-unknown-unknown/policy/hera_policy_acl_least_privilege_c.wasm
export KUBECONFIG ?= $(CURDIR)/.testbed/kubeconfig
export PATH := $(CURDIR)/.testbed/bin:$(PATH)
export RUSTDOCFLAGS := -D warnings
# ring's C code for the static agent.
export CC_x86_64_unknown_linux_musl := musl-gcc

.PHONY: help
help: ## List what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: prepare
prepare: ## Install what building needs: the pinned toolchain's targets, C compilers
	@rustup target add --toolchain 1.95.0 wasm32-unknown-unknown $(MUSL) >/dev/null 2>&1 \
	  || rustup toolchain install 1.95.0 --profile minimal -c clippy -c rustfmt -t wasm32-unknown-unknown -t $(MUSL)
	@rustup component add --toolchain 1.95.0 clippy rustfmt >/dev/null 2>&1
	@command -v musl-gcc >/dev/null && command -v cc >/dev/null \
	  && command -v clang >/dev/null && command -v wasm-ld >/dev/null \
	  || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev musl-tools clang lld >/dev/null; }

.PHONY: demo
demo: prepare ## A cluster, the operator, a Redis, a policy swapped under it, and a flush undone
	@demo/run.sh

.PHONY: check
check: prepare ## Format, lints, docs, unit, golden and property tests
	@$(TIMED) >/dev/null
	cargo fmt --all --check
	$(TIMED) clippy cargo clippy --workspace --all-targets -- -D warnings
	$(TIMED) 'clippy of scenarios' cargo clippy --workspace --test scenarios -- -D warnings
	$(TIMED) docs cargo doc --workspace --no-deps
	$(TIMED) programs cargo build --workspace --bins
	$(TARGET)/debug/hera-xtask crds --check
	$(TARGET)/debug/hera-xtask manifests
	$(TARGET)/debug/hera-xtask wit
	$(TIMED) 'store of tests' $(TESTBED) versitygw
	$(TIMED) 'compiling tests' cargo test --workspace --no-run
	$(TIMED) tests tests/programs
	$(TIMED) 'examples in docs' cargo test --workspace --doc
	$(TIMED) 'policy in C' $(MAKE) --no-print-directory c-policy

.PHONY: test
test: check test-e2e ## What each landing runs: check, and a scenario for each thing that a user relies on
	@$(TIMED)

.PHONY: test-all
test-all: export HERA_E2E_ALL = 1
test-all: export HERA_CLUSTER_HISTORIES = 50
test-all: export HERA_LOG_CUTS = 100
test-all: deny sbom promtool test scaling ## Everything once: check, deny, lists of parts, alerts, and every scenario on the testbed

# One after the other: nothing beside them spoils the figures.
.PHONY: scaling
scaling: ## Slots that move under load, by each way and with each fault; beside the server's own tool
	HERA_SCALING_KEYS=200000 $(TIMED) scaling cargo test -p hera-agent --test scaling -- \
	  --include-ignored --nocapture --test-threads 1

# Optimised as far as its build takes minutes, not a quarter of an hour.
.PHONY: deny
deny: ## Hold what we depend on against deny.toml, and known faults where their database can be had
	@cargo deny --version 2>/dev/null | grep -qx 'cargo-deny $(CARGO_DENY)' \
	  || CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	    cargo install --quiet --locked --version $(CARGO_DENY) cargo-deny
	$(TIMED) deny cargo deny check bans licenses sources
	@if timeout 60 cargo deny fetch db; then cargo deny check --disable-fetch advisories; \
	  else echo 'the database of known faults cannot be had: what we depend on is not held against it'; fi

.PHONY: sbom
sbom: ## What the programs of a release are made of, as CycloneDX, into target/sbom
	@cargo cyclonedx --version 2>/dev/null | grep -qF ' $(CARGO_CYCLONEDX)' \
	  || { echo 'cargo-cyclonedx $(CARGO_CYCLONEDX) is built, which takes minutes, once per machine'; \
	    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	    cargo install --quiet --locked --version $(CARGO_CYCLONEDX) cargo-cyclonedx; }
	$(TIMED) sbom tests/sbom $(TARGET)/sbom

# Prometheus is built once per machine, in minutes.
.PHONY: promtool
promtool: prepare ## Hold the alerts of deploy/monitoring against their unit tests
	cargo build --workspace --bins
	$(TIMED) Prometheus $(TESTBED) prometheus
	$(TIMED) alerts tests/promtool "$$($(TESTBED) prometheus | tail -n 1)"

.PHONY: test-e2e
test-e2e: testbed-up image policies ## The scenarios of a landing on the testbed; all with HERA_E2E_ALL=1
	$(TIMED) 'store of tests' $(TESTBED) versitygw
	$(TIMED) scenarios cargo test --workspace --test scenarios

.PHONY: report
report: prepare testbed-up image policies ## Measured figures, into docs/measurements.md
	tests/report.sh

.PHONY: bench
bench: prepare ## Policy decisions and passes over clusters, beside their targets
	cargo bench --workspace --bench acl --bench backup --bench rebalance --profile $(BENCH_PROFILE)
	cargo bench -p hera-core --bench cluster --profile $(BENCH_PROFILE)

.PHONY: manifests
manifests: ## Generate the CRDs
	cargo xtask crds

# From where an operator outside of the cluster comes depends on the way in; agents ask for a certificate anyway.
.PHONY: run
run: ## Run the operator here, against the cluster of KUBECONFIG
	kubectl apply -f deploy/crd/ -f deploy/manager/00-namespace.yaml -f deploy/manager/20-catalog.yaml
	HERA_CONTROL_PEERS=$${HERA_CONTROL_PEERS-0.0.0.0/0,::/0} \
	HERA_AGENT_IMAGE=$${HERA_AGENT_IMAGE:-$(IMG)} cargo run --package hera-operator -- --http-address 127.0.0.1:8080

.PHONY: install
install: ## Install CRD and operator in the cluster of KUBECONFIG: make install [IMG=registry/name:tag]
	kubectl apply -f deploy/crd/
	for file in deploy/manager/*.yaml; do sed 's|$(PUBLIC_IMG)|$(IMG)|' "$$file"; echo '---'; done | kubectl apply -f -

.PHONY: uninstall
uninstall: ## Remove operator and CRD, and with it every instance
	kubectl delete --ignore-not-found -f deploy/manager/ -f deploy/crd/

.PHONY: agent
agent: prepare ## Build the static agent
	$(TIMED) 'static agent' cargo build --package hera-agent --target $(MUSL)

.PHONY: image
image: agent ## Build the operator's image for the testbed, and load it
	cargo build --workspace --bins
	$(TESTBED) build-image operator --operator $(TARGET)/debug/hera-operator \
	  --agent $(TARGET)/$(MUSL)/debug/hera-agent --tag $(IMG)

.PHONY: policies
policies: prepare ## Build the example policies as modules
	cargo build --profile policy --target wasm32-unknown-unknown \
	  --package 'hera-policy-acl-*' --package 'hera-policy-backup-*' --package 'hera-policy-rebalance-*'

.PHONY: c-policy
c-policy: prepare ## Build the example policy in C, and hold it against the cases of its twin in Rust
	cargo build --workspace --bins
	$(TARGET)/debug/hera-xtask c-policy --out $(C_POLICY)
	$(TARGET)/debug/kubectl-hera policy check $(C_POLICY) --cases policies/acl-least-privilege/cases

.PHONY: docker-build
docker-build: prepare ## Build the release image as an OCI archive
	cargo build --release --workspace --bins
	cargo build --release --package hera-agent --target $(MUSL)
	cargo build --workspace --bins
	$(TESTBED) build-image operator --operator $(TARGET)/release/hera-operator \
	  --agent $(TARGET)/$(MUSL)/release/hera-agent --tag $(IMG) --no-load --output $(TARGET)/hera-operator.tar

.PHONY: docker-push
docker-push: docker-build sbom ## Push it: make docker-push IMG=registry/name:tag
	buildah push "$$(buildah pull -q oci-archive:$(TARGET)/hera-operator.tar)" docker://$(IMG)

.PHONY: testbed-up
testbed-up: prepare ## A real three-node Kubernetes on this machine
	cargo build --workspace --bins
	$(TIMED) testbed $(TESTBED) up $(TESTBED_UP_FLAGS)

.PHONY: testbed-down
testbed-down: ## Take it down, with everything in it
	cargo build --workspace --bins
	$(TESTBED) down
