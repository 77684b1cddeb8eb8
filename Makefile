# What a developer does here, one target each; `make` alone prints the list. Every tool but Node comes from node_modules.
# The tests decide what they need from scripts/test.ts; nothing here knows how a test works.

SHELL := /bin/sh
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
SOURCES := package.json tsconfig.json scripts/build.ts $(shell find cmd lib -name '*.ts')
FORMATTED := cmd lib scripts test '!test/golden/**' '!**/*.md'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help check types lint format-check tidy build image test test-pg-matrix unit sim sim-record e2e e2e-containers faults soak soak-connections conformance conformance-etcd kube-apiserver conformance-kubernetes dev bench bench-failover bench-idle bench-proxy bench-stores format clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check: types lint format-check tidy ## types, lint with floors, format, tidy

types: node_modules
	tsc -p .

lint: node_modules
	oxlint --type-aware --deny-warnings -c scripts/lint.json cmd lib test scripts

format-check: node_modules
	oxfmt -c scripts/format.json --check $(FORMATTED)

tidy: node_modules
	bun scripts/tidy.ts

build: dist/stolon ## the one executable, dist/stolon

dist/stolon: node_modules $(SOURCES)
	bun scripts/build.ts

image: build ## the container image stolon:VERSION with PostgreSQL, and stolon-etcd for compose; ENGINE=docker PG_MAJOR=15 IMAGE=stolon
	@scripts/image/build.sh

test: build ## every suite, as CI runs them; ends with `N passed, N failed`
	bun scripts/test.ts

unit: node_modules ## unit tests only
	bun scripts/test.ts unit

conformance: node_modules ## the store suite against sqlite and real etcd members
	bun scripts/test.ts conformance

conformance-etcd: node_modules ## the store suite against etcd 3.3 and 3.5, which it fetches; Debian's 3.4 is in `conformance`
	bun scripts/test.ts conformance-etcd-3.3 conformance-etcd-3.5

kube-apiserver: ## builds and caches the Kubernetes API server that the conformance suite uses; minutes
	scripts/getkube.sh

conformance-kubernetes: node_modules ## the store suite against a real Kubernetes API server with RBAC, which it builds
	bun scripts/test.ts conformance-kubernetes

sim: node_modules ## the simulator: SEEDS=500 runs of it, or SEED=n to repeat one
	bun scripts/sim.ts $(if $(SEED),--seed $(SEED) --trace,--seeds $(or $(SEEDS),500))

sim-record: node_modules ## a sitting of the simulator for SECONDS=600, added to the record of seeds that ran clean
	bun scripts/sim.ts --record docs/seeds.jsonl --seconds $(or $(SECONDS),600)

test-pg-matrix: build ## the suites that differ by version on PostgreSQL 13, 15, 17 and 18, which it fetches
	bun scripts/test.ts pg-matrix

e2e: build ## real PostgreSQL, real etcd, the real executable
	bun scripts/test.ts e2e

e2e-containers: build ## the image, as `generate compose` deploys it, on a Docker engine of its own; skipped where none can be started
	bun scripts/test.ts e2e-containers

faults: build ## faults on a real cluster, judged by a consistency checker: minutes; DURATION=15m per row, ROW=, NEMESIS=, SEED=
	@scripts/install.sh postgresql etcd setpriv cc ip
	bun test/faults/main.ts $(if $(DURATION),--duration $(DURATION)) $(if $(ROW),--row $(ROW)) \
	  $(if $(NEMESIS),--nemesis '$(NEMESIS)') $(if $(SEED),--seed $(SEED))

soak: build ## the proxy under storms of sessions, kills and failovers; DURATION=10m SESSIONS=32 SEED=
	@scripts/install.sh postgresql
	bun test/soak/main.ts

soak-connections: build ## COUNT=1000000 clients that come and go through the proxy, and what they leave behind; LANES=ours-1,ours-2
	@scripts/install.sh postgresql
	bun test/soak/connections.ts

dev: build ## a whole cluster to use and break; ARGS='--port 5433' (see stolon dev --help)
	@scripts/install.sh postgresql
	@dist/stolon dev $(ARGS)

bench: build bench-failover bench-idle bench-proxy bench-stores ## everything that is measured

bench-failover: build ## how long writes stop, beside Patroni + HAProxy; RUNS=10 ONLY= ROWS= MARKDOWN=docs/failover.md FROM= MORE=
	@scripts/install.sh postgresql etcd patroni haproxy
	bun test/bench/failover/main.ts

bench-proxy: build ## what a proxy costs, beside HAProxy and PgBouncer; RUNS=5 SECONDS=10 LANES= ROWS= SHORT=1 MARKDOWN=docs/proxy.md FROM= MORE=
	@scripts/install.sh postgresql haproxy pgbouncer
	bun test/bench/proxy/main.ts

bench-stores: build ## the same cluster on each store: write gaps, requests at rest, conformance; RUNS=5 ONLY= ROWS= MARKDOWN=docs/stores.md FROM=
	@scripts/install.sh postgresql etcd
	scripts/getserver.sh consul
	bun test/bench/stores/main.ts

bench-idle: node_modules ## what a cluster costs at rest, with 3, 30 and 100 keepers; MARKDOWN=docs/performance.md CASES= SECONDS= SAMPLES=
	@scripts/install.sh postgresql etcd
	bun test/bench/idle/main.ts

format: node_modules ## format the sources in place
	oxfmt -c scripts/format.json $(FORMATTED)

clean: ## remove what was built
	rm -rf dist .cache

# npm writes this file last, so it tells whether the installation matches the lock file.
node_modules: node_modules/.package-lock.json
node_modules/.package-lock.json: package-lock.json
	npm ci --no-progress
	@touch $@
