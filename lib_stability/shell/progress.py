"""Progress of work that somebody else does, on stderr by tqdm: a line that is written over, or where that is a file a line every half minute."""

from __future__ import annotations

import io
import sys
import time

#: Seconds between two lines where stderr is a file.
PAUSE = 30


class Bar:
    """Shows how far a long job is.

    Parameters
    ----------
    unit : str
        What is counted, in the plural.
    before : int
        How many were done already when it began: they say nothing about its pace.
    """

    def __init__(self, unit: str, before: int = 0) -> None:
        from tqdm import tqdm

        self._live, self._unit, self._written = sys.stderr.isatty(), unit, 0.0
        self._bar = tqdm(total=0, initial=before, ascii=" #", leave=True, file=sys.stderr if self._live else io.StringIO())

    def __call__(self, done: int, total: int, note: str = "", left: float | None = None) -> None:
        """Say that `done` of `total` are done, with a short note; `left` are the seconds still to go, where somebody knows better than the pace."""
        bar, now = self._bar, time.monotonic()
        rest = "{remaining}" if left is None else bar.format_interval(left)
        bar.bar_format = f"{{bar:24}}| {{n_fmt}}/{{total_fmt}} {self._unit}, {rest} left{{postfix}}"
        bar.n, bar.total = done, total
        bar.set_postfix_str(note, refresh=False)
        if self._live:
            bar.refresh()
        elif done >= total or now - self._written >= PAUSE:
            self._written = now
            print(str(bar).rstrip(), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the line as it is."""
        self._bar.close()
