"""Calibration of the testbed: ordinary captions of the calibration half, guidance scales spread over 1 to 15, samplers in turn.

The norms' means do not depend on the sampler, their scatter does: samplers that add noise or extrapolate have larger extremes, and thresholds
from Euler runs alone let several times the intended share of their ordinary runs through. Few steps scatter more than many, so both are in it.

An ordinary caption may hand out a memorized picture: such a run is no ordinary one and is left out, by its picture. Who calibrates a model of whose
memories nothing is known has to rely on :mod:`..profile.trimming`; on this small world, where a tenth of the objects is memorized, that is too
little.

Flow models are calibrated over guidance 1 to 8, a student over the scales that it learned, by samplers and schedules that flow models are used with;
the student of few steps at CFG 1, in as many as it learned and half of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ...guard.probe import REFERENCE_GUIDANCE
from ...guard.trajectory import Trajectory
from ...profile import trimming
from ...profile.calibration import DISTILLED_REFERENCE, GUIDANCE_RANGE, Recorder, fit_profile, spread_guidance
from ...profile.profiles import Model, Profile
from ..export.a1111 import SHA256
from ..network import finished
from ..network.flow import SCALES
from ..network.model import Testbed
from ..network.sample import sample
from ..network.variants import MAIN, Variant
from ..world import judge

SEED = 1_000_000
#: A threshold rests on the few highest scores: those of disjoint sets of 400 runs differ by a seventh (see :mod:`.study`).
RUNS, BATCH = 1600, 25
#: One batch each in turn.
STEPS = (20, 12)
SAMPLERS = ("Euler", "Euler a", "DPM++ 2M", "LMS", "DPM2 a", "DPM++ 3M SDE", "DPM++ 2S a", "DPM++ 2M SDE")
FLOW_SAMPLERS = ("Euler", "DPM++ 2M", "Euler a", "Heun", "DPM2", "LMS")
#: Schedule, sampler by sampler in turn; the third of :data:`..network.flow.SCHEDULES` is left for what no calibration has seen.
FLOW_SCHEDULES = ("simple", "beta")
#: The same of the student of few steps, which knows one schedule.
FEW_STEPS, FEW_SAMPLERS, FEW_SCHEDULES = (4, 2), ("Euler", "DPM++ 2M", "Euler a"), ("linear",)
#: The hash is that of the exported checkpoint, so that a web UI finds this profile for it.
MODEL = Model("testbed", "epsilon", "testbed", SHA256)


def described(variant: Variant) -> Model:
    """What a profile of this size says about its model."""
    prediction = "flow" if variant.flow else "epsilon"
    return MODEL if variant is MAIN else Model("testbed", prediction, f"testbed {variant.name}", distilled=variant.distilled)


def guidance_range(variant: Variant) -> tuple[float, float]:
    """Scales that the runs are spread over."""
    if variant.few:
        return 1.0, 1.0
    return SCALES if variant.flow else GUIDANCE_RANGE


def usual(variant: Variant) -> tuple[Sequence[str], Sequence[int], Sequence[str]]:
    """Samplers, steps and schedules that the runs go through in turn."""
    if variant.few:
        return FEW_SAMPLERS, FEW_STEPS, FEW_SCHEDULES
    return (FLOW_SAMPLERS, STEPS, FLOW_SCHEDULES) if variant.flow else (SAMPLERS, STEPS, ("uniform",))


def probe_guidance(variant: Variant) -> float:
    """The scale that the probe looks at, as web UIs have it."""
    return DISTILLED_REFERENCE if variant.distilled else REFERENCE_GUIDANCE


@dataclass(frozen=True)
class Ordinary:
    """One ordinary run: how it was sampled, whether it came out as a copy of something memorized, and what watch and probe see of it."""

    sampler: str
    steps: int
    copy: bool
    watch: Trajectory
    probe: Trajectory


def ordinary_runs(
    bed: Testbed,
    runs: int,
    samplers: Sequence[str] = SAMPLERS,
    steps: Sequence[int] = STEPS,
    seed: int = SEED,
    tick: Callable[[int], None] = lambda n: None,
) -> list[Ordinary]:
    """Runs of ordinary captions of the calibration's half, guidance over the range of the variant, samplers in turn, a flow model's schedules too."""
    schedules = usual(bed.variant)[2]
    told = {"parameterisation": bed.variant.parameterisation, "probe_guidance": probe_guidance(bed.variant)}
    captions = [caption for caption, _ in bed.variant.world.ordinary_samples(runs, seed, "calibration")]
    scales = torch.tensor(spread_guidance(runs, *guidance_range(bed.variant)), dtype=torch.float32)
    memories, found = bed.variant.world.memorized(), []
    for first in range(0, runs, BATCH):
        part = slice(first, min(first + BATCH, runs))
        turn, number = divmod(first // BATCH, len(samplers))
        recorder, seeds, count = Recorder(**told), range(seed + part.start, seed + part.stop), steps[turn % len(steps)]
        schedule = schedules[(turn // len(steps) + number) % len(schedules)]
        done = sample(bed, captions[part], seeds, samplers[number], count, scales[part], schedule=schedule, watch=lambda _, r=recorder: r)
        copied = judge.any_copies(finished.pictures(bed, done.latents), memories).tolist()
        found += [Ordinary(samplers[number], count, *one) for one in zip(copied, *recorder.trajectories())]
        tick(part.stop - part.start)
    return found


def calibrate(
    bed: Testbed,
    runs: int = RUNS,
    samplers: Sequence[str] = (),
    steps: Sequence[int] = (),
    seed: int = SEED,
    tick: Callable[[int], None] = lambda n: None,
    made_for: Model | None = None,
    name: str = "",
) -> Profile:
    """Fit watch and probe region of the testbed from `runs` ordinary runs.

    The samplers, the steps and what the profile says it is made for are, if not given, the bed's own.
    """
    variant = bed.variant
    schedules = usual(variant)[2]
    samplers, steps = samplers or usual(variant)[0], steps or usual(variant)[1]
    captions = [caption for caption, _ in bed.variant.world.ordinary_samples(runs, seed, "calibration")]
    own = [one for one in ordinary_runs(bed, runs, samplers, steps, seed, tick) if not one.copy]
    left_out = trimming.copies([one.probe for one in own], variant.parameterisation)
    kept = [one for number, one in enumerate(own) if number not in left_out]
    side = 8 * bed.variant.side
    return fit_profile(
        name or ("Testbed" if bed.variant is MAIN else f"Testbed {bed.variant.name}"),
        made_for or described(bed.variant),
        [one.watch for one in kept],
        [one.probe for one in kept],
        captions,
        variant.parameterisation,
        samplers=list(samplers),
        steps=list(steps),
        size=f"{side}x{side}",
        guidance=list(guidance_range(variant)),
        seed=seed,
        left_out=len(left_out),
        left_out_as_copies=runs - len(own),
        left_out_rule=trimming.RULE,
        **({"schedulers": list(schedules)} if variant.flow else {}),
        **({"distilled_scale": probe_guidance(variant)} if variant.distilled else {}),
    )
