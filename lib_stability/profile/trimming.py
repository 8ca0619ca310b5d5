"""Reference runs that look like copies, left out before the final fit: a few memorized prompts among the reference would raise its thresholds."""

from __future__ import annotations

import numpy as np
import torch

from ..guard.fitting import CurveFit, resample
from ..guard.norms import axis
from ..guard.region import STATISTICS, StabilityRegion, Trajectory

#: Most that is ever left out.
SHARE = 0.05
#: Fewer runs than these are left whole: their scores scatter too much.
LEAST = 50
#: How far a run has to stick out, in multiples of the highest score of all that stay. The testbed's ordinary runs reach 1.7.
RATIO = 2.0
RULE = f"at most {100 * SHARE:g} % of the runs, those whose leave-one-out score is above {RATIO:g} times the highest of the others"


def copies(runs: list[Trajectory], parameterisation: str = "sigma") -> list[int]:
    """Indices of the runs to leave out.

    The few runs with the highest leave-one-out scores are the candidates. They are taken out together, because copies widen the region and hide
    one another, and judged by the fit to all others; those above :data:`RATIO` times the highest leave-one-out score of the others go. Ordinary
    scores thin out so fast that the highest of them stays far below that.

    Parameters
    ----------
    runs : list of Trajectory
        All at one guidance scale, as those of the probe are: then their scores are alike.
    parameterisation : "sigma" or "flow"
    """
    most = int(SHARE * len(runs))
    if len(runs) < LEAST:
        return []
    region = StabilityRegion(parameterisation, score="smaller").fit(runs)
    tables, guidance, floor = _tables(runs, region)

    def scores(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Leave-one-out scores of the `wanted` among `rows`: the largest over noise levels of the smaller deviation."""
        fits = [CurveFit(table[rows], guidance[rows], floor) for table in tables]
        numbers = np.flatnonzero(np.isin(rows, wanted))
        return np.array([np.nanmax(np.minimum(*(fit.leave_out(i) for fit in fits)), initial=-np.inf) for i in numbers])

    everyone = np.arange(len(runs))
    candidates = np.argsort(scores(everyone, everyone))[-most:]
    others = np.setdiff1d(everyone, candidates)
    limit = RATIO * max(scores(others, others).max(), 1.0)
    # Each candidate alone beside the others: its leave-one-out score is then that against exactly those.
    return sorted(int(one) for one in candidates if scores(np.append(others, one), one)[0] > limit)


def _tables(runs: list[Trajectory], region: StabilityRegion) -> tuple[list[np.ndarray], np.ndarray, float]:
    """Both norms of all runs at the knots of their region, their guidance there, and the least spread."""
    positions = [axis(torch.from_numpy(np.asarray(run.sigma, dtype=np.float64)), region.parameterisation).numpy() for run in runs]
    guidance = np.stack([np.full(region.knots_.shape, np.mean(run.guidance)) for run in runs])
    values = [[np.asarray(getattr(run, name), dtype=np.float64) for run in runs] for name in STATISTICS]
    return [np.stack([resample(p, v, region.knots_) for p, v in zip(positions, rows)]) for rows in values], guidance, region.floor
