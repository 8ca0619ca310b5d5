"""The upper tail of what ordinary runs score: which score so many of them exceed."""

from __future__ import annotations

import numpy as np


class Tail:
    """Upper tail of reference scores: the sample itself where it resolves a rate, a generalized Pareto fit beyond.

    Fitted by L-moments (Hosking and Wallis 1987) to the excesses over the 80 % quantile, shape kept within -0.2..0.4.
    """

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = np.sort(np.asarray(scores, dtype=np.float64))
        count = len(self.scores)
        first = min(int(0.8 * count), max(count - 10, 0))
        self.start, self.share = float(self.scores[first]), (count - first) / (count + 1)
        excess = self.scores[first:] - self.start
        mean = max(float(excess.mean()), 1e-6)
        rank = np.arange(len(excess))
        second = float((excess * rank).sum() / max(len(excess) * (len(excess) - 1), 1)) * 2 - mean
        self.shape = float(np.clip(2 - mean / max(second, 1e-9), -0.2, 0.4)) if len(excess) > 4 else 0.0
        self.scale = (1 - self.shape) * mean

    @property
    def resolved(self) -> float:
        """The least rate that the sample itself shows: that of five runs."""
        return min(5 / (len(self.scores) + 1), self.share)

    def quantile(self, rate: float) -> float:
        """The score that ordinary runs exceed at `rate`."""
        count = len(self.scores)
        # Beyond what the sample resolves, the fit may not fall back below it.
        seen = self.resolved
        resolved = float(np.interp(1 - max(rate, seen), np.arange(1, count + 1) / (count + 1), self.scores))
        if rate >= seen:
            return resolved
        ratio = rate / self.share
        excess = -np.log(ratio) if abs(self.shape) < 1e-6 else (ratio**-self.shape - 1) / self.shape
        return max(resolved, self.start + self.scale * float(excess))

    def rate(self, threshold: float) -> float:
        """The share of ordinary runs expected above `threshold`: the inverse of :meth:`quantile`, by bisection on a log scale."""
        low, high = 1e-9, 1.0
        for _ in range(60):
            middle = (low * high) ** 0.5
            low, high = (low, middle) if self.quantile(middle) < threshold else (middle, high)
        return high
