# `make demo` shows the guard at work, `make test` checks everything. Both make their environment first.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-core test-a1111 test-forge lint clean chromium
.SECONDARY:

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

demo: $(VENV)/.testbed
	$(BIN)/python -m lib_stability demo

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Both hosts side by side: each suite keeps to one thread.
test: lint test-core
	$(MAKE) --no-print-directory -j2 test-a1111 test-forge

test-core: $(VENV)/.test
	$(BIN)/python -m pytest

# The extension inside a web UI in small, in the shape and with the packages of each host.
test-a1111: .venv-a1111/.done chromium
	HOST_SHAPE=a1111 .venv-a1111/bin/python -m pytest tests/in_host

# Its relatives, Forge Neo and ersatzForge, run only what differs between hosts.
test-forge: .venv-forge/.done chromium
	HOST_SHAPE=forge .venv-forge/bin/python -m pytest tests/in_host
	for flavour in neo ersatz; do HOST_SHAPE=forge HOST_FLAVOUR=$$flavour .venv-forge/bin/python -m pytest tests/in_host/test_flavours.py || exit 1; done

# For the browser tests, which skip without it.
chromium:
	@command -v chromium > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -qq && \
	  apt-get install -qq -y chromium > /dev/null; } || echo "No Chromium here: install it for the browser tests."

clean:
	rm -rf $(VENV) .venv-a1111 .venv-forge outputs
