# SOMS in a few words: `make help`.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help run test lint bench chaos protos lock clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(READY) ## start everything on this machine and serve on http://127.0.0.1:8080 (ARGS="--scale product=2,order=2")
	@exec $(BIN)/soms up $(ARGS)

test: $(READY) ## run all tests on the real engines (ARGS="-k placement" for some)
	@exec $(BIN)/pytest $(ARGS)

lint: $(READY) ## check style, types, imports and the RPC contract
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd protos && ../$(BIN)/buf lint

bench: $(READY) ## measure starts, placement and CPU per order, beside pgbench
	@exec $(BIN)/python -m bench $(ARGS)

chaos: $(READY) ## ten minutes of faults under load, then soms audit (ARGS="--seconds 180 --seed 7")
	@exec $(BIN)/python -m bench.chaos $(ARGS)

protos: $(READY) ## generate the RPC stubs anew from protos/
	@PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python protos/generate.py

lock: $(READY) ## pin the newest allowed versions of all dependencies
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-header --output-file requirements.lock

clean: ## remove the environment, caches and the state of stacks below this folder (var/)
	rm -rf .venv var dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "SOMS needs Python 3.11 or later; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "Python's venv module is missing. On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	@echo "making the environment in .venv (once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check uv==0.13.9
	@$(BIN)/uv pip install --quiet --require-hashes --requirement requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --editable .
	@touch $@
