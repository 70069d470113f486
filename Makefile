# One entry for every habit. `make` lists the recipes.
SHELL := /bin/bash
STACK := deploy/local/stack
CARGO := cargo
# Builds of tests and of the demo can hold a write at a certain place; others cannot.
TEST_FEATURES := --features understudy-gateway/failpoints
.DEFAULT_GOAL := help
.PHONY: help prerequisites build build-tests oracle oracle-planted schedules simulate simulate-rules soak bench conformance \
	watch-test rolling-test compose-test image chart-test chart-sync up down status wipe demo test deploy-test lint unit \
	stack-test fuzz demo-short docs format kubernetes-test advisories deb deb-test balancers-test

help: ## this list
	@awk -F ':.*## ' '/^[a-zA-Z%-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  make kill-PART, start-PART, stop-PART   PART: kafka primary backup gateway-1 gateway-2 consumer-1 consumer-2 lb"

prerequisites:
	@deploy/local/prerequisites.sh build stack
	@command -v $(CARGO) > /dev/null || { echo "cargo is missing: install Rust 1.89 or later with rustup"; exit 1; }

build: prerequisites ## all binaries, into target/debug
	@$(CARGO) build --workspace --locked

build-tests: prerequisites
	@$(CARGO) build --workspace --locked $(TEST_FEATURES)

up: build ## the whole system as local processes: http://127.0.0.1:9200; TLS=yes: HTTPS and passwords everywhere
	@$(STACK) up

down: ## stop the local stack
	@$(STACK) down

status: ## what runs, where, and its log
	@$(STACK) status || true

wipe: ## remove the data of a stopped local stack
	@$(STACK) wipe

kill-%:
	@$(STACK) kill $*

start-%:
	@$(STACK) start $*

stop-%:
	@$(STACK) stop $*

demo: build-tests ## watch a standby take everything that is done to its primary
	@deploy/local/prerequisites.sh demo
	@target/debug/understudy-demo

demo-short: build-tests
	@deploy/local/prerequisites.sh demo
	@STACK_RUN=$${STACK_RUN:-target/demo-run} PORTS=$${PORTS:-free} DOCUMENTS=$${DOCUMENTS:-20000} target/debug/understudy-demo

test: ## everything but the deployments: format, lints, docs, unit tests, schedules, fuzzing, the real stack, a short demo; with the time of each
	@FUZZ_SEED=$${FUZZ_SEED:-1} tests/everything lint unit schedules fuzz stack-test demo-short

deploy-test: ## the deployments: Helm chart, Docker Compose in an engine of its own, Debian package, balancers (needs root)
	@tests/everything chart-test compose-test deb-test balancers-test

format: ## format the code
	@$(CARGO) fmt --all

lint: prerequisites ## format, clippy, documentation, warnings are errors; licences and sources of dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked $(TEST_FEATURES) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked --quiet
	tests/deny/run

advisories: ## known holes in dependencies: fetches their database with git
	tests/deny/run advisories

unit: prerequisites ## what needs no server
	$(CARGO) test --workspace --exclude understudy-tests --locked $(TEST_FEATURES)

stack-test: prerequisites ## what needs real servers: starts them on free ports, stops them afterwards
	@deploy/local/prerequisites.sh watch
	tests/run

fuzz: prerequisites ## strangers' bytes for every parser: SECONDS_OF_FUZZING=60 each
	@deploy/local/prerequisites.sh fuzz
	@tests/fuzz/run

oracle: prerequisites ## writes and faults of all kinds, and a judge: SEED=1, or SEEDS="1 2 3"; MINUTES=1; CUT_LINKS=no; BROKERS=3
	@SEEDS="$${SEEDS:-$${SEED:-1 2 3}}" CUT_LINKS="$${CUT_LINKS:-yes}" tests/run --test oracle -- --nocapture acknowledged

oracle-planted: prerequisites ## bugs in gateways and consumers, which the oracle must find: PLANTED=all, or no-window,...
	@PLANTED="$${PLANTED:-all}" tests/run --test oracle -- --nocapture planted

