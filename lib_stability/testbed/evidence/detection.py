"""Detection on the testbed: memorized against ordinary captions under one setting of sampler, schedule, steps, guidance and negative prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from ...guard.guard import UNKNOWN_NEGATIVE, Guard
from ...guard.options import Options
from ...guard.probe import LEAST_GUIDANCE, Probe, looks
from ...guard.sensitivity import TARGETS, thresholds
from ...profile.profiles import Profile
from ...ranking import auc, tpr_at
from ..network.batches import batches
from ..network.model import Testbed
from ..network.sample import GuidedDenoiser, evaluations_of
from ..network.setting import Setting, negatives_for

#: Evaluations after which a detector is judged for how early it knows.
EARLY = 3


@dataclass
class Runs:
    """Scores of runs per evaluation, arrays ``(runs, evaluations)`` with NaN where a detector did not look, and what they cost."""

    watch: np.ndarray
    probe: np.ndarray
    rows: int
    extra_rows: int

    def best(self, thresholds_of: dict[str, float], first: int | None = None) -> np.ndarray:
        """Highest score of each run over both detectors in units of their thresholds, over the first evaluations or all; NaN if not judged."""
        parts = [getattr(self, name)[:, :first] / limit for name, limit in thresholds_of.items()]
        both = np.concatenate(parts, 1)
        return np.where(np.isnan(both).all(1), np.nan, np.max(np.nan_to_num(both, nan=-np.inf), 1))


def run(bed: Testbed, profile: Profile, captions: list[str], setting: Setting, seed: int, tick: Callable[[int], None] = lambda n: None) -> Runs:
    """Sample captions in report mode and keep every evaluation's scores. Sampling stops early where only the probe can judge."""
    blind = setting.negative != "none" or setting.guidance < LEAST_GUIDANCE

    def guard_for(model: GuidedDenoiser) -> Guard:
        look = Probe(profile.probe, model.virtual, "always" if setting.probe else "never", expected=model.expected)
        return Guard(profile.watch, Options(mode="report"), look, doubt="" if setting.negative == "none" else UNKNOWN_NEGATIVE)

    enough = max(looks(evaluations_of(setting.sampler, setting.steps), rule=profile.probe.score)[-1] + 1, EARLY) if blind else None
    watch, probe, rows, extra = [], [], 0, 0
    negatives, seeds = negatives_for(setting.negative, len(captions), seed), range(seed, seed + len(captions))
    for done in batches(bed, captions, seeds, negatives, guard_for, stop_after=enough, **setting.sampling()):
        blank = torch.full((done.count,), float("nan"))
        for name, found in (("watched", watch), ("probed", probe)):
            readings = [getattr(reading, name) for reading in done.guard.readings]
            found.append(torch.stack([blank if r is None else r.z.score for r in readings], 1).numpy())
        rows, extra = rows + done.samples.rows, extra + done.samples.extra_rows
        tick(done.count)
    return Runs(np.concatenate(watch), np.concatenate(probe), rows, extra)


def row(setting: Setting, kind: str, profile: Profile, positive: Runs, negative: Runs) -> dict:
    """One entry of the detection table of ``evaluate.json``."""
    limits = {name: thresholds(region, "medium").mild for name, region in (("watch", profile.watch), ("probe", profile.probe))}
    scores = [runs.best(limits) for runs in (positive, negative)]
    judged = [~np.isnan(score) for score in scores]
    result = {"kind": kind, **asdict(setting), "runs": len(scores[0]), "ordinary_runs": len(scores[1])}
    result["not_judged"] = float(1 - np.concatenate(judged).mean())
    rows, extra = positive.rows + negative.rows, positive.extra_rows + negative.extra_rows
    result["extra_evaluations"] = extra / (len(scores[0]) + len(scores[1]))
    result["evaluations"] = positive.watch.shape[1]
    if not all(j.all() for j in judged):
        return result | {"auc": None, "tpr_at_1pct_fpr": None, "auc_after_3": None, "levels": {}}
    early = [runs.best(limits, EARLY) for runs in (positive, negative)]
    levels = {}
    for level in (*TARGETS, "paper"):
        found = {name: thresholds(region, level) for name, region in (("watch", profile.watch), ("probe", profile.probe))}
        over = [runs.best({name: limit.mild for name, limit in found.items()}) > 1 for runs in (positive, negative)]
        levels[level] = {"caught": float(over[0].mean()), "false_alarms": float(over[1].mean())}
    return result | {
        "auc": auc(*scores),
        "tpr_at_1pct_fpr": tpr_at(*scores),
        "auc_after_3": auc(*early),
        "levels": levels,
        "rows_per_run": rows / (len(scores[0]) + len(scores[1])),
    }
