"""Detection on the testbed: memorized against ordinary captions under one setting of sampler, schedule, steps, guidance and negative prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from ..guard import UNKNOWN_NEGATIVE, Guard, Options
from ..probe import LEAST_GUIDANCE, Probe, looks
from ..profiles import Profile
from ..sensitivity import TARGETS, thresholds
from .batches import batches
from .captions import Memorized, ordinary_samples, template_draw
from .model import Testbed
from .sample import GuidedDenoiser, evaluations_of
from .variants import MAIN, Variant

#: First seed of the evaluation; calibration has its own range, see :data:`.calibrate.SEED`.
EVALUATION_SEED = 5_000_000
#: Evaluations after which a detector is judged for how early it knows.
EARLY = 3
NEGATIVES = ("none", "word", "words", "caption", "fixed")


@dataclass(frozen=True)
class Setting:
    """One row of the detection table. `negative` names the kind of negative prompt, see :func:`negatives_for`."""

    sampler: str = "Euler"
    schedule: str = "uniform"
    steps: int = 20
    guidance: float = 7.5
    negative: str = "none"
    probe: bool = False

    def sampling(self) -> dict:
        """The part of it that :func:`.sample.sample` takes, but for the negative prompts."""
        return {"sampler": self.sampler, "schedule": self.schedule, "steps": self.steps, "guidance": self.guidance}


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


def negatives_for(kind: str, count: int, seed: int) -> list[str]:
    """Negative prompts: none, one word each, two or three words each, a whole ordinary caption each, or one caption for all runs."""
    if kind == "none":
        return [""] * count
    if kind == "fixed":
        return ["small black square tiles"] * count
    captions = [caption for caption, _ in ordinary_samples(count, seed, "evaluation")]
    rng = np.random.default_rng(seed)
    if kind == "caption":
        return captions
    length = {"word": lambda: 1, "words": lambda: int(rng.integers(2, 4))}[kind]
    return [" ".join(rng.permutation(caption.split())[: length()]) for caption in captions]


def memorized_captions(kind: str, copies: int, seed: int, variant: Variant = MAIN) -> tuple[list[str], list[Memorized]]:
    """Captions of memorized pictures, each `copies` times (a template with a new object each time), and what they memorized."""
    items = [item for item in variant.memorized(kind) for _ in range(copies)]
    if kind == "whole":
        return [item.caption for item in items], items
    rng = np.random.default_rng(seed)
    return [template_draw(item, rng)[0] for item in items], items


def run(bed: Testbed, profile: Profile, captions: list[str], setting: Setting, seed: int, tick: Callable[[int], None] = lambda n: None) -> Runs:
    """Sample captions in report mode and keep every evaluation's scores. Sampling stops early where only the probe can judge."""
    blind = setting.negative != "none" or setting.guidance < LEAST_GUIDANCE

    def guard_for(model: GuidedDenoiser) -> Guard:
        look = Probe(profile.probe, model.virtual, "always" if setting.probe else "never", expected=model.expected)
        return Guard(profile.watch, Options(mode="report"), look, doubt="" if setting.negative == "none" else UNKNOWN_NEGATIVE)

    enough = max(looks(evaluations_of(setting.sampler, setting.steps))[-1] + 1, EARLY) if blind else None
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


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a memorized run scores above an ordinary one, ties count half."""
    order = np.sort(negative)
    below, upto = np.searchsorted(order, positive, "left"), np.searchsorted(order, positive, "right")
    return float((below + upto).mean() / (2 * len(order)))


def tpr_at(positive: np.ndarray, negative: np.ndarray, fpr: float = 0.01) -> float:
    """Share of memorized runs above the threshold that lets at most `fpr` of the ordinary ones through."""
    allowed = int(np.floor(fpr * len(negative)))
    threshold = np.sort(negative)[::-1][allowed]
    return float((positive > threshold).mean())


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
