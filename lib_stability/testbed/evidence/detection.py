"""Detection on the testbed: runs of memorized and of ordinary captions under one setting of sampler, schedule, steps, guidance and negative prompt.

Labels come from the pictures, never from the captions: a run is a copy where its picture is one of anything memorized. An ordinary caption's run that
hands out a memorized picture is a copy, a memorized caption's run that does not is none; neither is counted as a false alarm or as missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from ...guard.guard import UNKNOWN_NEGATIVE, Guard
from ...guard.options import Options
from ...guard.probe import LEAST_GUIDANCE, Probe
from ...guard.sensitivity import TARGETS, thresholds
from ...profile.profiles import Profile
from ...ranking import auc, tpr_at
from ..network import finished
from ..network.batches import batches
from ..network.model import Testbed
from ..network.sample import GuidedDenoiser
from ..network.setting import Setting, negatives_for
from ..world import judge

#: Evaluations after which a detector is judged for how early it knows, and the share of a pass in which a flag comes early enough to steer by.
EARLY, EARLY_SHARE = 3, 0.25
#: Copies of a kind below which a row says nothing of it.
LEAST = 3
ORDINARY = "ordinary"


@dataclass
class Runs:
    """Scores of runs per evaluation, arrays ``(runs, evaluations)`` with NaN where a detector did not look; which are copies; what they cost."""

    watch: np.ndarray
    probe: np.ndarray
    copies: np.ndarray
    rows: float
    extra_rows: float

    def best(self, thresholds_of: dict[str, float], first: int | None = None) -> np.ndarray:
        """Highest score of each run over both detectors in units of their thresholds, over the first evaluations or all; NaN if not judged."""
        parts = [getattr(self, name)[:, :first] / limit for name, limit in thresholds_of.items()]
        both = np.concatenate(parts, 1)
        return np.where(np.isnan(both).all(1), np.nan, np.max(np.nan_to_num(both, nan=-np.inf), 1))


def run(bed: Testbed, profile: Profile, captions: Sequence[str], setting: Setting, seed: int, tick: Callable[[int], None] = lambda n: None) -> Runs:
    """Sample captions in report mode, keep every evaluation's scores and judge the pictures; rows are per run."""

    def guard_for(model: GuidedDenoiser) -> Guard:
        look = Probe(profile.probe, model.virtual, "always" if setting.probe else "never", expected=model.expected)
        return Guard(profile.watch, Options(mode="report"), look, doubt="" if setting.negative == "none" else UNKNOWN_NEGATIVE)

    watch, probe, copies, rows, extra = [], [], [], 0, 0
    memories, world = bed.variant.memorized(), bed.variant.world
    negatives, seeds = negatives_for(setting.negative, len(captions), seed, world), range(seed, seed + len(captions))
    for done in batches(bed, captions, seeds, negatives, guard_for, **setting.sampling()):
        blank = torch.full((done.count,), float("nan"))
        for name, found in (("watched", watch), ("probed", probe)):
            readings = [getattr(reading, name) for reading in done.guard.readings]
            found.append(torch.stack([blank if r is None else r.z.score for r in readings], 1).numpy())
        copies.append(judge.any_copies(finished.pictures(bed, done.samples.latents), memories).numpy())
        rows, extra = rows + done.samples.rows, extra + done.samples.extra_rows
        tick(done.count)
    return Runs(np.concatenate(watch), np.concatenate(probe), np.concatenate(copies), rows / len(captions), extra / len(captions))


def judges(setting: Setting) -> str:
    """Which detector can judge a setting: the watch, or where guidance or negative prompt leave it out, the probe; "" where that is off."""
    return "watch" if setting.negative == "none" and setting.guidance >= LEAST_GUIDANCE else "probe" if setting.probe else ""


def by_kind(
    kinds: np.ndarray, copies: np.ndarray, score: np.ndarray | None = None, first: np.ndarray | None = None, over: Mapping[str, np.ndarray] = {}
) -> Iterator[dict]:
    """Of each kind of caption its runs and the share that are copies; and where scores are given and at least :data:`LEAST` are, how those are told.

    Parameters
    ----------
    kinds : array of str ``(runs,)``
        What each run's caption is: a kind of memorization, or :data:`ORDINARY`.
    copies : bool array ``(runs,)``
    score : array ``(runs,)``, optional
        Copies of a kind are ranked against the ordinary captions' runs that are none.
    first : bool array ``(runs,)``, optional
        Runs that Medium flags in the first :data:`EARLY_SHARE` of their evaluations.
    over : mapping of bool arrays ``(runs,)``
        Runs that a level flags.
    """
    ordinary = (kinds == ORDINARY) & ~copies
    for kind in dict.fromkeys(kinds.tolist()):
        own = kinds == kind
        found = own & copies
        row = {"kind": kind, "runs": int(own.sum()), "copies": float(copies[own].mean())}
        if score is not None and found.sum() >= LEAST:
            row |= {"auc": auc(score[found], score[ordinary]), "tpr_at_1pct_fpr": tpr_at(score[found], score[ordinary])}
            row |= {"caught_early": float(first[found].mean()), "caught": {level: float(one[found].mean()) for level, one in over.items()}}
        yield row


def rows(setting: Setting, profile: Profile, kinds: Sequence[str], runs: Runs) -> Iterator[dict]:
    """The entries of ``evaluate.json`` of one setting: one for each kind of memorization, and one for the copies that ordinary captions hand out.

    `kinds` says of each run what its caption is, see :func:`by_kind`.
    """
    names = np.asarray(kinds)
    found = {level: {name: thresholds(region, level).mild for name, region in _regions(profile)} for level in (*TARGETS, "paper")}
    score, early = runs.best(found["medium"]), runs.best(found["medium"], EARLY)
    first = runs.best(found["medium"], max(1, round(EARLY_SHARE * runs.watch.shape[1]))) > 1
    ordinary, judged = (names == ORDINARY) & ~runs.copies, ~np.isnan(score)
    shared = {
        "detector": judges(setting),
        "evaluations": runs.watch.shape[1],
        "extra_evaluations": runs.extra_rows,
        "rows_per_run": runs.rows,
        "not_judged": float(1 - judged.mean()),
        "ordinary_runs": int(ordinary.sum()),
        "ordinary_that_copy": int((runs.copies & (names == ORDINARY)).sum()),
    }
    over = {level: runs.best(limits) > 1 for level, limits in found.items()} if judged.all() else {}
    for told in by_kind(names, runs.copies, *((score, first, over) if judged.all() else ())):
        caught = told.pop("caught", {})
        row = {**told, **asdict(setting), **shared}
        copies = (names == told["kind"]) & runs.copies
        row["auc_after_3"] = auc(early[copies], early[ordinary]) if caught else None
        row |= {name: told.get(name) for name in ("auc", "tpr_at_1pct_fpr", "caught_early")}
        row["levels"] = {level: {"false_alarms": float(one[ordinary].mean()), "caught": caught.get(level)} for level, one in over.items()}
        yield row


def _regions(profile: Profile) -> tuple[tuple[str, object], ...]:
    return ("watch", profile.watch), ("probe", profile.probe)
