"""The list of samplers that the page and the API offer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from k_diffusion import sampling
from modules import sd_samplers_timesteps as timesteps
from modules import shape
from modules.sd_samplers_kdiffusion import CFGDenoiserLCM, KDiffusionSampler


@torch.no_grad()
def sample_lcm(model, x, sigmas, extra_args=None, callback=None, disable=None, noise_sampler=None):
    """Latent consistency: jump to the prediction and add the next level's noise."""
    for i in range(len(sigmas) - 1):
        denoised = model(x, sigmas[i].expand(len(x)), **extra_args)
        callback({"i": i})
        x = denoised if sigmas[i + 1] == 0 else denoised + sigmas[i + 1] * sampling.torch.randn_like(x)
    return x


@torch.no_grad()
def sample_restart(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Heun's method that goes back up to an earlier level once and comes down again."""
    middle = len(sigmas) // 2
    x = sampling.sample_heun(model, x, sigmas[: middle + 1], extra_args=extra_args, callback=callback, disable=True)
    back = max(middle - 2, 0)
    x = x + sampling.torch.randn_like(x) * (sigmas[back] ** 2 - sigmas[middle] ** 2).clamp_min(0).sqrt()
    return sampling.sample_heun(model, x, sigmas[back:], extra_args=extra_args, callback=callback, disable=True)


class LCMSampler(KDiffusionSampler):
    def __init__(self, config):
        super().__init__(config)
        if not shape.NEO:
            self.model_wrap_cfg = CFGDenoiserLCM(self)


@dataclass(frozen=True)
class SamplerData:
    name: str
    func: Callable
    constructor: type = KDiffusionSampler
    second_order: bool = False


all_samplers = [
    SamplerData("DPM++ 2M", sampling.sample_dpmpp_2m),
    SamplerData("DPM++ SDE", sampling.sample_dpmpp_sde, second_order=True),
    SamplerData("DPM++ 2M SDE", sampling.sample_dpmpp_2m_sde),
    SamplerData("DPM++ 2S a", sampling.sample_dpmpp_2s_ancestral, second_order=True),
    SamplerData("DPM++ 3M SDE", sampling.sample_dpmpp_3m_sde),
    SamplerData("Euler a", sampling.sample_euler_ancestral),
    SamplerData("Euler", sampling.sample_euler),
    SamplerData("LMS", sampling.sample_lms),
    SamplerData("Heun", sampling.sample_heun, second_order=True),
    SamplerData("DPM2", sampling.sample_dpm_2, second_order=True),
    SamplerData("DPM2 a", sampling.sample_dpm_2_ancestral, second_order=True),
    SamplerData("DPM fast", sampling.sample_dpm_fast),
    SamplerData("DPM adaptive", sampling.sample_dpm_adaptive),
    SamplerData("Restart", sample_restart, second_order=True),
    SamplerData("DDIM", timesteps.ddim, timesteps.CompVisSampler),
    SamplerData("DDIM CFG++", timesteps.ddim_cfgpp, timesteps.CompVisSampler),
    SamplerData("PLMS", timesteps.plms, timesteps.CompVisSampler),
    SamplerData("UniPC", timesteps.unipc, timesteps.CompVisSampler),
    SamplerData("LCM", sample_lcm, LCMSampler),
]
samplers_map = {one.name: one for one in all_samplers}


def create_sampler(name: str):
    data = samplers_map[name]
    sampler = data.constructor(data)
    sampler.config = data
    return sampler
