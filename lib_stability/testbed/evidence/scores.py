"""Scores beside the guard's own: what else the predictions at hand could be judged by, on the same runs, by kind of memorization.

Each statistic is turned into deviations from ordinary runs the same way, by a region over noise level (and guidance scale, where it depends on it),
and a run's score is the highest of those at which the statistic looks. Rule of choice: the highest mean, over settings and kinds, of the share of
copies caught at 1 % false alarms; of those within half a point of it the one with the highest worst AUC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from ...guard.probe import looks
from ...guard.region import StabilityRegion
from ...guard.trajectory import Trajectory
from ...profile import scatter
from ...profile.calibration import spread_guidance
from ...profile.profiles import Profile
from ...ranking import auc, tpr_at
from ..network.model import Testbed
from ..network.setting import Setting
from . import tables, written
from .detection import LEAST, deviations, judges
from .tapes import ORDINARY, Tape, kept, record

#: Ordinary runs, of the calibration's half, by which the statistics are fitted that a profile has no region of.
RUNS, SEED = 240, 1_500_000
#: Their samplers, in turn, and the evaluations that are theirs.
SAMPLERS = (Setting("Euler"), Setting("Euler a"), Setting("DPM++ 2M"), Setting("DPM2 a", steps=12))
GUARD = "the guard's: late the rate, else the smaller"
NEAR = 0.005


def reference(bed: Testbed, setting: Setting, number: int, tick: Callable[[int], None] = lambda n: None) -> Tape:
    """Ordinary runs of one sampler with guidance spread over 1 to 15."""
    count = RUNS // len(SAMPLERS)
    captions = [caption for caption, _ in bed.variant.world.ordinary_samples(RUNS, SEED, "calibration")][number * count : (number + 1) * count]
    guidance = torch.tensor(spread_guidance(count), dtype=torch.float32)
    columns, _ = record(bed, captions, setting, SEED + number * count, guidance, tick)
    return Tape(columns, np.full(count, ORDINARY), np.zeros(count, dtype=bool))


def further(tapes: Sequence[Tape]) -> StabilityRegion:
    """The region of :data:`.tapes.COLUMNS` "difference" and "turn", which depend on no guidance scale: in the places of rate and clean norm."""
    runs = [
        Trajectory(*(one.columns[name][run, 1:] if name else 1.0 for name in ("sigma", "", "difference", "turn")))
        for one in tapes
        for run in range(len(one.kinds))
    ]
    return StabilityRegion(score="rate").fit(runs)


def _looked(every: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    found = np.full_like(every, np.nan)
    found[:, list(numbers)] = every[:, list(numbers)]
    return found


def statistics(profile: Profile, more: StabilityRegion, setting: Setting, taken: Tape) -> dict[str, np.ndarray]:
    """Deviations ``(runs, evaluations)`` by the statistic's name, NaN where it does not look."""
    watched = judges(setting) == "watch"
    watch, probe = (
        (scatter.watch(profile, setting.sampler, taken.columns["sigma"].shape[1]), ("rate", "clean"), None),
        (profile.probe, ("virtual_rate", "virtual_clean"), profile.probe_guidance),
    )
    region, names, scale = watch if watched else probe
    rate, clean = np.moveaxis(deviations(region, taken, names, scale), -1, 0)
    difference, turn = np.moveaxis(deviations(more, taken, ("difference", "turn"), 1.0), -1, 0)
    late = region.scores_of(rate, clean, taken.columns["sigma"])
    last = late.shape[1] - 1
    own = late if watched else _looked(late, looks(last + 1))
    return {
        GUARD: own,
        "the guard's, at three looks": _looked(late, looks(last + 1)),
        "the guard's, at every evaluation": late,
        "rate (Broken Memories)": rate,
        "smaller of rate and clean norm": np.minimum(rate, clean),
        "clean norm": clean,
        "rate at three looks": _looked(rate, looks(last + 1)),
        "rate, first evaluation": _looked(rate, (0,)),
        "rate, last evaluation": _looked(rate, (last,)),
        "difference of predictions": difference,
        "difference, last evaluation": _looked(difference, (last,)),
        "change of the difference": turn,
        "larger of the guard's and the difference": np.fmax(own, difference),
    }


