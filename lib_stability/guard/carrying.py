"""What a version of the prompt adds to the negative prompt's prediction changes slowly from one evaluation to the next: it need not be evaluated each
time. In between, it is carried over to the negative prompt's prediction of the evaluation at hand, which the host has made anyway."""

from __future__ import annotations

import torch

from .evaluation import Evaluation
from .norms import per_sample

#: Evaluations of a pass, the first, at each of which versions are evaluated: what a picture becomes is decided there, and levels lie far apart.
EARLY = 4
#: From then on versions are evaluated at every so manieth evaluation.
PERIOD = 2
#: Weight of what was just evaluated against what was carried up to then: versions that guide in turn lack different words.
NEW = 0.5


def turn_at(number: int) -> int | None:
    """Turn of versions that is due at the evaluation `number` (from 0), None where what was is carried over."""
    late = number - EARLY
    if late < 0:
        return number
    return EARLY + late // PERIOD if late % PERIOD == PERIOD - 1 else None


class Carried:
    """What guidance by versions added, in units of the noise level."""

    def __init__(self) -> None:
        #: By the latent's shape, see :class:`.dampers.directional.Directional`: what was added, and the mask ``(batch,)`` of images that have it.
        self._held: dict[torch.Size, tuple[torch.Tensor, torch.Tensor]] = {}

    def predict(self, evaluation: Evaluation) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Predictions, float32 like the latent, and the mask ``(batch,)`` of images that have one; None where nothing was kept, or nothing is at hand
        to carry it over to."""
        held = self._held.get(evaluation.x.shape)
        without = _unguided(evaluation) if held else None
        return None if held is None or without is None else (without + held[0] * per_sample(evaluation.sigma, without), held[1])

    def mix(self, evaluation: Evaluation, prediction: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What to guide the images in `mask` by: what was carried up to here and the `prediction` that was evaluated, together. It is carried on."""
        without = _unguided(evaluation)
        if without is None:
            return prediction
        sigma = per_sample(evaluation.sigma.clamp_min(1e-12), without)
        fresh = (prediction - without) / sigma
        held = self._held.get(without.shape)
        if held is None:
            self._held[without.shape] = torch.where(per_sample(mask, without), fresh, 0.0), mask
            return prediction
        added, kept = held
        fresh = torch.where(per_sample(kept, without), torch.lerp(added, fresh, NEW), fresh)
        self._held[without.shape] = torch.where(per_sample(mask, without), fresh, added), kept | mask
        return torch.where(per_sample(kept & mask, without), without + fresh * sigma, prediction)


def _unguided(evaluation: Evaluation) -> torch.Tensor | None:
    """The negative prompt's prediction, float32; None where the sampler has not got it or guidance may not be plain."""
    difference = evaluation.difference if evaluation.plain is None else None
    if difference is None:
        return None
    scale = evaluation.guidance
    scale = per_sample(scale, evaluation.x) if isinstance(scale, torch.Tensor) else scale
    return evaluation.denoised.float() - scale * difference.float()
