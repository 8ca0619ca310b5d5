"""Finished latents of the testbed: as pictures, and how clean the model itself finds them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..world.scenes import SIZE
from .model import Testbed
from .sample import denoiser_of


def pictures(bed: Testbed, latents: torch.Tensor) -> torch.Tensor:
    """Finished latents as pictures ``(batch, 3, 128, 128)`` in -1..1: decoded, those of another size resized, so that all are judged alike."""
    pixels = bed.decode(latents)
    if pixels.shape[-1] == SIZE:
        return pixels
    return torch.nn.functional.interpolate(pixels, size=(SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)


@torch.inference_mode()
def denoising_error(bed: Testbed, latents: torch.Tensor, sigmas: Sequence[float] = (0.25, 0.5), seed: int = 99) -> torch.Tensor:
    """How far finished latents lie from what the model takes for clean: RMS of ``D(z + sigma n) - z`` under the empty prompt, mean over sigmas.

    Grain and breakage raise it; an ordinary picture of the model's own keeps it low. Shape ``(batch,)``. A flow model sees the same mixtures in its
    own scale, ``(z + sigma n) / (1 + sigma)`` at the time ``sigma / (1 + sigma)``; a distilled one is told the scale 1, which stands for no guidance.
    """
    denoiser, variant = denoiser_of(bed), bed.variant
    context = bed.encode_text([""] * len(latents))
    told = {"scale": torch.ones(len(latents))} if variant.distilled else {}
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(len(latents))
    for sigma in sigmas:
        noise = torch.randn(latents.shape, generator=generator)
        share = 1 + sigma if variant.flow else 1.0
        denoised = denoiser((latents + sigma * noise) / share, torch.full((len(latents),), sigma / share), context=context, **told)
        total += (denoised - latents).square().mean((1, 2, 3)).sqrt()
    return total / len(sigmas)
