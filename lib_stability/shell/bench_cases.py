"""What is timed when the guard's cost is measured: a made-up region, latents of usual sizes, and endless evaluations of a guard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..guard.guard import Guard
from ..guard.options import Options
from ..guard.region import StabilityRegion, Trajectory

#: Evaluations that one guard sees before a new one takes over.
PASS = 150
GUIDANCE = 7.5
#: Norm of the flagged predictions over that of ordinary ones.
INFLATION = 3.0


def clean_norm(guidance: float) -> float:
    """RMS of the made-up ordinary prediction."""
    return (0.5 + 0.01 * guidance**2) ** 0.5


def made_up_region(runs: int = 24) -> StabilityRegion:
    """A region of the usual size: ordinary runs whose prediction is uncorrelated with the noise, 5 % spread, guidance 1 to 15."""
    sigma, noise = np.geomspace(30.0, 0.02, 40), np.random.default_rng(1)
    trajectories = []
    for guidance in np.linspace(1.0, 15.0, runs):
        clean = clean_norm(guidance) * (1 + 0.05 * noise.standard_normal()) * np.ones_like(sigma)
        rate = np.sqrt(1 + (1 + sigma**2) * clean**2) / sigma
        trajectories.append(Trajectory(sigma, float(guidance), rate, clean))
    return StabilityRegion().fit(trajectories)


@dataclass(frozen=True)
class Case:
    """One row of the table: a latent's shape, a mode of :data:`.bench.MODES`, and where the latent lies."""

    shape: tuple[int, ...]
    mode: str
    device: str = "cpu"

    def guard(self, region: StabilityRegion) -> Guard:
        """A fresh guard of this mode."""
        return Guard(region, Options(mode=self.mode.split()[0], sensitivity="paper", locate="mapped" in self.mode))

    def inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Latent of a run's end, where the rate alone decides, and its prediction: ordinary, or inflated where the mode wants it flagged."""
        noise = torch.Generator().manual_seed(1)
        x, denoised = (torch.randn(self.shape, generator=noise).to(self.device) for _ in range(2))
        return x, denoised * clean_norm(GUIDANCE) * (INFLATION if self.mode == "damp flagged" else 1)

    def levels(self) -> list[torch.Tensor]:
        """Noise levels of one pass."""
        return [torch.full(self.shape[:1], float(sigma), device=self.device) for sigma in np.geomspace(14.6, 0.03, PASS)]


def steps(case: Case, region: StabilityRegion) -> Iterator[Guard]:
    """Endless evaluations, a new guard after every :data:`PASS`; yields the guard after each."""
    (x, denoised), levels = case.inputs(), case.levels()
    while True:
        guard = case.guard(region)
        for sigma in levels:
            guard.step(x, denoised, sigma, GUIDANCE)
            yield guard


def wait(device: str) -> None:
    """Until an accelerator has done all that was queued."""
    if device != "cpu":
        getattr(torch, torch.device(device).type).synchronize()
