"""Attention attenuated where it spikes, and GUARD (Zhao et al., "You Don't Need All That Attention: Surgical Memorization Mitigation in Text-to-Image
Diffusion Models", ICML 2026, arXiv 2603.00133).

*Attenuation*: in the cross-attention layers of the down and mid blocks, each head's largest logit over all places is taken for every token; where it
exceeds the mean over tokens by more than `threshold` standard deviations all logits of the token are multiplied by `scale` before the softmax. The
start token counts for nothing and is never attenuated. *GUARD* (guidance using attractive-repulsive dynamics) is drawn to the prediction made so and
away from the prompt's own:

    eps = eps_u + w (eps_attenuated - eps_u) - r(t) (eps_c - eps_u).

By the authors' code: scale 0.3; threshold 0.01 for attenuation alone, 0.1 in GUARD; r = 2 at first, falling to 0 by a quarter of a cosine over the
steps. The paper writes of attention mass, the code takes logits; so does this. Every prompt is treated. GUARD costs a third row of the U-Net at each
evaluation, attenuation alone nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from ..network.sample import GuidedDenoiser
from .base import Context, Mitigation

#: Where attention is attenuated.
BLOCKS = ("down_blocks.", "mid_block.")


def spikes(logits: torch.Tensor, threshold: float) -> torch.Tensor:
    """The mask ``(batch, heads, tokens)`` of tokens that attention spikes at, from logits ``(batch, heads, places, tokens)``."""
    largest = logits.amax(2)
    others = largest[..., 1:]
    found = (largest - others.mean(-1, keepdim=True)) / (others.std(-1, keepdim=True) + 1e-6) > threshold
    found[..., 0] = False
    return found


class _Attenuating:
    """An attention processor for the first `rows` rows of a batch; the others get what they always get."""

    def __init__(self, rows: int, threshold: float, scale: float) -> None:
        self.rows, self.threshold, self.scale = rows, threshold, scale

    def __call__(self, attn: nn.Module, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        query, key, value = attn.to_q(hidden_states), attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states)
        query, key, value = (part.unflatten(2, (attn.heads, -1)).transpose(1, 2) for part in (query, key, value))
        own = slice(self.rows)
        logits = (query[own].float() @ key[own].float().transpose(2, 3)) / query.shape[3] ** 0.5
        factor = torch.ones(key.shape[:3], dtype=key.dtype)
        factor[own] = torch.where(spikes(logits, self.threshold), self.scale, 1.0).to(key.dtype)
        # A logit is the product of a query and a key: scaling the key scales all of a token's logits.
        found = nn.functional.scaled_dot_product_attention(query, key * factor[..., None], value)
        return attn.to_out[1](attn.to_out[0](found.transpose(1, 2).flatten(2)))


@contextmanager
def attenuated(unet: nn.Module, rows: int, threshold: float, scale: float) -> Iterator[None]:
    """Attenuate the cross-attention (attn2) of a diffusers U-Net for the first `rows` rows; its own processors are put back afterwards."""
    before = dict(unet.attn_processors)
    ours = _Attenuating(rows, threshold, scale)
    unet.set_attn_processor({name: ours if ".attn2." in name and name.startswith(BLOCKS) else own for name, own in before.items()})
    try:
        yield
    finally:
        unet.set_attn_processor(before)


@dataclass(frozen=True)
class Attenuation(Mitigation):
    """Attenuated attention alone."""

    threshold: float = 0.01
    scale: float = 0.3
    name = "Zhao, attenuation"

    def attach(self, model: GuidedDenoiser, context: Context) -> None:
        plain = model.evaluate

        def evaluate(x: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
            with attenuated(model.bed.unet, len(x), self.threshold, self.scale):  # the prompt's rows come first
                return plain(x, sigma)

        model.evaluate = evaluate


class Repelled:
    """Watches one batch and puts GUARD's combination in the place of the guided prediction."""

    def __init__(self, model: GuidedDenoiser, threshold: float, scale: float, repulsion: float) -> None:
        self.model, self.threshold, self.scale, self.repulsion = model, threshold, scale, repulsion

    def step(self, x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, guidance: float) -> torch.Tensor:
        """The combination; at guidance 1 there is no second prediction, and the prompt's own is left as it is."""
        conditional, unconditional = self.model.predictions
        if unconditional is None:
            return denoised
        with attenuated(self.model.bed.unet, len(x), self.threshold, self.scale):
            drawn = self.model.denoiser(x, sigma, context=self.model.conditional)
        self.model.rows += len(x)
        progress = min((self.model.evaluations - 1) / self.model.expected, 1.0)
        repulsion = self.repulsion * math.cos(progress * math.pi / 2)
        return unconditional + guidance * (drawn - unconditional) - repulsion * (conditional - unconditional)


@dataclass(frozen=True)
class AttractiveRepulsive(Mitigation):
    """GUARD."""

    threshold: float = 0.1
    scale: float = 0.3
    repulsion: float = 2.0
    name = "Zhao, GUARD"

    def attach(self, model: GuidedDenoiser, context: Context) -> Repelled:
        return Repelled(model, self.threshold, self.scale, self.repulsion)
