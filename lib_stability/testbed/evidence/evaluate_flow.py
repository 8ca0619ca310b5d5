"""What the evaluation runs of the flow models: the teacher under classifier-free guidance, its student at CFG 1, told a guidance scale, and the one
of few steps at CFG 1."""

from __future__ import annotations

from functools import reduce
from operator import getitem
from pathlib import Path

import numpy as np

from ...guard.probe import LEAST_GUIDANCE
from ...profile.profiles import Profile
from ...ranking import auc
from ..network.setting import Setting
from ..network.variants import Variant
from . import detection, tables
from .evaluate import FULL, QUICK
from .evaluation_rows import Size, parts, tape_name
from .tapes import ORDINARY, Tape

#: Guidance 1 is the probe's for both. The schedule "linear" is none that the calibration saw, nor are 4 and 30 steps.
SHARED = [
    Setting("Euler", "linear", 30, 4.5),
    Setting("Euler", "simple", 4, 3.5),
    Setting("DPM++ 2M", "beta", 20, 4.5),
    Setting("Heun", "simple", 12, 5.0),
    Setting("Euler a", "simple", 20, 3.5),
]
EULER = ("Euler", "simple", 20)
TEACHER = [*(Setting("Euler", "simple", 20, w) for w in (2.0, 3.5, 5.0, 7.0)), *SHARED]
TEACHER_PROBE = [Setting("Euler", "simple", 20, w, probe=True) for w in (1.0, 3.5)]
STUDENT = [*(Setting("Euler", "simple", 20, g) for g in (2.0, 3.5, 6.0)), *SHARED]
STUDENT_PROBE = [Setting("Euler", "simple", 20, g, probe=True) for g in (1.0, 2.0, 3.5, 6.0)]
#: CFG 1 is the probe's; 3 and 8 steps no calibration has seen.
FEW_PROBE = [Setting(sampler, "linear", 4, 1.0, probe=True) for sampler in ("Euler", "DPM++ 2M", "Euler a")]
FEW_PROBE += [Setting("Euler", "linear", steps, 1.0, probe=True) for steps in (2, 3, 8)]
DAMPING = [Setting("Euler", "simple", 20, 3.5)]
FEW_DAMPING = [Setting("Euler", "linear", 4, 1.0, probe=True)]
#: Policies beside the default are the main evaluation's business.
SIZES = {
    "flow": Size(2, 160, 2, TEACHER, TEACHER_PROBE, DAMPING, 1),
    "distilled": Size(2, 160, 2, STUDENT, STUDENT_PROBE, DAMPING, 1),
    "few": Size(2, 160, 2, [], FEW_PROBE, FEW_DAMPING, 1),
}


def size_of(variant: Variant, quick: bool = False) -> Size:
    """What is run of a variant, in full or in short."""
    if not variant.flow:
        return QUICK if quick else FULL
    if variant.few and quick:
        return Size(1, 48, 1, [], FEW_PROBE[:1], FEW_DAMPING, 1)
    return Size(1, 48, 1, TEACHER[1:2], STUDENT_PROBE[:1], DAMPING[:1], 1) if quick else SIZES[variant.name]


