"""Norms of one ordinary reference run, as a region is fitted to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Trajectory:
    """Norms of one ordinary reference run, one value per model evaluation, float arrays of shape ``(evaluations,)``.

    `sigma` is the noise level in units of the latent's scale, `guidance` the effective scale of each evaluation or one number for the whole run,
    `rate` and `clean` are those of :class:`.norms.Norms`.
    """

    sigma: np.ndarray
    guidance: np.ndarray | float
    rate: np.ndarray
    clean: np.ndarray


def checked(index: int, run: Trajectory) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Its `sigma`, `guidance`, `rate` and `clean` as float64 arrays of one shape.

    Raises
    ------
    ValueError
        Naming the field of run number `index` that has another length, or values that are not finite and positive.
    """
    sigma, rate, clean = (np.asarray(v, dtype=np.float64).ravel() for v in (run.sigma, run.rate, run.clean))
    guidance = np.asarray(run.guidance, dtype=np.float64).ravel()
    if guidance.size == 1:
        guidance = np.broadcast_to(guidance, sigma.shape)
    for name, values in (("sigma", sigma), ("guidance", guidance), ("rate", rate), ("clean", clean)):
        if values.shape != sigma.shape or not len(values):
            raise ValueError(f"trajectories[{index}].{name}: {values.size} values for {sigma.size} evaluations")
        if not np.isfinite(values).all() or (values < 0).any() or (name == "sigma" and (values <= 0).any()):
            raise ValueError(f"trajectories[{index}].{name}: values have to be finite and positive")
    return sigma, guidance, rate, clean
