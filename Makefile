# Everything from a bare machine: Python 3.11 to 3.14, make, git and a package registry.
PYTHON ?= python3
DATA ?=
# host:port,host:port of a Kafka cluster, or local: then `up` runs a broker of its own (needs a JDK 17 and Maven).
KAFKA ?=
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# Marks: of an environment with what Assay runs on, and of one that has what its tests need beside it.
INSTALLED := .venv/.installed
READY := .venv/.ready
RUNS_ON := requirements/server.txt requirements/worker.txt
UV_PIP := .venv/bin/uv pip
# A person at a terminal sees what is fetched.
QUIET := $(shell [ -t 2 ] || echo --quiet)

# uv does not read pip's settings; a mirror that is set up for pip, by PIP_… or in pip.conf, serves uv, too.
PIP_SETTINGS_FOR_UV := \
	told="$$(.venv/bin/python -m pip config list 2>/dev/null || true)"; \
	of_pip() { local name="$${1,,}"; \
		printenv "PIP_$$1" || printf '%b' "$$(sed -n "s/^global\.$${name//_/-}=.\(.*\).$$/\1/p" <<<"$$told")"; }; \
	for_uv() { if [ -n "$$2" ]; then export "$$1=$${2//$$'\n'/ }"; fi; }; \
	for_uv SSL_CERT_FILE "$$(of_pip CERT)"; \
	for_uv UV_DEFAULT_INDEX "$$(of_pip INDEX_URL)"; \
	for_uv UV_INDEX "$$(of_pip EXTRA_INDEX_URL)"; \
	places="$$(for place in $$(of_pip FIND_LINKS); do [[ $$place == *://* || -e $$place ]] && echo "$$place"; done || true)"; \
	for_uv UV_FIND_LINKS "$${places//$$'\n'/,}"; \
	for_uv UV_NO_INDEX "$$(of_pip NO_INDEX)"; \
	for_uv UV_INSECURE_HOST "$$(of_pip TRUSTED_HOST)"; \
	for_uv UV_HTTP_TIMEOUT "$$(of_pip DEFAULT_TIMEOUT)"; \
	export UV_INDEX_STRATEGY=unsafe-best-match;

.PHONY: help install venv native wheel up down demo test bench lock messages clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Bytecode is made here: a service may not write into the checkout, a container is told not to, and would compile a thousand modules
# at each start, and some thousand more for each job.
install: $(INSTALLED) ## create the virtual environment that Assay runs in, from the pinned requirements
	@.venv/bin/python -m compileall -q domain commands projections web gpu_worker infra

venv: $(READY) install ## the same with what the tests need

# The marks go first and come back last, so an interrupted run starts again from an empty environment. Who has what the tests need
# keeps it.
$(INSTALLED): $(RUNS_ON) requirements/bootstrap.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) and "Assay needs Python 3.11 to 3.14; name one with make PYTHON=…")'
	@if [ ! -f $@ ] && [ ! -f $(READY) ]; then echo "Making the virtual environment .venv …"; $(PYTHON) -m venv --clear .venv; fi; rm -f $@ $(READY)
	@.venv/bin/python -m pip install --quiet --require-hashes --requirement requirements/bootstrap.txt
	@echo "Installing what requirements/ pins, torch among it: gigabytes the first time, half a minute from a cache …"
	@$(PIP_SETTINGS_FOR_UV) $(UV_PIP) sync $(QUIET) --python .venv/bin/python --compile-bytecode --require-hashes \
		$(if $(wildcard $(READY)),requirements/all.txt,$(RUNS_ON))
	@$(PIP_SETTINGS_FOR_UV) $(UV_PIP) install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	@touch $@ $(wildcard $(READY))

$(READY): $(INSTALLED) requirements/all.txt
	@echo "Installing what the tests need …"
	@$(call INSTALL,all) --compile-bytecode
	@touch $@

# What only some targets need comes when one of them runs: $(1) is a file of requirements.
INSTALL = $(PIP_SETTINGS_FOR_UV) $(UV_PIP) install --quiet --python .venv/bin/python --require-hashes --requirement requirements/$(1).txt
NATIVE = $(MAKE) --no-print-directory -C gpu_worker/native PYTHON=$(CURDIR)/.venv/bin/python

# A machine without g++ takes the library of the release, else a compiler from the registry; without either it says so and goes on.
native: $(INSTALLED) ## build the native library of exports
	@if command -v g++ >/dev/null || [ "$$(uname -m)" != x86_64 ] || [ -f gpu_worker/native/prebuilt/libCsotArtifact.so ]; then $(NATIVE); \
	else ($(call INSTALL,compiler)) || true; $(NATIVE); fi

wheel: $(INSTALLED) ## a wheel with the native library for machines without a compiler, in dist/
	@$(call INSTALL,compiler)
	@$(NATIVE) prebuilt
	@rm -rf build
	@.venv/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir dist \
		--config-settings=--build-option=--plat-name=manylinux2014_x86_64 .

up: install native ## start everything in the background; KAFKA=local or KAFKA=host:port sends jobs through Kafka
	@$(if $(KAFKA),ASSAY_KAFKA_BROKERS="$(KAFKA)") .venv/bin/assay up --background

down: $(INSTALLED) ## stop everything
	@.venv/bin/assay down

demo: install native ## start and put one job through; DATA=folder takes your own images, a folder for each defect code
	@$(if $(KAFKA),ASSAY_KAFKA_BROKERS="$(KAFKA)") .venv/bin/assay demo $(if $(DATA),--images "$(abspath $(DATA))")

test: venv native ## run every test
	@$(MAKE) --no-print-directory -C gpu_worker/native checks PYTHON=$(CURDIR)/.venv/bin/python
	@.venv/bin/python -m pytest $(TESTS)

bench: venv native ## print the benchmarks and write benchmarks/results.json
	@$(call INSTALL,bench)
	@.venv/bin/python -m benchmarks

messages: $(INSTALLED) ## collect the sentences of code and templates into both catalogues
	@.venv/bin/python -m web.i18n update

COMPILE = $(UV_PIP) compile --quiet --python .venv/bin/python --universal --python-version 3.11 --upgrade --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command 'make lock'

lock: ## pin the newest releases that pyproject.toml allows
	@if [ ! -x .venv/bin/uv ]; then $(PYTHON) -m venv .venv && .venv/bin/python -m pip install --quiet uv; fi
	@$(PIP_SETTINGS_FOR_UV) \
	$(COMPILE) requirements/bootstrap.in --output-file requirements/bootstrap.txt; \
	$(COMPILE) pyproject.toml --extra server --extra worker --extra test --output-file requirements/all.txt; \
	for extra in server worker bench compiler; do \
		$(COMPILE) pyproject.toml --extra $$extra --constraint requirements/all.txt --output-file requirements/$$extra.txt; done

clean: ## remove what was built; the state folder .assay stays
	rm -rf .venv build dist gpu_worker/native/build gpu_worker/native/prebuilt *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
