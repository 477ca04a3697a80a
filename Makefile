# `make` lists the targets. Python 3.11 or 3.12 and PyPI are all a machine needs.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && { echo "$$p"; break; }; done)
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
EXTRAS := $(VENV)/.extras
# Of 190 MB. Plain `torch` of PyPI for Linux on x86-64 brings gigabytes of CUDA, and does not load without them.
TORCH := torch==2.13.0$(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),+cpu)

export TF_CPP_MIN_LOG_LEVEL ?= 3
export GLOG_minloglevel ?= 3

.DEFAULT_GOAL := help
.PHONY: help venv demo test browser lint format clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

venv: $(STAMP) ## make the environment in .venv and install everything

$(STAMP): setup.py pyproject.toml
	@test -n "$(PYTHON)" || { echo "avsc_tf needs Python 3.11 or 3.12 on the PATH (or make PYTHON=/path/to/python)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade "pip<26"
	$(RUN) -m pip install --quiet --editable ".[dev]"
	$(RUN) -m pip check
	@touch $(STAMP)

# Encoders of speaker and face (130 MB), and the peers of the benchmarks: tests compare with them.
$(EXTRAS): $(STAMP)
	@if $(RUN) -m pip install --quiet --no-deps "$(TORCH)" >/dev/null 2>&1; then \
		$(RUN) -m pip install --quiet --editable ".[dev,identity,benchmarks]" && $(RUN) -m pip check; \
	else \
		echo "$(TORCH) is not on this machine's package index: tests that compare with PyTorch and the encoders will be"; \
		echo "skipped. PyTorch's own index of CPU builds in PIP_EXTRA_INDEX_URL brings it."; \
	fi
	@touch $(EXTRAS)

demo: $(STAMP) ## two made speakers: corpus, preparation, training, conversion, report (runs/demo)
	$(RUN) -m avsc_tf.cli demo run --config demo --out runs/demo

browser: ## Chromium for the tests of the listening test's pages, where apt-get may install it
	@for p in chromium chromium-browser google-chrome; do command -v "$$p" >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ]; then as=""; else as="sudo -n"; fi; \
	command -v apt-get >/dev/null && $$as true 2>/dev/null \
		&& $$as apt-get update -qq >/dev/null 2>&1 && $$as apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1 \
		|| echo "No Chromium here, and none could be installed: tests in a browser will be skipped."

test: $(EXTRAS) browser ## all tests, fast ones first
	$(RUN) -m pytest -m "not slow" -n 2 --dist loadfile --durations=25
	$(RUN) -m pytest -m "slow and not alone" -n 2 --dist loadfile --durations=25
	$(RUN) -m pytest -m "slow and alone" --durations=25

lint: $(STAMP) ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(STAMP) ## rewrite the code in the house format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean: ## remove the environment and all runs
	rm -rf $(VENV) runs
