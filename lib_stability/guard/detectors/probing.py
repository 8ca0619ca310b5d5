"""The probe at work: the virtual prediction of a few early evaluations against the probe's own region."""

from __future__ import annotations

import torch

from ..deviation import Expected
from ..evaluation import Evaluation
from ..probe import Probe
from ..readings import Judged, judge
from ..sensitivity import thresholds


class Probing:
    """Judges by :class:`.probe.Probe` at the evaluations where that wants to look; see :func:`.sensitivity.thresholds` for the others."""

    name = "probe"

    def __init__(self, probe: Probe, sensitivity: str, tau: float) -> None:
        self.probe, self.limits = probe, thresholds(probe.region, sensitivity, tau)

    def expected(self, sigma: torch.Tensor) -> Expected:
        """What ordinary virtual predictions have at noise levels ``(batch,)``."""
        return self.probe.region.look_up(sigma, self.probe.guidance)

    def judge(self, evaluation: Evaluation) -> Judged | None:
        """See :class:`.Detector`. Where it looks it may cost a model evaluation."""
        # Whether guidance was really changed only the device knows: where it might have been, both look.
        if not self.probe.wanted(evaluation.number, bool(evaluation.judged) and evaluation.plain is None):
            return None
        predicted = self.probe.predict(evaluation.x, evaluation.sigma)
        return judge(evaluation.x, predicted, evaluation.sigma, evaluation.parameterisation, self.expected(evaluation.sigma), self.limits)

    def awaits(self, evaluations: int, judged: bool) -> bool:
        """See :class:`.Detector`: true of a pass that ended earlier than was announced."""
        return any(self.probe.wanted(number, judged) for number in self.probe.looks if number >= evaluations)
