"""Waiting until nobody generates: for work that is left to run overnight."""

from __future__ import annotations

import time

from ...sentences import Sentence
from ..host import texts
from ..host.sampling import Cancelled
from .background import Task

#: Minutes without a generation before the work begins, or goes on.
MINUTES = 5.0
#: Seconds between two looks.
_PAUSE = 1.0


def busy() -> bool:
    """Whether the host generates, or something waits to."""
    from modules import shared

    return bool(getattr(shared.state, "job", ""))


def wait(running: Task) -> None:
    """Return once nobody has generated for :data:`MINUTES`; meanwhile other tasks may run.

    Raises
    ------
    Cancelled
        The task was cancelled.
    """
    with running.aside(MINUTES):
        since = time.monotonic()
        while time.monotonic() - since < 60 * MINUTES:
            if running.stop.wait(_PAUSE):
                raise Cancelled(Sentence(texts.CANCELLED))
            if busy():
                since = time.monotonic()
