"""What a profile would displace, said before it is imported or calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from ..guard.region import StabilityRegion
from ..sentences import Sentence
from .networks import describe
from .profiles import ANY, Model, Profile, choose

#: What is said, and of which checkpoints.
TEXTS = {
    "replaces": "It replaces {name} ({evidence}), which is kept: Go back brings it again.",
    "trial": "It is a trial ({trial}): it serves only where the setting Profile names it.",
    "stays": "{name} ({evidence}) goes on serving {where}: it rests on more.",
    "first": "It serves {where}, which nothing served so far.",
    "serves": "It serves {where}.",
    "instead": "It serves {where} in place of {name} ({evidence}).",
    "checkpoint": "the checkpoint {hash}",
    "networks": "{name} with {networks}",
    "any": "every checkpoint whatever its family ({prediction}) that has no profile of its own",
    "family": "every checkpoint of the family {family} ({prediction}) that has no profile of its own",
}


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
    lines: list[str] = [Sentence(TEXTS["replaces"], name=one.name, evidence=one.evidence) for one in same]
    if new.trial:
        return Outlook([*lines, Sentence(TEXTS["trial"], trial=new.trial)], same)
    model = new.model
    asked = model.sha256, model.family, model.prediction, model.distilled, model.networks
    before = choose(present, *asked)[0]
    after = choose([*(one for one in present if one.name != new.name), new], *asked)[0]
    where = _where(model)
    if after is not new:
        return Outlook([*lines, Sentence(TEXTS["stays"], name=after.name, evidence=after.evidence, where=where) if after else ""], same)
    if before is None:
        return Outlook([*lines, Sentence(TEXTS["first"], where=where)], same)
    if before in same:
        return Outlook([*lines, Sentence(TEXTS["serves"], where=where)], same)
    return Outlook([*lines, Sentence(TEXTS["instead"], where=where, name=before.name, evidence=before.evidence)], [*same, before])


def _where(model: Model) -> str:
    if model.sha256:
        name = model.checkpoint or Sentence(TEXTS["checkpoint"], hash=model.sha256[:10])
        return Sentence(TEXTS["networks"], name=name, networks=describe(model.networks)) if model.networks else name
    if model.family == ANY:
        return Sentence(TEXTS["any"], prediction=model.prediction)
    return Sentence(TEXTS["family"], family=model.family, prediction=model.prediction)
