"""Calibration: record ordinary reference runs, fit the watch and the probe region of a model from them."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from datetime import date

import numpy as np
import torch

from .. import __version__
from ..guard.norms import Norms, measure
from ..guard.probe import REFERENCE_GUIDANCE
from ..guard.region import StabilityRegion, Trajectory
from .profiles import FEW, Model, Profile

#: Guidance scales that reference runs are spread over.
GUIDANCE_RANGE = (1.0, 15.0)


def caution(runs: int) -> str:
    """What to say of a calibration from so few `runs`; "" from :data:`FEW` on."""
    if runs >= FEW:
        return ""
    return (
        f"Only {runs} reference runs: below {FEW} the thresholds, above all those of Low and of strong, rest on extrapolation. "
        "That is a trial, which serves only where it is chosen by name. Take 200 for keeps."
    )


class Recorder:
    """Stands where a guard would stand and only records norms: of the guided and of the virtual prediction.

    Parameters
    ----------
    parameterisation : "sigma" or "flow"
    """

    def __init__(self, parameterisation: str = "sigma") -> None:
        self.parameterisation = parameterisation
        self._rows: list[tuple[torch.Tensor, torch.Tensor, Norms, Norms | None]] = []

    def step(
        self, x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, guidance: float | torch.Tensor, virtual: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Record one evaluation (as :meth:`.guard.Guard.step`, plus the virtual prediction where there is one); returns `denoised`."""
        sigma = sigma.float()
        scale = guidance if isinstance(guidance, torch.Tensor) else torch.full_like(sigma, guidance)
        probed = None if virtual is None else measure(x, virtual, sigma, self.parameterisation)
        self._rows.append((sigma, scale, measure(x, denoised, sigma, self.parameterisation), probed))
        return denoised

    def trajectories(self) -> tuple[list[Trajectory], list[Trajectory]]:
        """One trajectory per image for the watch, and for the probe (empty where nothing virtual was recorded)."""
        sigma, scale = (torch.stack([row[i] for row in self._rows]).cpu().double().numpy() for i in (0, 1))

        def of(which: int, guidance: np.ndarray) -> list[Trajectory]:
            if any(row[which] is None for row in self._rows):
                return []
            rate, clean = (torch.stack([row[which][i] for row in self._rows]).cpu().double().numpy() for i in (0, 1))
            return [Trajectory(sigma[:, i], guidance[:, i], rate[:, i], clean[:, i]) for i in range(sigma.shape[1])]

        return of(2, scale), of(3, np.full_like(scale, REFERENCE_GUIDANCE))


def spread_guidance(count: int, low: float = GUIDANCE_RANGE[0], high: float = GUIDANCE_RANGE[1]) -> np.ndarray:
    """`count` guidance scales evenly over the range, in an order that any leading part of them also covers (van der Corput)."""
    order = [int(f"{i:032b}"[::-1], 2) / 2**32 for i in range(count)]
    return low + (high - low) * np.array(order)


def prompts_hash(prompts: Sequence[str]) -> str:
    """SHA-256 of the sorted prompts, so that a profile tells which set it was made from without holding it."""
    return hashlib.sha256("\n".join(sorted(prompts)).encode()).hexdigest()


def fit_profile(
    name: str, model: Model, watch: list[Trajectory], probe: list[Trajectory], prompts: Sequence[str], parameterisation: str = "sigma", **provenance
) -> Profile:
    """Fit both regions to reference runs and state where they come from."""
    region = StabilityRegion(parameterisation).fit(watch)
    return Profile(
        name,
        "calibrated",
        model,
        region,
        StabilityRegion(parameterisation).fit(probe, single=True) if probe else None,
        provenance={
            "prompts_sha256": prompts_hash(prompts),
            "prompts": len(set(prompts)),
            "runs": len(watch),
            **provenance,
            "date": date.today().isoformat(),
            "software": f"memorization-guard {__version__}, torch {torch.__version__.split('+')[0]}, python {platform.python_version()}",
        },
    )
