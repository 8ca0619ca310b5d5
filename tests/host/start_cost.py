"""What the extension adds to a web UI's start and idle memory: the web UI in small without it, then the extension on top.

``HOST_SHAPE=a1111 .venv-a1111/bin/python tests/host/start_cost.py`` prints JSON. Every run is one process: what is loaded once is loaded.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from pathlib import Path

import launch


def _resident() -> float:
    """Resident memory in MB, on Linux; 0 elsewhere."""
    gc.collect()
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
    except OSError:
        return 0.0


def measure() -> dict:
    """Processor seconds and MB of loading the scripts and of building the page, beyond those of the web UI alone; modules that came with them."""
    with tempfile.TemporaryDirectory() as empty:
        host = launch.start(Path(empty))
        began = time.process_time()
        host.ui.create_ui([launch.HERE])
        page = time.process_time() - began
    modules, memory, began = set(sys.modules), _resident(), time.process_time()
    host.scripts.load_scripts([launch.HERE, launch.ROOT])
    loaded = time.process_time()
    host.ui.create_ui([launch.HERE, launch.ROOT])
    built = time.process_time()
    return {
        "scripts_s": round(loaded - began, 3),
        "page_s": round(built - loaded - page, 3),
        "resident_mb": round(_resident() - memory, 1),
        "modules": sorted(set(sys.modules) - modules),
        "before": sorted(modules),
    }


if __name__ == "__main__":
    found = measure()
    found["before"] = len(found["before"])
    print(json.dumps(found))
