"""Long work in a thread of its own, with progress and cancelling; in the whole process one at a time for the model, and one for files."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from uuid import uuid4

from ..host.sampling import Cancelled

log = logging.getLogger(__name__)
#: What tasks may need: each lane has room for one.
MODEL, FILES = "model", "files"
_lanes = {lane: threading.Lock() for lane in (MODEL, FILES)}
_running: dict[str, Task] = {}


class Busy(Exception):
    """Something else is running; the message says what."""


class Task:
    """One piece of work, and how far it is.

    Parameters
    ----------
    kind : str
        "calibration", "scan", "explanation", "index" or "audit".
    work : callable
        Gets the task, reports by :meth:`progress`, looks at :attr:`stop`, returns the result as plain values.
    lane : str
        :data:`MODEL` or :data:`FILES`.
    """

    def __init__(self, kind: str, work: Callable[[Task], dict], lane: str = MODEL) -> None:
        self.id, self.kind, self.lane, self.stop = uuid4().hex, kind, lane, threading.Event()
        self.state, self.done, self.total, self.note, self.error = "running", 0, 0, "", ""
        self.result: dict | None = None
        self._work, self._began, self._first = work, time.monotonic(), None
        self._thread: threading.Thread | None = None

    def start(self) -> Task:
        """Begin, in a thread.

        Raises
        ------
        Busy
            Another task runs.
        """
        if not _lanes[self.lane].acquire(blocking=False):
            kind = getattr(_running.get(self.lane), "kind", "task")
            raise Busy(f"{'an' if kind[0] in 'aei' else 'a'} {kind} is running; wait for it or cancel it")
        _running[self.lane] = self
        self._thread = threading.Thread(target=self._run, name=f"memorization guard {self.kind}", daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        state = "failed"
        try:
            self.result = self._work(self)
            state = "done"
        except Cancelled as error:
            state, self.error = "cancelled", str(error)
        except Exception as error:
            expected = isinstance(error, ValueError)
            log.log(logging.WARNING if expected else logging.ERROR, "Memorization Guard: %s failed: %s", self.kind, error, exc_info=not expected)
            self.error = str(error) or type(error).__name__
        finally:
            self._work = None
            _lanes[self.lane].release()
            self.state = state  # last: whoever reads it may start the next

    def progress(self, done: int, total: int, note: str = "") -> None:
        """So much of it is over, of a `total` that is 0 while nobody knows; raises Cancelled where it is to end."""
        if done and total and self._first is None:
            self._first = time.monotonic(), done
        self.done, self.total, self.note = done, total, note
        if self.stop.is_set():
            raise Cancelled("cancelled")

    def cancel(self) -> None:
        """Ask it to end; it does at its next model evaluation."""
        self.stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it is over, after at most so many seconds."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self.state != "running"

    def _left(self) -> float | None:
        if self.state != "running" or self._first is None or not self.total:
            return None
        # The first step is left out where possible: it may have loaded the model.
        done = self.done  # once: the work goes on in another thread
        began, already = self._first if done > self._first[1] else (self._began, 0)
        return round((time.monotonic() - began) / (done - already) * (self.total - done), 1) if done > already else None

    def to_json(self) -> dict:
        """Progress, and the result once there is one."""
        names = ("id", "kind", "state", "done", "total", "note", "error", "result")
        return {**{name: getattr(self, name) for name in names}, "seconds_left": self._left()}

    def line(self) -> str:
        """Progress for people."""
        if self.state != "running":
            return f"{self.kind.capitalize()} {self.state}" + (f": {self.error}" if self.error else "")
        left = self._left()
        said = f"{self.kind.capitalize()}: {self.done} of {self.total or '…'} {self.note}".rstrip()
        return said + ("" if left is None else f", about {left:.0f} s left")
