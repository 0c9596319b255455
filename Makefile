# `make demo` and `make test` need Python 3.11 to 3.13 and nothing else: they fill .venv first, with exactly the
# versions of constraints.txt, and again only after pyproject.toml or constraints.txt changed.

PYTHON ?= python3
PYTEST_FLAGS ?=
BENCH_FLAGS ?=

BIN := .venv/bin
SUPPORTED := import sys; v = sys.version_info; \
	sys.exit(None if (3, 11) <= v[:2] <= (3, 13) else "%s is Python %d.%d" % (sys.executable, v[0], v[1]))

.DEFAULT_GOAL := help
# `test` means its prerequisites in their order, also under `make -j`.
.NOTPARALLEL:
.PHONY: help install demo test lint unit integration format bench clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 13

install: .venv/.installed-test ## Fill .venv with the package and everything for tests and development

demo: .venv/.installed-examples ## Tune a classifier on the digits data: a Prefect pipeline on a local Ray
	@$(BIN)/python -m tune_flows.examples.pipeline

test: lint unit integration ## Run all checks: lint, types, import rules, unit tests, integration tests

unit: .venv/.installed-test ## Run the unit tests: some minutes on two cores, without Ray
	@echo "pytest: unit tests"
	@$(BIN)/python -m pytest -m "not integration" --numprocesses auto --dist worksteal $(PYTEST_FLAGS)

integration: .venv/.installed-test ## Run the integration tests: real Ray, Prefect and S3 on this machine
	@echo "pytest: integration tests (real Ray, Prefect and S3 on this machine)"
	@$(BIN)/python -m pytest -m integration $(PYTEST_FLAGS)

lint: .venv/.installed-test ## Check style, types and import rules
	@echo "ruff: style and format"
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet --diff
	@echo "basedpyright: types"
	@$(BIN)/basedpyright --warnings
	@echo "import-linter: who imports whom"
	@$(BIN)/lint-imports --no-logo

format: .venv/.installed-test ## Rewrite the sources in the one style
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format

bench: .venv/.installed-bench ## Measure speed beside Ray Tune and print a table
	@$(BIN)/python tests/benchmarks/bench.py $(BENCH_FLAGS)

clean: ## Remove .venv and everything that was built or cached here
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each extra. Editable: an edited source needs no new installation.
.venv/.installed-%: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing tune_flows[$*] into .venv (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$*]"
	@touch $@

# pip is the last thing that venv writes: without it the environment is a torso of an interrupted run.
$(BIN)/pip:
	@$(PYTHON) -c '$(SUPPORTED)' || { echo "tune_flows needs Python 3.11, 3.12 or 3.13;" \
	    "'$(PYTHON)' is none. Name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Creating .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv || { echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu it comes with" \
	    "the package python3-venv." >&2; exit 1; }
