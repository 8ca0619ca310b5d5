"""What a user may choose about a guard."""

from __future__ import annotations

from dataclasses import dataclass

from .damping import Damping
from .sensitivity import PAPER_MILD, check

MODES = ("report", "damp", "replace", "stop")
#: How often an image is made anew in the mode "replace".
TRIES_RANGE = (1, 16)


@dataclass(frozen=True)
class Options:
    """What a guard does: its mode, sensitivity level, how it damps, and whether it maps where flagged images are unstable.

    Parameters
    ----------
    mode : "report", "damp", "replace" or "stop"
        Report changes nothing, damp damps flagged images, stop blanks an image from the evaluation on that flags it as strong. Replace changes
        nothing while it samples: whoever samples takes another image in place of a flagged one.
    sensitivity : "low", "medium", "high", "paper" or "custom"
        Target rates of false alarms of 0.2, 1 and 5 % of ordinary runs; the z > 3 of Broken Memories (arXiv 2605.22050); or `tau`.
    tau : float
        Threshold of the sensitivity "custom" in relative spreads, 0.1 to 1000.
    damping : Damping
    locate : bool
        Whether a map is kept of each flagged image.

    Raises
    ------
    ValueError
        Naming the field that is none of these or out of range.

    Examples
    --------
    >>> from lib_stability import Damping, Options
    >>> Options(mode="damp", sensitivity="custom", tau=4.0, damping=Damping("directional")).damping.policy
    'directional'
    >>> Options(sensitivity="extreme")
    Traceback (most recent call last):
    ValueError: sensitivity: 'extreme' is not one of low, medium, high, paper, custom
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
