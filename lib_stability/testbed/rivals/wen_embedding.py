"""Prompt embedding optimisation (Wen et al., "Detecting, Explaining, and Mitigating Memorization in Diffusion Models", ICLR 2024, arXiv 2407.21720).

Before sampling, minimise ``|eps(x_T, e) - eps(x_T, nothing)|`` at the first step over the prompt's embedding e, starting from the prompt's own, until
the norm is at most a target. By the authors' code: AdamW, learning rate 0.05, at most 10 iterations, targets from 1 to 5 (3 is the usual one and
stands for "as published"), every token but the first free to move. Pictures at or below the target are left alone, so it triggers itself.

Norms are those of a latent of the papers' size, see :func:`.base.paper_norm`. The authors share one embedding among the images of a prompt;
here each picture has its own. Assumed: the variance-preserving latent of the first step is the starting noise (at SD 1's first noise level it is, to
0.3 %).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..network.sample import GuidedDenoiser
from .base import Context, Mitigation, paper_norm


def optimised(
    model: GuidedDenoiser,
    noise: torch.Tensor,
    sigma: torch.Tensor,
    target: float,
    iterations: int,
    rate: float,
    also: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """Embeddings ``(batch, tokens, width)`` whose first-step norm is at most `target`, or what `iterations` steps have made of the prompt's.

    `also` is a further term of the loss: of the pictures whose numbers and embeddings it gets; the target is that of the sum.
    Evaluated and differentiated rows are added to the model's counts; pictures that have reached the target are not evaluated again.
    """
    with torch.inference_mode(False), torch.enable_grad():
        z, result, nothing = noise.clone(), model.conditional.clone(), model.negative.clone()
        t = model.denoiser.sigma_to_t(sigma.clone().expand(len(z)))
        with torch.no_grad():
            unconditional = model.denoiser.get_eps(z, t, nothing)
        model.rows += len(z)
        embedding = result.clone().requires_grad_()
        optimizer, left = torch.optim.AdamW([embedding], lr=rate), torch.arange(len(z))
        for iteration in range(iterations + 1):
            predicted = model.denoiser.get_eps(z[left], t[left], embedding[left])
            norms = paper_norm(predicted - unconditional[left])
            if also is not None:
                norms = norms + also(left, embedding[left])
            model.rows += len(left)
            result[left] = embedding.detach()[left]
            above = norms.detach() > target
            if iteration == iterations or not above.any():
                break
            optimizer.zero_grad()
            norms[above].sum().backward()
            model.backward_rows += len(left) * (1 if also is None else 2)
            embedding.grad[:, 0] = 0  # the first token is not free
            optimizer.step()
            left = left[above]
        return result


@dataclass(frozen=True)
class Embedding(Mitigation):
    """The optimised embedding in place of the prompt's."""

    target: float = 3.0
    iterations: int = 10
    rate: float = 0.05
    name = "Wen, embedding"
    trigger = "own"

    def attach(self, model: GuidedDenoiser, context: Context) -> None:
        def prepare(noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            model.conditional = optimised(model, noise, sigma, self.target, self.iterations, self.rate)
            return noise

        model.prepare = prepare
