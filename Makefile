# Two commands do everything on a machine with Python 3.11 or later, make and a C compiler: make demo, make test.
PYTHON ?= python3
VENV ?= .venv
SEED ?= 10
BIN = $(VENV)/bin
PLUGINS = otoscopy wbt ecg
# Its packages are too many for every environment: test-mlflow installs it.
HEAVY_PLUGINS = mlflow
MULTIVAE = .venv-multivae
DOCS = .venv-docs
FLOORS = .venv-floors
PACKAGES = -e . $(PLUGINS:%=-e plugins/%)
# One torch thread a test process: several processes with several threads each get in each other's way.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q

.PHONY: help demo reproduce test test-all lint wheels test-wheels test-plugins test-authors test-interruptions test-strangers test-mlflow test-combinations test-floors test-multivae test-report benchmarks docs pictures clean

help:  ## what there is to make
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/:/'

$(VENV)/.run: pyproject.toml constraints.txt $(PLUGINS:%=plugins/%/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt $(PACKAGES)
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install -q -c constraints.txt -r requirements-dev.txt
	touch $@

demo: $(VENV)/.run  ## a simulated cohort, training, 1,500 new pairs and the paper's figures, in runs/demo
	$(BIN)/python examples/otitis/demo.py --out runs/demo

reproduce: $(VENV)/.run  ## the recipes measured: cohort, judges, trainings, and the tables of examples/otitis/study/README.md
	$(BIN)/python examples/otitis/study reproduce --seed $(SEED)

test: $(VENV)/.dev lint  ## style, types and all tests
	$(PYTEST)

test-all: test test-wheels test-plugins test-authors test-interruptions test-strangers test-mlflow test-combinations test-multivae  ## that, and whatever takes longer or wants environments of its own

lint: $(VENV)/.dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheels: $(VENV)/.dev  ## every distribution, in dist/
	rm -rf dist
	for each in . $(PLUGINS:%=plugins/%) $(HEAVY_PLUGINS:%=plugins/%); do $(BIN)/python -m build -q -o dist $$each || exit 1; done

test-wheels: wheels  ## the wheels, installed into an environment of their own, away from the checkout
	$(BIN)/python tests/check_wheels.py dist constraints.txt

test-plugins: wheels  ## hostile neighbors: plugins that are broken in every way, installed beside good ones
	$(BIN)/python tests/check_plugins.py dist constraints.txt

test-authors: wheels  ## the tutorial, and what mmvae new writes, in a new environment
	$(BIN)/python tests/check_authors.py dist constraints.txt

test-interruptions: $(VENV)/.dev  ## trainings that are killed, and lose their disk, resumed
	$(BIN)/python tests/check_interruptions.py

test-strangers: $(VENV)/.dev  ## damaged files of every kind, thrown at their readers
	$(BIN)/python tests/check_fuzz.py --count 20000

test-mlflow: $(VENV)/.dev  ## the plugin mlflow, installed for it
	$(BIN)/python -m pip install -q -c constraints.txt -e plugins/mlflow
	$(PYTEST) plugins/mlflow

test-combinations: $(VENV)/.dev  ## every fusion with every metric loss and every sampler
	$(PYTEST) tests/test_combinations.py -m combinations

# Torch of the floor's version comes for CUDA on Linux, some gigabytes; TORCH puts another in its place, as TORCH=2.13.0.
# What was deprecated since is what a floor calls, so its warnings are no errors here.
TORCH ?=
ABOVE_FLOOR = tests/test_documents.py tests/test_site.py tests/test_readme.py tests/test_benchmarks.py tests/scaffold
test-floors:  ## all tests but those of the pages, with the lowest versions that pyproject.toml declares
	rm -rf $(FLOORS)
	$(PYTHON) -m venv $(FLOORS)
	$(FLOORS)/bin/python -m pip install -q packaging==23.2
	$(FLOORS)/bin/python tests/tools/floors.py pyproject.toml $(PLUGINS:%=plugins/%/pyproject.toml) $(TORCH:%=torch=%) > $(FLOORS)/floors.txt
	grep -vE '^(build|mypy|pre-commit|ruff|scipy-stubs)$$' requirements-dev.txt > $(FLOORS)/tests.txt
	$(FLOORS)/bin/python -m pip install -q -r $(FLOORS)/floors.txt -r $(FLOORS)/tests.txt $(PACKAGES)
	$(FLOORS)/bin/python -m pip check
	OMP_NUM_THREADS=1 $(FLOORS)/bin/python -m pytest -n 2 --dist worksteal -q -o filterwarnings=default tests $(ABOVE_FLOOR:%=--ignore=%)

# A browser is not among what every environment has: playwright brings one, unless there is a chromium.
BROWSER = .venv-browser
REPORT ?= runs/demo/run/report.html
$(BROWSER)/.run:
	$(PYTHON) -m venv $(BROWSER)
	$(BROWSER)/bin/python -m pip install -q playwright==1.65.2
	command -v chromium >/dev/null || $(BROWSER)/bin/python -m playwright install chromium
	npm install --silent --no-save --prefix $(BROWSER) axe-core@4
	touch $@

test-report: $(BROWSER)/.run  ## a report in a browser: make test-report REPORT=runs/otitis/report.html
	$(BROWSER)/bin/python tests/check_report.py $(REPORT) --axe $(BROWSER)/node_modules/axe-core/axe.min.js --out $(BROWSER)/screenshots

# MultiVae imports torchvision, of whose compiled operators it calls none.
$(MULTIVAE)/.run: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(MULTIVAE)
	$(MULTIVAE)/bin/python -m pip install -q -c constraints.txt $(PACKAGES) multivae==1.0.3 pytorch-msssim
	$(MULTIVAE)/bin/python -m pip install -q --no-deps torchvision==0.28.0
	touch $@

test-multivae: $(MULTIVAE)/.run  ## the fusions' objectives against MultiVae's, on the same weights and noise
	OMP_NUM_THREADS=1 $(MULTIVAE)/bin/python tests/check_multivae.py

benchmarks: $(VENV)/.dev  ## how fast it is, into benchmarks/PERFORMANCE.md; on an idle machine, some twenty minutes
	$(MAKE) $(MULTIVAE)/.run || rm -rf $(MULTIVAE)
	$(BIN)/python benchmarks/run.py --multivae $(MULTIVAE)/bin/python

# The site reads docstrings without importing anything, so it needs nothing of the package itself.
$(DOCS)/.run: docs/requirements.txt constraints.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install -q -c constraints.txt -r docs/requirements.txt
	touch $@

docs: $(DOCS)/.run $(VENV)/.dev  ## the documentation, in site/, with every block run and every link looked at
	$(PYTEST) tests/test_documents.py tests/test_readme.py
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build -q --strict
	$(DOCS)/bin/python docs/tools/check_site.py site

pictures: $(VENV)/.run  ## the concepts' pictures, and the quickstart as a notebook, made anew
	$(BIN)/python docs/tools/pictures.py docs/images/concepts
	$(BIN)/python docs/tools/notebook.py docs/quickstart.md docs/quickstart.ipynb

clean:  ## remove environments and what was built
	rm -rf $(VENV) $(MULTIVAE) $(BROWSER) $(DOCS) $(FLOORS) site dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
