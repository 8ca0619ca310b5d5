"""Fit of the guidance curves of a region, and its leave-one-out scores. NumPy only: it also runs inside the web UI.

At each knot of the log-sigma grid the squared norm is a quadratic of the guidance scale w, because the guided prediction is linear in w:
``r**2 = a + b w + c w**2`` with ``a, b, c >= 0`` (b may in truth be slightly negative; non-negativity keeps the curve positive and monotone
outside the guidance scales that were seen). Errors are relative, so the fit is weighted by ``1/r**4`` of its own prediction.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np

_SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(range(3), size)]


class Curves(NamedTuple):
    """Quadratics of one statistic: `coefficients` of shape ``(knots, 3)`` (a, b, c) and relative `spread` of shape ``(knots,)``.

    `guided`, of shape ``(knots,)``, is the part of the relative spread that grows with guidance, see :func:`spread_at`; None where there is none.
    """

    coefficients: np.ndarray
    spread: np.ndarray
    guided: np.ndarray | None = None

    def widened(self, width: float | np.ndarray) -> Curves:
        """The same means, spreads `width` times as large: everywhere, or at each of the knots."""
        return Curves(self.coefficients, width * self.spread, None if self.guided is None else width * self.guided)


def resample(position: np.ndarray, value: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Values of one trajectory at `knots`, NaN where the trajectory does not reach (half a knot of tolerance).

    Evaluations at (nearly) the same noise level, as second-order samplers make, are averaged first.
    """
    order = np.argsort(position)
    position, value = position[order], value[order]
    groups = np.cumsum(np.r_[False, np.diff(position) > 1e-4])
    weight = np.bincount(groups)
    position = np.bincount(groups, position) / weight
    value = np.bincount(groups, value) / weight
    slack = 0.5 * (knots[1] - knots[0]) if len(knots) > 1 else 1e-3
    inside = (knots >= position[0] - slack) & (knots <= position[-1] + slack)
    return np.where(inside, np.interp(knots, position, value), np.nan)


