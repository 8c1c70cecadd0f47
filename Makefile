# make venv      create .venv with everything in requirements.lock; needs Python 3.11 or newer
# make demo      run the daemon on an embedded log and a bundled stream, without torch if make venv has not run
# make set-up    install Java, Maven, Prometheus and Chromium for the tests, by apt-get where that is permitted
# make test      run all tests but the long ones; without the tools of set-up some are skipped
# make long      run the long tests; SOAK_MINUTES=30 is how long one of them loads a daemon, 6 by default
# make faults    run the fault injection tests with either Kafka client and print a table; takes about half an hour
# make check     lint, check formatting, types and the links of the documentation
# make docs      build the documentation site into build/site
# make bench     run the benchmarks; ARGS=--help lists the options
# make bench-compare  compare the ratios of the last make bench with the stored ones, and fail if one is worse
# make ablate    measure the forecaster without each of its parts; ARGS=--help lists the options
# make golden    write tests/laws/golden.json, the digests of the outputs, where outputs are meant to change
# make generate  write the dashboards and the generated tables of the documentation
# make manifests  write deploy/kubernetes/streamrnn.yaml from the Helm chart; needs helm
# make pictures  draw the pictures of the documentation; needs the extras `report` and `holidays`, and Chromium
# make lock      write requirements.lock; needs uv
# make release   build wheel, sdist, bill of materials and checksums of the last commit in dist; deploy/release.py has more
# make clean     remove what the other targets have created

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SMALL := build/demo

# The tests start hundreds of processes, each of which would compile the sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help venv demo set-up test long faults check bench bench-compare ablate golden generate manifests docs pictures lock release clean

help:
	@sed -n 's/^# make/make/p' Makefile

venv: $(STAMP)

# $(call create_venv,FOLDER)
define create_venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "streamrnn needs Python 3.11 or newer, and '$(PYTHON)' is older: choose another, such as make PYTHON=python3.11 venv" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "'$(PYTHON)' lacks the modules venv and ensurepip: install them; on Debian, apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(1)
endef

$(STAMP): requirements.lock pyproject.toml
	$(call create_venv,$(VENV))
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $(STAMP)

# On a fresh machine all of requirements.lock would take minutes, and torch 5 GB: the demo needs a tenth of it.
demo: $(if $(wildcard $(STAMP)),venv,$(SMALL)/.installed)
	$(if $(wildcard $(STAMP)),$(BIN),$(SMALL)/bin)/streamrnn demo

$(SMALL)/.installed: requirements.lock pyproject.toml
	$(call create_venv,$(SMALL))
	sed -n 's/^\([a-z0-9].*[^ ]\) *\\$$/\1/p' requirements.lock > $(SMALL)/versions.txt
	$(SMALL)/bin/python -m pip install --disable-pip-version-check --quiet -c $(SMALL)/versions.txt -e '.[report]'
	@touch $@

set-up:
	@PYTHON=$(PYTHON) tests/set_up.sh

test: set-up venv
	$(BIN)/python tests/warm_up.py
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder -m "not long and not faults"

long: set-up venv
	$(BIN)/python -m pytest -m long

faults: set-up venv
	$(BIN)/python -m pytest tests/faults --numprocesses=2 --dist=worksteal

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python deploy/build_site.py

docs: venv
	$(BIN)/python deploy/build_site.py

bench: venv
	$(BIN)/python tests/warm_up.py
	PYTHONPATH=tests:. $(BIN)/python -m benchmarks.bench $(ARGS)

bench-compare: venv
	PYTHONPATH=tests:. $(BIN)/python -m benchmarks.results $(ARGS)

ablate: venv
	PYTHONPATH=tests:. $(BIN)/python -m benchmarks.ablate $(ARGS)

golden: venv
	PYTHONPATH=tests:. $(BIN)/python -m support.golden

generate: venv
	$(BIN)/python deploy/generate.py

manifests:
	helm template streamrnn deploy/helm/streamrnn --namespace default > deploy/kubernetes/streamrnn.yaml

pictures: venv
	PYTHONPATH=tests:. $(BIN)/python -m benchmarks.pictures
	PYTHONPATH=tests:. $(BIN)/python -m benchmarks.example_pictures

lock:
	uv pip compile --generate-hashes --all-extras --no-emit-index-url --no-annotate --python-version 3.11 --universal \
		pyproject.toml -o requirements.lock

release: venv
	$(BIN)/python deploy/release.py build

clean:
	rm -rf $(VENV) build dist demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis streamrnn.egg-info
	find streamrnn benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +
