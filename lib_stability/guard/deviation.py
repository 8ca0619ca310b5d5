"""What ordinary runs have at an evaluation, and how far a measured one lies from it, in relative spreads."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .norms import Norms

#: What the score of an evaluation is made of, see :attr:`ZScores.score`.
SCORES = ("late rate", "rate", "smaller")
#: Up to this noise level the clean norm counts for nothing under the rule "late rate".
LATE = 0.1


class ZScores(NamedTuple):
    """Deviations of one evaluation in relative spreads: `both`, float32 ``(batch, 2)`` of the rate and the clean norm, and the mask
    ``(batch,)`` of noise levels that the region covers. `width`, ``(batch, 2)``, is one spread as a norm, `rule` one of :data:`SCORES`
    and `late` the mask of noise levels up to :data:`LATE`, where the rule wants one."""

    both: torch.Tensor
    inside: torch.Tensor
    width: torch.Tensor | None = None
    rule: str = "rate"
    late: torch.Tensor | None = None

    @property
    def rate(self) -> torch.Tensor:
        return self.both[:, 0]

    @property
    def clean(self) -> torch.Tensor:
        return self.both[:, 1]

    @property
    def score(self) -> torch.Tensor:
        """The evaluation's score ``(batch,)``, by the rule.

        "rate": the deviation of the update norm alone, as in Broken Memories (arXiv 2605.22050). "smaller": both norms have to be large, because
        an ordinary run that breaks (too few steps, too much guidance) has a large update at some evaluation, without a large prediction. "late
        rate": the smaller, but at the last evaluations the rate: at low noise the clean norm cannot see guidance, whose part in it vanishes with
        sigma, and there the rate tells copies best.
        """
        if self.rule == "rate":
            return self.both[:, 0]
        smaller = self.both.amin(1)
        return smaller if self.late is None else torch.where(self.late, self.both[:, 0], smaller)


class Expected(NamedTuple):
    """Mean and spread of both norms at some noise levels, each of shape ``(batch, 2)`` (rate, clean), and which levels are covered."""

    mean: torch.Tensor
    spread: torch.Tensor
    inside: torch.Tensor

    def z_scores(self, measured: Norms, sigma: torch.Tensor, rule: str) -> ZScores:
        """``z = (r / mean - 1) / spread`` of norms of shape ``(batch,)`` each at noise levels `sigma`; `rule` is one of :data:`SCORES`."""
        width = self.mean * self.spread
        late = sigma <= LATE if rule == "late rate" else None
        return ZScores(torch.stack(tuple(measured), 1).sub_(self.mean).div_(width), self.inside, width, rule, late)


def at_scale(table: torch.Tensor, guidance: float | torch.Tensor) -> torch.Tensor:
    """Rows of a, b, c, spread and guided spread along dimension 2 as mean and spread at a guidance scale, see :func:`.fitting.spread_at`."""
    a, b, c, spread, *guided = table.unbind(2)
    square = (a + guidance * (b + guidance * c)).clamp_min(1e-12)
    if guided:
        spread = torch.hypot(spread, guided[0] * (1 - a / square))
    return torch.stack((square.sqrt(), spread), 2)
