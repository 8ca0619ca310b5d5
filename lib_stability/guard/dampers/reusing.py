"""What a version makes of guidance, kept for the evaluation after: it changes little from one to the next. What does is the negative prompt's
prediction, and that is at hand anyway."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..evaluation import Evaluation
from ..norms import per_sample


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

    def at(self, evaluation: Evaluation) -> Guided | None:
        """What is kept, on top of the negative prompt's prediction.

        None where the evaluation is not to do with it: only every second one is, at the same guidance scale and of the same shape, and only where the
        sampler has both predictions.
        """
        kept, guidance = self._kept, evaluation.guidance
        if kept is None or not evaluation.number % 2 or isinstance(guidance, torch.Tensor) or guidance != self._guidance:
            return None
        negative = self._negative(evaluation, guidance)
        return None if negative is None or negative.shape != kept.mean.shape else Guided(negative + kept.mean, kept.found)

    def keep(self, evaluation: Evaluation, got: Guided) -> None:
        """Keep what versions made of this evaluation; what was kept before is gone."""
        negative = None if isinstance(evaluation.guidance, torch.Tensor) else self._negative(evaluation, evaluation.guidance)
        self._kept = None if negative is None else Guided(got.mean - negative, got.found)
        self._guidance = evaluation.guidance

    @staticmethod
    def _negative(evaluation: Evaluation, guidance: float) -> torch.Tensor | None:
        difference = evaluation.difference
        return None if difference is None else evaluation.denoised.float() - guidance * difference.float()
