# `make` lists what there is. Every target makes the environment that it needs first.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
JOBS ?= 1
# Of the core's tests, each with one thread: on two cores that is faster than one with two.
WORKERS ?= 2
# glibc keeps the memory of large tensors instead of asking the kernel for it anew: page faults took a tenth of the time.
export MALLOC_MMAP_THRESHOLD_ ?= 4294967296
export MALLOC_TRIM_THRESHOLD_ ?= 17179869184

.DEFAULT_GOAL := help
.PHONY: help demo test test-core test-a1111 test-forge test-flavours fuzz lint hooks evidence evidence-adopt screenshots clean chromium
.SECONDARY:

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9 -]*:.*## / {n = split($$1, names, " "); for (i = 1; i <= n; i++) printf "  make %-15s %s\n", names[i], $$2}' \
	  $(MAKEFILE_LIST)

$(VENV)/.testbed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[testbed]'
	touch $@

$(VENV)/.test: $(VENV)/.testbed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[testbed,test]'
	touch $@

# The versions of gradio, pydantic and so on that a host pins, over the big packages of the first environment.
.venv-%/.done: tests/host/requirements-%.txt $(VENV)/.test
	$(PYTHON) -m venv .venv-$*
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > $$(.venv-$*/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/shared.pth
	.venv-$*/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

demo: $(VENV)/.testbed ## the guard at work on ordinary and memorized captions: under two minutes, pictures in outputs/demo
	$(BIN)/python -m lib_stability demo

lint: $(VENV)/.test ## style, and the types of what judges and of profiles
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

hooks: $(VENV)/.test ## let git run the linters before each commit
	$(BIN)/pip install --quiet --disable-pip-version-check pre-commit
	$(BIN)/pre-commit install

# All suites side by side, a thread each: where one waits for a browser another computes. Both hosts tell each other what the network has answered.
test: lint ## everything: lint, the core's tests, the extension's in both hosts in small
	told=$$(mktemp -d) && trap 'rm -rf "$$told"' EXIT && trap 'exit 130' INT TERM HUP && REMEMBERED=$$told $(MAKE) --no-print-directory -j3 WORKERS=1 test-core test-a1111 test-forge test-flavours

test-core: $(VENV)/.test ## the core's tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-a1111: .venv-a1111/.done chromium ## the extension's tests in a web UI in small, with the packages of AUTOMATIC1111
	HOST_SHAPE=a1111 .venv-a1111/bin/python -m pytest tests/in_host

test-forge: .venv-forge/.done chromium ## the same with those of Forge
	HOST_SHAPE=forge .venv-forge/bin/python -m pytest tests/in_host

test-flavours: .venv-forge/.done chromium ## of Forge's relatives Neo and ersatzForge what differs between hosts
	for flavour in neo ersatz; do HOST_SHAPE=forge HOST_FLAVOUR=$$flavour .venv-forge/bin/python -m pytest tests/in_host/test_flavours.py || exit 1; done

screenshots: .venv-a1111/.done .venv-forge/.done chromium ## every state of the page, light, dark and on a phone, in outputs/screenshots
	HOST_SHAPE=a1111 .venv-a1111/bin/python tests/host/screenshots.py
	HOST_SHAPE=forge .venv-forge/bin/python tests/host/screenshots.py

# Under -n nothing is made, but the order is shown: that is what the plus is for.
DRY = $(findstring n,$(filter-out -%,$(firstword $(MAKEFLAGS))))
evidence: $(if $(DRY),,$(VENV)/.testbed) ## all tables and figures whose code or weights changed: hours, resumable; -n shows the order, JOBS=N
	+@$(if $(DRY),$(PYTHON),$(BIN)/python) -m lib_stability.testbed.evidence.remake --jobs $(JOBS) $(if $(DRY),--list)

evidence-adopt: ## take the tables and figures that are there for made, after a change that moves no number
	@$(PYTHON) -m lib_stability.testbed.evidence.remake --adopt

fuzz: export FUZZ ?= 50
fuzz: $(VENV)/.test .venv-a1111/.done .venv-forge/.done ## the fuzzers of `make test` with FUZZ (50) times as many cases, and others
	$(BIN)/python -m pytest tests/fuzz
	HOST_SHAPE=a1111 .venv-a1111/bin/python -m pytest tests/in_host/test_fuzz_routes.py
	HOST_SHAPE=forge .venv-forge/bin/python -m pytest tests/in_host/test_fuzz_routes.py

chromium: ## for the browser tests, which skip without it: installed where that is allowed
	@command -v chromium > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -qq && \
	  apt-get install -qq -y chromium > /dev/null; } || echo "No Chromium here: install it for the browser tests."

clean: ## remove environments and everything made under outputs
	rm -rf $(VENV) .venv-a1111 .venv-forge outputs
