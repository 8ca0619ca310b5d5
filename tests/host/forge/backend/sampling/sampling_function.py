"""Forge's guided prediction: the parts of every prompt and the unconditional one, and what extensions hang into its model options."""

from __future__ import annotations

import math

import torch
from modules import shape


def _told(cond, rows):
    """What the network is told: of a distilled model its scale, too."""
    if not isinstance(cond, dict):
        return (cond[rows],)
    return cond["crossattn"][rows], *([cond["guidance"][rows]] if "guidance" in cond else [])


def sampling_function(self, denoiser_params, cond_scale, cond_composition):
    unet = self.inner_model.inner_model.forge_objects.unet
    x, sigma, options = denoiser_params.x, denoiser_params.sigma, unet.model_options
    assert self.p.seeds
    assert unet.model.loaded, "the network is not where it samples"
    if shape.NEO:
        assert self.inner_model.inner_model.is_inpaint is False
    parts = list(zip(*cond_composition))
    weights = [part[-1][1] for part in parts]  # the last image's count for all
    strength = sum(weights)
    conditional = torch.zeros_like(x)
    for part, weight in zip(parts, weights):
        share = weight / strength if strength else 1 / len(parts)
        conditional += share * unet.model.apply_model(x, sigma, *_told(denoiser_params.text_cond, [index for index, _ in part]))
    if (math.isclose(cond_scale, 1.0) and not options.get("disable_cfg1_optimization")) or denoiser_params.text_uncond is None:
        unconditional = torch.zeros_like(x)
        cond_scale = 1.0
        denoised = conditional
    else:
        unconditional = unet.model.apply_model(x, sigma, *_told(denoiser_params.text_uncond, slice(None)))
        denoised = unconditional + (conditional - unconditional) * cond_scale * strength
    for function in options.get("sampler_post_cfg_function", []):
        args = {"denoised": denoised, "cond": denoiser_params.text_cond, "uncond": denoiser_params.text_uncond, "model": unet.model}
        args |= {"uncond_denoised": unconditional, "cond_denoised": conditional, "sigma": sigma, "model_options": options, "input": x}
        denoised = function(args)
    return denoised, conditional, unconditional


def sampling_prepare(unet, x):
    """Bring the network to where it samples; encoding a text takes its place."""
    unet.model.loaded = True
