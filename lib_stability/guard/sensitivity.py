"""Sensitivity levels: target false-alarm rates turned into thresholds of a region, from its reference runs' leave-one-out scores."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ..sentences import Figure, Sentence
from .region import StabilityRegion
from .tail import Tail

#: Target false-alarm rate of each level: the share of ordinary runs that it may flag.
TARGETS = {"low": 0.002, "medium": 0.01, "high": 0.05}
LEVELS = (*TARGETS, "paper", "custom")
PAPER_MILD, PAPER_STRONG = 3.0, 14.0
TAU_RANGE = (0.1, 1000.0)
#: A strong flag is to be this much rarer among ordinary runs than any flag: not rarer than a calibration of a thousand runs can show.
STRONG_SHARE = 0.1
#: A prior has no reference runs: a run is taken for this many independent looks at a normal deviate.
PRIOR_LOOKS = 5
#: What a threshold costs, for people: by what that is known.
TEXTS = {
    "measured": "z > {threshold}, expected false alarms {share} % (measured on its reference runs)",
    "extrapolated": "z > {threshold}, expected false alarms {share} % (extrapolated from its few reference runs)",
    "supposed": "z > {threshold}, expected false alarms {share} % (assumed, a prior has no reference runs)",
    "below": "below {share}",
}


@dataclass(frozen=True)
class Thresholds:
    """`mild` flags an evaluation, an evaluation above `strong` makes the flag a strong one.

    `false_alarms` is the expected share of ordinary runs flagged (a tenth of it strongly, but for the level "paper"); `measured` says whether
    it comes from reference runs or from the assumption made for priors, `extrapolated` whether those runs are too few to show such a rate; `rule` is
    the score that they are for, see :attr:`.deviation.ZScores.score`.
    """

    mild: float
    strong: float
    false_alarms: float
    measured: bool
    extrapolated: bool = False
    rule: str = "smaller"

    def describe(self) -> str:
        """For people: the threshold and what it costs."""
        known = "supposed" if not self.measured else "extrapolated" if self.extrapolated else "measured"
        percent = 100 * self.false_alarms
        share: str = Figure(f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}")
        if percent < 0.01:
            share = Sentence(TEXTS["below"], share=Figure("0.01"))
        return Sentence(TEXTS[known], threshold=Figure(f"{self.mild:.2f}"), share=share)


def _prior_quantile(rate: float) -> float:
    return NormalDist().inv_cdf(1 - rate / PRIOR_LOOKS)


def exceeded(region: StabilityRegion, rate: float) -> float:
    """The score that ordinary runs exceed at `rate`: what the most unusual of ``1 / rate`` of them shows. Assumed for a prior."""
    measured = len(region.scores_) >= 8
    return max(Tail(region.scores_).quantile(rate) if measured else _prior_quantile(rate), 0.1)


def check(level: str, tau: float) -> None:
    """Raise ValueError, naming the field, for an unknown level or a threshold out of range."""
    if level not in LEVELS:
        raise ValueError(f"sensitivity: {level!r} is not one of {', '.join(LEVELS)}")
    if not TAU_RANGE[0] <= tau <= TAU_RANGE[1]:
        raise ValueError(f"threshold: {tau!r} is not from {TAU_RANGE[0]:g} to {TAU_RANGE[1]:g}")


def thresholds(region: StabilityRegion, level: str = "medium", tau: float = PAPER_MILD) -> Thresholds:
    """Thresholds of `level` for `region`; `tau` is the mild threshold of the level "custom".

    Raises
    ------
    ValueError
        An unknown level, or a `tau` outside 0.1..1000.
    """
    check(level, tau)
    measured = len(region.scores_) >= 8
    tail = Tail(region.scores_) if measured else None
    quantile = tail.quantile if tail else _prior_quantile
    if level in TARGETS:
        rate = TARGETS[level]
        mild = max(quantile(rate), 0.1)
    else:
        mild = PAPER_MILD if level == "paper" else tau
        rate = tail.rate(mild) if tail else min(1.0, PRIOR_LOOKS * (1 - NormalDist().cdf(mild)))
    # Beyond what a normal deviate can say, the paper's ratio.
    rare = STRONG_SHARE * rate
    strong = PAPER_STRONG if level == "paper" else quantile(rare) if rare > 1e-12 else mild * PAPER_STRONG / PAPER_MILD
    return Thresholds(mild, max(strong, mild), rate, measured, tail is not None and rate < tail.resolved, region.score)


def false_alarm_table(region: StabilityRegion) -> list[list[float]]:
    """Rows of threshold and expected false-alarm rate, half a spread apart; empty for a prior."""
    if len(region.scores_) < 8:
        return []
    tail = Tail(region.scores_)
    return [[float(t), float(f"{tail.rate(float(t)):.3g}")] for t in np.arange(0.5, 10.5, 0.5)]
