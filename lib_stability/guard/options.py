"""What a user may choose about a guard."""

from __future__ import annotations

from dataclasses import dataclass

from .damping import Damping
from .sensitivity import PAPER_MILD, check

MODES = ("report", "damp", "stop")


@dataclass(frozen=True)
class Options:
    """What a guard does: its mode, sensitivity level (`tau` for "custom"), how it damps, and whether it maps where flagged images are unstable.

    Mode "report" changes nothing, "damp" damps flagged images, "stop" blanks an image from the evaluation on that flags it as strong.
    """

    mode: str = "report"
    sensitivity: str = "medium"
    tau: float = PAPER_MILD
    damping: Damping = Damping()
    locate: bool = False

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode: {self.mode!r} is not one of {', '.join(MODES)}")
        check(self.sensitivity, self.tau)
