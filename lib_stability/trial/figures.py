"""The figures of a trial: detection, copies, time, by phase and setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

from ..guard.verdict import MILD, NOT_JUDGED, STRONG
from ..ranking import auc, tpr_at
from .generating import LEVELS
from .plan import BEFORE, DAMP, MEMORIZED, OFF, ORDINARY, REPORT, Plan

#: The level in whose thresholds scores of both detectors are counted, as the testbed's tables do.
UNIT = "medium"


def table(plan: Plan, rows: Sequence[dict]) -> list[dict]:
    """One entry for each phase and setting that has rows."""
    found = []
    for phase in plan.phases:
        for number, setting in enumerate(plan.settings):
            own = [row for row in rows if row["phase"] == phase and row["setting"] == number]
            if own:
                found.append({"phase": phase, "setting": number, **vars(setting), **entry(own)})
    return found


def entry(rows: Sequence[dict]) -> dict:
    """The figures of one phase and setting."""
    parts = {(mode, name): _of(rows, mode, name) for mode in (OFF, REPORT, DAMP) for name in (MEMORIZED, ORDINARY)}
    memorized, ordinary = parts[REPORT, MEMORIZED], parts[REPORT, ORDINARY]
    copied = [row for row in memorized if row.get("copy")]
    return {
        "memorized": len(memorized),
        "ordinary": len(ordinary),
        "not_judged": _share([*memorized, *ordinary], lambda row: row["verdict"] == NOT_JUDGED or row["verdict"] is None),
        **ranked(scores(memorized), scores(ordinary)),
        "of_copies": ranked(scores(copied), scores(ordinary)) | {"copies": len(copied), "flagged": _share(copied, _flagged)},
        "levels": {level: _level(level, memorized, ordinary) for level in LEVELS},
        "flagged": {name: _share(part, _flagged) for name, part in ((MEMORIZED, memorized), (ORDINARY, ordinary))},
        "copies": {mode: {name: _share(parts[mode, name], _copied) for name in (MEMORIZED, ORDINARY)} for mode in (REPORT, DAMP)},
        "of_flagged_ordinary_copies": _share([row for row in ordinary if _flagged(row)], _copied),
        "cost": cost(parts),
    }


def scores(rows: Sequence[dict]) -> list[float]:
    """Highest score of each image in thresholds of the level Medium; those that were not judged have none."""
    return [row["levels"][UNIT] for row in rows if row.get("levels")]


def ranked(positive: Sequence[float], negative: Sequence[float]) -> dict:
    """AUC and the share caught at 1 % of false alarms; None where there is nothing to rank, or too few for a hundredth."""
    if not positive or not negative:
        return {"auc": None, "tpr_at_1pct_fpr": None}
    good, bad = np.array(positive), np.array(negative)
    return {"auc": auc(good, bad), "tpr_at_1pct_fpr": tpr_at(good, bad)}


def cost(parts: dict[tuple[str, str], list[dict]]) -> dict:
    """Seconds of an image without the guard, reporting and damping, on the same ordinary prompts; and what it evaluated, per image.

    Looks of the probe cost a row of the U-Net each where there is a negative prompt or no guidance, else none.
    """
    alike = {(row["prompt"], row["seed"]) for row in parts[OFF, ORDINARY]}
    timed = {
        mode: [row["seconds"] for row in parts[mode, ORDINARY] if not alike or (row["prompt"], row["seed"]) in alike] for mode in (OFF, REPORT, DAMP)
    }
    reported = [*parts[REPORT, MEMORIZED], *parts[REPORT, ORDINARY]]
    return {
        "seconds": {mode: round(median(values), 4) if values else None for mode, values in timed.items()},
        "evaluations": _mean(row["evaluations"] for row in reported),
        "looks": _mean(row["looks"] for row in reported),
        "damped": {name: _mean(row["damped"] for row in parts[DAMP, name]) for name in (MEMORIZED, ORDINARY)},
    }


def _of(rows: Sequence[dict], mode: str, name: str) -> list[dict]:
    return [row for row in rows if row["mode"] == mode and row["set"] == name]


def _level(level: str, memorized: Sequence[dict], ordinary: Sequence[dict]) -> dict:
    def above(part: Sequence[dict]) -> float | None:
        return _share([row for row in part if row.get("levels")], lambda row: row["levels"][level] > 1)

    return {"caught": above(memorized), "false_alarms": above(ordinary)}


def _flagged(row: dict) -> bool:
    return row["verdict"] in (MILD, STRONG)


def _copied(row: dict) -> bool | None:
    return row.get("copy")


def _share(rows: Sequence[dict], holds: Callable[[dict], bool | None]) -> float | None:
    known = [value for value in map(holds, rows) if value is not None]
    return float(np.mean(known)) if known else None


def _mean(values) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 3) if known else None


def phases_of(entries: Sequence[dict]) -> list[str]:
    """The phases that a table has, the first first."""
    return sorted({one["phase"] for one in entries}, key=lambda phase: phase != BEFORE)
