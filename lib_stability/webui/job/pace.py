"""How long the loaded checkpoint takes for an evaluation, by the passes that the guard has seen: what a calibration would take is told from it."""

from __future__ import annotations

import time

#: Seconds for one evaluation of one image per pixel, by what the host calls the checkpoint.
_known: dict[str, float] = {}
#: Reference runs cost two evaluations where a job of the host has one or two.
_EACH = 2


class Stopwatch:
    """Of one pass: from its first evaluation to the latest; nothing waits for the device, so that a few evaluations tell little."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._latest, self._count = 0.0, 0

    def tick(self) -> None:
        """An evaluation is there."""
        self._latest = time.monotonic()
        if self._first is None:
            self._first = self._latest
        else:
            self._count += 1

    def note(self, checkpoint: str, pixels: int) -> None:
        """The pass is over; `pixels` of all its images together."""
        if self._first is not None and self._count >= 3 and pixels > 0:
            _known[checkpoint] = (self._latest - self._first) / self._count / pixels


def minutes(checkpoint: str, runs: int, steps: int, pixels: int) -> int | None:
    """About how many minutes so many runs of so many steps take, at least 1; None where nothing of this checkpoint was seen yet."""
    pace = _known.get(checkpoint)
    return None if pace is None else max(1, round(pace * pixels * _EACH * runs * steps / 60))
