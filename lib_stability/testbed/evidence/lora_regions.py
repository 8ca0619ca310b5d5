"""Regions for a network that is on: fitted to ordinary runs with it, or the base's own moved by what a few such runs show."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from ...guard.fitting import predict, resample, spread_at
from ...guard.norms import axis
from ...guard.region import STATISTICS, StabilityRegion, Trajectory


def corrected(region: StabilityRegion, runs: Sequence[Trajectory]) -> StabilityRegion:
    """A base's region moved to a few ordinary runs with a network on.

    At each noise level the runs say by what factor their norms exceed those that the region expects, and by what factor they scatter more, the
    second one number for all levels. Neither is ever below 1: so few runs can show that norms are inflated, not that they are smaller, and a region
    that was narrowed by them would flag a tenth of ordinary runs even without a network. Thresholds stay the base's.
    """
    found = copy.deepcopy(region)
    found._tables, found._scales = {}, {}
    guidance = np.stack([np.broadcast_to(run.guidance, run.sigma.shape) for run in runs]).mean(1)
    for name in STATISTICS:
        curves = region.curves_[name]
        positions = [axis(torch.from_numpy(np.asarray(run.sigma, dtype=np.float64)), region.parameterisation).numpy() for run in runs]
        table = np.stack([resample(place, np.asarray(getattr(run, name)), region.knots_) for place, run in zip(positions, runs)])
        expected = np.stack([predict(curves.coefficients, np.full(len(region.knots_), scale)) for scale in guidance])
        spread = np.stack([spread_at(curves, np.full(len(region.knots_), scale)) for scale in guidance])
        ratio = table / expected
        factor = np.nanmean(ratio, 0)
        factor = np.maximum(np.where(np.isfinite(factor), factor, 1.0), 1.0)
        wider = np.sqrt(np.nanmean(((ratio / factor - 1) / spread) ** 2) * len(runs) / (len(runs) - 1))
        wider = max(1.0, float(wider))
        found.curves_[name] = curves._replace(
            coefficients=curves.coefficients * factor[:, None] ** 2,
            spread=curves.spread * wider,
            guided=None if curves.guided is None else curves.guided * wider,
        )
    return found
