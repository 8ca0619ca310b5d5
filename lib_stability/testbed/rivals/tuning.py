"""Choosing what the papers leave open, on memorized and ordinary captions that the comparison does not use again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from ...ranking import auc
from . import asthana, overshoot
from .detectors import Choice, Values, alignment, attention, overestimation


def quality(memorized: np.ndarray, ordinary: np.ndarray) -> tuple[float, float]:
    """What a choice is judged by: the AUC, and among equals how far the means lie apart in standard deviations."""
    spread = np.sqrt((memorized.var() + ordinary.var()) / 2)
    return auc(memorized, ordinary), float((memorized.mean() - ordinary.mean()) / max(spread, 1e-12))


def best(score_of: Callable[[Choice], Callable[[Values], np.ndarray]], choices: Iterable[Choice], memorized: Values, ordinary: Values) -> Choice:
    """The choice with the best final scores; the earlier one of equals."""
    return max(choices, key=lambda choice: quality(*(score_of(choice)(values)[:, -1] for values in (memorized, ordinary))))


def tune(memorized: Values, ordinary: Values) -> Choice:
    """Tune each method on its own, all of them from their published settings."""
    plain = Choice()
    layers = sorted(int(name.split()[1]) for name in ordinary if name.startswith("ren ") and name != "ren late")
    found = best(
        alignment,
        [plain, *(replace(plain, timestep=t, cosine_weight=w) for t in asthana.TIMESTEPS for w in asthana.COSINE_WEIGHTS)],
        memorized,
        ordinary,
    )
    layer = best(attention, [plain, *(replace(found, layer=n, sign=s) for n in layers for s in (1, -1))], memorized, ordinary)
    found = replace(found, layer=layer.layer, sign=layer.sign)
    grid = [plain, *(replace(plain, reference=r, window=w) for r in overshoot.REFERENCES for w in overshoot.WINDOWS)]
    over = best(overestimation, grid, memorized, ordinary)
    return replace(found, reference=over.reference, window=over.window)
