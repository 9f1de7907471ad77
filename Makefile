# Two commands: `make demo` shows Fairlead at work, `make test` proves it. Both set themselves up in .venv.
# Needs Python 3.11 with pip, and make; uv is used where it is on the PATH.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)
STAMP  := $(VENV)/.ready
DEMO   ?= demo

export MLFLOW_DISABLE_TELEMETRY = true
export PYTHONHASHSEED = 0

# Debian's Python may come without ensurepip; virtualenv, which pip installs, then does the same.
define new_venv
$(PYTHON) -m venv $(1) 2>/dev/null || { rm -rf $(1); $(PYTHON) -m pip install --quiet --target build/virtualenv virtualenv && PYTHONPATH=build/virtualenv $(PYTHON) -m virtualenv --quiet $(1); }
endef

.PHONY: help setup demo test format lint types floors unit long wheel synthetic lock bench clean

help:
	@echo "make demo   synthetic tables -> trained models -> routed leads, forecasts, warnings, driver report"
	@echo "make test   format, lint, types, import floors, tests, and the wheel run from a clean environment"
	@echo "make long   coverage and quality studies that take minutes;  make bench   speed and quality figures"

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
ifdef UV
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	$(call new_venv,$(VENV))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endif
	@touch $(STAMP)

setup: $(STAMP)

demo: $(STAMP)
	@$(BIN)/fairlead demo --out $(DEMO)

test: format lint types floors unit wheel
	@echo "All checks passed. Next: make demo, then open $(DEMO)/index.html; benchmarks/README.md lists the figures and their commands."

format: $(STAMP)
	$(BIN)/ruff format --check .

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

floors: $(STAMP)
	$(BIN)/lint-imports

# Two workers have two cores: threads within them would only wait for one another.
unit: $(STAMP)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not long"

long: $(STAMP)
	$(BIN)/python -m pytest -q -m long

# The wheel as a stranger gets it: no lock, no extras, no checkout in sight.
wheel: $(STAMP)
	rm -rf dist build/clean
	$(BIN)/python -m build --no-isolation --wheel --outdir dist . > /dev/null
ifdef UV
	$(UV) venv --quiet --python $(PYTHON) build/clean/venv
	$(UV) pip install --quiet --python build/clean/venv/bin/python dist/*.whl
else
	$(call new_venv,build/clean/venv)
	build/clean/venv/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
endif
	mkdir -p build/clean/run
	cd build/clean/run && ../venv/bin/fairlead synth data --reps 12 --months 12 --seed 3 > /dev/null \
	  && ../venv/bin/fairlead check --data data --home . > /dev/null \
	  && ../venv/bin/fairlead train --data data --home . > /dev/null \
	  && ../venv/bin/fairlead explain --data data --home . --out report > /dev/null \
	  && test -s report/report.html && echo "wheel: installed and run from another folder"

synthetic: $(STAMP)
	$(BIN)/python -m features.synthetic

lock:
	uv pip compile pyproject.toml --group dev --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements.lock

bench: $(STAMP)
	$(BIN)/python -m benchmarks

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
