"""The watch: the guided prediction of every evaluation against the region of ordinary runs. It costs no model evaluation."""

from __future__ import annotations

import torch

from ..evaluation import Evaluation
from ..probe import LEAST_GUIDANCE
from ..readings import Judged, judge
from ..region import StabilityRegion
from ..sensitivity import thresholds


class Watch:
    """Judges what the sampler is guided by.

    Parameters
    ----------
    region : StabilityRegion
    sensitivity, tau
        See :func:`.sensitivity.thresholds`.
    doubt : str
        Why it cannot judge this pass; empty where it can.
    """

    name = "watch"

    def __init__(self, region: StabilityRegion, sensitivity: str, tau: float, doubt: str = "") -> None:
        self.region, self.doubt = region, doubt
        self.limits = thresholds(region, sensitivity, tau)
        #: Guidance scales that it judges.
        self.range = LEAST_GUIDANCE, 2 * region.guidance_[1]

    def judge(self, evaluation: Evaluation) -> Judged | None:
        """See :class:`.Detector`. Scales in a tensor are not read here: images whose scale is out of range, or whose guidance somebody has changed,
        count as outside the region."""
        (low, high), guidance = self.range, evaluation.guidance
        if self.doubt or not (isinstance(guidance, torch.Tensor) or low <= guidance <= high):
            return None
        expected = evaluation.expected(self.region)
        wanted = (guidance >= low) & (guidance <= high) if isinstance(guidance, torch.Tensor) else None
        if evaluation.plain is not None:
            wanted = evaluation.plain if wanted is None else wanted & evaluation.plain
        if wanted is not None:
            expected = expected._replace(inside=expected.inside & wanted)
        judged = judge(evaluation.x, evaluation.denoised, evaluation.sigma, evaluation.parameterisation, expected, self.limits)
        return judged._replace(wanted=wanted)

    def awaits(self, evaluations: int, judged: bool) -> bool:
        """See :class:`.Detector`. It looks whenever there is an evaluation, and waits for none."""
        return False
