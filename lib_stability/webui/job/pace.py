"""How long the loaded checkpoint takes for an evaluation, by the passes that the guard has seen: what a calibration would take is told from it."""

from __future__ import annotations

import time

#: Of what the host calls the checkpoint, the seconds of the latest evaluation of so many pixels: small pictures take longer for each than large ones.
_known: dict[str, dict[int, float]] = {}
#: Sizes that are kept of a checkpoint.
_MOST = 8


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
        """The pass is over; `pixels` of all that the network was asked for in an evaluation: of every image, with and without the prompt."""
        if self._first is not None and self._count >= 3 and pixels > 0:
            seen = _known.setdefault(checkpoint, {})
            seen.pop(pixels, None)
            seen[pixels] = (self._latest - self._first) / self._count
            if len(seen) > _MOST:
                del seen[next(iter(seen))]


def minutes(checkpoint: str, evaluations: float, pixels: int) -> int | None:
    """About how many minutes so many evaluations of so many pixels take, at least 1; None where nothing of this checkpoint was seen yet. It goes by
    what was nearest in size, in proportion to the pixels."""
    seen = _known.get(checkpoint)
    if not seen:
        return None
    nearest = min(seen, key=lambda one: max(one, pixels) / min(one, pixels))
    return max(1, round(seen[nearest] * pixels / nearest * evaluations / 60))
