"""Radial damping, the rescaling of Broken Memories (arXiv 2605.22050): unstable predictions are scaled down to the region's mean norm."""

from __future__ import annotations

import torch

from ..damping import Damping, Marks, radial
from ..deviation import Expected
from ..evaluation import Evaluation
from ..fitting import spread_at
from ..readings import Acted
from ..region import StabilityRegion

#: A guidance scale that adds nearly all of a norm: there spreads are at their widest.
MUCH = 1000.0


class Limit:
    """Largest RMS of a damped prediction: the region's mean less the margin, where directional damping acts; else the mean."""

    def __init__(self, damping: Damping, region: StabilityRegion) -> None:
        self.margin, self._widest = damping.limit, float(spread_at(region.curves_["clean"], MUCH).max())

    def __call__(self, expected: Expected, acting: torch.Tensor | None = None, width: torch.Tensor | None = None) -> torch.Tensor:
        """``(batch,)``; `acting` is the mask where the margin counts, by default all. `width`, ``(batch, 2)``, is one spread as a norm where that is
        at hand."""
        mean = expected.mean[:, 1]
        width = mean * expected.spread[:, 1] if width is None else width[:, 1]
        if self.margin * self._widest > 0.9:
            width = torch.minimum(width, mean * (0.9 / self.margin))  # at least a tenth of the mean is left
        return torch.sub(mean, width if acting is None else width * acting, alpha=self.margin)


class Radial:
    """Acts where an evaluation is unstable itself, and forgets it."""

    name, cheaper = "radial", None

    def __init__(self, damping: Damping, region: StabilityRegion) -> None:
        self.region, self.limit = region, Limit(damping, region)

    def act(self, evaluation: Evaluation, flagged: Marks) -> tuple[torch.Tensor, Acted | None]:
        """See :class:`.Damper`."""
        if flagged.surely_empty or evaluation.unstable is None:
            return evaluation.denoised, None
        expected = evaluation.expected(self.region)
        return radial(evaluation.denoised, self.limit(expected), evaluation.unstable & expected.inside)

    def succeed(self, before: object) -> None:
        """There is nothing to take over."""
