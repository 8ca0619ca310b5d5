"""Sharpness-aware initialisation, SAIL (Jeon et al., "Understanding and Mitigating Memorization in Generative Models via Sharpness of Probability
Landscapes", ICML 2025, arXiv 2412.04140).

The starting noise x is optimised so that the landscape around it is flat: with ``s(x) = eps(x, c) - eps(x, nothing)`` minimise

    |s(x + s(x) / |s(x)|)| + alpha |x|,

the first term a proxy for the norm of the Hessian times s, the second keeping x Gaussian, until it is at most a threshold. By the authors' code for
SD 1: Adam, rate 0.05, alpha 0.05, threshold 8.2, at most 10 steps, then a fresh noise. Noise at or below the threshold is left alone, so it triggers
itself.

Norms, and the displacement of length 1, are those of a latent of the papers' size, see :func:`.base.paper_norm`: |x| is 128 there, so 8.2 asks
for ``|s| <= 1.8``. Assumed: the direction is taken at the current x and not differentiated through. The authors draw fresh noise, and now and then
raise the threshold, until they have enough; here `starts` noises are tried, one as published, and where none gets there the best found is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..network.sample import GuidedDenoiser
from .base import PAPER_ELEMENTS, Context, Mitigation, paper_norm


class Landscape:
    """s of some pictures of a batch as a function of the latent; counts the rows that it evaluates."""

    def __init__(self, model: GuidedDenoiser, sigma: torch.Tensor, which: torch.Tensor) -> None:
        self.model, self.t = model, model.denoiser.sigma_to_t(sigma.clone().expand(2 * len(which)))
        self.contexts = torch.cat([model.conditional.clone()[which], model.negative.clone()[which]])

    def difference(self, x: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
        """s at `x` of the pictures numbered `of`."""
        both = torch.cat([of, of + len(self.contexts) // 2])
        self.model.rows += len(both)
        conditional, unconditional = self.model.denoiser.get_eps(torch.cat([x, x]), self.t[both], self.contexts[both]).chunk(2)
        return conditional - unconditional

    def objective(self, x: torch.Tensor, of: torch.Tensor, alpha: float) -> torch.Tensor:
        """The objective of each picture, ``(len(of),)``."""
        with torch.no_grad():
            direction = self.difference(x, of)
            size = direction.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
            moved = direction / size * (direction[0].numel() / PAPER_ELEMENTS) ** 0.5
        return paper_norm(self.difference(x + moved, of)) + alpha * paper_norm(x)


def descend(landscape: Landscape, start: torch.Tensor, threshold: float, alpha: float, steps: int, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The best noise found from `start` for each picture, and its objective."""
    x = start.clone().requires_grad_()
    optimizer, left = torch.optim.Adam([x], lr=rate), torch.arange(len(x))
    best, lowest = start.clone(), torch.full((len(x),), float("inf"))
    for step in range(steps + 1):
        value = landscape.objective(x[left], left, alpha)
        better = value.detach() < lowest[left]
        best[left[better]], lowest[left[better]] = x.detach()[left[better]], value.detach()[better]
        above = lowest[left] > threshold
        if step == steps or not above.any():
            break
        optimizer.zero_grad()
        value[above].sum().backward()
        landscape.model.backward_rows += 2 * len(left)
        optimizer.step()
        left = left[above]
    return best, lowest


@dataclass(frozen=True)
class Initialisation(Mitigation):
    """The optimised noise in place of the drawn one."""

    threshold: float = 8.2
    alpha: float = 0.05
    steps: int = 10
    rate: float = 0.05
    starts: int = 1
    name = "SAIL"
    trigger = "own"

    def attach(self, model: GuidedDenoiser, context: Context) -> None:
        def prepare(noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            with torch.inference_mode(False), torch.enable_grad():
                return self._best(model, noise.clone(), sigma)

        model.prepare = prepare

    def _best(self, model: GuidedDenoiser, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        result, lowest = noise.clone(), torch.full((len(noise),), float("inf"))
        for start in range(self.starts):
            left = (lowest > self.threshold).nonzero().flatten()
            if not len(left):
                break
            if start:  # fresh noise, from each picture's own
                noise = torch.stack([torch.randn(one.shape, generator=_generator(one)) for one in noise])
            found, value = descend(Landscape(model, sigma, left), noise[left], self.threshold, self.alpha, self.steps, self.rate)
            better = value < lowest[left]
            result[left[better]], lowest[left[better]] = found[better], value[better]
        return result


def _generator(noise: torch.Tensor) -> torch.Generator:
    """A generator that depends on a picture's noise alone, so that its company in the batch makes no difference."""
    return torch.Generator().manual_seed(int(noise.flatten()[:4].abs().sum().double() * 1e6) % 2**31)
