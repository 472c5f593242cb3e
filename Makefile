# demo, test, check, chaos, attack, fuzz, bench; nothing else to remember.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_READY := $(VENV)/.demo-ready
# Without its bytecode every process of a test compiles the packages anew: half of what such a process takes.
export PYTHONDONTWRITEBYTECODE :=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test check chaos engines attack fuzz bench bench-quick clean constraints

# pip compiles one file after another, which is a third of its time; compileall takes all cores. What cannot be compiled
# is somebody else's file for another Python, and is slow at most when it is imported.
$(READY): constraints.txt pyproject.toml client/pyproject.toml build_prices.py
	$(PYTHON) -m venv $(VENV)
	$(PIP) --no-compile --require-hashes -r constraints.txt
	$(PIP) --no-deps --no-build-isolation -e client -e .
	-$(BIN)/python -m compileall -q -j 0 $(VENV)/lib client sidecar tests/helpers
	touch $(READY) $(DEMO_READY)

# The demo needs the daemon and its engine, and not what the tests need.
$(DEMO_READY): constraints-build.txt constraints-embedded.txt pyproject.toml client/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r constraints-build.txt -r constraints-embedded.txt
	$(PIP) --no-deps --no-build-isolation -e client -e .
	touch $(DEMO_READY)

demo: $(DEMO_READY)
	$(BIN)/python examples/demo.py

test: $(READY)
	$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m "not chaos and not slow"

# The tests that kill or take long; then kills and cuts at random, counting what is lost and repeated: 500
# rounds, some 20 minutes; then floods, with bounds on memory and on what others wait.
# `make chaos ROUNDS=15`, `make chaos SECONDS=60`, and `SEED=7` for the same order of faults again.
chaos: $(READY)
	$(BIN)/python -m pytest -q -n 2 -m "chaos or slow"
	$(BIN)/python -m pytest -q -n 2 --hypothesis-profile search tests/unit
	$(BIN)/python -m tests.chaos.run --rounds $(or $(ROUNDS),$(if $(SECONDS),0,500)) \
		--seconds $(or $(SECONDS),0) --seed $(or $(SEED),0)
	$(BIN)/python -m tests.chaos.run --deck floods --seed $(or $(SEED),0)
	$(BIN)/python -m tests.chaos.hostile

# All DDL, the cluster's forms and every setting that is sent, on the engines of ClickHouse 24.8, 25.5 and
# today's; downloads two of them, a minute or two.
engines: $(READY)
	$(BIN)/python -m tests.engines.run

# Attacks by class, counted; `make attack CLASSES=sql` for one.
attack: $(READY)
	$(BIN)/python -m tests.security $(CLASSES)

# From the socket to the table, beside its baselines: some 20 minutes, on a machine that does nothing else.
bench: $(READY)
	$(BIN)/python -m bench.pipeline $(SCENES)

bench-quick: $(READY)
	$(BIN)/python -m bench.pipeline throughput latency senders large --quick --out $(or $(OUT),bench/results/quick)

# Mutated lines through the daemon's front, whole: a million, some ten minutes. `make fuzz INPUTS=50000
# SEED=7`; what is found is played again by the round that it names.
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz.run --inputs $(or $(INPUTS),1000000) --seed $(or $(SEED),1)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) demo-data dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Resolves the ranges of both pyprojects anew; needs uv on the PATH. The shorter files are parts of the
# first, for those who need less: a container, the demo.
PINNED := uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-emit-index-url \
	--no-emit-package llmledger --no-header
BOTH := pyproject.toml client/pyproject.toml
PART := $(PINNED) --no-annotate --constraints constraints.txt

constraints:
	$(PINNED) $(BOTH) --all-extras --group dev --output-file constraints.txt
	$(PART) --group build --output-file constraints-build.txt
	$(PART) $(BOTH) --extra offload --extra otlp --extra postgres --extra redaction --output-file constraints-runtime.txt
	$(PART) $(BOTH) --extra embedded --output-file constraints-embedded.txt
