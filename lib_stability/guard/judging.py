"""The judging half of a guard: every detector is shown an evaluation, what they find is flagged and mapped."""

from __future__ import annotations

import logging

import numpy as np
import torch

from .detectors import Detector
from .detectors.watch import Watch
from .evaluation import Evaluation
from .finished import Finishing, joined
from .locality import Locator
from .norms import noise
from .probe import Probe
from .readings import Judged, Reading
from .region import StabilityRegion
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
        Whether unstable images are mapped: where what was flagged is, and where it still is at the end, if `finished` is given.
    finished : StabilityRegion, optional
        The watch's, of a pass whose pictures are finished.
    steered : bool
        Whether flagged images are damped: their map is that of the finished picture alone.
    probe : Probe, optional
        What one of the detectors asks.
    """

    def __init__(
        self,
        detectors: list[Detector],
        trouble: Trouble,
        locate: bool,
        finished: StabilityRegion | None = None,
        steered: bool = False,
        probe: Probe | None = None,
    ) -> None:
        self.detectors, self.trouble = detectors, trouble
        self.locator = Locator() if locate else None
        self.steered, self.probe = steered, probe
        self.finishing = Finishing(finished) if locate and finished is not None else None

    def judge(self, evaluation: Evaluation) -> None:
        """Ask every detector; what it finds is added to the evaluation. An error is noted and disturbs no other detector."""
        for detector in self.detectors:
            if detector.name in self.trouble.judging:
                continue
            try:
                judged = detector.judge(evaluation)
            except Exception as error:
                self.trouble.note(detector.name, error)
                # Asked only because guidance might have been changed: where it was not, what the watch knows is enough.
                if self.probe is not None and self.probe.policy == "auto" and evaluation.plain is not None and evaluation.watched:
                    self.trouble.spare.add(detector.name)
                continue
            if judged is not None:
                evaluation.add(detector.name, judged)
                self._map(judged, evaluation)
        if self.finishing:
            try:
                self.finishing.add(evaluation.difference, evaluation.sigma)
            except Exception:
                log.exception("Memorization Guard: an error, maps of this pass show what was flagged, not what is finished")
                self.finishing = None

    def _map(self, judged: Judged, evaluation: Evaluation) -> None:
        if self.locator and judged.prediction is not None and judged.expected is not None:
            try:
                begins = None
                if evaluation.number == 0:
                    sees = judged.z.inside if judged.wanted is None else judged.z.inside & judged.wanted
                    begins = torch.where(sees, noise(evaluation.sigma, evaluation.parameterisation), 0.0)
                self.locator.add(judged.prediction, judged.expected.mean[:, 1], judged.unstable, begins)
            except Exception:
                log.exception("Memorization Guard: an error, there is no map of this pass")
                self.locator = None

    def awaits(self, evaluations: int, last: Reading) -> bool:
        """Whether a look is still to come after so many evaluations."""
        return any(one.awaits(evaluations, last.plain is None and any(name != one.name for name in last.judged)) for one in self.detectors)

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
        flagged = (self.locator.maps() if self.locator else []) or [None] * batch
        finished = (self.finishing.maps() if self.finishing and any(one is not None for one in flagged) else []) or [None] * batch
        return [joined(one, late, self.steered) for one, late in zip(flagged, finished)]
