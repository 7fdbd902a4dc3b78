# Each target does all of its own set-up. `make help` lists them.
PYTHON ?= python3
STUDY ?= quick
DOSES ?=
VIEWS ?= all
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Whole files go to a worker, as what a module prepares is costly; the longest ones come first.
TWO_WORKERS := -n 2 --dist loadfile --no-loadscope-reorder

export FLY64_STUDY := $(STUDY)
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help venv study test trust check mutants ui clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10
	@echo "Variables: STUDY=quick|fly64|siemens_star|siemens_star_learned|reference|path  DOSES=1000,10000|all  VIEWS=dense,sparse|all  JOBS=2"

venv: $(STAMP) ## create .venv and install the pinned, tested set

$(STAMP): pyproject.toml constraints.txt Makefile
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0 -e '.[dev]'
	@# Activation lets the dagster commands find the study's code and instance.
	@grep -q 'fly64 environment' $(BIN)/activate || \
	  printf '\neval "$$("$$VIRTUAL_ENV/bin/fly64" environment)"\n' >> $(BIN)/activate
	@touch $(STAMP)

study: $(STAMP) ## run the study: whatever is missing or stale
	@$(BIN)/fly64 study --study '$(STUDY)' --doses '$(DOSES)' --views '$(VIEWS)' --jobs $(JOBS)

test: $(STAMP) ## run the tests
	$(BIN)/python -m pytest -m 'not trust' $(TWO_WORKERS)

trust: $(STAMP) ## run the tests that take minutes: conformance of what ships, guests in a study, kill and resume
	$(BIN)/python -m pytest -m trust $(TWO_WORKERS)

check: $(STAMP) mutants ## lint, format, types, layers, mutants
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

mutants: $(STAMP) ## change the package in ways that the tests must notice
	$(BIN)/python -m fly64_assets_tests.mutants

ui: $(STAMP) ## the Dagster UI on loopback, daemon included
	@eval "$$($(BIN)/fly64 environment --study '$(STUDY)')" && $(BIN)/dagster instance concurrency set training 1 \
	  && PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dagster dev --host 127.0.0.1

clean: ## remove the virtual environment; results stay
	rm -rf $(VENV)
