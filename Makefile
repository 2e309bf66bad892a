# make demo    installs, trains with and without rebalancing on images that come with a dependency
# make test    installs, then lint, types, documentation and every test that needs no GPU
# make docs    builds the documentation into site/
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := $(BIN)/bradd pretrain --config docs/demo.yaml --overwrite

.PHONY: demo test lint docs install clean

demo: install
	$(DEMO) --out runs/demo/without --cycles 1 --epochs_per_cycle 45
	$(DEMO) --out runs/demo/with --cycles 3 --epochs_per_cycle 15
	$(BIN)/bradd evaluate --run runs/demo/without,runs/demo/with
	$(BIN)/bradd report --run runs/demo/with --picture runs/demo/anchors.png

test: install lint docs
	$(BIN)/pytest

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# A warning is an error, but not with --quiet. The variable silences news of a theme to come.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("bradd needs Python 3.11 to 3.13: make PYTHON=python3.12 ..." if not (3, 11) <= sys.version_info < (3, 14) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) runs site .pytest_cache .mypy_cache .ruff_cache
