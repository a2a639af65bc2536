# make demo | make test | make lint | make benchmark | make setup | make clean
# Set-up happens by itself, once, in .venv, and again only for what has changed.
#
#   PYTHON=python3.12   the Python to make .venv with
#   PIP_ARGS=...        more arguments for pip, for example --extra-index-url URL-of-torch-CPU-wheels

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || echo python3)
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Stamps lie in .venv, so that they go with it.
CREATED := $(VENV)/.stamp-created
REQUIREMENTS := $(VENV)/.stamp-requirements
INSTALLED := $(VENV)/.stamp-openseg_ros

REQUIREMENT_FILES := $(wildcard requirements/*.txt)
PACKAGED_FOLDERS := $(wildcard openseg_ros msg srv action cmake launch config models)
PACKAGED := $(shell find $(PACKAGED_FOLDERS) -type f -not -path '*/__pycache__/*' | sort) \
  scripts/openseg scripts/openseg_node CMakeLists.txt package.xml setup.py pyproject.toml
# Rewritten only when a file comes or goes: a deleted file has no date that Make could compare.
FILE_LIST := $(VENV)/.packaged-files

export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST

.PHONY: demo test lint benchmark setup clean check-system FORCE

demo: setup
	$(BIN)/python -m demo.run

test: lint
	$(BIN)/python -m pytest -m "not rendering"
	$(BIN)/python -m pytest -m rendering

# Takes minutes and wants the machine for itself; figures and pictures go to benchmark/results.
benchmark: setup
	$(BIN)/python -m benchmark.run_all

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(INSTALLED)

check-system:
	@$(PYTHON) scripts/check_system.py

$(CREATED): | check-system
	@echo "[1/3] Making a virtual environment in $(VENV) with $$($(PYTHON) --version)"
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(REQUIREMENTS): $(CREATED) $(REQUIREMENT_FILES)
	@echo "[2/3] Installing the pinned requirements (about 2 GB; several minutes the first time)"
	$(PIP) install $(PIP_ARGS) $(foreach file,$(filter-out %/constraints.txt,$(REQUIREMENT_FILES)),-r $(file))
	@touch $@

# pip hides what a build prints; show the compiler's progress, and everything when it fails.
$(INSTALLED): $(REQUIREMENTS) $(PACKAGED) $(FILE_LIST)
	@echo "[3/3] Compiling the ROS messages and installing openseg_ros (a minute the first time)"
	@mkdir -p build
	@$(PIP) install --verbose --no-build-isolation --no-deps --no-index --force-reinstall . 2>&1 \
	  | tee build/install.log | sed -un 's#^ *\(\[ *[0-9]*%\] Building\).*/\(.*\)\.o$$#  \1 \2#p' \
	  || { tail -n 40 build/install.log; echo "Installing openseg_ros failed; all of it is in build/install.log"; exit 1; }
	@touch $@

$(FILE_LIST): $(CREATED) FORCE
	@echo '$(PACKAGED)' | cmp -s - $@ || echo '$(PACKAGED)' > $@

clean:
	rm -rf $(VENV) build install log .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf *.egg-info
