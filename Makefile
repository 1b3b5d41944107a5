# Everything a person or CI does with the project. `make help` lists it.
#   make run     set up what the archive needs and serve it on http://127.0.0.1:7071
#   make test    set up what the tests need and pass the whole suite

PORT   ?= 7071
DATA   ?= data
INBOX  ?= inbox
STORE  ?=
ARGS   ?=

# The first interpreter that is new enough; say PYTHON=... to choose another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
    "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

VENV   := .venv
PY     := $(VENV)/bin/python
# A stamp says that what stands in its prerequisites is installed, so that the second time costs nothing.
RUNTIME_STAMP := $(VENV)/.runtime-installed
DEV_STAMP     := $(VENV)/.dev-installed
INFRA_STAMP   := .venv-infra/.installed
NODE_STAMPS   := node_modules/.package-lock.json localhost/fhir/node_modules/.package-lock.json
INSTALL := $(PY) -m pip install --disable-pip-version-check --require-hashes

CODE := function_app.py functions shared localhost samples tools tests

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests run test check format infra advisories package e2e bench lock clean

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(RUNTIME_STAMP)  ## make .venv and install the locked requirements

setup-tests: $(DEV_STAMP) $(NODE_STAMPS)  ## install what tests and checks need besides, storage emulator and FHIR server too

run: setup  ## store the sample study and serve it; PORT=, DATA=, INBOX=, STORE=embedded|azurite, ARGS=
	@$(PY) -m localhost --port $(PORT) --data $(DATA) --inbox $(INBOX) --when-ready samples.welcome $(if $(STORE),--store $(STORE)) $(ARGS)

test: setup-tests  ## pass the whole suite
	$(PY) -m pytest $(ARGS)

check: $(DEV_STAMP)  ## format, lint, types, imports, unit tests
	$(VENV)/bin/ruff format --check $(CODE)
	$(VENV)/bin/ruff check $(CODE)
	$(VENV)/bin/mypy $(CODE)
	$(VENV)/bin/lint-imports
	$(PY) -m pytest -q tests/unit tests/test_architecture.py tests/test_docs.py

format: $(DEV_STAMP)  ## put the code into shape
	$(VENV)/bin/ruff check --fix $(CODE)
	$(VENV)/bin/ruff format $(CODE)

infra: $(DEV_STAMP) $(INFRA_STAMP)  ## examine the Azure templates: our own tests, checkov's policies, and the compiler where it is installed
	$(PY) -m pytest -q tests/infra
	.venv-infra/bin/checkov --config-file infra/.checkov.yaml
	tools/compile_templates.sh

advisories: $(INFRA_STAMP)  ## look up known weaknesses of the locked packages
	.venv-infra/bin/pip-audit --disable-pip --require-hashes --progress-spinner off -r requirements.txt

package:  ## zip the committed code that is published to a function app: build/archive.zip
	@mkdir -p build
	git archive --format=zip --output=build/archive.zip HEAD function_app.py host.json requirements.txt functions shared

e2e: setup-tests  ## the running host, spoken to by an independent client; STORE=embedded|azurite for one of the two
	$(PY) -m pytest tests/e2e tests/conformance $(if $(STORE),--host $(STORE)) $(ARGS)

bench: $(DEV_STAMP)  ## measure, beside the peer where it is installed; ARGS="--quick --only retrieve"
	$(PY) -m tests.bench $(ARGS)

lock: $(DEV_STAMP)  ## compile the locked requirements anew from pyproject.toml; ARGS=--upgrade raises them
	$(VENV)/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-emit-index-url -q $(ARGS) -o requirements.txt
	$(VENV)/bin/uv pip compile pyproject.toml --group dev -c requirements.txt --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-emit-index-url -q $(ARGS) -o requirements-dev.txt
	$(VENV)/bin/uv pip compile --group infra --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-emit-index-url -q $(ARGS) -o requirements-infra.txt

clean:  ## remove what was installed; DATA and INBOX stay
	rm -rf $(VENV) .venv-infra node_modules localhost/fhir/node_modules .cache build

$(VENV)/bin/pip:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found. Install it, or say PYTHON=/path/to/python3."; exit 1; }
	@echo "Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "Could not make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

$(RUNTIME_STAMP): requirements.txt | $(VENV)/bin/pip
	@echo "Installing the run-time requirements (some 50 packages; only this first time)"
	$(INSTALL) -r requirements.txt
	@touch $@

$(DEV_STAMP): requirements-dev.txt requirements-worker.txt | $(VENV)/bin/pip
	@echo "Installing the requirements of tests and checks (only this first time)"
	$(INSTALL) -r requirements-dev.txt
	$(INSTALL) --no-deps --ignore-requires-python -r requirements-worker.txt
	@touch $(RUNTIME_STAMP) $@

# checkov brings a hundred packages and pins many exactly, an older parser than our tests' among them, so that it lives apart.
$(INFRA_STAMP): requirements-infra.txt | $(VENV)/bin/pip
	@echo "Installing checkov (some 100 packages; only this first time)"
	$(PY) -m venv .venv-infra
	.venv-infra/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements-infra.txt
	@touch $@

# npm writes these itself when all is there; localhost/node.py asks for the same ones.
node_modules/.package-lock.json: package-lock.json package.json
localhost/fhir/node_modules/.package-lock.json: localhost/fhir/package-lock.json localhost/fhir/package.json
$(NODE_STAMPS):
	@command -v npm >/dev/null || { echo "The tests need Node 20 with npm, for storage emulator and FHIR server. The archive itself does not."; exit 1; }
	@echo "Installing the Node packages of $(<D) (only this first time)"
	cd $(<D) && npm ci --no-progress
	@touch $@
