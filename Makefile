# The two commands of the project are `make run` and `make test`; everything else serves them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
PY := .venv/bin/python
STAMPS := var/stamps
# Where this is set, as in many containers, each of the platform's processes would compile every module at every start: 6 s instead of 2.
unexport PYTHONDONTWRITEBYTECODE
# Processes that test side by side, each with servers of its own; servers given by DATABASE_URL are used by one.
WORKERS ?= 2

.PHONY: help setup run test check audit fmt bench screenshots lock clean core

help:
	@echo "make run          set up and start the whole platform"
	@echo "make test         set up and pass the tests"
	@echo "make check        linters, types, import contracts and tests: what CI runs"
	@echo "make audit        code scan, bills of materials, licences (AUDIT=--online: known vulnerabilities too)"
	@echo "make bench        measure speed (docs/performance.md)"
	@echo "make screenshots  pictures of every page (the platform must run)"
	@echo "make fmt          format the code"
	@echo "make lock         lock the requirements again with hashes"
	@echo "make clean        stop and remove everything that was made here, data included"

setup: $(STAMPS)/python $(STAMPS)/npm core

$(STAMPS)/python: requirements.txt requirements-dev.txt deploy/setup.sh
	@deploy/setup.sh python "$(PYTHON)"
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/npm: package.json package-lock.json requirements-node.txt deploy/setup.sh | $(STAMPS)/python
	@deploy/setup.sh npm "$(PYTHON)"
	@mkdir -p $(STAMPS) && touch $@

core: $(STAMPS)/python
	@deploy/setup.sh core "$(PYTHON)"

run: setup
	@exec $(PY) -m brokerage.launch

test: setup
	@$(MAKE) --no-print-directory -C native test
	@$(PY) -m pytest -q $(if $(DATABASE_URL),,-n $(WORKERS) --dist loadfile --no-loadscope-reorder)

check: setup
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@$(PY) -m djlint templates --lint --quiet
	@$(MAKE) --no-print-directory test

audit: setup
	@$(PY) deploy/audit.py $(AUDIT)

fmt:
	@$(PY) -m ruff check --fix -q . ; $(PY) -m ruff format -q .

bench: setup
	@$(PY) -m tests.bench

screenshots: setup
	@$(PY) -m tests.screenshots

lock:
	@deploy/setup.sh lock "$(PYTHON)"

clean:
	@if [ -x $(PY) ]; then $(PY) -m brokerage.launch remove || exit 1; fi
	@rm -rf .venv node_modules var native/build native/_core* native/_audit* native/.build.lock
	@rm -rf .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