def report(result: dict) -> str:
    """The evaluation in short, as Markdown: by setting, by kind (over the settings that the watch judges; of the student of few steps, whom it cannot
    judge, over all), and what damping leaves."""
    rows = [row for row in result["detection"] if row["kind"] != ORDINARY]
    settings: dict[tuple, list[dict]] = {}
    for row in rows:
        settings.setdefault(tuple(row[name] for name in tables.SETTING), []).append(row)
    lines = []
    for found in settings.values():
        one, told = found[0], [row for row in found if row["auc"] is not None]
        cells = [f"{one['sampler']} {one['schedule']} {one['steps']}", f"{one['guidance']:g}", one["negative"]]
        cells += [
            "probe too" if one["probe"] and one["detector"] == "watch" else one["detector"],
            tables.rate(one["levels"]["medium"]["false_alarms"]),
        ]
        cells += [tables.rate(_mean(found, "copies"), 0), tables.rate(_mean(told, "levels", "medium", "caught"), 0)]
        lines.append(cells + [_worst(told, name, form) for name, form in (("auc", "{:.4f}"), ("tpr_at_1pct_fpr", "{:.2f}"))])
    head = [
        "sampler, steps",
        "scale",
        "negative",
        "by",
        "false alarms",
        "runs that are copies",
        "of them caught",
        "worst AUC",
        "worst TPR at 1 % FPR",
    ]
    kinds = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        own = [row for row in rows if row["kind"] == kind]
        watched = [row for row in own if row["detector"] == "watch" and not row["probe"]] or own
        told = [row for row in watched if row["auc"] is not None]
        cells = [kind, tables.rate(_mean(watched, "copies"), 0), tables.rate(_mean(told, "levels", "medium", "caught"), 0)]
        for name, form in (("auc", ".4f"), ("tpr_at_1pct_fpr", ".2f")):
            cells.append(f"{_mean(told, name):{form}}, {min(row[name] for row in told):{form}}" if told else "–")
        kinds.append(cells)
    by_kind = ["kind", "runs that are copies", "of them caught", "AUC: mean, least", "TPR at 1 % FPR: mean, least"]
    damped = [
        [
            row["kind"],
            f"{row['sampler']} {row['steps']}, {row['guidance']:g}",
            f"{tables.rate(row['copies_before'], 0)} → {tables.rate(row['copies_after'], 0)} ({tables.rate(row['copies_by_chance'], 0)})",
            f"{tables.rate(row['attributes'], 0)} ({tables.rate(row['attributes_ordinary'], 0)})",
            f"{row['error'] / row['error_ordinary']:.2f}",
            tables.rate(row["unflagged_changed"], 0),
        ]
        for row in result["damping"]
    ]
    damping = ["kind", "sampler, scale", "copies before → after (by chance)", "attributes (ordinary)", "error, ratio", "unflagged changed"]
    return "\n\n".join(tables.markdown(*one) for one in ((head, lines), (by_kind, kinds), (damping, damped)))


def along(profile: Profile, folder: Path, size: Size) -> str:
    """Where on the path the signal is, as Markdown: by noise level the AUC of the watch's deviation at that evaluation alone, all kinds together.

    The runs are those of Euler that differ in guidance alone, on the tapes in `folder`.
    """
    every = [part for part in parts(size, "detection", ()) if (part.setting.sampler, part.setting.schedule, part.setting.steps) == EULER]
    columns, levels = {}, np.zeros(0)
    for part in every:
        if part.setting.guidance >= LEAST_GUIDANCE:
            taken = Tape.load(folder / tape_name(part, size))
            score, ordinary = detection.scores(profile.watch, taken), taken.kinds == ORDINARY
            levels = taken.columns["sigma"][0]
            columns[part.setting.guidance] = [auc(one[taken.copies & ~ordinary], one[~taken.copies & ordinary]) for one in score.T]
    shown = [*range(0, len(levels) - 1, 3), len(levels) - 1]
    lines = [[f"{levels[i]:.2f}", *(f"{column[i]:.3f}" for column in columns.values())] for i in shown]
    return tables.markdown(["σ", *(f"scale {scale:g}" for scale in columns)], lines)


def _mean(rows: list[dict], *path: str) -> float:
    """Mean of a field that lies at a path in each row."""
    return sum(reduce(getitem, path, row) for row in rows) / max(len(rows), 1)


def _worst(rows: list[dict], name: str, form: str) -> str:
    """The least of a field, and whose it is."""
    least = min(rows, key=lambda row: row[name], default=None)
    return "–" if least is None else f"{form.format(least[name])} ({least['kind']})" if least[name] < 1 else form.format(1)
