"""A profile file that somebody offers to others: what a maintainer wants to know before it is taken into ``regions/``."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..guard.region import StabilityRegion
from ..guard.sensitivity import TARGETS, thresholds
from ..validation import ValidationError
from . import agreeing, plausibility, private, storage
from .profiles import Profile

#: Guidance scales at which it is told how far a copy stands out.
SCALES = (3.0, 7.5, 12.0)
#: What a calibration has to say of itself.
TOLD = ("date", "software", "samplers", "prompts_sha256")


class Finding(NamedTuple):
    """One line of a check; `good` is None where it is only told."""

    good: bool | None
    said: str


def check(path: Path, against: Path | None = None) -> list[Finding]:
    """Everything about a profile file, and how far it agrees with another one of the same checkpoint. OSError where a file cannot be read."""
    try:
        profile = storage.read(path)
    except ValidationError as error:
        return [Finding(False, str(error))]
    found = [Finding(True, f"format and plausibility: {profile.name}, {profile.kind}, {profile.model.family} with {profile.model.speaks}")]
    found += [*_standing(profile), *_private(profile)]
    for name, region in (("watch", profile.watch), ("probe", profile.probe)):
        if region is not None:
            found += [*_scores(name, region), _reach(name, region, profile.probe_guidance if name == "probe" else None)]
    return [*found, *(_agreement(profile, against) if against else [])]


def _standing(profile: Profile) -> list[Finding]:
    if profile.kind != "calibrated":
        return []
    told, by = profile.provenance, str(profile.provenance.get("measured_by") or "")
    bare = [key for key in TOLD if not told.get(key)]
    return [
        Finding(bool(profile.model.sha256), f"made for the checkpoint {profile.model.sha256[:10] or 'of no SHA-256'}"),
        Finding(not profile.trial, f"a trial: {profile.trial}" if profile.trial else f"{profile.runs} reference runs"),
        Finding(told.get("runs") == profile.runs, f"states {told.get('runs')} runs, its leave-one-out scores bear out {profile.runs}"),
        Finding(profile.probe is not None, "has a probe region" if profile.probe else "has no probe region: only plain prompts are judged"),
        Finding(bool(by), f"measured by {by}" if by else "does not say who measured it: export it with --by"),
        Finding(not bare, f"does not say its {', '.join(bare)}" if bare else f"{told['date']}, {told['software']}"),
    ]


def _private(profile: Profile) -> list[Finding]:
    said = private.suspicions(profile)
    return [Finding(False, one) for one in said] or [Finding(True, "nothing in it looks private")]


def _scores(name: str, region: StabilityRegion) -> list[Finding]:
    """The levels and its own leave-one-out scores, each run judged by all others: for people to look at, since the levels are made of them."""
    scores = np.asarray(region.scores_)
    if len(scores) < plausibility.LEAST_SCORES:
        return [Finding(None, f"{name}: no leave-one-out scores")]
    found = [Finding(None, f"{name}: {len(scores)} leave-one-out scores, median {np.median(scores):.2f}, highest {scores.max():.2f}")]
    for level in TARGETS:
        limit = thresholds(region, level)
        found.append(Finding(None, f"{name}: {level} is {limit.describe()}; above it {int((scores > limit.mild).sum())} of them"))
    return found


def _reach(name: str, region: StabilityRegion, scale: float | None) -> Finding:
    scales = SCALES if scale is None else (scale,)
    shares = [plausibility.standing_out(region, one) for one in scales]
    said = ", ".join(f"{100 * share:.0f} % at guidance {one:g}" for one, share in zip(scales, shares))
    return Finding(None, f"{name}: a copy of a whole picture stands out of Medium at these shares of the noise levels: {said}")


def _agreement(profile: Profile, against: Path) -> list[Finding]:
    try:
        other = storage.read(against)
    except ValidationError as error:
        return [Finding(False, str(error))]
    if not profile.model.sha256 or profile.model.sha256 != other.model.sha256:
        return [Finding(False, f"{against.name} is of another checkpoint")]
    found = []
    for name, one, two in (("watch", profile.watch, other.watch), ("probe", profile.probe, other.probe)):
        if one is None or two is None:
            continue
        try:
            told = agreeing.compare(one, two, (profile.probe_guidance,) if name == "probe" else agreeing.SCALES)
        except ValueError as error:
            found.append(Finding(False, f"{name}: {error}"))
            continue
        said = f"means differ by {told.means:.2f} spreads, the norms that Medium flags by {100 * told.norms:.0f} %"
        found.append(Finding(told.holds, f"{name}: {'agrees' if told.holds else 'does not agree'} with {against.name}: {said} (medians)"))
    return found
