# Everything from a bare machine: Python 3.11 to 3.14, make, git and a package registry.
PYTHON ?= python3
DATA ?=
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

READY := .venv/.ready
LOCKS := requirements/bootstrap.txt requirements/all.txt
UV_PIP := .venv/bin/uv pip

# uv does not read pip's settings; a mirror that is set up for pip serves uv, too.
PIP_SETTINGS_FOR_UV := \
	if [ -n "$${PIP_CERT:-}" ]; then export SSL_CERT_FILE="$$PIP_CERT"; fi; \
	if [ -n "$${PIP_INDEX_URL:-}" ]; then export UV_DEFAULT_INDEX="$$PIP_INDEX_URL"; fi; \
	if [ -n "$${PIP_EXTRA_INDEX_URL:-}" ]; then export UV_INDEX="$$PIP_EXTRA_INDEX_URL" UV_INDEX_STRATEGY=unsafe-best-match; fi; \
	if [ -n "$${PIP_FIND_LINKS:-}" ]; then export UV_FIND_LINKS="$${PIP_FIND_LINKS// /,}"; fi; \
	if [ -n "$${PIP_NO_INDEX:-}" ]; then export UV_NO_INDEX="$$PIP_NO_INDEX"; fi; \
	if [ -n "$${PIP_TRUSTED_HOST:-}" ]; then export UV_INSECURE_HOST="$$PIP_TRUSTED_HOST"; fi; \
	if [ -n "$${PIP_DEFAULT_TIMEOUT:-}" ]; then export UV_HTTP_TIMEOUT="$$PIP_DEFAULT_TIMEOUT"; fi;

.PHONY: help venv up down demo test bench lock messages clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

venv: $(READY) ## create the virtual environment from the pinned requirements

# The mark goes first and comes back last, so an interrupted run starts again from an empty environment.
$(READY): $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) and "Assay needs Python 3.11 to 3.14; name one with make PYTHON=…")'
	@if [ ! -f $@ ]; then $(PYTHON) -m venv --clear .venv; fi; rm -f $@
	.venv/bin/python -m pip install --quiet --require-hashes --requirement requirements/bootstrap.txt
	@$(PIP_SETTINGS_FOR_UV) set -x; $(UV_PIP) sync --quiet --python .venv/bin/python --require-hashes requirements/all.txt
	@$(PIP_SETTINGS_FOR_UV) set -x; $(UV_PIP) install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

up: $(READY) ## start everything in the background
	@.venv/bin/assay up --background

down: $(READY) ## stop everything
	@.venv/bin/assay down

demo: $(READY) ## start and put one job through; DATA=folder takes your own images, a folder for each defect code
	@.venv/bin/assay demo $(if $(DATA),--images "$(abspath $(DATA))")

test: $(READY) ## run every test
	@.venv/bin/python -m pytest $(TESTS)

bench: $(READY) ## print the benchmarks and write benchmarks/results.json
	@.venv/bin/python benchmarks/run.py

messages: $(READY) ## collect the sentences of code and templates into both catalogues
	@.venv/bin/python -m web.i18n update

COMPILE = $(UV_PIP) compile --quiet --python .venv/bin/python --universal --python-version 3.11 --upgrade --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command 'make lock'

lock: ## pin the newest releases that pyproject.toml allows
	@if [ ! -x .venv/bin/uv ]; then $(PYTHON) -m venv .venv && .venv/bin/python -m pip install --quiet uv; fi
	@$(PIP_SETTINGS_FOR_UV) \
	$(COMPILE) requirements/bootstrap.in --output-file requirements/bootstrap.txt; \
	$(COMPILE) pyproject.toml --extra server --extra worker --extra test --output-file requirements/all.txt; \
	$(COMPILE) pyproject.toml --extra server --constraint requirements/all.txt --output-file requirements/server.txt; \
	$(COMPILE) pyproject.toml --extra worker --constraint requirements/all.txt --output-file requirements/worker.txt

clean: ## remove what was built; the state folder .assay stays
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
