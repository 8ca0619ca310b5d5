"""The folder that the host writes the page's own pictures to."""

from __future__ import annotations

import contextlib
from pathlib import Path

from . import host


def make() -> None:
    """Make the folder that the option `temp_dir` names: Forge Neo names one from the first start on but does not make it, and a picture that cannot
    be written takes along all else that its handler fills."""
    named = str(getattr(host.opts(), "temp_dir", None) or "")
    if named:
        with contextlib.suppress(OSError):
            Path(named).mkdir(parents=True, exist_ok=True)
