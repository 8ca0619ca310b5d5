"""The trial itself: whatever of a plan is not there yet is generated and kept; then all of it is judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..match import likeness
from . import copies
from .generating import Made, Webui
from .plan import AFTER, OFF, Plan, Request
from .store import Store, picture_of

#: Seconds between attempts, and attempts, where a web UI does not answer.
PAUSE, ATTEMPTS = 5.0, 12
#: What of a row may not change while a trial goes on, and what people call it.
_SAME = {"model": "checkpoint", "guard": "version of Memorization Guard"}


def run(webui: Webui, store: Store, calibrate: Callable[[], str], tick: Callable[[int, int, str], None] = lambda done, total, note: None) -> None:
    """Generate what is missing; `calibrate` makes a profile in the web UI and returns its name, `tick` is told images done, of how many, and what.

    Raises
    ------
    ValueError
        The web UI refuses, or has loaded something else since the trial began.
    ConnectionError
        It does not answer for a minute. What is done is kept: the same call goes on there.
    """
    plan, total = webui.plan, webui.plan.images()
    for phase in plan.phases:
        todo = [one for one in plan.requests(phase) if any(key not in store.done for key in one.images())]
        if not todo:
            continue
        if phase == AFTER and not store.calibrated:
            tick(len(store.done), total, "calibrating")
            store.calibrated = calibrate()
        profile = store.calibrated if phase == AFTER else plan.profile
        for request in todo:
            tick(len(store.done), total, plan.settings[request.setting].describe())
            missing = tuple(seed for seed, key in zip(request.seeds, request.images()) if key not in store.done)
            for part in _runs(missing):
                made = _patiently(webui, request._replace(seeds=part), profile)
                _check_same(store, made[0].row)
                store.add(made)
    tick(len(store.done), total, "")


def _runs(seeds: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Seeds in stretches without gaps: a web UI counts them up within a batch."""
    found: list[tuple[int, ...]] = []
    for seed in seeds:
        if found and found[-1][-1] == seed - 1:
            found[-1] = (*found[-1], seed)
        else:
            found.append((seed,))
    return found


def _patiently(webui: Webui, request: Request, profile: str) -> list[Made]:
    for _ in range(ATTEMPTS - 1):
        with suppress(ConnectionError):
            return webui.generate(request, profile)
        time.sleep(PAUSE)
    return webui.generate(request, profile)


def _check_same(store: Store, row: dict) -> None:
    for name, said in _SAME.items():
        before = next((one[name] for one in store.rows if one.get(name)), "")
        if before and row[name] and row[name] != before:
            raise ValueError(f"the {said} has changed since this trial began ({before} then, {row[name]} now); use another --out")


class Judged:
    """Rows with `likeness` and `copy` added, and how copies were told.

    Attributes
    ----------
    rows : list of dict
        Those without the guard only tell the time, and have no picture.
    how : dict
        `by` ("SSCD" or "pixels"), `against` ("originals" or "seeds"), `limit`, `ordinary`, `why`, and where there are originals `proxy`:
        how well agreement between seeds would have done.
    """

    def __init__(
        self, store: Store, sscd: Path | None = None, originals: Path | None = None, tick: Callable[[int, int, str], None] = lambda *told: None
    ) -> None:
        describe = likeness.sscd(sscd) if sscd else likeness.correlation
        self.rows = [dict(row) for row in store.rows]
        seen = [row for row in self.rows if row["mode"] != OFF]
        files = likeness.pictures_in(originals) if originals else []
        total = len(seen) + len(files)
        vectors = likeness.of_files([store.folder / picture_of(row) for row in seen], describe, lambda done: tick(done, total, "likeness"))
        known = likeness.of_files(files, describe, lambda done: tick(len(seen) + done, total, "originals")) if files else None
        found = copies.judge(seen, vectors, known)
        by_seeds = copies.judge(seen, vectors) if files else found
        for row, value, copy in zip(seen, found.likeness, found.copies):
            row |= {"likeness": value, "copy": copy}
        self.how = {"by": "SSCD" if sscd else "pixels", "against": "originals" if files else "seeds", "originals": len(files)}
        self.how |= {"limit": found.limit, "ordinary": found.ordinary, "why": found.why}
        self.how["proxy"] = copies.of_each_other(by_seeds.copies, found.copies) if files and by_seeds.limit is not None else None


def check_judges(sscd: Path | None, originals: Path | None) -> None:
    """Refuse a copy detector that cannot be loaded, and a folder without pictures.

    Raises
    ------
    ValueError
        Naming it.
    """
    if sscd:
        likeness.sscd(sscd)
    if originals and not likeness.pictures_in(originals):
        raise ValueError(f"{originals} holds no picture")


def everything(plan: Plan) -> set[tuple]:
    """The keys of all images of a plan."""
    return {key for phase in plan.phases for one in plan.requests(phase) for key in one.images()}
