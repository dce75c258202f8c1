# Aliases for every day. bootstrap.py is the front door; nothing here is needed to run LTS.
PYTHON ?= python3
# The environment that bootstrap.py keeps.
ifeq ($(OS),Windows_NT)
ENVIRONMENT_PYTHON := .venv/Scripts/python.exe
else
ENVIRONMENT_PYTHON := .venv/bin/python
endif
COMPILE := $(ENVIRONMENT_PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes --no-header --no-annotate

.PHONY: run test check format bench trial trace lock build

run:
	$(PYTHON) bootstrap.py run

test:
	$(PYTHON) bootstrap.py test

check:
	$(PYTHON) bootstrap.py check

format:
	$(ENVIRONMENT_PYTHON) -m ruff check --fix-only .
	$(ENVIRONMENT_PYTHON) -m ruff format .

bench:
	$(ENVIRONMENT_PYTHON) -m benchmarks

trial:
	$(ENVIRONMENT_PYTHON) -m tests.trials

# Which test shows which requirement of docs/requirements.md.
trace:
	$(ENVIRONMENT_PYTHON) -m pytest -p tests.house.trace --trace-requirements --quiet

# Renews the locks from pyproject.toml; add "LOCK_FLAGS=--upgrade" for the newest versions.
lock:
	$(ENVIRONMENT_PYTHON) -m pip install --quiet uv
	$(COMPILE) $(LOCK_FLAGS) pyproject.toml --output-file locks/runtime.lock
	$(COMPILE) $(LOCK_FLAGS) pyproject.toml --group dev --output-file locks/dev.lock
	$(COMPILE) $(LOCK_FLAGS) --group build --output-file locks/build.lock

# The wheel and the source distribution, in dist/.
build:
	$(ENVIRONMENT_PYTHON) -m hatchling build
