"""The ledger in the web UI: one line per image of a finished job, where the option asks for it."""

from __future__ import annotations

import logging

from ...guard.verdict import Verdict
from ...trail import ledger
from ...trail.image_row import HIRES, describe, prompt_hash
from . import job, saved_files, settings

log = logging.getLogger(__name__)
FOLDER = settings.LEDGER_FOLDER


def register() -> None:
    """Hear of every saved picture."""
    saved_files.wanted(wanted)


def wanted() -> bool:
    """Whether the ledger is on."""
    return settings.option("ledger", False) is True


def write(found: job.Job, p: object, processed: object) -> None:
    """Add a finished job to the ledger. An error is logged and disturbs nothing."""
    if not isinstance(found, job.Job) or not wanted():
        return
    try:
        ledger.append(FOLDER, _records(found, p, processed))
    except Exception:
        log.exception("Memorization Guard: the ledger could not be written")


def _records(found: job.Job, p: object, processed: object) -> list[dict]:
    data, names = found.to_json(), saved_files.names(found, processed)
    records = []
    for image in data["images"]:
        where = image["iteration"], image["position"]
        index = where[0] * max(p.batch_size, 1) + where[1]
        first, hires = found.verdict(*where), found.verdict(*where, hires=True)
        records.append(
            {
                "file": names.get(where),
                "checkpoint": data["checkpoint"],
                "checkpoint_hash": data["checkpoint_hash"],
                **describe(first),
                "action": action(first),
                **({**describe(hires, HIRES), HIRES + "action": action(hires)} if hires else {}),
                **{name: data["settings"][name] for name in ("mode", "sensitivity")},
                "profile": data["profile"],
                "seed": _at(p.all_seeds, index),
                "prompt_hash": prompt_hash(str(_at(p.all_prompts, index) or "")),
            }
        )
    return records


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
    return f"damped {verdict.damped}/{verdict.evaluations}" if verdict.damped else "reported"
