# Two commands are enough: `make demo` and `make test`. Each makes what it needs first, from Python 3.11 or newer and a package index.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo demo-rebuild test test-fast check audit docs pictures format bench prove drill upgrade clients newest scans up down lock clean

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
READS_SCANS := $(VENV)/.reads-scans
AUDIT := .build/audit
AUDITED := $(AUDIT)/.installed
# Of their own, so that the emulator runs without kbfleet, and its clients without the emulator.
ALONE := .build/emulator
CLIENTS := .build/clients
NEWEST := .build/newest
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# sam needs a Region, cfn-lint looks at this one in `make check`, and sam must not call home.
export AWS_DEFAULT_REGION ?= ap-northeast-1
export SAM_CLI_TELEMETRY := 0
# Some machines switch bytecode off; every command here would then compile its libraries anew.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## The whole story on a local AWS: provision, ingest, break, alert, fix, ask, regress
	@$(BIN)/kbfleet-local demo

demo-rebuild: $(READS_SCANS) ## Another knowledge beside the live one, promoted, taken back and promoted again, while users ask; needs 250 MB
	@$(BIN)/kbfleet-local demo-rebuild

test: check ## Every check and test, offline
	@$(BIN)/cfn-lint
	@$(BIN)/pytest -n 4 --ignore tests/oracles

test-fast: $(INSTALLED) ## Units, handlers and contracts: what to run while you work, about a minute
	@$(BIN)/pytest -n 2 --dist worksteal tests/unit tests/handlers tests/contract

check: $(INSTALLED) ## Format, lint, types, import rule, template and policies against what AWS takes: under a minute
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/cfn-lint --regions $(AWS_DEFAULT_REGION)
	@$(BIN)/pytest -q tests/oracles

audit: $(INSTALLED) $(AUDITED) ## What checkov finds in the template, beside what is accepted; needs 220 MB
	@$(BIN)/python -m tests.oracles.audit $(CURDIR)/$(AUDIT)/bin/checkov

docs: $(INSTALLED) ## Bring the generated parts of the pages up to date, sample runs and pictures of terminals among them
	@$(BIN)/python docs/generate.py

pictures: $(INSTALLED) ## Draw the messages of docs/alerts.md that have changed; needs Chromium
	@$(BIN)/python docs/pictures.py

format: $(INSTALLED) ## Bring the code into shape
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

bench: $(INSTALLED) ## Measure against targets, as tables: the emulator, ingestion under several policies, asking; minutes
	@$(BIN)/python -m benchmarks

prove: $(INSTALLED) ## Crashes, storms, slow AWS, isolation: what was tried, as a table; under half an hour
	@$(BIN)/python -m tests.proofs

drill: $(INSTALLED) ## Remove a local fleet and deploy it again; break one in every way of the runbook, and repair it by its pages; verify it; minutes
	@$(BIN)/pytest -m drill tests/e2e tests/verify

upgrade: $(INSTALLED) ## Update a local fleet from the last version to this one, back, and again, while users ask; minutes
	@$(BIN)/pytest -m drill tests/e2e/upgrade

clients: $(INSTALLED) $(CLIENTS)/.installed ## Try clients of the package index on the emulator, installed alone: what works, as a table; needs 500 MB
	@$(BIN)/uv venv --quiet --clear $(ALONE)
	@$(BIN)/uv pip install --quiet --python $(ALONE) ./emulator
	@$(CLIENTS)/bin/python -W ignore emulator/clients/try_clients.py --emulator $(CURDIR)/$(ALONE)/bin/bedrock-emulator

newest: $(INSTALLED) ## The emulator's own tests with the newest botocore; minutes
	@$(BIN)/uv venv --quiet --clear $(NEWEST)
	@$(BIN)/uv pip install --quiet --upgrade --python $(NEWEST) --editable './emulator[test]'
	@$(NEWEST)/bin/python -c 'import botocore; print("botocore", botocore.__version__)'
	@$(NEWEST)/bin/python -m pytest -q emulator/tests

scans: $(READS_SCANS) ## Install what reads scans, some 250 MB, and try the emulator's readers and a tenant's scan with it
	@$(BIN)/python -m pytest -q -rs emulator/tests/test_conformance_documents.py tests/workflow/test_scans.py

up: $(INSTALLED) ## Start the local AWS with the stack deployed, and keep it running
	@$(BIN)/kbfleet-local up

down: $(INSTALLED) ## Stop it
	@$(BIN)/kbfleet-local down

lock: $(INSTALLED) ## Pin the newest versions of all dependencies that fit
	@cd requirements && uv pip compile $(LOCK) bootstrap.in --output-file bootstrap.txt
	@cd requirements && uv pip compile $(LOCK) development.in ../emulator/pyproject.toml --output-file development.txt
	@cd requirements && uv pip compile $(LOCK) --constraint development.txt --extra ocr ../emulator/pyproject.toml --output-file ocr.txt
	@cd requirements && uv pip compile $(LOCK) audit.in --output-file audit.txt
	@cd emulator/clients && uv pip compile $(LOCK) clients.in --output-file clients.txt
	@cd layers/dependencies && uv pip compile $(LOCK) --constraint ../../requirements/development.txt requirements.in --output-file requirements.txt
LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

clean: ## Remove everything that was made here, the local AWS's state too
	@if [ -x $(BIN)/kbfleet-local ]; then $(BIN)/kbfleet-local down; fi
	@rm -rf $(VENV) .build .aws-sam .local .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(INSTALLED): requirements/bootstrap.txt requirements/development.txt pyproject.toml emulator/pyproject.toml
	@test -n "$(PYTHON)" || { echo "kbfleet needs Python 3.11 or newer; none was found. Install one, or run: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Installing into $(VENV) with $(PYTHON) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/bootstrap.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/development.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . --editable ./emulator
	@touch $@

# What installs the others takes it away again.
$(READS_SCANS): $(INSTALLED) requirements/ocr.txt
	@echo "Installing what reads scans into $(VENV) …"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements/ocr.txt
	@touch $@

$(CLIENTS)/.installed: $(INSTALLED) emulator/clients/clients.txt
	@echo "Installing clients into $(CLIENTS) …"
	@test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS)
	@$(BIN)/uv pip sync --quiet --python $(CLIENTS)/bin/python --require-hashes emulator/clients/clients.txt
	@touch $@

$(AUDITED): $(INSTALLED) requirements/audit.txt
	@echo "Installing checkov into $(AUDIT) …"
	@test -x $(AUDIT)/bin/python || $(PYTHON) -m venv $(AUDIT)
	@$(BIN)/uv pip sync --quiet --python $(AUDIT)/bin/python --require-hashes requirements/audit.txt
	@touch $@