def rows(setting: Setting, taken: Tape, found: dict[str, np.ndarray]) -> Iterator[dict]:
    """How well each statistic tells each kind's copies from the ordinary captions' runs that are none."""
    ordinary = (taken.kinds == ORDINARY) & ~taken.copies
    for name, each in found.items():
        score = np.nanmax(each, 1)
        for kind in dict.fromkeys(taken.kinds[taken.kinds != ORDINARY].tolist()):
            copies = (taken.kinds == kind) & taken.copies
            if copies.sum() >= LEAST:
                told = {"auc": auc(score[copies], score[ordinary]), "tpr_at_1pct_fpr": tpr_at(score[copies], score[ordinary])}
                yield {**asdict(setting), "detector": judges(setting), "statistic": name, "kind": kind, "copies": int(copies.sum()), **told}


def chosen(shown: list[dict]) -> str:
    """The statistic that the rule in this module's head chooses, of :func:`summary`'s rows."""
    best = max(one["tpr_mean"] for one in shown)
    return max((one for one in shown if one["tpr_mean"] >= best - NEAR), key=lambda one: one["auc_worst"])["statistic"]


def summary(found: list[dict]) -> list[dict]:
    """Each statistic over all settings and kinds, the settings of the watch and of the probe apart."""
    shown = []
    for detector in ("watch", "probe"):
        for name in dict.fromkeys(row["statistic"] for row in found):
            own = [row for row in found if row["detector"] == detector and row["statistic"] == name]
            if own:
                areas, caught = ([row[key] for row in own] for key in ("auc", "tpr_at_1pct_fpr"))
                worst = min(own, key=lambda row: row["tpr_at_1pct_fpr"])
                one = {"detector": detector, "statistic": name, "cells": len(own), "auc_mean": float(np.mean(areas)), "auc_worst": min(areas)}
                one |= {"tpr_mean": float(np.mean(caught)), "tpr_worst": min(caught), "worst_kind": worst["kind"]}
                shown.append(one | {"met": float(np.mean([a >= 0.999 and t >= 0.99 for a, t in zip(areas, caught)]))})
    return shown


def by_setting(found: list[dict]) -> list[dict]:
    """The rows for a file: of each setting its copies by kind, and by statistic and kind the AUC and the share caught at 1 %."""
    told: dict[tuple, dict] = {}
    for row in found:
        head = {key: row[key] for key in ("detector", *asdict(Setting()))}
        one = told.setdefault(tuple(head.values()), head | {"copies": {}, "auc, tpr_at_1pct_fpr": {}})
        one["copies"][row["kind"]] = row["copies"]
        both = [round(row["auc"], 5), round(row["tpr_at_1pct_fpr"], 5)]
        one["auc, tpr_at_1pct_fpr"].setdefault(row["statistic"], {})[row["kind"]] = both
    return list(told.values())


def measure(
    bed: Testbed,
    profile: Profile,
    settings: Sequence[tuple[Setting, Path]],
    out: Path,
    folder: Path,
    tick: Callable[[int], None] = lambda n: None,
) -> dict:
    """Compare on the tapes of `settings`; the ordinary runs that it samples are kept in `folder`. Writes ``scores.json`` and ``scores.md``."""
    ordinary = []
    for number, setting in enumerate(SAMPLERS):
        path = folder / f"reference-{number}-{RUNS}.npz"
        ordinary.append(kept(path, lambda setting=setting, number=number: reference(bed, setting, number, tick), asdict(setting)))
    more, found = further(ordinary), []
    for setting, path in settings:
        if judges(setting):
            taken = Tape.load(path)
            found += rows(setting, taken, statistics(profile, more, setting, taken))
    shown = summary(found)
    choice = {detector: chosen([one for one in shown if one["detector"] == detector]) for detector in dict.fromkeys(one["detector"] for one in shown)}
    result = {
        "profile": profile.name,
        "rule": "tpr_mean, within half a point the highest auc_worst",
        "chosen": choice,
        "summary": shown,
        "settings": by_setting(found),
    }
    out.mkdir(parents=True, exist_ok=True)
    written.write(out / "scores.json", result)
    (out / "scores.md").write_text(report(result) + "\n")
    return result


def report(result: dict) -> str:
    """The summary as Markdown."""
    head = ["settings of the", "score", "AUC, mean", "worst", "caught at 1 %, mean", "worst", "worst kind", "settings × kinds that meet the bars"]
    lines = [
        [
            one["detector"],
            one["statistic"] + (" **(chosen)**" if one["statistic"] == result["chosen"][one["detector"]] else ""),
            f"{one['auc_mean']:.4f}",
            f"{one['auc_worst']:.4f}",
            f"{one['tpr_mean']:.3f}",
            f"{one['tpr_worst']:.2f}",
            one["worst_kind"],
            f"{one['met']:.2f} of {one['cells']}",
        ]
        for one in result["summary"]
    ]
    return tables.markdown(head, lines)
