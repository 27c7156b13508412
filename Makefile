# Needs Python 3.11 or later, make and a C compiler. `make help` lists the commands.
PYTHON ?= python3
SEED ?= 10
REPORT ?= runs/demo/run/report.html
STUDY ?= runs/study
RUN ?= runs/demo/run
# Version of torch for test-floors. On Linux, the lowest declared one comes with CUDA only, which is several gigabytes.
TORCH ?=
PLUGINS = otoscopy wbt ecg eeg nifti dicom
# Its dependencies are too many for every environment.
HEAVY_PLUGINS = mlflow omics
METADATA = pyproject.toml $(PLUGINS:%=plugins/%/pyproject.toml)
PACKAGES = -e . $(PLUGINS:%=-e plugins/%)
CONSTRAINTS = -c constraints.txt
DEV = .venv/.installed
BIN = .venv/bin
# One torch thread per test process: several processes with several threads slow each other down.
PYTEST_ARGS = -m pytest -n 2 --dist worksteal -q
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST_ARGS)

SLOW = wheels plugins authors interruptions strangers mlflow omics combinations multivae

.PHONY: help demo reproduce test test-all lint docs pictures benchmarks benchmark-real wheels clean $(SLOW:%=test-%) test-floors test-report test-site test-study test-explore

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-18s %s\n", $$1, $$2}' Makefile

# One rule makes every environment: from this project's packages and from the lists in requirements/ that it depends on.
ENVIRONMENTS = .venv .venv-browser .venv-core .venv-floors .venv-mlflow .venv-multivae .venv-omics
.venv/.installed: requirements/dev.txt requirements/tests.txt
.venv-browser/.installed: requirements/browser.txt
.venv-core/.installed: PACKAGES = .
.venv-floors/.installed: requirements/floors.txt requirements/tests.txt
.venv-floors/.installed: CONSTRAINTS =
.venv-mlflow/.installed: requirements/mlflow.txt requirements/tests.txt
.venv-multivae/.installed: requirements/multivae.txt
# The oracle of tests/test_mechanism.py; all that it needs is there, though not in the versions that it asks for.
.venv/.installed: ORACLES = dp-accounting
# Two thirds of its code is never imported; the rest is compiled when it is, once.
.venv/.installed: COMPILE = --no-compile
unexport PYTHONDONTWRITEBYTECODE
# anndata 0.12 needs pandas 2.
.venv-omics/.installed: requirements/omics.txt requirements/tests.txt build/constraints-omics.txt
.venv-omics/.installed: CONSTRAINTS = -c build/constraints-omics.txt
build/constraints-omics.txt: constraints.txt
	mkdir -p $(@D)
	sed 's/^pandas==.*/pandas==2.3.3/' $< > $@
$(ENVIRONMENTS:%=%/.installed): constraints.txt $(METADATA)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install -q $(CONSTRAINTS) hatchling editables
	$(@D)/bin/python -m pip install -q --no-build-isolation $(COMPILE) $(CONSTRAINTS) $(PACKAGES) $(patsubst %,-r %,$(filter requirements/%,$^))
	$(if $(ORACLES),$(@D)/bin/python -m pip install -q --no-deps $(CONSTRAINTS) $(ORACLES))
	touch $@

demo: $(DEV)  ## simulate a cohort, train, generate 1,500 pairs
	$(BIN)/python examples/otitis/demo.py --out runs/demo

reproduce: $(DEV)  ## repeat the otitis study; SEED=10
	$(BIN)/python examples/otitis/study reproduce --seed $(SEED)

test: $(DEV) lint  ## check style and types, run all tests
	$(PYTEST)

test-all: test $(SLOW:%=test-%)  ## run the slower tests below as well

lint: $(DEV)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(DEV)  ## build site/, run its code and notebooks, check its links
	$(PYTEST) tests/test_documents.py tests/test_readme.py
	$(BIN)/python docs/tools/notebook.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q --strict
	$(BIN)/python docs/tools/check_site.py site

pictures: $(DEV)  ## redraw the pictures of concepts and gallery, rewrite the notebooks
	$(BIN)/python docs/tools/pictures.py docs/images/concepts
	$(BIN)/python docs/tools/gallery.py docs/images/gallery
	$(BIN)/python docs/tools/notebook.py

