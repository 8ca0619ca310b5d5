"""Guidance of a flagged image by its prompt with one part left out, in turn: what was memorized was memorized for the whole prompt.

A memorized caption is a conjunction: with any one of its words missing the prediction is an ordinary one again, but which word is the name of the
picture and which says what was asked for does not show in any norm. So no word is chosen. Every version lacks one part and keeps all others, their
mean prediction holds every part in all versions but one, and versions that are unstable themselves do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

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


Count = TypeVar("Count", int, torch.Tensor)


def turn_of(turn: int, count: Count, period: Count) -> Count:
    """Version that is due at a turn where there are `count`; numbers or int64 tensors.

    Samplers that evaluate twice a step may go by the second evaluation alone. `period` is the least common multiple of the versions and of the turns
    of two evaluations: after it every second evaluation would see the same versions again, so there all move on by one.
    """
    return (turn + turn // period) % count


class _State(NamedTuple):
    """What is kept on the device: which images have versions ``(batch,)``, their number and period, and by image and version whether it was unstable
    once. It may come back inside the region on its way to the memorized picture."""

    usable: torch.Tensor
    turns: tuple[torch.Tensor, torch.Tensor]
    out: torch.Tensor


class Rewording:
    """The versions of the prompts of one sampling pass. What an image gets depends on nothing but its own prompt and flag.

    Parameters
    ----------
    counts : sequence of int
        Versions of each image's prompt; an image with none is left alone.
    predict : callable
        Called with (x, sigma, number of each image's version, whether a virtual prediction is wanted); returns a :class:`Version`. Of images without
        versions it is not used. May cost model evaluations.
    each : int
        Versions that one model evaluation is to see.
    asks : callable
        Called with a mask ``(batch,)``: whether any element is set. It may answer an evaluation late, but must not wait for the device.
    """

    def __init__(
        self,
        counts: Sequence[int],
        predict: Callable[[torch.Tensor, torch.Tensor, list[int], bool], Version],
        each: int = EACH,
        asks: Callable[[torch.Tensor], bool] = any_set,
    ) -> None:
        self.counts, self.predict, self.asks = list(counts), predict, asks
        self.each = min([each, *(count for count in self.counts if count)])
        # Of each image; kept on the host for the caller and on the device for what is judged there, so that nothing is copied later on.
        some = [max(count, 1) for count in self.counts]
        self._turns = [(count, math.lcm(count, 2 * self.each)) for count in some]
        self._state: _State | None = None

    def step(
        self,
        x: torch.Tensor,
        sigma: torch.Tensor,
        mask: torch.Tensor,
        virtual: bool,
        unstable: Callable[[torch.Tensor], torch.Tensor],
        evaluation: int,
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Mean prediction of the stable ones of the versions that are due.

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
        evaluation : int
            Number of the evaluation at hand, from 0.

        Returns
        -------
        mean : float32 tensor like `x`, and the mask ``(batch,)`` of images that have one; None where no image wants it
        """
        if len(x) != len(self.counts) or not any(self.counts):
            return None
        if self._state is None:
            counts, *turns = torch.tensor([self.counts, *zip(*self._turns)]).to(x.device, non_blocking=True)
            out = torch.zeros(len(x), max(self.counts), dtype=torch.bool, device=x.device)
            self._state = _State(counts > 0, (turns[0], turns[1]), out)
        state = self._state
        mask = mask & state.usable
        if not self.asks(mask):
            return None
        total = torch.zeros_like(x, dtype=torch.float32)
        found = torch.zeros(len(x), device=x.device)
        for turn in range(evaluation * self.each, (evaluation + 1) * self.each):
            version = self.predict(x, sigma, [turn_of(turn, *own) for own in self._turns], virtual)
            due = turn_of(turn, *state.turns)[:, None]
            judged = version.virtual if virtual else version.guided
            if judged is None:
                raise ValueError("rewording: a version came without the virtual prediction that it is judged by")
            out = unstable(judged) | state.out.gather(1, due)[:, 0]
            state.out.scatter_(1, due, out[:, None])
            good = mask & ~out
            total += torch.where(per_sample(good, total), version.guided.float(), 0.0)
            found += good
        return total / per_sample(found.clamp_min(1.0), total), found > 0
