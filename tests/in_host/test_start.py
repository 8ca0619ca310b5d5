"""What the extension costs a web UI that only starts: no package that the host has not loaded, no long look-up for a callback."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lib_stability.webui.host import callbacks

SCRIPT = Path(__file__).resolve().parent.parent / "host" / "start_cost.py"
#: Whose machinery a start has no use for.
NOT_YET = {"concurrent.futures.process", "multiprocessing.queues", "multiprocessing.pool"}


def test_a_start_loads_the_extension_and_nothing_else():
    """The page is built, too; drawing, command line and testbed wait until somebody wants them."""
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    came = found["modules"]
    assert "lib_stability.webui.page.script" in came and "lib_stability.webui.page.tab" in came
    roots = {name.partition(".")[0] for name in came} - {"lib_stability", "modules"}
    assert roots <= sys.stdlib_module_names, roots
    assert not NOT_YET & set(came)
    assert not [name for name in came if name.startswith(("lib_stability.shell", "lib_stability.testbed"))]


def _deep(levels: int, call):
    return call() if levels == 0 else _deep(levels - 1, call)


def test_callbacks_are_registered_from_a_short_stack(host, monkeypatch):
    """Hosts ask :func:`inspect.stack` for every one; a frame of it costs as much as a search among all modules."""
    lengths = []
    monkeypatch.setattr(host.script_callbacks, "on_ui_tabs", lambda function: lengths.append(inspect.stack(0)))
    _deep(50, lambda: callbacks.once("ui_tabs", print))
    (stack,) = lengths
    assert len(stack) < 12
    # The first that is not the host's own tells it whose callback this is.
    assert stack[1].filename == callbacks.__file__


def test_a_registration_that_the_host_refuses_is_not_swallowed(host, monkeypatch):
    def refuse(function):
        raise TypeError("no such callback")

    monkeypatch.setattr(host.script_callbacks, "on_ui_tabs", refuse)
    with pytest.raises(TypeError, match="no such callback"):
        callbacks.once("ui_tabs", print)
