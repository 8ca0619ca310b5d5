"""Letting go of a flagged image: what damping has led far enough away goes on by its own prompt, and is watched on.

No noise level alone is safe. On small latents a run that is let go is caught again even where little noise is left, half of the testbed's
conjunctions at sigma 0.5; but then its norms rise again before it is lost, and what acts again at once brings it back. Where a prediction points
tells less: with one caption and three pictures a run that points away from one of them is caught by the next. So where the watch does not know the
norms (another negative prompt, changed guidance) nothing is let go.
"""

from __future__ import annotations

import torch

from .damping import Marks
from .evaluation import Evaluation

#: An image is quiet while its own prompt's update norm lies at most so many relative spreads above the mean of ordinary runs, and ...
QUIET = 1.0
#: ... the cosine of that prediction with the one that flagged it does not exceed this.
APART = 0.5
#: Evaluations that an image has to be quiet for, one after the other.
CALM = 2


class Release:
    """Which flagged images are acted upon."""

    def __init__(self) -> None:
        self._calm: torch.Tensor | None = None
        self._acting: Marks | None = None

    def acting(self, evaluation: Evaluation, flagged: Marks, likeness: torch.Tensor) -> Marks:
        """Of the `flagged` images those that are not quiet, or have not been for long enough; `likeness` ``(batch,)`` is the cosine of the guided
        prediction with what is remembered. Nothing is read from the device."""
        if self._calm is None or self._acting is None:
            self._calm = torch.zeros_like(likeness)
            self._acting = Marks(len(likeness), likeness.device)
        watched = evaluation.watched
        if watched is None or evaluation.unstable is None:
            quiet = torch.zeros_like(flagged.tensor)
        else:
            quiet = watched.z.inside & ~evaluation.unstable & (watched.z.rate <= QUIET) & (likeness <= APART)
        self._calm = (self._calm + 1) * quiet
        torch.logical_and(flagged.tensor, self._calm < CALM, out=self._acting.tensor)
        return self._acting
