# Two commands do all the set-up on a fresh Debian machine with Python 3.11 or later:
#   make demo    the main job, on a local service with sample studies
#   make test    the whole test suite and the notebooks
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := pyproject.toml constraints.txt
# Real servers and the browser that the tests talk to, and the load generator of the benchmarks.
DEBIAN_PACKAGES := chromium orthanc orthanc-dicomweb wrk
# Microsoft's emulator of Azure Storage, which exports are tested against.
AZURITE := azurite@3.37.0
NPM_QUIETLY := --ignore-scripts --no-audit --no-fund --loglevel=error

NODE_MODULES := tests/foreign/dcmjs/node_modules

LOWEST := $(VENV)-lowest

.PHONY: help demo test lowest bench check lint types layers notebooks conformance clean debian-packages npm node-packages azurite

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version) if sys.version_info < (3, 11) else 0'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -q && apt-get install -qy python3-venv; \
	  else echo "Python's venv module is missing. Install it with: sudo apt-get install python3-venv" >&2; exit 1; fi; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(BIN)/python $(SOURCES)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[samples]'
	@touch $@

$(VENV)/.dev: $(BIN)/python $(SOURCES)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.runtime

demo: $(VENV)/.runtime ## Store sample studies in a local service, search them, draw a montage
	$(BIN)/dicomframe demo

test: $(VENV)/.dev debian-packages node-packages azurite ## Run every test, against real servers too, and the notebooks
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup --cov --cov-report=term:skip-covered
	$(MAKE) --no-print-directory notebooks

lowest: debian-packages node-packages azurite ## Run every test with the lowest versions that pyproject.toml names
	@$(MAKE) --no-print-directory VENV=$(LOWEST) $(LOWEST)/bin/python
	$(LOWEST)/bin/python -m pip --disable-pip-version-check install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --upgrade --resolution lowest-direct --editable '.[dev]'
	$(LOWEST)/bin/python -m pytest --numprocesses 2 --dist loadgroup

conformance: $(VENV)/.dev ## Write docs/conformance.md anew from the route table and the tests' marks
	$(BIN)/python tests/conformance.py

notebooks: $(VENV)/.dev ## Run the notebooks and compare with their saved outputs
	@$(BIN)/python -c 'import dicomframe; dicomframe.connect().close()'  # makes the cohort, so that no cell waits for it
	$(BIN)/python -m pytest --nbval notebooks --nbval-sanitize-with notebooks/.sanitize.cfg --nbval-cell-timeout 180

bench: $(VENV)/.dev debian-packages ## Measure everything beside its peers and write docs/benchmarks.md
	$(PIP) install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python tests/benchmarks

check: lint types layers ## Run all the static checks

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

layers: $(VENV)/.dev
	$(BIN)/lint-imports --no-cache

# Installed as root, otherwise named: a test that lacks its server is skipped with the reason (a failure with CI=true).
debian-packages:
	@missing=""; for package in $(DEBIAN_PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; \
	  else echo "Not installed:$$missing. The tests against them will be skipped; to run them: sudo apt-get install$$missing" >&2; fi; fi

npm:
	@if ! command -v npm >/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nodejs npm; \
	  else echo "Not installed: npm. The tests with it will be skipped; to run them: sudo apt-get install nodejs npm" >&2; fi; fi

# A foreign client in JavaScript, in the versions of its package.json.
node-packages: npm
	@if command -v npm >/dev/null && [ $(NODE_MODULES)/.installed -ot tests/foreign/dcmjs/package.json ]; then \
	  npm install --prefix tests/foreign/dcmjs --no-package-lock $(NPM_QUIETLY) && touch $(NODE_MODULES)/.installed; fi

azurite: npm
	@if command -v npm >/dev/null && [ ! -x node_modules/.bin/azurite-blob ]; then \
	  mkdir -p node_modules && npm install --prefix . --no-save --no-package-lock $(NPM_QUIETLY) $(AZURITE); fi

clean: ## Remove the virtual environment and all caches of the checkout
	rm -rf $(VENV) $(LOWEST) node_modules $(NODE_MODULES) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage* demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
