# Needs git, make and Python 3.11 or newer; everything else is installed into ./.venv.
.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.PHONY: help demo test quick lint bench faults schemas docs setup constraints clean

PYTHON ?=
export PYTHON
py := .venv/bin/python
# Tests that share nothing with each other, and run on all cores; the rest drives real brokers and servers, one by one.
pure := core property shell bench
poms := $(wildcard pom.xml tests/pom.xml tests/*/pom.xml)

help: ## this list
	@echo "channel-monitor. Start with 'make demo'."
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=python3.12 chooses the interpreter of ./.venv; PYTEST_ARGS='-k words' narrows 'make test';"
	@echo "  pip's own settings (mirror, proxy, cache) are honoured."

demo: ## simulate a season of parcels and open the live monitor on it (Ctrl-C ends it)
	@sh deploy/setup.sh runtime
	@sh deploy/demo.sh

test: setup ## all tests; installs or names the system programs they need
	@sh deploy/system-packages.sh
	@command -v mvn >/dev/null || exit 0; for pom in $(poms); do \
	    echo "maven: $$pom" >&2; mvn --batch-mode --quiet --file "$$pom" verify || exit 1; done
	@a=0; $(py) -m pytest -m "not bench" -n auto --dist loadfile $(pure:%=tests/%) $(PYTEST_ARGS) || a=$$?; \
	    b=0; $(py) -m pytest -m "not bench" tests $(pure:%=--ignore=tests/%) $(PYTEST_ARGS) || b=$$?; \
	    case $$a$$b in 00|05|50) ;; *) exit 1;; esac # 5: no test was chosen

quick: setup ## the tests of the core, on all cores of the machine (seconds)
	@$(py) -m pytest -q -n auto --dist loadfile tests/core $(PYTEST_ARGS)

lint: setup ## ruff, mypy --strict and the import rules
	$(py) -m ruff check .
	$(py) -m ruff format --check .
	$(py) -m mypy
	.venv/bin/lint-imports --no-logo

bench: setup ## measure speed (minutes)
	@$(py) -m pytest -m bench tests/bench $(PYTEST_ARGS)

faults: setup ## kill workers and brokers for half an hour; says what it did (FAULTS_SEED=7 repeats a run)
	@sh deploy/system-packages.sh
	@mvn --batch-mode --quiet --file tests/kafka/pom.xml verify
	@FAULTS=long $(py) -m pytest -q -s --timeout=3600 tests/integration/test_kafka_faults.py \
	    tests/integration/test_kafka_input.py $(PYTEST_ARGS)

schemas: setup ## write schemas/ anew from the models and the layout of the topics
	@$(py) -m monitor.wire.schemas
	@$(py) -m monitor.asyncapi schemas/asyncapi.json

docs: setup ## write docs/settings.md anew from the settings
	@$(py) -m monitor.settings_docs docs/settings.md

setup: ## ./.venv with everything for developing (done by the others when needed)
	@sh deploy/setup.sh dev

constraints: ## resolve the newest packages and write constraints.txt anew
	@sh deploy/constraints.sh

clean: ## remove what make made: ./.venv, ./demo-data, caches (./data is kept)
	@rm -rf .venv demo-data build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