simulate: prerequisites ## schedules of the whole, from seeds: SEEDS=1000, or SEED=17 TRACE=1; SCENARIO=zombie WITHOUT=window
	@$(CARGO) run --quiet --release --locked --package understudy-simulation -- --seeds "$${SEEDS:-1000}" \
		$(if $(SEED),--seed $(SEED)) $(if $(TRACE),--trace) --scenario "$${SCENARIO:-}" --without "$${WITHOUT:-}"

# With what is built for the tests: a build for release would take longer than all schedules, and this one checks its sums.
schedules: build-tests ## 100,000 schedules of the simulation, on all processors: SCHEDULES=100000
	@target/debug/understudy-simulate --seeds $${SCHEDULES:-100000}

simulate-rules: prerequisites ## every rule of the protocol switched off: how many schedules until it shows
	@$(CARGO) run --quiet --release --locked --package understudy-simulation -- --rules --seeds "$${SEEDS:-1000}" \
		--scenario "$${SCENARIO:-}"

soak: prerequisites ## 20 minutes of 70 % of what a gateway takes, beside clients that misbehave: SECONDS_OF_SOAK=1200
	@SECONDS_OF_SOAK="$${SECONDS_OF_SOAK:-1200}" tests/run --test soak -- --nocapture

bench: prerequisites ## what it costs, against nginx and against doing without: ROWS="a d", SHORT=1, SETTINGS=
	@deploy/local/prerequisites.sh bench
	@tests/bench/run $(ROWS)

conformance: prerequisites ## replies through a gateway against Elasticsearch's own, byte for byte; official clients
	@deploy/local/prerequisites.sh conformance
	@tests/conformance/clients/install
	@CONFORMANCE=full tests/run --test conformance -- --nocapture

watch-test: prerequisites ## rules, alerts, runbooks and dashboard: promtool, and a real Prometheus that watches the real stack
	@deploy/local/prerequisites.sh watch
	@tests/run --test watched

# With a heap of which a tenth is more than the largest bulk: Elasticsearch refuses to index more at once.
rolling-test: prerequisites ## gateways and consumers come and go under load, as in Kubernetes, and nobody notices; FAULT=consumer-killed
	@ROLLING=full ES_HEAP=$${ES_HEAP:-1536m} tests/run --test rolling -- --nocapture

compose-test: build-tests ## docker-compose.yml in a Docker engine of its own: kills, scaling, down and up (needs root)
	@tests/compose/run

image: ## the container image, built from source: understudy:local
	@tests/compose/image

chart-test: build-tests ## the Helm chart: lint, every object against its schema, the product checks what it would get, wrong values
	@deploy/local/prerequisites.sh chart
	@tests/chart/run

kubernetes-test: build-tests ## the chart in a real cluster of one node: the README's commands, rollouts and scaling under load (needs root)
	@tests/kubernetes/run

chart-sync: ## the chart's copies of rules and dashboard, and the plain manifests in deploy/kubernetes, made anew
	@deploy/local/prerequisites.sh chart
	@cp deploy/prometheus/rules.yml deploy/grafana/understudy.json deploy/helm/understudy/files/
	@tests/chart/manifests deploy/kubernetes/understudy.yaml

deb: prerequisites ## the Debian package, built for release, into target/debian
	@deploy/local/prerequisites.sh deb
	@$(CARGO) build --release --locked --package understudy-gateway --package understudy-consumer --package understudy-cli
	@deploy/debian/build

# Of what is built for the tests: a build for release would take longer than all the rest.
deb-test: build-tests ## the Debian package: lintian, units, installed, upgraded and purged in a container with systemd (needs root)
	@tests/debian/run

balancers-test: build-tests ## deploy/balancers: haproxy, nginx and keepalived in network namespaces, gateways die (needs root)
	@tests/balancers/run

docs: ## the code's documentation
	$(CARGO) doc --workspace --no-deps --open
