"""Long work in a thread of its own, with progress and cancelling; in the whole process one at a time for the model, and one for files."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

from ...sentences import Sentence, reason
from ..host import texts
from ..host.language import say
from ..host.sampling import Cancelled

log = logging.getLogger(__name__)
#: What tasks may need: each lane has room for one.
MODEL, FILES = "model", "files"
_lanes = {lane: threading.Lock() for lane in (MODEL, FILES)}
_running: dict[str, Task] = {}
#: A time left rises only where the new estimate is so much above what was said.
_OFF = 1.5


class Busy(Exception):
    """Something else is running; the message says what."""


class Task:
    """One piece of work, and how far it is.

    Parameters
    ----------
    kind : str
        "calibration", "scan", "explanation", "generation", "index" or "audit".
    work : callable
        Gets the task, reports by :meth:`progress`, looks at :attr:`stop`, returns the result as plain values.
    lane : str
        :data:`MODEL` or :data:`FILES`.
    """

    def __init__(self, kind: str, work: Callable[[Task], dict], lane: str = MODEL) -> None:
        self.id, self.kind, self.lane, self.stop = uuid4().hex, kind, lane, threading.Event()
        self.state, self.done, self.total, self.note, self.error = "running", 0, 0, "", ""
        #: How much of `total` is over, by what it costs; and the minutes without a generation that are waited for, 0 while nothing is waited for.
        self.work, self.waits = 0.0, 0.0
        self.result: dict | None = None
        self._work, self._began, self._first = work, time.monotonic(), None
        #: What was left, in seconds, and when that was so.
        self._estimate: tuple[float, float] | None = None
        self._holds = False
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
            raise Busy(Sentence(texts.BUSY.get(kind, texts.BUSY["task"])))
        _running[self.lane], self._holds = self, True
        self._thread = threading.Thread(target=self._run, name=f"memorization guard {self.kind}", daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        state = "failed"
        try:
            self.result = self._work(self)
            state = "done"
        except Cancelled as error:
            state, self.error = "cancelled", reason(error)
        except Exception as error:
            expected = isinstance(error, ValueError)
            log.log(logging.WARNING if expected else logging.ERROR, "Memorization Guard: %s failed: %s", self.kind, error, exc_info=not expected)
            self.error = reason(error) or type(error).__name__
        finally:
            self._work = None
            if self._holds:
                self._holds = False
                _lanes[self.lane].release()
            self.state = state  # last: whoever reads it may start the next

    def progress(self, done: int, total: int, note: str = "", work: float | None = None) -> None:
        """So much of it is over, of a `total` that is 0 while nobody knows; raises Cancelled where it is to end.

        `work` is the part of `total` that is over by what it costs, where that is not the same for all: the time left is told from it.
        """
        self.done, self.total, self.note, self.work = done, total, note, float(done if work is None else work)
        if self.work and total and self._first is None:
            self._first = time.monotonic(), self.work
        self._measure()
        if self.stop.is_set():
            raise Cancelled(Sentence(texts.CANCELLED))

    def _measure(self) -> None:
        """Estimate anew what is left. Small rises are noise: people are told what counts down."""
        if self._first is None or not self.total:
            return
        # The first step is left out where possible: it may have loaded the model.
        now = time.monotonic()
        began, already = self._first if self.work > self._first[1] else (self._began, 0.0)
        if self.work <= already:  # it has begun anew
            self._estimate = None
            return
        found, said = (now - began) / (self.work - already) * (self.total - self.work), self._left()
        self._estimate = (min(found, said) if said is not None and found <= _OFF * said else found), now

    @contextlib.contextmanager
    def aside(self, minutes: float) -> Iterator[None]:
        """Leave the lane to others meanwhile; `minutes` without a generation are waited for."""
        self._holds, self.waits = False, minutes
        _lanes[self.lane].release()
        try:
            yield
            while not _lanes[self.lane].acquire(timeout=1):
                if self.stop.is_set():
                    raise Cancelled(Sentence(texts.CANCELLED))
            _running[self.lane], self._holds = self, True
        finally:
            self.waits, self._first, self._estimate = 0.0, None, None

    def cancel(self) -> None:
        """Ask it to end; it does at its next model evaluation."""
        self.stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it is over, after at most so many seconds."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self.state != "running"

    def _left(self) -> float | None:
        if self.state != "running" or self._estimate is None or self.waits:
            return None
        seconds, then = self._estimate
        return round(max(seconds - (time.monotonic() - then), 0.0), 1)

    def to_json(self) -> dict:
        """Progress, and the result once there is one."""
        names = ("id", "kind", "state", "done", "total", "note", "error", "result")
        return {**{name: getattr(self, name) for name in names}, "seconds_left": self._left()}

    def line(self) -> str:
        """Progress for people."""
        kind = say(texts.KINDS[self.kind])
        if self.state != "running":
            if self.state == "cancelled" and self.error in ("", texts.CANCELLED):
                return say(texts.STATES["cancelled on request"], kind=kind)
            said = say(texts.STATES[self.state], kind=kind, reason=self.error)
            return said if self.error else said.rstrip(": ")
        known = {"kind": kind, "done": self.done, "total": self.total or "…", "unit": say(texts.UNITS[self.kind])}
        if self.waits:
            return say(texts.IDLE_NOTE, minutes=f"{self.waits:g}", **known)
        left, said = self._left(), say(texts.STATES["running"], **known)
        return said if left is None else f"{said}, {_span(left)}"


def _span(seconds: float) -> str:
    """A time left for people."""
    if seconds > 100:
        return say(texts.LEFT_MINUTES, count=f"{seconds / 60:.0f}")
    return say(texts.LEFT_SECONDS, count=f"{seconds:.0f}")
