# The commands of this project; `make` lists them.

.PHONY: help demo test test-cluster test-rabbitmq4 check-deploy test-containers reproducible soak torture simulate planted-bugs bench instructions fuzz check fmt lint doc deny rabbitmq browser

# The Debian release whose RabbitMQ test-rabbitmq4 takes.
DEBIAN ?= trixie
# How many bad days make simulate plays.
SEEDS ?= 2000
# Rounds of make bench.
REPEAT ?= 5
BUILT = $(or $(CARGO_TARGET_DIR),target)
# The version that make test-containers upgrades from, and rolls back to.
EARLIER ?= b5c38a67d992
# For each target of make fuzz.
FUZZ_SECONDS ?= 60

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## broker, simulator and worker on this machine: 20,000 events, trouble, and the account
	@test -n "$$TAGSWEEP__RABBITMQ__URL" || scripts/install-rabbitmq.sh
	cargo build --locked --bin tagsweep --example demo
	@echo
	@$(BUILT)/debug/examples/demo

test: rabbitmq browser ## all tests, on real brokers and in a browser
	@rm -rf target/tmp/logs
	cargo test --workspace --locked
	TAGSWEEP_TEST_LOGS=1 cargo test --locked --test logs

test-cluster: rabbitmq ## three nodes, each of them killed in turn
	cargo test --locked --test cluster -- --ignored --nocapture

test-rabbitmq4: browser ## all tests on RabbitMQ 4.0 (DEBIAN=forky: 4.3), which is fetched but not installed
	@rm -rf target/tmp/logs
	sbin=$$(scripts/rabbitmq-from-debian.sh $(DEBIAN)) && \
		TESTKIT_RABBITMQ_SBIN=$$sbin cargo test --workspace --locked --no-fail-fast

check-deploy: ## container, compose, Helm chart, dashboards and alerts, with the tools of each
	cargo build --locked --bin tagsweep
	scripts/deploy-tools.sh $(BUILT)/deploy-tools
	PATH="$(abspath $(BUILT))/deploy-tools/bin:$$PATH" TAGSWEEP=$(abspath $(BUILT))/debug/tagsweep \
		pytest -q -p no:cacheprovider tests/deploy

test-containers: ## image, compose file, chart and .deb in real containers; needs root, or sudo
	cargo build --release --locked --bin tagsweep
	cargo build --release --locked --package im-simulator
	scripts/deploy-tools.sh $(BUILT)/deploy-tools
	scripts/container-tools.sh $(BUILT)/deploy-tools
	earlier=$$(scripts/earlier-build.sh $(EARLIER)) && sudo=$$([ "$$(id -u)" = 0 ] || echo sudo) && \
		$$sudo env PATH="$(abspath $(BUILT))/deploy-tools/bin:$$PATH" TAGSWEEP_EARLIER="$$earlier" \
		TAGSWEEP=$(abspath $(BUILT))/release/tagsweep pytest -q -p no:cacheprovider tests/containers

reproducible: ## two release builds in two folders, which must be the same
	scripts/reproducible.sh

soak: rabbitmq ## ten minutes with trouble under a real Prometheus, then docs/SOAK.md
	cargo build --locked --workspace --bins
	scripts/deploy-tools.sh $(BUILT)/deploy-tools
	TAGSWEEP=$(abspath $(BUILT))/debug/tagsweep $(BUILT)/deploy-tools/bin/python tests/deploy/soak.py

torture: rabbitmq ## every fault 20 times, then docs/RELIABILITY.md; ROWS="api_ disk_" for some of them
	@status=0; \
	TAGSWEEP_TORTURE=$${TAGSWEEP_TORTURE:-20} cargo test --locked --test faults -- --test-threads=6 $(ROWS) || status=$$?; \
	cargo test --quiet --locked --test faults -- --exact --ignored record::the_document_is_written || status=$$?; \
	exit $$status

simulate: ## the engine on SEEDS bad days (or on the one of SEED)
	cargo run --quiet --locked --package simulation -- $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

planted-bugs: ## whether the simulation finds the bugs of simulation/planted/
	scripts/planted-bugs.sh

bench: rabbitmq ## speed and cost beside others, bench/RESULTS.md; RUNS=contestants,quota,latency,growth REPEAT=5 QUICK=1
	cargo build --release --locked --bin tagsweep
	cargo build --release --locked --package bench
	bench/install-peers.sh $(BUILT)/bench
	$(BUILT)/release/bench --repeat $(REPEAT) $(if $(RUNS),--runs $(RUNS)) $(if $(QUICK),--quick --latencies 20 --out $(BUILT)/bench/quick)

instructions: ## what an event costs, counted by valgrind and held to limits
	@command -v valgrind >/dev/null || { apt-get update -qq && apt-get install -y -qq valgrind; }
	cargo bench --quiet --locked --package simulation --bench instructions

check: fmt lint doc deny ## everything that needs no broker

fmt:
	cargo fmt --all --check

lint:
	cargo clippy --workspace --all-targets --locked -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' cargo doc --workspace --no-deps --document-private-items --locked

# fuzz/ has a lock file of its own, which the scheduled workflow takes as it is.
deny:
	@cargo tree --quiet --locked --manifest-path fuzz/Cargo.toml >/dev/null
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny --locked check licenses bans sources; \
	else \
		echo '!!! cargo-deny is not installed: licences and bans were NOT checked (cargo install cargo-deny)'; \
	fi

fuzz: ## bad input from a fuzzer, FUZZ_SECONDS=60 for each target
	@scripts/fuzz.sh $(FUZZ_SECONDS)

rabbitmq:
	@scripts/install-rabbitmq.sh

browser:
	@scripts/install-chromium.sh target/console
