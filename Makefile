# make venv    everything that streamrnn needs, in .venv, as requirements.lock says; needs Python 3.11 or newer
# make demo    the daemon on an embedded log and a bundled stream
# make test    all tests but the long ones; those against a broker need Java 17 and Maven, or KAFKA_BOOTSTRAP_SERVERS, those of the page Chromium
# make long    the long tests
# make faults  inject every fault, over either Kafka client, with a table of what came of it; about half an hour
# make check   lint, format and types
# make bench   the benchmarks; ARGS=--help says what may be chosen
# make ablate  what each part of the forecaster is worth; ARGS=--help says what may be chosen
# make generate  generate the dashboards and the tables of docs/reference from the code and config/streamrnn.yaml
# make pictures  draw the pictures of docs/explanation/models.md; needs the extra `report`
# make lock    write requirements.lock anew; needs uv
# make clean   remove what the other targets have made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help venv demo test long faults check bench ablate generate pictures lock clean

help:
	@sed -n 's/^# make/make/p' Makefile

venv: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "streamrnn needs Python 3.11 or newer, and '$(PYTHON)' is not: name another, make PYTHON=python3.11 venv" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "'$(PYTHON)' lacks the modules venv and ensurepip: install them, on Debian by apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: venv
	$(BIN)/streamrnn demo

test: venv
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder -m "not long and not faults"

long: venv
	$(BIN)/python -m pytest -m long

faults: venv
	$(BIN)/python -m pytest tests/faults --numprocesses=3 --dist=worksteal

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: venv
	PYTHONPATH=tests:. $(BIN)/python -m benchmarks.bench $(ARGS)

ablate: venv
	PYTHONPATH=tests:. $(BIN)/python -m benchmarks.ablate $(ARGS)

generate: venv
	$(BIN)/python deploy/generate.py

pictures: venv
	PYTHONPATH=tests:. $(BIN)/python -m benchmarks.pictures

lock:
	uv pip compile --generate-hashes --all-extras --no-emit-index-url --no-annotate --python-version 3.11 --universal \
		pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) build dist demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis streamrnn.egg-info
	find streamrnn tests -name __pycache__ -type d -prune -exec rm -rf {} +
