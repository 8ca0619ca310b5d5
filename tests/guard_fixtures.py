"""A made-up model for the tests of the guard: ordinary predictions are noise of a known norm, memorized ones the same noise made larger."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from lib_stability.guard.damping import Damping
from lib_stability.guard.guard import Guard
from lib_stability.guard.options import Options
from lib_stability.guard.probe import Probe
from lib_stability.guard.region import StabilityRegion, Trajectory

GUIDANCE = 7.5
#: Norm of a prediction over that of ordinary ones, by kind; one relative spread is about 0.05, the thresholds are the paper's 3 and 14.
FACTORS = {"ordinary": 1.0, "mild": 1.35, "strong": 3.0, "small": 0.2}
BITS = {torch.float32: torch.int32, torch.float16: torch.int16, torch.bfloat16: torch.int16}


def clean_norm(guidance: float = GUIDANCE) -> float:
    return (0.5 + 0.01 * guidance**2) ** 0.5


@lru_cache
def region(parameterisation: str = "sigma", highest: float = 15.0) -> StabilityRegion:
    """Fitted to made-up ordinary runs, guidance from 1 to `highest`."""
    noise = np.random.default_rng(3)
    sigma = np.geomspace(30, 0.02, 40) if parameterisation == "sigma" else np.linspace(0.99, 0.02, 40)
    runs = []
    for guidance in np.linspace(1.0, highest, 24):
        clean = np.full_like(sigma, clean_norm(guidance) * (1 + 0.05 * noise.standard_normal()))
        rate = np.sqrt(1 + (1 + sigma**2) * clean**2) / sigma if parameterisation == "sigma" else np.sqrt(1 + clean**2)
        runs.append(Trajectory(sigma, float(guidance), rate, clean))
    return StabilityRegion(parameterisation, score="smaller").fit(runs)


def picture(kind: str = "ordinary", seed: int = 0, size: int = 16) -> torch.Tensor:
    """A prediction of one image ``(1, 4, size, size)`` with exactly the norm of its kind at the guidance scale 7.5."""
    noise = torch.randn(1, 4, size, size, generator=torch.Generator().manual_seed(seed))
    return noise / noise.square().mean().sqrt() * clean_norm() * FACTORS[kind]


def noisy(batch: int, sigma: float = 1.0, seed: int = 1000, size: int = 16) -> torch.Tensor:
    """Latents of ordinary norm; sample i depends on `seed` + i alone."""
    rows = [torch.randn(1, 4, size, size, generator=torch.Generator().manual_seed(seed + i)) for i in range(batch)]
    return torch.cat(rows) * (1 + sigma**2) ** 0.5


def predictions(*kinds: str, seed: int = 0, size: int = 16) -> torch.Tensor:
    """A batch of predictions; sample i depends on its kind and `seed` + i alone."""
    return torch.cat([picture(kind, seed + i, size) for i, kind in enumerate(kinds)])


def options(mode: str = "damp", policy: str = "directional", **damping) -> Options:
    return Options(mode=mode, sensitivity="paper", damping=Damping(policy=policy, **damping))


def guard(mode: str = "damp", policy: str = "directional", **more) -> Guard:
    return Guard(region(), options(mode, policy), **more)


def probe(predicted: torch.Tensor | None = None, **more) -> Probe:
    """A probe whose virtual prediction is `predicted`, whatever the latent."""
    return Probe(region(), lambda x, sigma: predicted, **more)


def step(which: Guard, x: torch.Tensor, denoised: torch.Tensor, sigma: float = 1.0, guidance: float | torch.Tensor = GUIDANCE) -> torch.Tensor:
    return which.step(x, denoised, torch.full((len(x),), sigma), guidance)


def bits(x: torch.Tensor) -> torch.Tensor:
    """The bit patterns of a float tensor."""
    return x.contiguous().view(BITS[x.dtype])


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and bool((bits(one) == bits(other)).all())
