# The one list of commands. Each does all of its own set-up; the first to run creates .venv.
PYTHON ?= python3.11
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help env demo test lint slurm-test oracle bench reproduce docs lock clean

help:            ## list the commands
	@grep -E '^[a-z-]+: .*##|^[a-z-]+: *##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

env: $(BIN)/.installed  ## create .venv with the pinned dependencies

$(BIN)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) --version 2>/dev/null | grep -q '^Python 3\.11\.' || { \
	  echo "memflow needs Python 3.11, and $(PYTHON) is not it. Install it (Debian 12: apt install python3.11-venv)," \
	  "or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "Python cannot create environments here. On Debian or Ubuntu: apt install python3.11-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: env        ## the default study: scores and figures from real images, in minutes
	snakemake --cores all --quiet host reason rules
	memflow summary

test: env        ## all tests
	pytest -n 2 --dist loadfile

lint: env        ## style, types, and the workflow's own lint
	ruff check .
	ruff format --check .
	mypy
	python -c 'from memflow.digest import check_imports; check_imports()'
	snakefmt --check Snakefile workflow
	snakemake --lint

CASES ?=
slurm-test: env  ## accidents on a real, throw-away SLURM (root, Debian or Ubuntu); minutes. One: CASES=chaos
	pytest tests/slurm/cases.py --verbose --durations 0 --durations-min 1 -k "$(CASES)"

oracle: env      ## the estimator against the exact scores of nearest neighbours, full size
	pytest tests/integration/test_oracle.py --oracle-sets 1000 --capture no

bench: env       ## what memflow promises about speed, measured here, beside its targets; minutes
	python benchmarks/run.py

reproduce: env   ## run the default study twice and compare every table and figure byte for byte
	python tests/integration/reproduce.py

docs: env        ## write docs/config.md anew from the schema of the config
	memflow config --reference > docs/config.md

lock: env        ## resolve the dependencies anew
	$(BIN)/python -m pip install --quiet pip-tools
	pip-compile --quiet --extra dev --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --output-file requirements.lock pyproject.toml

clean:           ## delete the results of the default study
	rm -rf results/digits
