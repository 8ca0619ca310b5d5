"""The testbed's time embedding from Stable Diffusion 1.5's sinusoids.

The testbed's has 48 frequencies, Stable Diffusion's 160, of which 16 are the same. But Forge asks for whole timesteps only, a thousand of them,
and the wide embedding has 1,280 hidden units: with the testbed's own 384, as well as the other sinusoids give them, and 896 random ones, least
squares over the thousand timesteps finds output weights that are right at each.
"""

from __future__ import annotations

import torch
from diffusers.models.embeddings import get_timestep_embedding
from torch import nn
from torch.nn import functional

from ..network.model import alphas_cumprod
from .wide_networks import TIME, UNET_WIDTHS

#: Spread of the random hidden units' weights, and what least squares pays for large weights: by the error in float16, and between the timesteps.
RANDOM, RIDGE = 0.3, 1e-6


def sinusoids(t: torch.Tensor, channels: int) -> torch.Tensor:
    """As Stable Diffusion's U-Net has them, float64 of shape (len(t), channels)."""
    return get_timestep_embedding(t.float(), channels, flip_sin_to_cos=True, downscale_freq_shift=0).double()


def _solve(features: torch.Tensor, target: torch.Tensor, ridge: float) -> torch.Tensor:
    """Ridge regression: weights and, in the last row, bias."""
    features = _with_one(features)
    gram = features.T @ features / len(features)
    return torch.linalg.solve(gram + ridge * torch.eye(len(gram)), features.T @ target / len(features))


def _with_one(features: torch.Tensor) -> torch.Tensor:
    return torch.cat([features, torch.ones(len(features), 1, dtype=features.dtype)], 1)


def solve(embedding: nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    """Tensors of the wide embedding in float16, by their names in it; only `embedding`'s own outputs, to which the wide one adds zeros.

    Parameters
    ----------
    embedding : TimestepEmbedding
        The testbed's: `linear_1`, SiLU, `linear_2`.
    """
    t = torch.arange(len(alphas_cumprod()))
    with torch.no_grad():
        own = embedding.linear_1.double()(sinusoids(t, embedding.linear_1.in_features))
        target = embedding.linear_2.double()(functional.silu(own))
    embedding.float()
    wide = sinusoids(t, UNET_WIDTHS[0])
    others = RANDOM * torch.randn(UNET_WIDTHS[0] + 1, TIME - own.shape[1], generator=torch.Generator().manual_seed(seed)).double()
    first = torch.cat([_solve(wide, own, 1e-5), others], 1).half()
    hidden = functional.silu(_with_one(wide) @ first.double())
    second = _solve(hidden, target, RIDGE / len(t)).half()
    return {
        "linear_1.weight": first[:-1].T.contiguous(),
        "linear_1.bias": first[-1].clone(),
        "linear_2.weight": second[:-1].T.contiguous(),
        "linear_2.bias": second[-1].clone(),
    }
