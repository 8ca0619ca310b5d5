"""Prompt embedding optimisation by anisotropy (Asthana and Belagiannis, ICLR 2026, arXiv 2601.20642): the mitigation beside their detector.

The detector's score is the loss: before sampling, minimise

    M(e) = gamma_1 |eps(x_T, e) - eps(x_T, nothing)| at the first step + gamma_2 cos(eps(x_T, nothing), eps(x_T, e) - eps(x_T, nothing)) at a late one

over the prompt's embedding e, the starting noise x_T as the latent of both, see :mod:`.asthana`. Pictures at or below a target are left alone.

What the paper says is the loss and what it is minimised over; the authors' public code holds the detector alone. Optimiser, rate, iterations and
target are those of the method that it extends (:mod:`.wen_embedding`: AdamW, 0.05, at most 10, 3), assumed; gamma 1 and 2 and time step 41 are the
detector's for SD 1. Tuning may choose other weights and targets.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..network.sample import GuidedDenoiser
from . import asthana
from .base import Context, Mitigation
from .wen_embedding import optimised


class Alignment:
    """``gamma_2 cos`` of some pictures of a batch as a function of their embeddings; counts the rows that it evaluates."""

    def __init__(self, model: GuidedDenoiser, noise: torch.Tensor, weight: float, timestep: int) -> None:
        self.model, self.noise, self.weight = model, noise.clone(), weight
        self.t = torch.full((len(noise),), float(timestep))
        with torch.no_grad():
            self.unconditional = model.denoiser.get_eps(self.noise, self.t, model.negative.clone())
        model.rows += len(noise)

    def __call__(self, which: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Of the pictures numbered `which`, ``(len(which),)``."""
        predicted = self.model.denoiser.get_eps(self.noise[which], self.t[which], embedding)
        self.model.rows += len(which)
        return self.weight * asthana.alignment(predicted, self.unconditional[which])


@dataclass(frozen=True)
class Anisotropy(Mitigation):
    """The embedding that lowers the detector's score in place of the prompt's."""

    target: float = 3.0
    cosine_weight: float = asthana.COSINE_WEIGHT
    timestep: int = asthana.TIMESTEP
    iterations: int = 10
    rate: float = 0.05
    name = "Asthana, embedding"
    trigger = "own"

    def attach(self, model: GuidedDenoiser, context: Context) -> None:
        def prepare(noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            with torch.inference_mode(False):
                also = Alignment(model, noise, self.cosine_weight, self.timestep)
            model.conditional = optimised(model, noise, sigma, self.target, self.iterations, self.rate, also)
            return noise

        model.prepare = prepare
