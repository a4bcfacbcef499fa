# Everything a contributor or a machine does with this checkout. `make help` lists it.
# Nothing here fetches anything but packages, and those only through pip.

PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2

BIN   := $(VENV)/bin
STAMP := $(VENV)/.credo-installed
NOTEBOOKS := $(patsubst tutorials/%.py,build/tutorials/%.ipynb,$(wildcard tutorials/*.py))
SOURCES   := $(shell find ppl tutorials/report -name '*.py')

# With several test processes, one thread each: more threads than cores make small torch programs many times slower.
PYTEST := OMP_NUM_THREADS=1 MPLBACKEND=Agg $(BIN)/python -m pytest -n $(JOBS)

# Most tests run a compiled function once or twice: XLA compiles a quarter faster without the costliest passes of LLVM,
# which change no meaning. `make test-all` compiles as users do.
QUICKLY := XLA_FLAGS=--xla_llvm_disable_expensive_passes=true

# pyright comes with the wheel; without this it would ask the network whether a newer one exists.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DELETE_ON_ERROR:
.PHONY: help setup demo test test-all bench lint types tutorials clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv and install the package with everything it needs

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[dev,demo]"
	@touch $@

demo: $(STAMP) ## run the quickstart
	$(BIN)/python tutorials/quickstart.py

test: $(STAMP) ## run the tests, without those marked slow
	$(QUICKLY) $(PYTEST)

test-all: $(STAMP) ## run every test
	$(PYTEST) -m ""

bench: $(STAMP) ## run the benchmarks
	$(BIN)/python -m benchmarks

lint: $(STAMP) ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## check types
	$(BIN)/pyright --pythonpath $(BIN)/python

tutorials: $(NOTEBOOKS) ## render the tutorials, with their outputs, into build/tutorials

build/tutorials/%.ipynb: tutorials/%.py $(SOURCES) $(STAMP)
	@mkdir -p $(@D)
	$(BIN)/jupytext --quiet --to ipynb --output $@ $<
	PYTHONPATH=$(CURDIR)/tutorials $(BIN)/jupyter-execute --inplace --kernel_name=python3 $@

clean: ## remove what the targets above have made, except .venv
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find $(wildcard ppl tests tutorials benchmarks) -name __pycache__ -type d -prune -exec rm -rf {} +
