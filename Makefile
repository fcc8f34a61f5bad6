# `make` shows what there is. Needs git, make and Python 3.11 or newer, and no Docker.
# Works with GNU make 3.81, which macOS has: no .ONESHELL, no .SHELLFLAGS.

.DEFAULT_GOAL := help
.PHONY: help env lab test test-python coverage prove book serve links bench clean

VENV := .venv
BIN  := $(VENV)/bin

# A Python for the environment: a version (3.12) or a path. Without it uv takes what is there.
PYTHON ?=
CHOICE := $(if $(PYTHON),--python $(PYTHON))

# What `lab prove --help` shows: labs, lengths, runtimes.
PROVE ?= --changed

# A start script may be there and lead nowhere (pyenv's shims), so uv is asked and not only found.
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .uv/bin/uv)

help:  ## what there is
	@echo 'make WHAT'
	@sed -n 's/^\([a-z-]*\):.*## /\1:/p' $(MAKEFILE_LIST) | \
	  awk -F: '{ what = $$1; sub(/^[^:]*:/, ""); printf "  %-12s %s\n", what, $$0 }'

env: $(filter .uv/bin/uv,$(UV))  ## the set-up alone: packages as locked, models from the data
	@$(UV) sync --frozen --check --quiet $(CHOICE) 2>/dev/null || \
	  $(UV) sync --frozen --compile-bytecode $(CHOICE)
	@$(BIN)/lab models --quiet

lab: env  ## set up what is missing and open the labs; LAB=serving/web-single opens that one
	@$(BIN)/lab open $(LAB)

test: env  ## is the software right? style, types, units, every lab once, the book; Docker if there
	@$(BIN)/python tests/suite.py

prove: env  ## do the claims hold? of labs that have changed, or PROVE='serving/web-single --full'
	@$(BIN)/lab prove $(PROVE)

test-python: $(filter .uv/bin/uv,$(UV))  ## the unit tests on another Python: PYTHON=3.12
	@test -n '$(PYTHON)' || { echo 'Say which Python: make test-python PYTHON=3.12' >&2; exit 2; }
	@UV_PROJECT_ENVIRONMENT='.venv-$(notdir $(PYTHON))' \
	  $(UV) sync --frozen --compile-bytecode --quiet $(CHOICE)
	@.venv-$(notdir $(PYTHON))/bin/lab models --quiet
	@.venv-$(notdir $(PYTHON))/bin/pytest -m 'not docker' \
	  --ignore tests/notebooks --ignore tests/browser --ignore tests/binder

coverage: PYTHON := $(or $(PYTHON),3.13)
coverage: $(filter .uv/bin/uv,$(UV))  ## lines of lab_services that no unit test reaches; held at what it is
	@UV_PROJECT_ENVIRONMENT='.venv-$(notdir $(PYTHON))' \
	  $(UV) sync --frozen --compile-bytecode --quiet --python $(PYTHON)
	@.venv-$(notdir $(PYTHON))/bin/lab models --quiet
	@rm -rf _build/coverage && mkdir -p _build/coverage
	@PATH="$$PWD/.venv-$(notdir $(PYTHON))/bin:$$PATH" COVERAGE_CORE=sysmon \
	  coverage run -m pytest -q -n logical --maxprocesses=4 --dist=loadgroup \
	  --ignore tests/notebooks --ignore tests/browser --ignore tests/binder
	@.venv-$(notdir $(PYTHON))/bin/coverage combine -q
	@.venv-$(notdir $(PYTHON))/bin/coverage report

book: env  ## build the book into _build/html; BOOK='--runtime docker' asks for runs in containers
	@$(BIN)/python -m lab_services.book $(BOOK)

serve: env  ## build the book and show it at http://127.0.0.1:8000, or at PORT=8001
	@$(BIN)/python -m lab_services.book $(BOOK) --serve $(PORT)

links: book  ## ask the addresses that the book gives whether they are still there
	@$(BIN)/jupyter-book build _build/source --path-output _build/links --builder linkcheck

bench: env  ## how fast, how small: ratios measured side by side, minutes
	@failed=; for file in tests/bench/bench_*.py; do \
	  echo "== $$file"; $(BIN)/python $$file || failed="$$failed $$file"; \
	done; test -z "$$failed" || { echo "Not reached:$$failed" >&2; exit 1; }

clean:  ## remove what was built from the sources: the book and the tools' caches
	rm -rf _build .mypy_cache .ruff_cache .pytest_cache
	find book labs lab_services tests -name __pycache__ -prune -exec rm -rf {} +

# No uv here: a private one, without any rights on the machine.
.uv/bin/uv:
	@echo 'Getting uv, which installs the packages, into .uv'
	@python3 -m venv .uv || { rm -rf .uv; echo 'Python cannot make a virtual environment here.' \
	  'Debian and Ubuntu: apt-get install python3-venv. Or install uv by yourself.' >&2; exit 1; }
	@.uv/bin/pip install --quiet --disable-pip-version-check uv
