# make demo    installs, trains with and without rebalancing on images that come with a dependency
# make test    installs, then lint, types and every test that needs no GPU
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := $(BIN)/bradd pretrain --config docs/demo.yaml --overwrite

.PHONY: demo test lint install clean

demo: install
	$(DEMO) --out runs/demo/without --cycles 1 --epochs_per_cycle 45
	$(DEMO) --out runs/demo/with --cycles 3 --epochs_per_cycle 15
	$(BIN)/bradd evaluate --run runs/demo/without,runs/demo/with
	$(BIN)/bradd report --run runs/demo/with --picture runs/demo/anchors.png

test: install lint
	$(BIN)/pytest

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("bradd needs Python 3.11 to 3.13: make PYTHON=python3.12 ..." if not (3, 11) <= sys.version_info < (3, 14) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache
