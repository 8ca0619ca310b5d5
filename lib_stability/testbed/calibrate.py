"""Calibration of the testbed: ordinary captions of the calibration half, guidance scales spread over 1 to 15, samplers in turn.

The norms' means do not depend on the sampler, their scatter does: samplers that add noise or extrapolate have larger extremes, and thresholds
from Euler runs alone let several times the intended share of their ordinary runs through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..calibration import GUIDANCE_RANGE, Recorder, fit_profile, spread_guidance
from ..profiles import Model, Profile
from .captions import ordinary_samples
from .export import SHA256
from .model import LATENT_SIZE, Testbed
from .sample import sample

SEED = 1_000_000
RUNS, BATCH = 400, 25
#: One batch each in turn.
SAMPLERS = ("Euler", "Euler a", "DPM++ 2M", "LMS", "DPM2 a", "DPM++ 3M SDE", "DPM++ 2S a", "DPM++ 2M SDE")
#: The hash is that of the exported checkpoint, so that a web UI finds this profile for it.
MODEL = Model("testbed", "epsilon", "testbed", SHA256)


def calibrate(
    bed: Testbed,
    runs: int = RUNS,
    samplers: Sequence[str] = SAMPLERS,
    steps: int = 20,
    seed: int = SEED,
    tick: Callable[[int], None] = lambda n: None,
    made_for: Model = MODEL,
    name: str = "Testbed",
) -> Profile:
    """Fit watch and probe region of the testbed from `runs` ordinary runs."""
    captions = [caption for caption, _ in ordinary_samples(runs, seed, "calibration")]
    scales = torch.tensor(spread_guidance(runs), dtype=torch.float32)
    watch, probe = [], []
    for first in range(0, runs, BATCH):
        part = slice(first, min(first + BATCH, runs))
        recorder, sampler = Recorder(), samplers[first // BATCH % len(samplers)]
        sample(bed, captions[part], range(seed + part.start, seed + part.stop), sampler, steps, scales[part], watch=lambda _, r=recorder: r)
        for found, new in zip((watch, probe), recorder.trajectories()):
            found.extend(new)
        tick(part.stop - part.start)
    side = 8 * LATENT_SIZE
    return fit_profile(
        name,
        made_for,
        watch,
        probe,
        captions,
        samplers=list(samplers),
        steps=steps,
        size=f"{side}x{side}",
        guidance=list(GUIDANCE_RANGE),
        seed=seed,
    )
