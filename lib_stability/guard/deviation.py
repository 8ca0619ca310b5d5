"""What ordinary runs have at an evaluation, and how far a measured one lies from it, in relative spreads."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .norms import Norms


class ZScores(NamedTuple):
    """Deviations of one evaluation in relative spreads: `both`, float32 ``(batch, 2)`` of the rate and the clean norm, and the mask
    ``(batch,)`` of noise levels that the region covers. `width`, ``(batch, 2)``, is one spread as a norm."""

    both: torch.Tensor
    inside: torch.Tensor
    width: torch.Tensor | None = None

    @property
    def rate(self) -> torch.Tensor:
        return self.both[:, 0]

    @property
    def clean(self) -> torch.Tensor:
        return self.both[:, 1]

    @property
    def score(self) -> torch.Tensor:
        """The evaluation's score ``(batch,)``: both norms have to be large, so the smaller deviation counts."""
        return self.both.amin(1)


class Expected(NamedTuple):
    """Mean and spread of both norms at some noise levels, each of shape ``(batch, 2)`` (rate, clean), and which levels are covered."""

    mean: torch.Tensor
    spread: torch.Tensor
    inside: torch.Tensor

    def z_scores(self, measured: Norms) -> ZScores:
        """``z = (r / mean - 1) / spread`` of norms of shape ``(batch,)`` each."""
        width = self.mean * self.spread
        return ZScores(torch.stack(tuple(measured), 1).sub_(self.mean).div_(width), self.inside, width)