def solve(normal: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Non-negative least squares for three unknowns from normal equations, by trying every set of unknowns that may be positive.

    Parameters
    ----------
    normal : array of shape ``(..., 3, 3)``
    right : array of shape ``(..., 3)``

    Returns
    -------
    array of shape ``(..., 3)``
    """
    best = np.zeros_like(right)
    least = np.zeros(right.shape[:-1])
    for subset in _SUBSETS:
        index = np.array(subset)
        part = normal[..., index[:, None], index[None, :]]
        # A trace-scaled ridge keeps knots with a single guidance scale solvable.
        ridge = 1e-9 * np.trace(part, axis1=-2, axis2=-1)[..., None, None] * np.eye(len(subset)) + 1e-30 * np.eye(len(subset))
        answer = np.linalg.solve(part + ridge, right[..., index][..., None])[..., 0]
        gain = -2 * np.sum(answer * right[..., index], -1) + np.einsum("...i,...ij,...j->...", answer, part, answer)
        better = (answer >= 0).all(-1) & (gain < least)
        least = np.where(better, gain, least)
        best[better] = 0
        best[..., index] = np.where(better[..., None], answer, best[..., index])
    return best


def predict(coefficients: np.ndarray, guidance: np.ndarray | float) -> np.ndarray:
    """Mean norm ``sqrt(a + b w + c w**2)``; `coefficients` ``(..., 3)`` against `guidance` ``(...)`` or one number."""
    a, b, c = np.moveaxis(coefficients, -1, 0)
    return np.sqrt(np.maximum(a + b * guidance + c * guidance**2, 1e-12))


def guided_share(coefficients: np.ndarray, guidance: np.ndarray | float) -> np.ndarray:
    """Share of the squared norm that guidance adds, ``(b w + c w**2) / r**2``, from 0 to 1; shapes as in :func:`predict`."""
    return 1 - coefficients[..., 0] / predict(coefficients, guidance) ** 2


def spread_at(curves: Curves, guidance: np.ndarray | float) -> np.ndarray:
    """Relative spread at each knot and a guidance scale: ``sqrt(spread**2 + (guided * share)**2)``.

    What differs between prompts is how much they say, and that is what guidance multiplies: the part of the norm that guidance adds scatters by a
    share of its own.
    """
    if curves.guided is None:
        return curves.spread
    return np.sqrt(curves.spread**2 + (curves.guided * guided_share(curves.coefficients, guidance)) ** 2)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Weights 1-2-1 along the first axis, ends kept."""
    if len(values) < 3:
        return values
    inner = (values[:-2] + 2 * values[1:-1] + values[2:]) / 4
    return np.concatenate([values[:1], inner, values[-1:]])


def _two_parts(square: np.ndarray, grows: np.ndarray, seen: np.ndarray, plain: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Non-negative `fixed` and `guided` with ``square ~ fixed + guided * grows`` at each knot, both ``(knots,)``.

    `square`, `grows` and `seen` are ``(runs, knots)``; `plain` is the mean square, taken where `grows` does not vary. Squares scatter as much as they
    are large, so they are weighted by ``1/(fixed + guided * grows)**2``, as the norms are in :class:`CurveFit`.
    """
    weight = seen.astype(np.float64)
    count = np.maximum(weight.sum(0), 1)
    varies = ((grows - (weight * grows).sum(0) / count) ** 2 * weight).sum(0) / count > 1e-4
    fixed, guided = plain, np.zeros_like(plain)
    for _ in range(4):
        one, x, xx, y, xy = (np.einsum("rk,rk->k", weight, part) for part in (np.ones_like(grows), grows, grows**2, square, grows * square))
        among = np.where(varies, np.maximum(one * xx - x * x, 1e-12 * one * one), 1.0)
        both = (xx * y - x * xy) / among, (one * xy - x * y) / among
        fixed = np.where(both[1] < 0, y / np.maximum(one, 1e-300), np.where(both[0] < 0, 0.0, both[0]))
        guided = np.where(both[1] < 0, 0.0, np.where(both[0] < 0, xy / np.maximum(xx, 1e-300), both[1]))
        fixed, guided = np.where(varies, fixed, plain), np.where(varies, guided, 0.0)
        weight = np.where(seen, 1 / np.maximum(fixed + guided * grows, least) ** 2, 0.0)
    return fixed, guided


class CurveFit:
    """Weighted normal equations of one statistic over all trajectories, from which any one trajectory can be left out.

    Parameters
    ----------
    norms : array of shape ``(runs, knots)``
        Norms at the knots, NaN where a trajectory does not reach.
    guidance : array of shape ``(runs, knots)``
    floor : float
        Least relative spread.
    growing : bool
        Whether the spread may grow with guidance, see :func:`spread_at`; else it is one number at each knot.
    """

    def __init__(self, norms: np.ndarray, guidance: np.ndarray, floor: float, growing: bool = False) -> None:
        self.norms, self.guidance, self.floor, self.growing = norms, guidance, floor, growing
        self.seen = np.isfinite(norms) & np.isfinite(guidance)
        w = np.where(self.seen, guidance, 0.0)
        self.target = np.where(self.seen, norms, 0.0) ** 2
        self.features = np.stack([np.ones_like(w), w, w**2], -1)
        weight = np.where(self.seen, 1 / np.maximum(self.target, 1e-9) ** 2, 0.0)
        for _ in range(4):
            coefficients = self._solve(weight)
            mean = np.maximum(np.einsum("rki,ki->rk", self.features, coefficients), 1e-9)
            weight = np.where(self.seen, 1 / mean**2, 0.0)
        self.weight = weight
        self.sums = self._sums(weight)
        self.curves = self._curves(coefficients, np.ones(len(norms), dtype=bool))

    def _sums(self, weight: np.ndarray, runs: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Both sides of the normal equations over some runs, ``(knots, 3, 3)`` and ``(knots, 3)``."""
        features, target, weight = self.features[runs], self.target[runs], weight[runs]
        return np.einsum("rki,rkj,rk->kij", features, features, weight), np.einsum("rki,rk,rk->ki", features, target, weight)

    def _solve(self, weight: np.ndarray) -> np.ndarray:
        return _smooth(solve(*self._sums(weight)))

    def _curves(self, coefficients: np.ndarray, keep: np.ndarray) -> Curves:
        ratio = self.norms[keep] / predict(coefficients, self.guidance[keep]) - 1
        ratio = np.where(self.seen[keep], ratio, 0.0)
        count = np.maximum(self.seen[keep].sum(0), 1)
        plain = (ratio**2).sum(0) / np.maximum(count - 1, 1)
        if not self.growing:
            return Curves(coefficients, np.maximum(_smooth(np.sqrt(plain)), self.floor))
        share = np.where(self.seen[keep], guided_share(coefficients, np.where(self.seen[keep], self.guidance[keep], 0.0)), 0.0)
        fixed, guided = _two_parts(ratio**2, share**2, self.seen[keep], plain, self.floor**2)
        return Curves(coefficients, np.maximum(np.sqrt(_smooth(fixed)), self.floor), np.sqrt(_smooth(guided)))

    def leave_out(self, run: int) -> np.ndarray:
        """z-scores of one run at the knots, judged by the fit to all the others: shape ``(knots,)``, NaN where it does not reach."""
        mean, spread = self._without(run)
        return (self.norms[run] / mean - 1) / spread

    def leave_out_at(self, run: int, place: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """z-scores of the run's single evaluations, judged by the fit to all the others at its mean guidance scale.

        `place` and `norms`, both ``(evaluations,)``, say where they lie in units of knots, and what was measured there.
        """
        mean, spread = self._without(run, np.nanmean(self.guidance[run]))
        knots = np.arange(len(spread))
        return (norms / np.interp(place, knots, mean) - 1) / np.interp(place, knots, spread)

    def _without(self, run: int, guidance: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and spread at the knots without one run, at its own guidance scales or at one."""
        normal, right = (whole - own for whole, own in zip(self.sums, self._sums(self.weight, slice(run, run + 1))))
        curves = self._curves(_smooth(solve(normal, right)), np.arange(len(self.norms)) != run)
        scale = self.guidance[run] if guidance is None else guidance
        return predict(curves.coefficients, scale), spread_at(curves, scale)
