"""The detectors: each looks at an evaluation and says which images are unstable, ``judge(evaluation) -> Judged | None``.

A new one is a new module here with a class that has `name`, `judge` and `awaits`, its name in :data:`NAMES` and one line in :func:`detectors`. Those
that see the guided prediction come first: later ones may be wanted only where they could not judge.
"""

from __future__ import annotations

from typing import Protocol

from ..evaluation import Evaluation
from ..probe import Probe
from ..readings import Judged
from ..region import StabilityRegion
from .parts import Apart, Parts
from .probing import Probing
from .watch import Watch

#: Those that there are, in the order in which they look: what infotext and ledger may name.
NAMES = (Watch.name, Probing.name, Parts.name)


class Detector(Protocol):
    """What a guard asks of a detector."""

    name: str

    def judge(self, evaluation: Evaluation) -> Judged | None:
        """Norms, deviations and unstable images of this evaluation; None where there is nothing to look at."""

    def awaits(self, evaluations: int, judged: bool) -> bool:
        """Whether a look that it wants is still to come after so many evaluations; `judged` says whether others could judge the last of them."""


def detectors(region: StabilityRegion, probe: Probe | None, sensitivity: str, tau: float, doubt: str, apart: Apart | None = None) -> list[Detector]:
    """Those of one pass, in the order in which they look."""
    found: list[Detector] = [Watch(region, sensitivity, tau, doubt)]
    if probe is not None:
        found.append(Probing(probe, sensitivity, tau))
    if probe is not None and apart is not None:
        found.append(Parts(probe, apart, sensitivity, tau))
    return found
