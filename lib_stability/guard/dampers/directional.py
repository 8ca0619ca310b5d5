"""Directional damping: what lies along the flagged prediction is taken out of the later ones while they point that way."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..damping import Damping, Marks, Remembered, directional
from ..deviation import Expected
from ..evaluation import Evaluation
from ..norms import rms
from ..readings import Acted
from ..recalling import Recalled
from ..region import StabilityRegion
from .radial import Limit, Radial


class Directional:
    """Remembers each flagged image's direction, and acts from then on."""

    name = "directional"

    def __init__(self, damping: Damping, region: StabilityRegion, cheaper: Radial) -> None:
        self.damping, self.region, self.limit, self.cheaper = damping, region, Limit(damping, region), cheaper
        #: By the latent's shape: some samplers (SMEA, Dy) evaluate at another size in between, where a direction of this one means nothing.
        self._remembered: dict[torch.Size, Remembered] = {}
        self._recalled: Sequence[Recalled | None] = ()

    def act(self, evaluation: Evaluation, flagged: Marks) -> tuple[torch.Tensor, Acted | None]:
        """See :class:`.Damper`."""
        if flagged.surely_empty:
            return evaluation.denoised, None
        denoised, unstable, watched = evaluation.denoised, evaluation.unstable, evaluation.watched
        expected, held = evaluation.expected(self.region), self.held(denoised)
        length = watched.norms.clean if watched else rms(denoised)
        along, buffer = held.along(denoised)
        acting = along > self.damping.release * length
        if unstable is not None and evaluation.size is not None:  # remembered where nothing is yet, or where it pulls somewhere else
            fresh = held.update(unstable, acting, evaluation.source, evaluation.size, buffer)
            if fresh is not None:
                # A prediction lies wholly along the direction that it has just become; along a virtual one only in part, or against it.
                own = evaluation.source is denoised
                along = along.lerp_(length, fresh) if own else held.along(denoised)[0].clamp_min(0.0)
                acting = acting | unstable
        gate = flagged.tensor & expected.inside
        acting = acting & gate
        taken = torch.where(acting, along, held.zeros)
        limit = self.limit(expected, acting, watched and watched.z.width)
        return directional(denoised, length, taken, limit, gate, self.damping.strength, held, buffer)

    def away(self, prediction: torch.Tensor, mask: torch.Tensor, expected: Expected) -> torch.Tensor:
        """Another prediction of the images in `mask` ``(batch,)``, less what of it points at what is remembered; their norm is limited then."""
        held = self.held(prediction)
        along, buffer = held.along(prediction)
        length = rms(prediction)
        near = mask & (along > self.damping.release * length)
        taken = torch.where(near, along, held.zeros)
        return directional(prediction, length, taken, self.limit(expected, near), near, self.damping.strength, held, buffer)[0]

    def held(self, like: torch.Tensor) -> Remembered:
        """What is remembered of latents of this shape."""
        held = self._remembered.get(like.shape)
        if held is None:
            held = self._remembered[like.shape] = Remembered(like)
            held.recall([one and one.directions.get(like.shape[1:]) for one in self._recalled])
        return held

    def likeness(self, prediction: torch.Tensor) -> torch.Tensor:
        """Cosine ``(batch,)`` of a prediction with the one that flagged the image; NaN where there is none of this shape."""
        held = self._remembered.get(prediction.shape)
        return torch.full((len(prediction),), torch.nan) if held is None else held.likeness(prediction)

    def recalled(self, image: int) -> Recalled:
        """What is remembered of one image."""
        known = {shape[1:]: (one.first[image], one.first_size[image]) for shape, one in self._remembered.items() if image < len(one.size)}
        return Recalled(known)

    def recall(self, recalled: Sequence[Recalled | None]) -> None:
        """Begin with what is known of each image."""
        self._recalled = recalled

    def succeed(self, before: object) -> None:
        """Go on with what was remembered, by this damper or by one that hands over to it; a refiner has no versions."""
        for one in (before, getattr(before, "cheaper", None)):
            if isinstance(one, Directional):
                self._remembered = one._remembered
                return
