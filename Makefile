# `make run` and `make test` are all that a newcomer needs; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
NODE := tests/node
CODE := daemon plugins configs tests grafana
WORKERS ?= 5 # much of the suite waits for deadlines

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check format bench dashboard schemas lock setup-system clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run ## Start the daemon with the demo configuration (ARGS='--web.listen-address 127.0.0.1:9100')
	@exec $(BIN)/reservd run --config configs/demo.yaml $(ARGS)

# Its tests start hundreds of processes, which need not each compile the same modules, whatever the shell says.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.dev $(NODE)/node_modules/.installed ## Run the whole suite with coverage (RESERVD_REQUIRE_ALL=1: a skip fails)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=
	$(BIN)/coverage report --fail-under=90
	$(BIN)/coverage report --include='daemon/reservd/reserve/*' --fail-under=100

check: $(VENV)/.dev ## Check style, types and layers: all that needs nothing to be run
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

bench: $(VENV)/.dev $(NODE)/node_modules/.installed ## Measure, each figure beside its baseline
	$(BIN)/pytest tests/benchmarks -o python_files='bench_*.py' -o python_functions='bench_*' -o timeout=0 -p no:cacheprovider -s -q $(ARGS)

dashboard: $(VENV)/.dev ## Write grafana/reservd-overview.json again, after a change of grafana/build.py
	$(BIN)/python grafana/build.py

schemas: $(VENV)/.dev ## Write the JSON Schemas of the events again, after a change of their models
	for type in reserve_low reserve_critical reserve_adequate reserve_unknown reserve_runway_low replenishment_changed; do \
		$(BIN)/reservd schema event reservd.$$type.v1 > daemon/reservd/delivery/schemas/reservd.$$type.v1.json || exit 1; \
	done

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--annotation-style line --custom-compile-command 'make lock' $(ARGS)

lock: $(VENV)/.dev ## Resolve the pins of requirements/ again (ARGS=--upgrade takes the newest releases)
	$(LOCK) pyproject.toml --all-extras --group dev --output-file requirements/dev.txt
	$(LOCK) pyproject.toml --extra evm --constraint requirements/dev.txt --output-file requirements/run.txt
	$(LOCK) --group build --constraint requirements/dev.txt --output-file requirements/build.txt

setup-system: ## Install the Debian packages that some tests need (root, or sudo without a password)
	@.ci/setup-system

clean: ## Remove the environment and everything that was built or cached
	rm -rf $(VENV) $(NODE)/node_modules dist htmlcov .coverage .coverage.* \
		.hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# Each file below stands for a step that was done, and is older than what the step needs once that changes.

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "reservd needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1): make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null || { \
		echo "'$(PYTHON)' cannot make environments: install its venv module, on Debian with make setup-system" >&2; exit 1; }
	@touch $@

$(VENV)/.run: $(VENV)/.created requirements/build.txt requirements/run.txt pyproject.toml
	@echo "Installing reservd and what it needs into $(VENV), once ..."
	@$(PIP) install --no-deps --require-hashes -r requirements/build.txt -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	@echo "Installing what the suite needs into $(VENV), once ..."
	@$(PIP) install --no-deps --require-hashes -r requirements/dev.txt
	@touch $@

$(NODE)/node_modules/.installed: $(NODE)/package-lock.json
	@if command -v npm >/dev/null; then \
		cd $(NODE) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && touch node_modules/.installed; \
	else echo "npm is missing: the tests on an Ethereum node are left out"; fi
