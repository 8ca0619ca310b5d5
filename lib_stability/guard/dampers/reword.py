"""Rewording: a flagged image is guided by its prompt with one part left out, in turn; where that cannot be, directional damping acts."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..damping import Marks
from ..detectors import Detector
from ..detectors.probing import Probing
from ..detectors.watch import Watch
from ..evaluation import Evaluation
from ..norms import per_sample, rms
from ..readings import Acted, judge
from ..rewording import Rewording
from .directional import Directional


class Reword:
    """Puts the mean of the stable versions' predictions in the place of a flagged image's.

    Parameters
    ----------
    rewording : Rewording
        The versions of the batch's prompts.
    cheaper : Directional
        Damps where no version is at hand, and keeps versions from pointing at what is remembered.
    detectors : list of Detector
        Versions are judged as the guided prediction is; by the probe where the watch cannot.
    """

    name = "reword"

    def __init__(self, rewording: Rewording, cheaper: Directional, detectors: list[Detector]) -> None:
        self.rewording, self.cheaper = rewording, cheaper
        self.probing = next((one for one in detectors if isinstance(one, Probing)), None)
        self.watch = next(one for one in detectors if isinstance(one, Watch))

    def act(self, evaluation: Evaluation, flagged: Marks) -> tuple[torch.Tensor, Acted | None]:
        """See :class:`.Damper`. May cost model evaluations where an image is flagged."""
        result, acted = self.cheaper.act(evaluation, flagged)
        if acted is None:
            return result, acted
        probing = self.probing if evaluation.watched is None else None
        unstable = self._judging(evaluation, probing)
        got = self.rewording.step(evaluation.x, evaluation.sigma, flagged.tensor, probing is not None, unstable, evaluation.number)
        if got is None:
            return result, acted
        mean, found = got
        # A version may be near the memorized picture without being unstable: then it still points there.
        mean = self.cheaper.away(mean, found, evaluation.expected(self.cheaper.region))
        return torch.where(per_sample(found, result), mean.to(result.dtype), result), acted._replace(replaced=found)

    def _judging(self, evaluation: Evaluation, probing: Probing | None) -> Callable[[torch.Tensor], torch.Tensor]:
        """From a version's prediction to the mask of images in which it is unstable, or no number."""
        if probing is not None:
            expected, limits = probing.expected(evaluation.sigma), probing.limits
        elif evaluation.watched is not None:
            expected, limits = evaluation.expected(self.watch.region), self.watch.limits
        else:
            return lambda prediction: ~torch.isfinite(rms(prediction))

        def unstable(prediction: torch.Tensor) -> torch.Tensor:
            judged = judge(evaluation.x, prediction, evaluation.sigma, evaluation.parameterisation, expected, limits)
            return judged.unstable | ~judged.finite()

        return unstable

    def succeed(self, before: Reword | Directional) -> None:
        """Go on with what was remembered; a refiner has no versions of its own."""
        self.cheaper.succeed(before.cheaper if isinstance(before, Reword) else before)
