"""What a profile would displace, said before it is imported or calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from ..guard.region import StabilityRegion
from .networks import describe
from .profiles import ANY, Model, Profile, choose


class Outlook(NamedTuple):
    """What people are told of a new profile; `displaced` are those that it takes the place of, one of the same name or one that served."""

    lines: list[str]
    displaced: list[Profile]

    @property
    def calibrations(self) -> list[Profile]:
        """Those displaced that were measured, which one does not lose in passing."""
        return [one for one in self.displaced if one.kind == "calibrated"]


def planned(name: str, model: Model, runs: int, negative: str = "") -> Profile:
    """Stands for a calibration that has not been made yet."""
    region = StabilityRegion("flow" if model.prediction == "flow" else "sigma")
    region.scores_ = np.zeros(runs)
    return Profile(name, "calibrated", model, region, negative=negative, provenance={"runs": runs, "date": date.today().isoformat()}, origin="own")


def outlook(new: Profile, present: Sequence[Profile]) -> Outlook:
    """What `new`, which goes into the user's folder, changes among the profiles that are there."""
    same = [one for one in present if one.name == new.name]
    lines = [f"It replaces {one.name} ({one.evidence}), which is kept: Go back brings it again." for one in same]
    if new.trial:
        return Outlook([*lines, f"It is a trial ({new.trial}): it serves only where the setting Profile names it."], same)
    model = new.model
    asked = model.sha256, model.family, model.prediction, model.distilled, model.networks
    before = choose(present, *asked)[0]
    after = choose([*(one for one in present if one.name != new.name), new], *asked)[0]
    where = _where(model)
    if after is not new:
        return Outlook([*lines, f"{after.name} ({after.evidence}) goes on serving {where}: it rests on more." if after else ""], same)
    if before is None:
        return Outlook([*lines, f"It serves {where}, which nothing served so far."], same)
    if before in same:
        return Outlook([*lines, f"It serves {where}."], same)
    return Outlook([*lines, f"It serves {where} in place of {before.name} ({before.evidence})."], [*same, before])


def _where(model: Model) -> str:
    if model.sha256:
        name = model.checkpoint or f"the checkpoint {model.sha256[:10]}"
        return f"{name} with {describe(model.networks)}" if model.networks else name
    whose = "whatever its family" if model.family == ANY else f"of the family {model.family}"
    return f"every checkpoint {whose} ({model.prediction}) that has no profile of its own"
