"""Stopping: an image is blanked from the evaluation on that flags it as strong."""

from __future__ import annotations

import torch

from ..damping import Marks
from ..evaluation import Evaluation
from ..norms import per_sample
from ..readings import Acted


class Stop:
    """Blanks, and says which images are."""

    name, cheaper = "stop", None

    def __init__(self) -> None:
        #: The mask ``(batch,)`` of blanked images, None before the first evaluation that was judged.
        self.stopped: torch.Tensor | None = None

    def act(self, evaluation: Evaluation, flagged: Marks) -> tuple[torch.Tensor, Acted | None]:
        """See :class:`.Damper`."""
        before = [] if self.stopped is None else [self.stopped]
        self.stopped = torch.stack([*before, *(judged.strong() for judged in evaluation.judged.values())]).any(0)
        return self.blank(evaluation.denoised), None

    def blank(self, denoised: torch.Tensor) -> torch.Tensor:
        """`denoised` with zeros for blanked images; as it is where it is of another batch."""
        if self.stopped is None or len(self.stopped) != len(denoised):
            return denoised
        return denoised.masked_fill(per_sample(self.stopped, denoised), 0.0)

    def succeed(self, before: Stop) -> None:
        """Blanked images stay blank."""
        self.stopped = before.stopped
