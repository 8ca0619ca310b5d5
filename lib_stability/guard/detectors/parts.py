"""The parts of a prompt, each as if it were the whole: regions of a picture, prompts joined by AND, chunks of a long one.

A memorized part that fills half of the picture raises the norms of the whole by less than a memorized prompt does. What the model predicts for that
part alone does not depend on how much of the picture it gets.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..evaluation import Evaluation
from ..norms import per_sample
from ..probe import Probe
from ..readings import Judged, judge
from ..sensitivity import thresholds

#: From ``(x, sigma)`` to the virtual predictions of the parts, tensors like `x`; none where every prompt is one whole.
Apart = Callable[[torch.Tensor, torch.Tensor], list[torch.Tensor]]


class Parts:
    """Judges them at the first evaluation of a pass, where the prompt alone decides, by the region of the probe.

    Parameters
    ----------
    probe : Probe
        Whose region counts; where it never looks, neither does this.
    apart : callable
        See :data:`Apart`. It may cost a model evaluation for each part, and one more.
    sensitivity, tau
        See :func:`.sensitivity.thresholds`.
    """

    name = "parts"

    def __init__(self, probe: Probe, apart: Apart, sensitivity: str, tau: float) -> None:
        self.probe, self.apart, self.limits = probe, apart, thresholds(probe.region, sensitivity, tau)

    def judge(self, evaluation: Evaluation) -> Judged | None:
        """See :class:`.Detector`: of every image the part that is furthest off."""
        if evaluation.number or self.probe.policy == "never":
            return None
        worst: Judged | None = None
        furthest: torch.Tensor | None = None
        for part in self.apart(evaluation.x, evaluation.sigma):
            judged = self._judge(evaluation, part)
            if worst is not None and furthest is not None:
                part = torch.where(per_sample(judged.z.score > worst.z.score, part), part, furthest)
                judged = self._judge(evaluation, part)
            worst, furthest = judged, part
        return worst

    def _judge(self, evaluation: Evaluation, part: torch.Tensor) -> Judged:
        expected = self.probe.region.look_up(evaluation.sigma, self.probe.guidance)
        return judge(evaluation.x, part, evaluation.sigma, evaluation.parameterisation, expected, self.limits)

    def awaits(self, evaluations: int, judged: bool) -> bool:
        """See :class:`.Detector`."""
        return False
