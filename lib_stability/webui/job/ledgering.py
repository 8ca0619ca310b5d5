"""The ledger in the web UI, where the option asks for it: a line per image as soon as the host has saved it, or else at the end of its job.

A job that dies leaves lines for all pictures that are on the disk. What cannot be written disturbs nothing: it is logged, said under the result, and
in the next line that can be written.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from pathlib import Path

from ...guard.verdict import Verdict
from ...sentences import Sentence
from ...trail import ledger, ledger_loss
from ...trail.image_row import HIRES, INNER, describe, prompt_hash
from ..host import texts
from . import job, places, plainly, renewing, saved_files, settings, wholes

log = logging.getLogger(__name__)
#: Per job, the images that have been written: number of the line (0 where that failed) and file by batch and position.
_written: weakref.WeakKeyDictionary[job.Job, dict[tuple[int, int], tuple[int, str | None]]] = weakref.WeakKeyDictionary()
#: Where the ledger was when it was last asked for.
_place: Path | None = None


def _folder() -> Path:
    """Where the ledger is by now; what was lost to the folder before is not forgotten."""
    global _place
    before, _place = _place, places.ledger()
    if before not in (None, _place):
        ledger_loss.move(before, _place)
    return _place


def register() -> None:
    """Hear of every saved picture."""
    saved_files.wanted(wanted)
    saved_files.tell(saved)
    wholes.tell(write_whole)


def wanted() -> bool:
    """Whether the ledger is on."""
    return settings.option("ledger", False) is True


def trouble() -> str:
    """What could not be written since the last line, for people; "" where nothing was lost."""
    missed = ledger_loss.lost(_folder()) if wanted() else None
    return Sentence(texts.LEDGER, missed=missed.sentence) if missed else ""


def saved(found: job.Job, p: object, where: tuple[int, int], name: str) -> None:
    """A picture is on the disk: add its line, once. An error is logged and disturbs nothing."""
    written = _written.setdefault(found, {})
    if wanted() and where not in written:
        written[where] = _append(lambda: [_record(found, p, where, name, wholes.of(p) if found.over else None)])[0], name


def write(found: object, p: object, processed: object) -> None:
    """The job is over: add the images that have no line yet. An error is logged and disturbs nothing."""
    if not isinstance(found, job.Job) or not wanted() or (wholes.of(p) is not None and p.do_not_save_samples):
        return  # a tile is a part of the picture that its script makes
    written = _written.pop(found, {})
    images = min(len(p.all_seeds), len(processed.images) - processed.index_of_first_image)
    _append(lambda: _rest(found, p, written, saved_files.names(found, processed)), max(images - len(written), 0))


def write_whole(whole: wholes.Whole, returned: object) -> None:
    """A script has made one picture of several jobs: its line, where none of them has been written. An error is logged and disturbs nothing."""
    if wanted() and not any(_written.pop(one, {}) for one in whole.jobs) and whole.p.do_not_save_samples:
        _append(lambda: [_record(whole.jobs[-1], whole.p, (0, 0), None, whole)])


def _append(records: Callable[[], list[dict]], count: int = 1) -> list[int]:
    """Add what `records` makes; where it makes nothing for an error, `count` lines are missing."""
    try:
        made = records()
    except Exception as error:
        log.exception("Memorization Guard: lines of the ledger could not be made")
        if count:
            ledger_loss.miss(_folder(), count, error)
        return [0]
    try:
        return ledger.append(_folder(), made)
    except Exception:
        log.exception("Memorization Guard: the ledger could not be written")
        return [0]


def _rest(found: job.Job, p: object, written: dict[tuple[int, int], tuple[int, str | None]], names: dict[tuple[int, int], str]) -> list[dict]:
    """Images that have no line yet, and the right file of those whose line names another, such as a state of the picture before the last."""
    records = []
    for where in plainly.places(found):
        number, name = written.get(where, (None, None))
        if number is None:
            records.append(_record(found, p, where, names.get(where)))
        elif number and names.get(where, name) != name:
            records.append({"corrects": number, "file": names[where]})
    return records


def _record(found: job.Job, p: object, where: tuple[int, int], name: str | None, whole: wholes.Whole | None = None) -> dict:
    index = where[0] * max(p.batch_size, 1) + where[1]
    first, hires, inner = found.verdict(*where), found.verdict(*where, hires=True), found.inner_verdict(*where)
    if whole is not None:
        first, hires, inner = whole.verdict(), None, None
    return {
        "file": name,
        "checkpoint": getattr(p, "sd_model_name", None),
        "checkpoint_hash": getattr(p, "sd_model_hash", None),
        **describe(first),
        "action": action(first),
        **({**describe(hires, HIRES), HIRES + "action": action(hires)} if hires else {}),
        **({**describe(inner, INNER), INNER + "action": action(inner)} if inner else {}),
        "replaced": renewing.said(found, *where) or None,
        **{name: getattr(found.settings, name) for name in ("mode", "sensitivity")},
        "profile": found.served(),
        "seed": _at(p.all_seeds, index),
        "prompt_hash": prompt_hash(str(_at(p.all_prompts, index) or "")),
    }


def _at(values: list, index: int) -> object:
    value = values[index] if index < len(values) else None
    # Seeds may be numpy's.
    return value.item() if hasattr(value, "item") else value


def action(verdict: Verdict | None) -> str | None:
    """What the guard did: "stopped at n", "damped n/m" evaluations, or "reported"."""
    if verdict is None:
        return None
    if verdict.stopped_at:
        return f"stopped at {verdict.stopped_at}"
    again = "sampled again and " if verdict.again else ""
    return f"{again}damped {verdict.damped}/{verdict.evaluations}" if verdict.damped else "reported"
