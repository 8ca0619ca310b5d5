"""How much more ordinary runs scatter under some samplers: a level of false alarms is to hold for each, not for all of them on average.

Samplers that add noise or extrapolate have larger extremes than those that a calibration samples by on average, above all where both come together
and steps are few. Deviations of their evaluations are divided by a width, so that what is flagged is as unusual under each.
"""

from __future__ import annotations

from typing import NamedTuple

from ..guard.region import StabilityRegion
from .profiles import Profile


class Scatter(NamedTuple):
    """Of a sampler, in runs of :data:`STEPS` steps: the watch's width at :data:`GUIDANCE`, the probe's, and the evaluations that it makes in a step.

    `late` is whether its last evaluations' rate counts alone (see :class:`.deviation.ZScores`): not where a level asks for less without that.
    """

    watch: float
    probe: float = 1.0
    order: int = 1
    late: bool = True


#: Steps that the widths are for. What noise and extrapolation do in a step is the less the smaller the step: what is above 1 falls with their number.
STEPS = 12
#: The guidance scale that the watch's widths are for, and the power of it by which they grow: with it what runs at scales below 6 and above 10 reach
#: is the same, over all samplers that add noise (`growth` of the same measurement). The probe has a scale of its own.
GUIDANCE, GROWTH = 7.5, 0.4
#: By how much the highest deviations of ordinary runs are larger than those of all of a calibration's samplers, at the level that asks for more,
#: Medium or High; samplers of which no more than a tenth more was seen are not here. Measured on the testbed in runs of 12 and of 20 steps:
#: ``python -m lib_stability testbed scatter``.
WIDTHS: dict[str, Scatter] = {
    "DPM2 a": Scatter(2.3, 1.3, order=2, late=False),
    "DPM++ 3M SDE": Scatter(1.8, 1.6),
    "DPM++ 2M SDE": Scatter(1.3, 1.4),
    "DPM++ 2S a": Scatter(1.3, order=2),
    "LMS": Scatter(1.2, 1.2),
    "PNDM": Scatter(1.7, 1.9),
    "PLMS": Scatter(1.7, 1.9),  # the same method under its other name
}
#: What hosts before AUTOMATIC1111 1.9 put behind a sampler's name.
SCHEDULES = ("karras", "exponential", "polyexponential")


def family(sampler: str) -> str:
    """A sampler's name without its schedule."""
    name, _, last = sampler.strip().rpartition(" ")
    return name if name and last.lower() in SCHEDULES else sampler.strip()


def known(profile: Profile, sampler: str) -> Scatter:
    """What a profile has to make of a sampler.

    Nothing where it was calibrated by this sampler alone, whose thresholds are its own; for flow models, which no sampler adds noise to; and for
    priors, whose thresholds are assumed.
    """
    told = profile.provenance.get("samplers")
    own = {family(name) for name in told if isinstance(name, str)} if isinstance(told, list) else set()
    if not own or own == {family(sampler)} or profile.watch.parameterisation == "flow":
        return Scatter(1.0)
    return WIDTHS.get(family(sampler), Scatter(1.0))


def width(at_steps: float, order: int, evaluations: int, guidance: float = GUIDANCE) -> float:
    """By what deviations are divided in a pass of so many evaluations at a guidance scale, 1 or more, where it is `at_steps` at :data:`STEPS`."""
    if at_steps <= 1:
        return 1.0
    grown = (1 + (at_steps - 1) * min(1.0, STEPS * order / max(evaluations, 1))) * (max(guidance, 0.0) / GUIDANCE) ** GROWTH
    # To two digits: passes of nearly as many evaluations share their tables.
    return max(1.0, round(grown, 2))


def watch(profile: Profile, sampler: str, evaluations: int, guidance: float = GUIDANCE) -> StabilityRegion:
    """The profile's watch region for passes of this sampler, so many evaluations and this guidance scale."""
    one = known(profile, sampler)
    return profile.watch.widened(width(one.watch, one.order, evaluations, guidance), one.late)


def probe(profile: Profile, sampler: str, evaluations: int) -> StabilityRegion | None:
    """The same of its probe region, where it has one."""
    one = known(profile, sampler)
    return profile.probe and profile.probe.widened(width(one.probe, one.order, evaluations))
