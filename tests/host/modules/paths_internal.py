"""Where the host lives; relative output folders are below `cwd`."""

from __future__ import annotations

from pathlib import Path

cwd = str(Path(__file__).resolve().parent.parent.parent.parent)
data_path = cwd
