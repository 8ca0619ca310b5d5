"""How far two profiles of one checkpoint agree: on what is ordinary, and on where a flag begins."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..guard.fitting import predict, spread_at
from ..guard.region import StabilityRegion
from ..guard.sensitivity import thresholds

#: Guidance scales and places (of the noise levels that both cover) at which two regions are compared.
SCALES, PLACES = (3.0, 5.0, 7.5, 12.0), 24
#: By how much means may differ, in spreads, and the norms at which Medium flags, as a share: in the median over the places. The bundled calibrations
#: of the testbed (1535 runs, and 771 of its export for Forge) differ by 0.04 and 0.04 in the watch's region and by 0.20 and 0.12 in the probe's; a
#: network of another size by 0.53.
MEANS, NORMS = 0.4, 0.15


class Agreement(NamedTuple):
    """Median differences over places and scales: of means in spreads, of the norms at which Medium flags as a share of them."""

    means: float
    norms: float
    holds: bool


def compare(one: StabilityRegion, other: StabilityRegion, scales: tuple[float, ...] = SCALES) -> Agreement:
    """Compare two regions of one kind.

    Raises
    ------
    ValueError
        They have nothing in common.
    """
    low, high = max(one.knots_[0], other.knots_[0]), min(one.knots_[-1], other.knots_[-1])
    if one.parameterisation != other.parameterisation or low >= high:
        raise ValueError("the two have no noise levels in common")
    places = np.linspace(low, high, PLACES)
    means, norms = [], []
    for scale in scales:
        (mean, spread, edge), (other_mean, other_spread, other_edge) = (_at(region, places, scale) for region in (one, other))
        means.append(np.abs(mean - other_mean) / np.sqrt(((mean * spread) ** 2 + (other_mean * other_spread) ** 2) / 2))
        norms.append(np.abs(np.log(edge / other_edge)))
    found = float(np.median(means)), float(np.median(norms))
    return Agreement(*found, found[0] <= MEANS and found[1] <= NORMS)


def _at(region: StabilityRegion, places: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, relative spread, and the norm at which Medium flags."""
    curves, scales = region.curves_["rate"], np.full(len(region.knots_), scale)
    mean = np.interp(places, region.knots_, predict(curves.coefficients, scales))
    spread = np.interp(places, region.knots_, spread_at(curves, scales))
    return mean, spread, mean * (1 + thresholds(region, "medium").mild * spread)
