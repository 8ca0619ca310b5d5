"""Detection on the testbed: what a profile makes of the runs on a tape, by kind of memorization.

Labels come from the pictures, never from the captions: a run is a copy where its picture is one of anything memorized. An ordinary caption's run that
hands out a memorized picture is a copy, a memorized caption's run that does not is none; neither is counted as a false alarm or as missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch

from ...guard.norms import Norms
from ...guard.probe import LEAST_GUIDANCE, looks
from ...guard.region import StabilityRegion
from ...guard.sensitivity import TARGETS, thresholds
from ...profile import scatter
from ...profile.profiles import Profile
from ...ranking import auc, tpr_at
from ..network.setting import Setting
from .tapes import ORDINARY, Tape

#: Evaluations after which a detector is judged for how early it knows, and the share of a pass in which a flag comes early enough to steer by.
EARLY, EARLY_SHARE = 3, 0.25
#: Copies of a kind below which a row says nothing of it.
LEAST = 3


@dataclass
class Runs:
    """Scores of runs per evaluation, arrays ``(runs, evaluations)`` with NaN where a detector did not look, which are copies, and the rows that were
    evaluated for a detector's sake alone, per run."""

    watch: np.ndarray
    probe: np.ndarray
    copies: np.ndarray
    extra_rows: float = 0.0

    def best(self, thresholds_of: dict[str, float], first: int | None = None) -> np.ndarray:
        """Highest score of each run over both detectors in units of their thresholds, over the first evaluations or all; NaN if not judged."""
        parts = [getattr(self, name)[:, :first] / limit for name, limit in thresholds_of.items()]
        both = np.concatenate(parts, 1)
        return np.where(np.isnan(both).all(1), np.nan, np.max(np.nan_to_num(both, nan=-np.inf), 1))


def deviations(region: StabilityRegion, taken: Tape, names: tuple[str, str] = ("rate", "clean"), guidance: float | None = None) -> np.ndarray:
    """z of two columns as rate and clean norm, float32 ``(runs, evaluations, 2)``, at the tape's guidance or at one scale; NaN outside the region."""
    sigma = torch.from_numpy(taken.columns["sigma"])
    scales = torch.from_numpy(taken.columns["guidance"]) if guidance is None else torch.full_like(sigma, guidance)
    found = region.z_scores(Norms(*(torch.from_numpy(taken.columns[name]).flatten() for name in names)), sigma.flatten(), scales.flatten())
    return torch.where(found.inside[:, None], found.both, torch.nan).view(*sigma.shape, 2).numpy()


def scores(region: StabilityRegion, taken: Tape, *how) -> np.ndarray:
    """Scores ``(runs, evaluations)`` by the region's own rule; see :func:`deviations`."""
    rate, clean = np.moveaxis(deviations(region, taken, *how), -1, 0)
    return region.scores_of(rate, clean, taken.columns["sigma"])


def judged(profile: Profile, setting: Setting, taken: Tape) -> Runs:
    """What the detectors that judge this setting make of a tape: the watch where nothing but guidance moves the norms, the probe where asked."""
    watch, probe = np.full((2, *taken.columns["sigma"].shape), np.nan)
    extra = 0
    if setting.negative == "none" and setting.guidance >= LEAST_GUIDANCE:
        watch = scores(scatter.watch(profile, setting.sampler, taken.columns["sigma"].shape[1], setting.guidance), taken)
    if setting.probe:
        looked = list(looks(probe.shape[1], rule=profile.probe.score, flow=profile.probe.parameterisation == "flow"))
        region = scatter.probe(profile, setting.sampler, probe.shape[1])
        probe[:, looked] = scores(region, taken, ("virtual_rate", "virtual_clean"), profile.probe_guidance)[:, looked]
        extra = len(looked) * (profile.model.distilled or setting.negative != "none" or setting.guidance == 1)
    return Runs(watch, probe, taken.copies, float(extra))


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


def rows(setting: Setting, profile: Profile, kinds: np.ndarray, runs: Runs) -> Iterator[dict]:
    """The entries of ``evaluate.json`` of one setting: one for each kind of memorization, and one for the copies that ordinary captions hand out.

    `kinds` says of each run what its caption is, see :func:`by_kind`.
    """
    found = {level: {name: thresholds(region, level).mild for name, region in _regions(profile)} for level in (*TARGETS, "paper")}
    score, early = runs.best(found["medium"]), runs.best(found["medium"], EARLY)
    first = runs.best(found["medium"], max(1, round(EARLY_SHARE * runs.watch.shape[1]))) > 1
    ordinary, judged = (kinds == ORDINARY) & ~runs.copies, ~np.isnan(score)
    shared = {
        "detector": judges(setting),
        "evaluations": runs.watch.shape[1],
        "extra_evaluations": runs.extra_rows,
        "not_judged": float(1 - judged.mean()),
        "ordinary_runs": int(ordinary.sum()),
        "ordinary_that_copy": int((runs.copies & (kinds == ORDINARY)).sum()),
    }
    over = {level: runs.best(limits) > 1 for level, limits in found.items()} if judged.all() else {}
    for told in by_kind(kinds, runs.copies, *((score, first, over) if judged.all() else ())):
        caught = told.pop("caught", {})
        row = {**told, **asdict(setting), **shared}
        copies = (kinds == told["kind"]) & runs.copies
        row["auc_after_3"] = auc(early[copies], early[ordinary]) if caught else None
        row |= {name: told.get(name) for name in ("auc", "tpr_at_1pct_fpr", "caught_early")}
        row["levels"] = {level: {"false_alarms": float(one[ordinary].mean()), "caught": caught.get(level)} for level, one in over.items()}
        yield row


def _regions(profile: Profile) -> tuple[tuple[str, object], ...]:
    return ("watch", profile.watch), ("probe", profile.probe)
