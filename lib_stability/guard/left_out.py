"""Leave-one-out scores: what each reference run of a region shows when it is judged by all the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .fitting import CurveFit
from .tail import Tail

#: Above this noise level (below it there is more picture than noise) looks count as early ones.
NOISY = 1.0
#: The share of ordinary runs that early looks and late ones are each to flag alike: about half of what the level Medium may.
RATE = 0.005
#: What they differ by is a factor that a few runs may not drive far, and fewer than :data:`FEWEST` not at all.
BOUNDS, FEWEST = (0.5, 2.5), 50


class LeftOut(NamedTuple):
    """Of every run the scores of what was looked at, NaN where the region does not reach, and the noise levels, arrays of one shape a run."""

    scores: list[np.ndarray]
    sigma: list[np.ndarray]

    def highest(self, where: Callable[[np.ndarray], np.ndarray] = lambda sigma: sigma > 0) -> np.ndarray:
        """Sorted, of each run the highest score at noise levels for which `where` is true; runs without one are left out."""
        kept = [score[where(sigma) & np.isfinite(score)] for score, sigma in zip(self.scores, self.sigma)]
        return np.sort([float(one.max()) for one in kept if len(one)])

    def balance(self) -> float:
        """How many times as far ordinary runs lie out at early looks as at late ones, by the scores that :data:`RATE` of them exceed.

        With one threshold for all looks, those that scatter most set it, and the others, which might tell more, flag less than they may. 1 where
        there are too few runs to say.
        """
        early, late = self.highest(lambda sigma: sigma > NOISY), self.highest(lambda sigma: sigma <= NOISY)
        if min(len(early), len(late)) < FEWEST:
            return 1.0
        ratio = Tail(early).quantile(RATE) / max(Tail(late).quantile(RATE), 0.1)
        return float(np.clip(ratio, *BOUNDS))

    def widened(self, width: float) -> LeftOut:
        """The same with early looks in units of spreads `width` times as large."""
        return self._replace(scores=[np.where(sigma > NOISY, score / width, score) for score, sigma in zip(self.scores, self.sigma)])


def at_looks(
    fits: Sequence[CurveFit],
    runs: Mapping[int, tuple[np.ndarray, ...]],
    places: Sequence[np.ndarray],
    looks: Callable[[int], Sequence[int]],
    score: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> LeftOut:
    """Scores of single evaluations: of those that `looks` names, by their numbers in a run of so many.

    Parameters
    ----------
    fits : sequence of CurveFit
        Of the rate and of the clean norm.
    runs : mapping of tuples of arrays
        By the number of a run its `sigma`, `guidance`, `rate` and `clean`.
    places : sequence of arrays
        Of every run where its evaluations lie, in units of knots; NaN outside the region.
    looks : callable
    score : callable
        From deviations of both norms and noise levels to scores.
    """
    found, levels = [], []
    for number, (sigma, _, *norms) in runs.items():
        taken = np.asarray(looks(len(sigma)))
        rate, clean = (fit.leave_out_at(number, places[number][taken], norm[taken]) for fit, norm in zip(fits, norms))
        found.append(score(rate, clean, sigma[taken]))
        levels.append(sigma[taken])
    return LeftOut(found, levels)


def at_knots(fits: Sequence[CurveFit], runs: Sequence[int], levels: np.ndarray, score: Callable[..., np.ndarray]) -> LeftOut:
    """Scores of whole runs, by their numbers, at the knots, which lie at noise `levels`; see :func:`at_looks`."""
    return LeftOut([score(*(fit.leave_out(number) for fit in fits), levels) for number in runs], [levels] * len(runs))
