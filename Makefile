# make run    everything on this machine, nothing to install first      (ARGS="--nodes 2 --fresh": see eyeline dev --help)
# make check  the fast part of the tests, under a minute
# make test   all of it: style, types, every test
# make coverage  which lines of the product the tests reach
# make test-firebase  sign-in against Google's own emulator of Firebase Authentication (needs Node.js 20 and npm)
# make chaos  a node killed, and one frozen, at every step it takes (make test has one of the two at each); every schedule of the
#             largest scenarios
# make soak   twenty minutes of calls with connections cut at random      (ARGS="--minutes 5 --deploys 3")
# make bench  what it does per second, and how fast
# make lock   choose new versions of everything (needs uv)

PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=
# Two at a time: browsers and engines are heavier than cores are many. Who has run all of theirs takes from the other: tests of
# one folder take a hundred times as long as those of another.
WORKERS ?= 2

PIP   = $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
PYTEST = $(VENV)/bin/pytest -n $(WORKERS) --dist worksteal
CODE  = server signaling matching infra tests
FIREBASE = tests/firebase

.PHONY: run check test coverage test-firebase chaos soak bench lint types packages lock clean
.DEFAULT_GOAL := run

run: $(VENV)/.installed
	@$(VENV)/bin/eyeline dev $(ARGS)

check: lint types
	$(PYTEST) tests/unit -m "not slow" -q

test: packages lint types
	$(PYTEST) $(ARGS)

# Counting lines makes the tests half as long again, so it is not part of them.
coverage: $(VENV)/.installed-tests
	$(PYTEST) --cov --cov-report=term $(ARGS)

test-firebase: $(VENV)/.installed-tests $(FIREBASE)/node_modules/.installed
	$(VENV)/bin/pytest $(FIREBASE) $(ARGS)

bench: $(VENV)/.installed-tests
	$(VENV)/bin/eyeline bench $(ARGS)

chaos: $(VENV)/.installed-tests
	EVERY_STRIKE=1 $(PYTEST) tests/chaos $(ARGS)
	$(VENV)/bin/python -m tests.interleaving --full stale-yes whoever-rings

soak: $(VENV)/.installed-tests
	$(VENV)/bin/python -m tests.soak $(ARGS)

lint: $(VENV)/.installed-tests
	$(VENV)/bin/ruff check $(CODE)
	$(VENV)/bin/ruff format --check $(CODE)

types: $(VENV)/.installed-tests
	$(VENV)/bin/mypy

packages:
	@.ci/packages

# Stamps: pip is asked only when what it would install has changed.
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Eyeline needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0])'
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV), once; this takes about a minute."
	@$(PIP) install --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-tests: $(VENV)/.installed tests/requirements.lock
	@echo "Installing what the tests need into $(VENV), once."
	@$(PIP) install --require-hashes --no-deps -r tests/requirements.lock
	@touch $@

# The emulator and what it needs, exactly as locked; nothing that comes with a package is run.
$(FIREBASE)/node_modules/.installed: $(FIREBASE)/package-lock.json $(FIREBASE)/.npmrc
	npm ci --prefix $(FIREBASE) --no-progress
	@touch $@

# One set of versions for every platform and Python, with the hashes of all their files; no addresses.
LOCK = uv pip compile --no-config --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet
lock:
	echo "setuptools>=77" | $(LOCK) --upgrade --extra embedded pyproject.toml - --output-file requirements.lock
	echo "setuptools>=77" | $(LOCK) --extra embedded --extra test pyproject.toml - --constraint requirements.lock --output-file tests/requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
