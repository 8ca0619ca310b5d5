"""The stability region: how large the norms of ordinary runs are at each noise level and guidance scale."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..validation import Field
from . import fitting, left_out, norms
from .deviation import LATE, Expected, ZScores, at_scale
from .deviation import SCORES as SCORE_RULES
from .trajectory import Trajectory, checked

#: Version 1 had no "score": it was the smaller of both deviations.
FORMAT, VERSION = "memorization-guard-region", 2
STATISTICS = ("rate", "clean")
MAX_KNOTS, MAX_SCORES = 512, 20000
MAX_SCALES = 32
#: Bounds of what a file may say. A squared norm at a guidance scale w of 100 is at most about 4 (1 + w**2), see :mod:`..profile.plausibility`.
SQUARES = (0.0, 5e4)
#: Relative spreads: a fit goes down to 0.02; norms are positive, so one above 1 has most runs near zero.
SPREADS = (0.01, 1.5)
#: A norm of zero is one over the least spread below the mean, the largest norm over the least mean the other end.
SCORES = (-1 / SPREADS[0], 1000.0)
#: Copies of its end rows that a look-up table carries on either side.
PADDING = 2
#: So many knots beyond its ends a region still judges.
REACH = 1.5
#: Reference runs from this guidance scale on give the leave-one-out scores.
SCORED_GUIDANCE = 5.0


class StabilityRegion:
    """Mean norms and relative spreads of ordinary runs over noise level and guidance scale.

    The norms are those of Broken Memories (arXiv 2605.22050), taken per model evaluation (see :mod:`.norms`); that their squares are quadratics of
    the guidance scale follows from the guided prediction being linear in it (see :mod:`.fitting`).

    Parameters
    ----------
    parameterisation : "sigma" or "flow"
        How sigma mixes noise and image, see :data:`.norms.PARAMETERISATIONS`.
    step : float
        Distance of the knots along the log-sigma axis, in natural logarithms.
    floor : float
        Least relative spread, a share of the mean.
    score : "late rate", "rate" or "smaller", optional
        What decides at an evaluation, see :attr:`.deviation.ZScores.score`; by default "late rate" for "sigma" and "rate" for "flow". Files of
        version 0.1 have the smaller of both deviations, and thresholds made for it; their spread does not grow with guidance.

    Attributes
    ----------
    knots_ : float64 array of shape ``(knots,)``
        Uniform grid on the log-sigma (or logit) axis.
    curves_ : dict of Curves
        For "rate" and "clean", the quadratics in the guidance scale and the relative spread at each knot.
    guidance_ : tuple of two floats
        Range of guidance scales that the fit saw.
    scores_ : float64 array
        Sorted leave-one-out scores of the reference runs with guidance of 5 and more (of all, where those are too few), in relative spreads; empty
        for a prior.

    Raises
    ------
    ValueError
        An unknown parameterisation or score.

    Examples
    --------
    A region from thirty made-up runs whose norms scatter by a tenth, and two images at noise level 5: an ordinary one, and one with both norms
    twice as large.

    >>> import numpy as np, torch
    >>> from lib_stability import StabilityRegion
    >>> from lib_stability.guard.norms import Norms
    >>> from lib_stability.guard.region import Trajectory
    >>> levels, scales = np.geomspace(14.6, 0.03, 20), np.linspace(1, 15, 30)
    >>> rates, cleans = np.random.default_rng(0).normal(1, 0.1, (2, 30, 20))
    >>> region = StabilityRegion().fit([Trajectory(levels, w, rate, clean) for w, rate, clean in zip(scales, rates, cleans)])
    >>> deviation = region.z_scores(Norms(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0])), torch.tensor([5.0, 5.0]), guidance=7.5)
    >>> (deviation.score > 3).tolist()
    [False, True]
    """

    def __init__(self, parameterisation: str = "sigma", step: float = 0.2, floor: float = 0.02, score: str | None = None) -> None:
        if parameterisation not in norms.PARAMETERISATIONS:
            raise ValueError(f"parameterisation: {parameterisation!r} is not one of {', '.join(norms.PARAMETERISATIONS)}")
        score = score or ("rate" if parameterisation == "flow" else "late rate")
        if score not in SCORE_RULES:
            raise ValueError(f"score: {score!r} is not one of {', '.join(SCORE_RULES)}")
        self.parameterisation, self.step, self.floor, self.score = parameterisation, step, floor, score
        self._tables: dict[str, torch.Tensor] = {}
        self._scales: dict[tuple[str, float], torch.Tensor] = {}
        self._widened: dict[tuple[float, str], StabilityRegion] = {}

    # -- fitting ---------------------------------------------------------------------------------------------------------------------

    def fit(self, trajectories: list[Trajectory], least: int = 8, looks: Callable[[int], Sequence[int]] | None = None) -> StabilityRegion:
        """Fit to ordinary runs whose guidance scales are spread over the range to be served.

        The leave-one-out scores of a region that watches whole passes are taken at the knots, where evaluations that alternate are averaged; so they
        depend little on the steps of the reference runs. One that judges single evaluations, as the probe does, takes them at those that `looks`
        names, by their numbers in a run of so many.

        Raises
        ------
        ValueError
            Fewer than `least` usable runs, or values that are not finite and positive.
        """
        runs = [checked(index, run) for index, run in enumerate(trajectories)]
        if len(runs) < least:
            raise ValueError(f"trajectories: {len(runs)} runs are too few for a region, at least {least} are needed")
        positions = [self._axis(sigma) for sigma, *_ in runs]
        # The grid ends where the fifth part of the runs still reaches.
        share = max(1, len(runs) // 5)
        low = np.sort([p.min() for p in positions])[share - 1]
        high = np.sort([p.max() for p in positions])[-share]
        count = int(np.clip(np.ceil((high - low) / self.step) + 1, 2, MAX_KNOTS))
        self.knots_ = np.linspace(low, max(high, low + 1e-3), count)
        guidance = np.stack([fitting.resample(p, w, self.knots_) for p, (_, w, _, _) in zip(positions, runs)])
        fits, growing = {}, self.score != "smaller"
        for number, name in enumerate(STATISTICS, start=2):
            table = np.stack([fitting.resample(p, run[number], self.knots_) for p, run in zip(positions, runs)])
            fits[name] = fitting.CurveFit(table, guidance, self.floor, growing)
        self.curves_ = {name: fit.curves for name, fit in fits.items()}
        self.guidance_ = (float(min(w.min() for _, w, _, _ in runs)), float(max(w.max() for _, w, _, _ in runs)))
        # Where the spread does not grow with guidance as ordinary runs' does, thresholds come from the part where they would be exceeded first.
        scored = [i for i, (_, w, _, _) in enumerate(runs) if growing or w.mean() >= SCORED_GUIDANCE]
        scored = scored if len(scored) >= least else list(range(len(runs)))
        both = list(fits.values())
        if looks is not None:
            places = [(position - self.knots_[0]) / (self.knots_[1] - self.knots_[0]) for position in positions]
            places = [np.where((place >= -REACH) & (place <= count - 1 + REACH), place, np.nan) for place in places]
            found = left_out.at_looks(both, {i: runs[i] for i in scored}, places, looks, self.scores_of)
            if self.score == "late rate":
                width = found.balance()
                found, early = found.widened(width), np.where(self.levels > left_out.NOISY, width, 1.0)
                self.curves_ = {name: curves.widened(early) for name, curves in self.curves_.items()}
        else:
            found = left_out.at_knots(both, scored, self.levels, self.scores_of)
        self.scores_ = found.highest()
        self._tables, self._scales, self._widened = {}, {}, {}
        return self

    @property
    def levels(self) -> np.ndarray:
        """Noise levels of the knots."""
        return 1 / (1 + np.exp(-self.knots_)) if self.parameterisation == "flow" else np.exp(self.knots_)

    def scores_of(self, rate: np.ndarray, clean: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """Scores from the deviations of both norms at noise levels `sigma`, arrays of one shape, see :attr:`.deviation.ZScores.score`."""
        if self.score == "rate":
            return rate
        return np.where((self.score == "late rate") & (sigma <= LATE), rate, np.minimum(rate, clean))

    def _axis(self, sigma: np.ndarray) -> np.ndarray:
        return norms.axis(torch.from_numpy(np.ascontiguousarray(sigma)), self.parameterisation).numpy()

    # -- look-up ---------------------------------------------------------------------------------------------------------------------

    def tables(self, device: torch.device | str, guidance: float | None = None) -> torch.Tensor:
        """All curves as one float32 tensor on `device`: ``(knots + 4, 2, 4 or 5, 2)``, or ``(knots + 4, 2, 2, 2)`` at one guidance scale.

        The grid is extended by two copies of its ends. Each row holds its own values and the next one's: a, b, c, spread and, where there is one, its
        part that grows with guidance (or mean, spread), of rate and clean. Made once per device; those of the latest guidance scales are kept.
        """
        where = str(device)
        if guidance is not None:
            key = where, guidance
            if key not in self._scales:
                if len(self._scales) >= MAX_SCALES:
                    self._scales.clear()
                self._scales[key] = at_scale(self.tables(device), guidance)
            return self._scales[key]
        if where not in self._tables:
            curves = [self.curves_[n] for n in STATISTICS]
            both = [np.concatenate([c.coefficients, c.spread[:, None]], 1) for c in curves]
            if any(c.guided is not None for c in curves):
                guided = [np.zeros_like(c.spread) if c.guided is None else c.guided for c in curves]
                both = [np.concatenate([one, column[:, None]], 1) for one, column in zip(both, guided)]
            table = np.pad(np.stack(both, 2), ((PADDING, PADDING + 1), (0, 0), (0, 0)), mode="edge")
            self._tables[where] = torch.from_numpy(np.stack([table[:-1], table[1:]], 1)).to(device=device, dtype=torch.float32)
        return self._tables[where]

    def look_up(self, sigma: torch.Tensor, guidance: float | torch.Tensor) -> Expected:
        """Mean and spread of both norms at each noise level and guidance scale, and the mask of those that are covered.

        Between knots both are interpolated linearly. Beyond its ends the grid is extended by one and a half knots; further out `inside` is False.
        `sigma` is float32.
        """
        low, step, last = float(self.knots_[0]), float(self.knots_[1] - self.knots_[0]), len(self.knots_) - 1
        # (axis - low) / step, counted from the first row of the padded table, in one operation.
        place = torch.rsub(norms.axis(sigma, self.parameterisation), PADDING - low / step, alpha=-1 / step)
        held = place.clamp(PADDING - REACH, PADDING + last + REACH)
        inside = place == held  # False for NaN, too
        if self.parameterisation == "flow":  # the axis is clamped at both ends
            inside = inside & (sigma > 0) & (sigma <= 1)
        held = held.nan_to_num(0.0)
        if isinstance(guidance, torch.Tensor):
            pairs = at_scale(self.tables(sigma.device)[held.long()], guidance[:, None, None])
            inside = inside & torch.isfinite(guidance)
        else:
            pairs = self.tables(sigma.device, float(guidance))[held.long()]
        here, following = pairs.unbind(1)
        mean, spread = torch.lerp(here, following, held.frac().view(-1, 1, 1)).unbind(1)
        return Expected(mean, spread, inside)

    def z_scores(self, measured: norms.Norms, sigma: torch.Tensor, guidance: float | torch.Tensor) -> ZScores:
        """Deviation of the norms of one evaluation from the region: ``z = (r / mean - 1) / spread``.

        Parameters
        ----------
        measured : Norms
            From :func:`.norms.measure`, shape ``(batch,)`` each.
        sigma : tensor of shape ``(batch,)``
        guidance : float or tensor of shape ``(batch,)``
            Effective guidance scale of this evaluation.
        """
        return self.look_up(sigma, guidance).z_scores(measured, sigma, self.score)

    def widened(self, width: float, late: bool = True) -> StabilityRegion:
        """The same with spreads `width` times as large, for runs that scatter more than its reference; unless `late` no rate counts alone. Kept."""
        key = width, "smaller" if self.score == "late rate" and not late else self.score
        if key not in self._widened and key != (1.0, self.score):
            if len(self._widened) >= MAX_SCALES:
                self._widened.clear()
            self._widened[key] = other = copy.copy(self)
            other.score, other._tables, other._scales, other._widened = key[1], {}, {}, {}
            other.curves_ = {name: curves.widened(width) for name, curves in self.curves_.items()}
        return self._widened.get(key, self)

    @property
    def _axis_name(self) -> str:
        return "logit_sigma" if self.parameterisation == "flow" else "log_sigma"

    # -- JSON ------------------------------------------------------------------------------------------------------------------------

    def to_json(self) -> dict:
        """The region as plain JSON values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "parameterisation": self.parameterisation,
            "score": self.score,
            "grid": {"axis": self._axis_name, "knots": _rounded(self.knots_)},
            "guidance": [round(w, 4) for w in self.guidance_],
            "statistics": {
                name: {
                    **{key: _rounded(column) for key, column in zip("abc", curves.coefficients.T)},
                    "spread": _rounded(curves.spread),
                    **({} if curves.guided is None else {"guided_spread": _rounded(curves.guided)}),
                }
                for name, curves in self.curves_.items()
            },
            "reference_scores": _rounded(self.scores_),
        }

    @classmethod
    def from_json(cls, data: object, source: str = "region") -> StabilityRegion:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ValidationError
            Naming `source` and the field that is missing, of the wrong type or length, not finite, or out of range.
        """
        root = Field(data, source).object()
        root.format(FORMAT, VERSION)
        rule = root["score"].choice(SCORE_RULES) if root["version"].integer(1, VERSION) > 1 else "smaller"
        self = cls(root["parameterisation"].choice(norms.PARAMETERISATIONS), score=rule)
        grid = root["grid"].object()
        grid["axis"].choice([self._axis_name])
        knots = grid["knots"]
        self.knots_ = knots.numbers(low=-60, high=60, least=2, most=MAX_KNOTS)
        steps = np.diff(self.knots_)
        if (steps <= 0).any() or np.ptp(steps) > 1e-3 * steps.mean() + 1e-5:
            knots.fail("has to rise in equal steps")
        self.step = float(steps.mean())
        low, high = root["guidance"].numbers(low=0, high=1000, least=2, most=2)
        if low > high:
            root["guidance"].fail("has to rise")
        self.guidance_ = (float(low), float(high))
        self.curves_ = {}
        count = len(self.knots_)
        for name in STATISTICS:
            field = root["statistics"].object()[name].object()
            columns = [field[key].numbers(*SQUARES, least=count, most=count) for key in "abc"]
            spread = field["spread"].numbers(*SPREADS, least=count, most=count)
            guided = field["guided_spread"].numbers(0, SPREADS[1], least=count, most=count) if "guided_spread" in field.mapping() else None
            self.curves_[name] = fitting.Curves(np.stack(columns, 1), spread, guided)
        self.scores_ = np.sort(root["reference_scores"].numbers(*SCORES, least=0, most=MAX_SCORES))
        return self


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{v:.7g}") for v in values]
