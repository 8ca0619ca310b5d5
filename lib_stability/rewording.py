"""Guidance of a flagged image by its prompt with one part left out, in turn: what was memorized was memorized for the whole prompt.

A memorized caption is a conjunction: with any one of its words missing the prediction is an ordinary one again, but which word is the name of the
picture and which says what was asked for does not show in any norm. So no word is chosen. Every version lacks one part and keeps all others, their
mean prediction holds every part in all versions but one, and versions that are unstable themselves do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from .norms import per_sample

#: Versions evaluated per model evaluation, in turn.
EACH = 2


class Version(NamedTuple):
    """Predictions for one version of the prompts, tensors like x: guided as the host guides, and the probe's virtual one where it was asked for."""

    guided: torch.Tensor
    virtual: torch.Tensor | None


def any_set(mask: torch.Tensor) -> bool:
    """Whether any element is set. Waits for the device: fit for the CPU only."""
    return bool(mask.any())


class Rewording:
    """The versions of the prompts of one sampling pass.

    Parameters
    ----------
    count : int
        Versions of the prompt that has most; an image whose prompt has fewer starts over.
    predict : callable
        Called with (x, sigma, number, whether a virtual prediction is wanted); returns a :class:`Version`. May cost model evaluations.
    each : int
        Versions that one model evaluation is to see.
    asks : callable
        Called with a mask ``(batch,)``: whether any element is set. It may answer an evaluation late, but must not wait for the device.
    """

    def __init__(
        self,
        count: int,
        predict: Callable[[torch.Tensor, torch.Tensor, int, bool], Version],
        each: int = EACH,
        asks: Callable[[torch.Tensor], bool] = any_set,
    ) -> None:
        self.count, self.predict, self.each, self.asks = count, predict, min(each, count), asks
        self._next = 0
        #: By version: images in which it was unstable once. It may come back inside the region on its way to the memorized picture.
        self._out: dict[int, torch.Tensor] = {}

    def step(
        self, x: torch.Tensor, sigma: torch.Tensor, mask: torch.Tensor, virtual: bool, unstable: Callable[[torch.Tensor], torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Mean prediction of the stable ones of the next versions.

        Parameters
        ----------
        x, sigma
            Of the evaluation at hand.
        mask : bool tensor of shape ``(batch,)``
            Images that want it.
        virtual : bool
            Whether versions are judged by their virtual prediction instead of the guided one.
        unstable : callable
            From a prediction to the mask of images in which it is unstable or not finite.

        Returns
        -------
        mean : float32 tensor like `x`, and the mask ``(batch,)`` of images that have one; None where no image wants it
        """
        if not self.count or not self.asks(mask):
            return None
        total = torch.zeros_like(x, dtype=torch.float32)
        found = torch.zeros(len(x), device=x.device)
        for _ in range(self.each):
            number = self._next % self.count
            self._next += 1
            version = self.predict(x, sigma, number, virtual)
            out = unstable(version.virtual if virtual else version.guided)
            self._out[number] = out | self._out[number] if number in self._out else out
            good = mask & ~self._out[number]
            total += torch.where(per_sample(good, total), version.guided.float(), 0.0)
            found += good
        return total / per_sample(found.clamp_min(1.0), total), found > 0
