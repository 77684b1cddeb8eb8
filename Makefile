# What a developer does here, one target each; `make` alone prints the list. Every tool but Node comes from node_modules.
# The tests decide what they need from scripts/test.ts; nothing here knows how a test works.

SHELL := /bin/sh
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
SOURCES := package.json tsconfig.json scripts/build.ts $(shell find cmd lib -name '*.ts')
FORMATTED := cmd lib scripts test '!test/golden/**' '!**/*.md'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help check types lint format-check tidy build test test-pg-matrix unit sim sim-record e2e faults conformance dev bench bench-failover bench-idle format clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

test: build ## every suite, as CI runs them; ends with `N passed, N failed`
	bun scripts/test.ts

unit: node_modules ## unit tests only
	bun scripts/test.ts unit

conformance: node_modules ## the store suite against sqlite and real etcd members
	bun scripts/test.ts conformance

sim: node_modules ## the simulator: SEEDS=500 runs of it, or SEED=n to repeat one
	bun scripts/sim.ts $(if $(SEED),--seed $(SEED) --trace,--seeds $(or $(SEEDS),500))

sim-record: node_modules ## a sitting of the simulator for SECONDS=600, added to the record of seeds that ran clean
	bun scripts/sim.ts --record .cache/sim-record.jsonl --seconds $(or $(SECONDS),600)

test-pg-matrix: build ## the suites that differ by version on PostgreSQL 13, 15, 17 and 18, which it fetches
	bun scripts/test.ts pg-matrix

e2e: build ## real PostgreSQL, real etcd, the real executable
	bun scripts/test.ts e2e

faults: build ## faults on a real cluster, judged by a consistency checker: minutes; DURATION=15m per row, ROW=, NEMESIS=, SEED=
	@scripts/install.sh postgresql etcd setpriv cc ip
	bun test/faults/main.ts $(if $(DURATION),--duration $(DURATION)) $(if $(ROW),--row $(ROW)) \
	  $(if $(NEMESIS),--nemesis '$(NEMESIS)') $(if $(SEED),--seed $(SEED))

dev: build ## a whole cluster to use and break; ARGS='--port 5433' (see stolon dev --help)
	@scripts/install.sh postgresql
	@dist/stolon dev $(ARGS)

bench: build bench-failover bench-idle ## everything that is measured

bench-failover: build ## how long writes stop, beside Patroni + HAProxy; RUNS=10 ONLY= ROWS= MARKDOWN=docs/failover.md FROM= MORE=
	@scripts/install.sh postgresql etcd patroni haproxy
	bun test/bench/failover/main.ts

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
