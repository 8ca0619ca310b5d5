"""Calibration of the testbed: ordinary captions of the calibration half, guidance scales spread over 1 to 15, samplers in turn.

The norms' means do not depend on the sampler, their scatter does: samplers that add noise or extrapolate have larger extremes, and thresholds
from Euler runs alone let several times the intended share of their ordinary runs through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ...profile import trimming
from ...profile.calibration import GUIDANCE_RANGE, Recorder, fit_profile, spread_guidance
from ...profile.profiles import Model, Profile
from ..export.a1111 import SHA256
from ..network.model import Testbed
from ..network.sample import sample
from ..network.variants import MAIN, Variant

SEED = 1_000_000
#: A threshold rests on the few highest scores: those of disjoint sets of 400 runs differ by a seventh (see :mod:`.study`).
RUNS, BATCH = 1600, 25
#: One batch each in turn.
SAMPLERS = ("Euler", "Euler a", "DPM++ 2M", "LMS", "DPM2 a", "DPM++ 3M SDE", "DPM++ 2S a", "DPM++ 2M SDE")
#: The hash is that of the exported checkpoint, so that a web UI finds this profile for it.
MODEL = Model("testbed", "epsilon", "testbed", SHA256)


def described(variant: Variant) -> Model:
    """What a profile of this size says about its model."""
    return MODEL if variant is MAIN else Model("testbed", "epsilon", f"testbed {variant.name}")


def calibrate(
    bed: Testbed,
    runs: int = RUNS,
    samplers: Sequence[str] = SAMPLERS,
    steps: int = 20,
    seed: int = SEED,
    tick: Callable[[int], None] = lambda n: None,
    made_for: Model | None = None,
    name: str = "",
) -> Profile:
    """Fit watch and probe region of the testbed from `runs` ordinary runs; what the profile says it is made for is, if not given, the bed's own."""
    captions = [caption for caption, _ in bed.variant.world.ordinary_samples(runs, seed, "calibration")]
    scales = torch.tensor(spread_guidance(runs), dtype=torch.float32)
    watch, probe = [], []
    for first in range(0, runs, BATCH):
        part = slice(first, min(first + BATCH, runs))
        recorder, sampler = Recorder(), samplers[first // BATCH % len(samplers)]
        sample(bed, captions[part], range(seed + part.start, seed + part.stop), sampler, steps, scales[part], watch=lambda _, r=recorder: r)
        for found, new in zip((watch, probe), recorder.trajectories()):
            found.extend(new)
        tick(part.stop - part.start)
    left_out = trimming.copies(probe)
    kept = [i for i in range(runs) if i not in left_out]
    side = 8 * bed.variant.side
    return fit_profile(
        name or ("Testbed" if bed.variant is MAIN else f"Testbed {bed.variant.name}"),
        made_for or described(bed.variant),
        [watch[i] for i in kept],
        [probe[i] for i in kept],
        captions,
        samplers=list(samplers),
        steps=steps,
        size=f"{side}x{side}",
        guidance=list(GUIDANCE_RANGE),
        seed=seed,
        left_out=len(left_out),
        left_out_rule=trimming.RULE,
    )
