"""What a version makes of guidance, kept for the evaluation after: it changes little from one to the next. What does is the negative prompt's
prediction, and that is at hand anyway."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..evaluation import Evaluation
from ..norms import per_sample, rms


class Guided(NamedTuple):
    """A prediction by versions, float32 like x, and the mask ``(batch,)`` of images that have one."""

    mean: torch.Tensor
    found: torch.Tensor

    def or_else(self, other: Guided) -> Guided:
        """The other's where this one has none."""
        return Guided(torch.where(per_sample(self.found, self.mean), self.mean, other.mean), self.found | other.found)


class Reused:
    """Guidance ``w (D_version - D_negative)`` of the last evaluation that had a version."""

    def __init__(self) -> None:
        self._kept: Guided | None = None
        self._guidance: float | torch.Tensor = 0.0
        self._number = 0

    def at(self, evaluation: Evaluation) -> Guided | None:
        """What the evaluation before has left, on top of the negative prompt's prediction: of no image, where that left nothing.

        None where the evaluation is not to do with it, whatever there is: only those of odd numbers are, at the same guidance scale and of the same
        shape, and only where the sampler has both predictions. That depends on no image, so that each is the same alone and in a batch.
        """
        kept, guidance = self._kept, evaluation.guidance
        if kept is None or not evaluation.number % 2 or isinstance(guidance, torch.Tensor) or guidance != self._guidance:
            return None
        negative = self._negative(evaluation, guidance)
        if negative is None or negative.shape != kept.mean.shape:
            return None
        served = torch.isfinite(rms(negative)) & (evaluation.number == self._number + 1)
        return Guided(negative + kept.mean, kept.found & served)

    def keep(self, evaluation: Evaluation, got: Guided) -> None:
        """Keep what versions made of this evaluation, where the next one may do with it; what was kept before is gone."""
        if evaluation.number % 2:
            return
        negative = None if isinstance(evaluation.guidance, torch.Tensor) else self._negative(evaluation, evaluation.guidance)
        if negative is not None:
            added = got.mean - negative
            self._kept = Guided(added, got.found & torch.isfinite(rms(added)))
            self._guidance, self._number = evaluation.guidance, evaluation.number

    @staticmethod
    def _negative(evaluation: Evaluation, guidance: float) -> torch.Tensor | None:
        try:
            difference = evaluation.difference
        except Exception:
            return None  # who asks for maps says so; a version of its own is never wrong
        return None if difference is None else evaluation.denoised.float() - guidance * difference.float()
