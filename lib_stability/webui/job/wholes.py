"""Scripts that make one picture of several jobs, tile by tile or loop by loop, all with the same `p`: its verdict is that of all of them.

Such a script keeps the infotext of one tile and saves the whole with that. So what is saved while it runs, and what it returns, is given the gravest
verdict. Of the host only the classes of scripts that people can choose are touched: their ``run`` tells us where it begins and ends.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable

from ...guard.verdict import Verdict, gravest
from ...trail.infotext import PASS_PREFIXES, RESULTS, result_key, write
from ..host import callbacks, host
from . import job, last_job

log = logging.getLogger(__name__)
_START = re.compile(r"^Steps: ", re.MULTILINE)
_KEYS = [result_key(name, which) for which in range(len(PASS_PREFIXES)) for name in RESULTS]
_RESULT = re.compile(rf"(?:^|, )(?:{'|'.join(map(re.escape, _KEYS))}): [^,\n]*")


class Whole:
    """One run of such a script, and the jobs of its `p` so far."""

    def __init__(self, p: object) -> None:
        self.p, self.jobs = p, []

    def verdict(self) -> Verdict | None:
        """The gravest of all; None where nothing was sampled."""
        found = [one for one in (each.gravest() for each in self.jobs) if one is not None]
        return gravest(found) if found else None

    def text(self, infotext: str) -> str:
        """The infotext of one of the jobs, with the verdict of all in its place."""
        verdict = self.verdict()
        return infotext if verdict is None else replaced(infotext, write(self.jobs[-1].settings, verdict))


#: Innermost last.
_running: list[Whole] = []
#: Each is told of a run of several jobs that is over: its whole and what it returned.
TOLD: list[Callable[[Whole, object], None]] = []


def register() -> None:
    """Hear of scripts that run, and of what they save."""
    callbacks.once("before_ui", listen)
    callbacks.once("before_image_saved", before_saved)


def tell(who: Callable[[Whole, object], None]) -> None:
    """Call this for every run of several jobs; said again after "Reload UI" it counts once."""
    if who not in TOLD:
        TOLD.append(who)


def of(p: object) -> Whole | None:
    """The run that makes its picture with this `p`."""
    return next((one for one in reversed(_running) if one.p is p), None)


def begun(found: job.Job, p: object) -> None:
    """The host has begun a job."""
    whole = of(p)
    if whole is not None:
        whole.jobs.append(found)


def listen() -> None:
    """Let the scripts that are loaded now tell us where they begin and end."""
    from modules import scripts

    for data in scripts.scripts_data:
        own = vars(data.script_class).get("run")
        if callable(own) and not host.is_ours(own):
            data.script_class.run = host.ours(_telling(own))


def _telling(run: Callable) -> Callable:
    @functools.wraps(run)
    def told(self: object, p: object, *args: object, **kwargs: object) -> object:
        whole = Whole(p)
        _running.append(whole)
        try:
            returned = run(self, p, *args, **kwargs)
        finally:
            _running.remove(whole)
        try:
            if len(whole.jobs) > 1 and returned is not None:
                _finish(whole, returned)
        except Exception:
            log.exception("Memorization Guard: an error, the script's picture carries the verdict of a part")
        return returned

    return told


def _finish(whole: Whole, returned: object) -> None:
    returned.info = whole.text(returned.info)
    returned.infotexts = [whole.text(one) for one in returned.infotexts]
    for picture in returned.images:
        known = getattr(picture, "info", None)
        if isinstance(known, dict) and isinstance(known.get("parameters"), str):
            known["parameters"] = whole.text(known["parameters"])
    last_job.remember_whole(whole.jobs, whole.verdict(), getattr(whole.p, "all_seeds", ()))
    for one in TOLD:
        one(whole, returned)


def before_saved(params: object) -> None:
    """``on_before_image_saved``: what a script saves of its own, between or behind its jobs, shows what all of them have made."""
    whole = of(getattr(params, "p", None))
    text = params.pnginfo.get("parameters") if whole is not None else None
    if isinstance(text, str) and whole.jobs and whole.jobs[-1].over:
        params.pnginfo["parameters"] = whole.text(text)


def replaced(infotext: str, texts: dict[str, str]) -> str:
    """An infotext that has results of ours, with others in their place; another one as it is."""
    starts = [*_START.finditer(infotext)]
    if not starts:
        return infotext
    head, line = infotext[: starts[-1].start()], infotext[starts[-1].start() :]
    first = _RESULT.search(line)
    if first is None:
        return infotext
    new = "".join(f", {key}: {text}" for key, text in texts.items() if key in _KEYS)
    return head + line[: first.start()] + new + _RESULT.sub("", line[first.start() :])
