"""What ordinary runs have at an evaluation, and how far a measured one lies from it, in relative spreads."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .norms import Norms

#: What the score of an evaluation is made of, see :attr:`ZScores.score`.
SCORES = ("rate", "smaller")


class ZScores(NamedTuple):
    """Deviations of one evaluation in relative spreads: `both`, float32 ``(batch, 2)`` of the rate and the clean norm, and the mask
    ``(batch,)`` of noise levels that the region covers. `width`, ``(batch, 2)``, is one spread as a norm, `rule` one of :data:`SCORES`."""

    both: torch.Tensor
    inside: torch.Tensor
    width: torch.Tensor | None = None
    rule: str = "rate"

    @property
    def rate(self) -> torch.Tensor:
        return self.both[:, 0]

    @property
    def clean(self) -> torch.Tensor:
        return self.both[:, 1]

    @property
    def score(self) -> torch.Tensor:
        """The evaluation's score ``(batch,)``: the rate's deviation, as in Broken Memories (arXiv 2605.22050), or the smaller of both.

        At low noise the clean norm cannot see guidance, whose part in it vanishes with sigma: the smaller one is blind where the rate tells most.
        """
        return self.both[:, 0] if self.rule == "rate" else self.both.amin(1)


class Expected(NamedTuple):
    """Mean and spread of both norms at some noise levels, each of shape ``(batch, 2)`` (rate, clean), and which levels are covered."""

    mean: torch.Tensor
    spread: torch.Tensor
    inside: torch.Tensor

    def z_scores(self, measured: Norms, rule: str = "rate") -> ZScores:
        """``z = (r / mean - 1) / spread`` of norms of shape ``(batch,)`` each; scores by `rule`, one of :data:`SCORES`."""
        width = self.mean * self.spread
        return ZScores(torch.stack(tuple(measured), 1).sub_(self.mean).div_(width), self.inside, width, rule)
