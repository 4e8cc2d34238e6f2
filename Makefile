# What can be made here: `make help`.

# Asked once: a commit that is made meanwhile must not change the answer.
ifndef VERSION
VERSION := $(or $(shell git describe --tags --exact-match 2>/dev/null || git symbolic-ref --short -q HEAD),unknown)
endif
ifndef COMMIT
COMMIT := $(or $(shell git rev-parse --short HEAD 2>/dev/null),unknown)
endif
IMAGE   ?= vmware-event-router:latest

CARGO  ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
HOST   := $(shell rustc -vV | sed -n 's/^host: //p')
PEERS  := $(TARGET)/peers/bin
PYTHON := $(TARGET)/peers/venv/bin/python

export VERSION COMMIT IMAGE

.PHONY: image
image: ## the container image IMAGE, with docker, podman or buildah (the default)
	@tools/image.sh

# The target is named so that the flags are for the router alone, not for build
# scripts and macros, which cannot be static.
.PHONY: binary
binary: ## the static executable dist/vmware-event-router
	ROUTER_VERSION=$(VERSION) ROUTER_COMMIT=$(COMMIT) RUSTFLAGS='-C target-feature=+crt-static' \
		$(CARGO) build --release --locked --bin vmware-event-router --target $(HOST)
	@mkdir -p dist
	cp $(TARGET)/$(HOST)/release/vmware-event-router dist/vmware-event-router.new
	mv dist/vmware-event-router.new dist/vmware-event-router

.PHONY: demo
demo: ## a simulated vCenter, three functions and the router between them; Ctrl-C ends it
	@$(CARGO) run --release --locked -- demo

.PHONY: peers
peers: ## what tests need beside cargo, make, a C compiler and Python 3, under target/
	@tools/peers.sh

.PHONY: test
test: peers ## every test, against real peers
	$(CARGO) test --locked

.PHONY: bench
bench: ## speed, memory and size, of what `cargo build --release --locked` makes
	@tools/peers.sh vcsim oracle govmomi-decode govmomi-route wrk event-ruler
	$(CARGO) build --release --locked
	$(CARGO) build --release --locked --example stub_gateway
	@# Put aside: `cargo bench` builds an executable of its own in its place.
	@mkdir -p $(TARGET)/measured
	cp $(TARGET)/release/vmware-event-router $(TARGET)/release/examples/stub_gateway $(TARGET)/measured/
	FOOTPRINT_ROUTER=$(abspath $(TARGET))/measured/vmware-event-router \
	FOOTPRINT_GATEWAY=$(abspath $(TARGET))/measured/stub_gateway \
	END_TO_END_ROUTER=$(abspath $(TARGET))/measured/vmware-event-router \
		$(CARGO) bench --locked

# One seed, one corpus: what changes is what the judge says.
.PHONY: oracle-patterns
oracle-patterns: ## tests/fixtures/patterns/ anew: event patterns and what AWS's event-ruler says of them
	@tools/peers.sh event-ruler
	@mkdir -p $(TARGET)/patterns
	$(PEERS)/event-ruler judge <tools/event-ruler/handwritten.jsonl >$(TARGET)/patterns/corpus.jsonl
	$(PEERS)/event-ruler corpus --seed 1 --count 6000 --invalid 600 >>$(TARGET)/patterns/corpus.jsonl
	$(PEERS)/event-ruler judge <tools/event-ruler/quirks.jsonl >$(TARGET)/patterns/quirks.jsonl
	mv $(TARGET)/patterns/*.jsonl tests/fixtures/patterns/

.PHONY: soak
soak: ## kills, power losses, failing disks, a million events behind, an hour of faults: in parts, run it again until all have passed
	@tools/soak.sh

.PHONY: mutations
mutations: ## about an hour: does a test fail for each fault whose handling is taken out? NAMES picks some
	@tools/mutations.py $(NAMES)

.PHONY: fuzz
fuzz: ## looks for bytes that the journal cannot take: FUZZ_SECONDS (60) for each program in fuzz/
	@tools/fuzz.sh

.PHONY: ci
ci: fmt lint scripts test doc deny image-test deploy-check ## all that must hold before a merge

.PHONY: fmt
fmt: ## is everything formatted?
	$(CARGO) fmt --check

.PHONY: lint
lint: ## no warnings from the compiler or clippy
	$(CARGO) clippy --all-targets --locked -- -D warnings

.PHONY: doc
doc: ## no warnings from rustdoc
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --no-deps --locked

.PHONY: scripts
scripts: ## no complaints about shell scripts
	@tools/peers.sh shellcheck
	shellcheck tools/*.sh .ci/run

.PHONY: deny
deny: ## licences, sources and bans of dependencies
	@tools/peers.sh cargo-deny
	$(PEERS)/cargo-deny check licenses bans sources

.PHONY: image-test
image-test: binary ## the image's final stage, built and run without a registry
	@tools/image-test.sh

.PHONY: deploy-check
deploy-check: ## manifests against Kubernetes' schemas, sample configurations as JSON
	@tools/peers.sh venv
	$(PYTHON) -m kubernetes_validate --strict --kubernetes-version 1.28.0 deploy/*.yaml
	$(PYTHON) -m kubernetes_validate --strict deploy/*.yaml
	@for file in deploy/*.json examples/*.json; do $(PYTHON) -m json.tool "$$file" >/dev/null || exit; done

.PHONY: clean
clean: ## removes what was made, peers too
	$(CARGO) clean
	rm -rf dist

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1@\2/p' Makefile | column -t -s @
