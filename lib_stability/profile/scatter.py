"""How much more ordinary runs scatter under some samplers: a level of false alarms is to hold for each, not for all of them on average.

Samplers that add noise or extrapolate have larger extremes than those that a calibration samples by on average, above all where both come together
and steps are few. Deviations of their evaluations are divided by a width, so that what is flagged is as unusual under each.
"""

from __future__ import annotations

from ..guard.region import StabilityRegion
from .profiles import Profile

#: By how much the highest deviations of ordinary runs are larger than those of all of a calibration's samplers: on the testbed, at the level Medium
#: or High, whichever is more, and nothing below 1; ``python -m lib_stability testbed scatter``.
WIDTHS: dict[str, float] = {
    "DPM2 a": 2.3,
    "DPM++ 3M SDE": 1.8,
    "DPM++ 2M SDE": 1.5,
    "DPM++ 2S a": 1.2,
    "DPM++ SDE": 1.2,
    "Euler a": 1.1,
    "PNDM": 1.1,
    "PLMS": 1.1,  # the same method under its other name
}
#: What hosts before AUTOMATIC1111 1.9 put behind a sampler's name.
SCHEDULES = ("karras", "exponential", "polyexponential")


def family(sampler: str) -> str:
    """A sampler's name without its schedule."""
    name, _, last = sampler.strip().rpartition(" ")
    return name if name and last.lower() in SCHEDULES else sampler.strip()


def width(profile: Profile, sampler: str) -> float:
    """By what deviations under a sampler are divided, 1 or more.

    1 for a profile that was calibrated by this sampler alone, whose thresholds are its own; for flow models, which no sampler adds noise to; and for
    priors, whose thresholds are assumed.
    """
    told = profile.provenance.get("samplers")
    own = {family(name) for name in told if isinstance(name, str)} if isinstance(told, list) else set()
    if not own or own == {family(sampler)} or profile.watch.parameterisation == "flow":
        return 1.0
    return WIDTHS.get(family(sampler), 1.0)


def watch(profile: Profile, sampler: str) -> StabilityRegion:
    """The profile's watch region for passes of this sampler."""
    return profile.watch.widened(width(profile, sampler))
