"""The judging half of a guard: every detector is shown an evaluation, what they find is flagged and mapped."""

from __future__ import annotations

import logging

import numpy as np

from .detectors import Detector
from .detectors.watch import Watch
from .evaluation import Evaluation
from .locality import Locator
from .readings import Judged
from .trouble import Trouble

log = logging.getLogger(__name__)


class Judging:
    """The detectors of one pass.

    Parameters
    ----------
    detectors : list of Detector
        In the order in which they look; none where no profile fits.
    trouble : Trouble
        The pass's: a detector that failed is not asked again.
    locate : bool
        Whether unstable images are mapped.
    """

    def __init__(self, detectors: list[Detector], trouble: Trouble, locate: bool) -> None:
        self.detectors, self.trouble = detectors, trouble
        self.locator = Locator() if locate else None

    def judge(self, evaluation: Evaluation) -> None:
        """Ask every detector; what it finds is added to the evaluation. An error is noted and disturbs no other detector."""
        for detector in self.detectors:
            if detector.name in self.trouble.judging:
                continue
            try:
                judged = detector.judge(evaluation)
            except Exception as error:
                self.trouble.note(detector.name, error)
                continue
            if judged is not None:
                evaluation.add(detector.name, judged)
                self._map(judged)

    def _map(self, judged: Judged) -> None:
        if self.locator and judged.prediction is not None and judged.expected is not None:
            try:
                self.locator.add(judged.prediction, judged.expected.mean[:, 1], judged.unstable)
            except Exception:
                log.exception("Memorization Guard: an error, there is no map of this pass")
                self.locator = None

    def awaits(self, evaluations: int, last: dict[str, Judged]) -> bool:
        """Whether a look is still to come after so many evaluations, of which the last was judged so."""
        return any(one.awaits(evaluations, any(name != one.name for name in last)) for one in self.detectors)

    @property
    def watched(self) -> tuple[float, float]:
        """The guidance scales that the watch judges."""
        return next((one.range for one in self.detectors if isinstance(one, Watch)), (0.0, 0.0))

    def succeed(self, before: Judging) -> None:
        """Go on with the map of the pass up to here."""
        if self.locator and before.locator:
            self.locator = before.locator

    def maps(self, batch: int) -> list[np.ndarray | None]:
        """See :meth:`.guard.Guard.maps`."""
        return (self.locator.maps() if self.locator else []) or [None] * batch
