# Two commands are all the set-up there is: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
USABLE := $(VENV)/.usable
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
GRID ?= default
BENCH ?=
SIZES ?= full
MARKS ?= not nightly
ADAPTERS := flower nvflare pfl
VENVS := .venvs

# A first run leaves compiled modules for the processes that the tests start, and for the next run.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test slow nightly explore floors lint types bench bench-peers functions-peers device-check docs dist report clean \
	$(ADAPTERS:%=adapter-%) \
	executor-ray executor-submitit
.SECONDARY:

# What it takes to use robustfl; developers' tools come on top.
$(USABLE): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(READY): $(USABLE)
	$(PIP) --editable '.[dev]'
	touch $@

$(VENV)/.docs $(VENV)/.release: $(VENV)/.%: $(USABLE)
	$(PIP) --editable '.[$*]'
	touch $@

demo: $(USABLE)  ## install, then score eight defenses against eight attacks on real data
	$(BIN)/robustfl run quickstart --out runs/quickstart

test: $(READY)  ## all tests but the slowest
	$(BIN)/python -m pytest -n auto -m "not slow and not nightly"

nightly: $(READY)  ## long measurements and audits, which .ci/run leaves out
	$(BIN)/python -m pytest -n auto -m nightly

# A tenth of the files have such tests, and to collect all tests takes longer than to find these files.
SLOW = $(shell grep -rl --include='test_*.py' 'mark[.]slow' tests)

slow: $(READY)  ## the tests that take longest, a few minutes in all
	$(BIN)/python -m pytest -n auto --dist worksteal -m "slow and not together" $(SLOW)
	$(BIN)/python -m pytest -m "slow and together" $(SLOW)

explore: $(READY)  ## property tests alone, with more examples where a test sets no number of its own
	$(BIN)/python -m pytest -n auto -m hypothesis --hypothesis-profile=explore

floors:  ## install the lowest versions that are declared in a folder of their own, and try them
	$(PYTHON) .ci/floors

# The frameworks have tight pins, so each lives in an environment of its own. What a few tests import is a small part of
# it, so nothing is compiled before it is imported; but Ray gives its processes seconds to start.
APART = -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	$(if $(filter ray,$*),--compile,--no-compile)

$(VENVS)/%/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENVS)/$*
	$(VENVS)/$*/bin/python $(APART) torch
	$(VENVS)/$*/bin/python $(APART) --editable '.[$*,testing]' pytest-benchmark $(ALSO_$*)
	touch $@

ALSO_flower := 'flwr[simulation]>=1.22'

$(ADAPTERS:%=adapter-%): adapter-%: $(VENVS)/%/.ready  ## a framework's adapter, inside the framework itself
	$(VENVS)/$*/bin/python -m pytest tests/adapters/$* -m "$(MARKS)"
	$(VENVS)/$*/bin/python -m pytest tests/test_doctests.py -k "adapters.$*"

# Each is read from its own package, without what it declares beside: two of them would bring another torch along, and
# nothing that is measured needs more than what stands here.
$(VENVS)/peers/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENVS)/peers
	$(VENVS)/peers/bin/python $(APART) torch
	$(VENVS)/peers/bin/python $(APART) --editable '.[figures,flower,pfl,testing]' pytest-benchmark cloudpickle
	$(VENVS)/peers/bin/python $(APART) --no-deps byzfl==0.0.11 byzpy==0.1.4 torchjd==0.18.0
	touch $@

bench-peers: $(VENVS)/peers/.ready  ## speed beside other libraries, in one run; SIZES=check, small or full
	$(VENVS)/peers/bin/python -m tests.benchmarks.peers --sizes $(SIZES)

functions-peers: $(VENVS)/peers/.ready  ## rules of other libraries as defenses, under the standard attacks
	$(VENVS)/peers/bin/python -m pytest tests/adapters/on_libraries.py

device-check: $(READY)  ## tests and speed on a CUDA device, in eight minutes at most, without a network
	$(BIN)/python -m tests.benchmarks.device --out reports/benchmarks

lint: $(READY)  ## style and the two import laws
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## mypy --strict on the machine and the four plug-in folders
	$(BIN)/mypy

bench: $(READY)  ## speed of aggregation and of the round, as ratios within one run; GRID=quick, default or full
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-quiet --grid $(GRID) $(BENCH)

executor-ray executor-submitit: executor-%: $(VENVS)/%/.ready  ## trials on Ray or on submitit, inside an environment of its own
	$(VENVS)/$*/bin/python -m pytest tests/evaluation/run/clusters/on_$*.py -m "$(MARKS)"

# Where the system allows it, the pages are built without a network: they may need nothing from outside.
OFFLINE := $(shell unshare --map-root-user --net true 2>/dev/null && echo unshare --map-root-user --net)

docs: $(VENV)/.docs  ## the documentation site, in build/docs; every warning is an error
	$(OFFLINE) $(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs

dist: $(VENV)/.release  ## sdist and wheel in dist/, checked, and the wheel tried in an environment of its own
	rm -rf dist build/lib build/bdist.* build/tried
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv build/tried
	build/tried/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl
	cd build/tried && bin/robustfl run smoke --out smoke

report: $(USABLE)  ## write the reports of the last demo again
	$(BIN)/robustfl report runs/quickstart

clean:  ## remove what the other targets made, but no results
	rm -rf $(VENV) $(VENVS) build dist docs/generated *.egg-info .mypy_cache .ruff_cache .benchmarks .hypothesis
