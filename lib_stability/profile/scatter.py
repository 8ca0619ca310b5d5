"""How much more ordinary runs scatter under some samplers: a level of false alarms is to hold for each, not for all of them on average.

Samplers that add noise or extrapolate have larger extremes than those that a calibration samples by on average, above all where both come together
and steps are few. Deviations of their evaluations are divided by a width, so that what is flagged is as unusual under each.
"""

from __future__ import annotations

from typing import NamedTuple

from ..guard.region import StabilityRegion
from .profiles import Profile


class Scatter(NamedTuple):
    """Of a sampler in runs of :data:`STEPS` steps: the watch's width and the probe's; and the evaluations that it makes in a step."""

    watch: float
    probe: float = 1.0
    order: int = 1


#: Steps that the widths are for. What noise and extrapolation do in a step is the less the smaller the step: what is above 1 falls with their number.
STEPS = 12
#: By how much the highest deviations of ordinary runs are larger than those of all of a calibration's samplers, at the level that asks for more,
#: Medium or High; samplers of which no more than a tenth more was seen are not here. Measured on the testbed in runs of 12 and of 20 steps:
#: ``python -m lib_stability testbed scatter``.
WIDTHS: dict[str, Scatter] = {
    "DPM2 a": Scatter(2.5, 1.3, order=2),
    "DPM++ 3M SDE": Scatter(1.9, 1.6),
    "DPM++ 2M SDE": Scatter(1.6, 1.4),
    "DPM++ 2S a": Scatter(1.3, order=2),
    "LMS": Scatter(1.0, 1.2),
    "PNDM": Scatter(1.9, 1.9),
    "PLMS": Scatter(1.9, 1.9),  # the same method under its other name
}
#: What hosts before AUTOMATIC1111 1.9 put behind a sampler's name.
SCHEDULES = ("karras", "exponential", "polyexponential")


def family(sampler: str) -> str:
    """A sampler's name without its schedule."""
    name, _, last = sampler.strip().rpartition(" ")
    return name if name and last.lower() in SCHEDULES else sampler.strip()


def width(profile: Profile, sampler: str, evaluations: int, detector: str = "watch") -> float:
    """By what deviations under a sampler are divided in a pass of so many evaluations, 1 or more; `detector` is "watch" or "probe".

    1 for a profile that was calibrated by this sampler alone, whose thresholds are its own; for flow models, which no sampler adds noise to; and for
    priors, whose thresholds are assumed.
    """
    told = profile.provenance.get("samplers")
    own = {family(name) for name in told if isinstance(name, str)} if isinstance(told, list) else set()
    known = WIDTHS.get(family(sampler))
    if known is None or not own or own == {family(sampler)} or profile.watch.parameterisation == "flow":
        return 1.0
    # To two digits: passes of nearly as many evaluations share their tables.
    return round(1 + (getattr(known, detector) - 1) * min(1.0, STEPS * known.order / max(evaluations, 1)), 2)


def watch(profile: Profile, sampler: str, evaluations: int) -> StabilityRegion:
    """The profile's watch region for passes of this sampler and so many evaluations."""
    return profile.watch.widened(width(profile, sampler, evaluations))


def probe(profile: Profile, sampler: str, evaluations: int) -> StabilityRegion | None:
    """The same of its probe region, where it has one."""
    return profile.probe and profile.probe.widened(width(profile, sampler, evaluations, "probe"))
