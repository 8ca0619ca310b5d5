"""The dampers: each may put another prediction in the place of a flagged image's, ``act(evaluation, flagged) -> (prediction, Acted | None)``.

Each keeps its own state of the pass; images that are not flagged keep every bit. A new policy is a new module here with a class like those, its name
in :data:`.damping.POLICIES`, and one line in :func:`damper_for`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import torch

from ..damping import Damping, Marks
from ..detectors import Detector
from ..evaluation import Evaluation
from ..readings import Acted
from ..region import StabilityRegion
from ..rewording import Rewording
from .directional import Directional
from .radial import Radial
from .reword import Reword
from .stop import Stop


class Damper(Protocol):
    """What a guard asks of a damper. `cheaper` is the one that goes on where this one fails, None where there is none."""

    @property
    def name(self) -> str: ...

    @property
    def cheaper(self) -> Damper | None: ...

    def act(self, evaluation: Evaluation, flagged: Marks) -> tuple[torch.Tensor, Acted | None]:
        """The prediction that the sampler is to go on with, and what was done to it (None: nothing). `flagged` marks the images that any
        evaluation up to this one has flagged."""

    def succeed(self, before: Any) -> None:
        """Take over from the damper of a guard that watched the pass up to here."""


def damper_for(mode: str, damping: Damping, region: StabilityRegion, detectors: list[Detector], rewording: Rewording | None) -> Damper | None:
    """The one that serves a mode; None where nothing is changed."""
    if mode == "stop":
        return Stop()
    if mode != "damp":
        return None
    radial = Radial(replace(damping, policy="radial"), region)
    if damping.policy == "radial":
        return radial
    directional = Directional(damping, region, radial)
    if damping.policy == "directional" or rewording is None:
        return directional
    return Reword(rewording, directional, detectors)
