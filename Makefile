# Two commands for a fresh machine: `make demo` and `make test`. Both need only Python >= 3.11 and make.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The first Python that is new enough; name another with `make PYTHON=/path/to/python3.12 ...`.
PYTHON ?= $(shell for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$candidate && break; done)
VENV ?= .venv
PY := $(VENV)/bin/python
WORKERS ?= auto
PIP_FLAGS ?=
ARGS ?=

# Bytecode is written when a module is first imported, also where the environment says not to: tests start hundreds of processes, each of which
# would translate the package anew. So nothing is translated at the installation, which takes longer than all the rest of it.
export PYTHONDONTWRITEBYTECODE :=

# One BLAS thread in each test worker: the workers already use every core.
one_thread := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: help demo test compare lint format typecheck docs-check docs examples bench wheel clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: $(VENV)/.stamp-demo ## Train a small network on real handwritten digits and draw what it learned
	$(PY) -m examples.demo $(ARGS)

test: $(VENV)/.stamp-test ## Run the whole suite in parallel (ARGS="-k sin" to choose)
	$(one_thread) $(PY) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

compare: $(VENV)/.stamp-test $(VENV)/.stamp-bench ## Check values and gradients against the installed JAX, PyTorch and optax
	$(one_thread) $(PY) -m pytest -n $(WORKERS) --dist worksteal -m peer $(ARGS)

lint: $(VENV)/.stamp-test ## Check style, likely bugs and formatting
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(VENV)/.stamp-test ## Fix what can be fixed of what `make lint` reports
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

typecheck: $(VENV)/.stamp-test ## Check the types
	$(PY) -m mypy

docs-check: $(VENV)/.stamp-test ## Run the code of every page and docstring; check the links
	$(one_thread) $(PY) -m pytest -n $(WORKERS) tests/docs fad $(ARGS)

docs: $(VENV)/.stamp-docs ## Build the pages of docs/ as a web site in site/
	$(PY) -m mkdocs build --quiet

examples: $(VENV)/.stamp-demo ## Run every example
	@set -e; for example in examples/*.py; do \
		name=$$(basename $$example .py); [ $$name = __init__ ] && continue; \
		echo "== examples.$$name"; $(PY) -m examples.$$name; done

bench: $(VENV)/.stamp-bench ## Time fad side by side with its peers
	$(PY) -m benchmarks.run $(ARGS)

wheel: $(VENV)/.stamp-test ## Build the wheel into dist/
	$(PY) -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## Remove the environment and everything that was built
	rm -rf $(VENV) dist build site .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. A stamp for each extra makes a second call quick; `-e` makes edits take effect at once.
$(VENV)/.stamp-%: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --no-compile $(PIP_FLAGS) -e '.[$*]'
	@touch $@

$(PY):
	@if [ -z "$(PYTHON)" ]; then \
		echo "fad needs Python 3.11 or newer, and none is on the PATH."; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "fad needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
		echo "Name another: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Making $(VENV) failed; on Debian and Ubuntu, install the package python3-venv first."; exit 1; }
	$(PY) -m pip install --quiet --upgrade pip
