"""What went wrong in a pass: errors by the part that failed, evaluations that nobody judged, an end before its time."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

log = logging.getLogger(__name__)
#: What failed where it was no detector and no damper.
EVALUATION = "evaluation"


@dataclass
class Trouble:
    """Kept by a guard, read by its verdicts.

    Attributes
    ----------
    judging, damping : dict of str
        Kinds of errors by the name of the detector that failed (or :data:`EVALUATION`), and of the damper, which costs flagged images only.
    spare : set of str
        Those of the former that are not needed where the watch could judge every evaluation.
    missed : int
        Evaluations that left no reading because of an error.
    cut_short : str
        Why the pass ended before its time, to be set by whoever knows; empty where it came to its end.
    planned : int
        Evaluations that it should have had, where that is known of a pass that was cut short.
    """

    judging: dict[str, str] = field(default_factory=dict)
    spare: set[str] = field(default_factory=set)
    damping: dict[str, str] = field(default_factory=dict)
    missed: int = 0
    cut_short: str = ""
    planned: int = 0

    def note(self, what: str, error: Exception, damper: bool = False) -> None:
        """Remember an error, and log the first of each part."""
        found = self.damping if damper else self.judging
        if what not in found:
            log.error("Memorization Guard: an error (%s), this pass goes on without it", what, exc_info=error)
        found.setdefault(what, type(error).__name__)

    @property
    def error(self) -> str | None:
        """The first error, None where there was none."""
        return next((say(what, kind) for what, kind in {**self.judging, **self.damping}.items()), None)

    def against_stable(self, finite: bool, inside: bool, watched: bool = False) -> str:
        """Why an image that nothing flagged is not stable; empty where nothing stands against it.

        `finite` and `inside` say whether all of its looks were at numbers, and within the regions; `watched` whether the watch took every one.
        """
        for what, kind in self.judging.items():
            if not (watched and what in self.spare):
                return say(what, kind)
        if not finite:
            return "numbers not finite"
        if self.cut_short:
            return self.cut_short
        return "" if inside else "noise level outside the region"

    def beside_flag(self, finite: bool, inside: bool, watched: bool = False) -> str:
        """What a flagged image was left without."""
        return self.against_stable(finite, inside, watched) or next((say(what, kind) for what, kind in self.damping.items()), "")

    def share(self, judged: int, evaluations: int) -> str:
        """How much of the pass was judged."""
        return f"{judged}/{max(evaluations, self.planned if self.cut_short else 0)} judged"


def say(what: str, kind: str) -> str:
    """An error as a reason."""
    return f"error {kind}" + ("" if what == EVALUATION else f" in the {what}")