benchmarks: $(DEV)  ## measure speed; 20 minutes
	$(MAKE) .venv-multivae/.installed || rm -rf .venv-multivae
	$(BIN)/python benchmarks/run.py --multivae .venv-multivae/bin/python

benchmark-real: .venv-multivae/.installed  ## compare with MultiVae on real data; hours
	OMP_NUM_THREADS=1 .venv-multivae/bin/python benchmarks/real.py --page docs/benchmark.md

wheels: $(DEV)  ## build every distribution in dist/
	rm -rf dist
	for each in . $(PLUGINS:%=plugins/%) $(HEAVY_PLUGINS:%=plugins/%); do $(BIN)/python -m build -q --no-isolation -o dist $$each || exit 1; done

test-wheels: wheels .venv-core/.installed  ## check the distributions, use the wheels in a new environment
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/python tests/check_wheels.py dist constraints.txt .venv-core

test-plugins: wheels .venv-core/.installed  ## install broken and hostile plugins beside good ones
	$(BIN)/python tests/check_plugins.py dist constraints.txt .venv-core

test-authors: wheels .venv-core/.installed  ## run the tutorial in a new environment
	$(BIN)/python tests/check_authors.py dist constraints.txt .venv-core

test-interruptions: $(DEV)  ## kill commands, fill their disk, rerun them
	$(BIN)/python tests/check_interruptions.py

test-strangers: $(DEV)  ## read damaged files of every kind
	$(BIN)/python tests/check_fuzz.py --count 20000

test-mlflow: .venv-mlflow/.installed  ## test the plugin mlflow
	OMP_NUM_THREADS=1 .venv-mlflow/bin/python $(PYTEST_ARGS) plugins/mlflow

test-omics: .venv-omics/.installed  ## test the plugin omics
	OMP_NUM_THREADS=1 .venv-omics/bin/python $(PYTEST_ARGS) plugins/omics

test-combinations: $(DEV)  ## train every fusion with every loss and sampler; export every modality
	$(PYTEST) tests/test_combinations.py tests/test_programs.py -m combinations

# Newer versions deprecate what the lowest ones need, so warnings are not errors here.
NOT_FLOORS = tests/test_documents.py tests/test_site.py tests/test_readme.py tests/test_benchmarks.py tests/scaffold
test-floors:  ## test the lowest declared versions; TORCH=2.13.0
	rm -rf .venv-floors
	$(PYTHON) tests/tools/floors.py $(METADATA) $(TORCH:%=torch=%) > requirements/floors.txt
	$(MAKE) .venv-floors/.installed
	.venv-floors/bin/python -m pip check
	OMP_NUM_THREADS=1 .venv-floors/bin/python $(PYTEST_ARGS) -o filterwarnings=default tests $(NOT_FLOORS:%=--ignore=%)

test-multivae: .venv-multivae/.installed  ## compare objectives and likelihoods with MultiVae's
	OMP_NUM_THREADS=1 .venv-multivae/bin/python tests/check_multivae.py

.venv-browser/node_modules: .venv-browser/.installed
	command -v chromium >/dev/null || .venv-browser/bin/python -m playwright install chromium
	npm install --silent --no-save --prefix .venv-browser axe-core@4
	touch $@

test-report: .venv-browser/node_modules  ## test a report in a browser; REPORT=report.html
	.venv-browser/bin/python tests/check_report.py $(REPORT) --axe $</axe-core/axe.min.js --out .venv-browser/screenshots

test-study: .venv-browser/node_modules  ## answer a study in a browser; STUDY=folder
	.venv-browser/bin/python tests/check_study.py $(STUDY) --axe $</axe-core/axe.min.js --out .venv-browser/study

test-explore: .venv-browser/node_modules  ## explore a run in a browser; RUN=folder
	.venv-browser/bin/python tests/check_explore.py $(RUN) --axe $</axe-core/axe.min.js --out .venv-browser/explore

test-site: .venv-browser/node_modules  ## read the site of make docs in a browser
	.venv-browser/bin/python tests/check_site_browser.py site/index.html --axe $</axe-core/axe.min.js --out .venv-browser/site

clean:  ## remove environments and build results
	rm -rf $(ENVIRONMENTS) requirements/floors.txt site dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
