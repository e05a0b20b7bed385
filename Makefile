# Two commands matter: `make lab` opens the lab, `make test` runs every test. Both build what they need in .venv; neither needs root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
GROUP ?= all

.DEFAULT_GOAL := help
.PHONY: help env lab test test-kind check lint notebooks lock picture benchmarks clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: ## Build the environment in .venv (nothing happens when it is up to date)
	@$(PYTHON) scripts/make_env.py $(VENV)

lab: env ## Open the lab: JupyterLab on a running pocket cluster
	@$(BIN)/labkit lab

test: env ## Run every test that this machine can run
	@$(BIN)/python scripts/run_tests.py $(GROUP)

test-kind: env ## Run the tests on real kind clusters (they skip, and say why, without a container engine)
	@$(BIN)/python scripts/run_tests.py kind

check: env ## The inner loop, under a minute: lint, types, the import rule, engine and unit tests
	@$(BIN)/python scripts/run_tests.py lint quick

lint: env ## Lint, types, the import rule, and whether generated files are current
	@$(BIN)/python scripts/run_tests.py lint

notebooks: env ## Generate the learner's and the solved notebooks from each chapter's lesson.py
	@$(BIN)/python scripts/build_notebooks.py

picture: env ## Take README's picture from the real lab in a headless Chromium
	@$(BIN)/python scripts/take_picture.py

benchmarks: env ## Measure; prints ratios within one run
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

lock: env ## Renew the locked dependency set from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-header --no-emit-index-url --extra dev \
		pyproject.toml --output-file requirements.lock

clean: ## Remove the environment and all caches (running clusters are kept: `labkit down`)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
