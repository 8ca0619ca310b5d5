"""Samplers of k-diffusion over the host's denoiser."""

from __future__ import annotations

import numpy as np
import torch
from k_diffusion import sampling
from modules import shared
from modules.sd_models import FLOWS
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from modules.sd_samplers_common import Sampler
from scipy import stats


class CFGDenoiserKDiffusion(CFGDenoiser):
    pass


class CFGDenoiserLCM(CFGDenoiser):
    """Forge's and A1111's own for LCM."""


def get_sigmas(denoiser, scheduler: str, steps: int) -> torch.Tensor:
    table = denoiser.inner_model.sigmas
    low, high = float(table[0]), float(table[-1])
    if scheduler == "Karras":
        return sampling.get_sigmas_karras(steps, low, high)
    if scheduler == "Exponential":
        return sampling.get_sigmas_exponential(steps, low, high)
    if scheduler == "Simple":
        return torch.stack([*(table[-(1 + int(number * len(table) / steps))] for number in range(steps)), table.new_zeros(())])
    if scheduler in ("Beta", "Normal"):
        places = 1 - np.linspace(0, 1, steps)
        places = stats.beta.ppf(places, 0.6, 0.6) if scheduler == "Beta" else places
        levels = low + (high - low) * places
        if scheduler == "Normal" and getattr(denoiser.inner_model, "predictor", None) and denoiser.inner_model.predictor.shifts:
            levels = 3 * levels / (1 + 2 * levels)  # what the table has been shifted by already, so that it ends above the lowest level
        return torch.tensor([*levels, 0.0], dtype=torch.float32)
    place = torch.linspace(len(table) - 1, 0, steps)
    if hasattr(denoiser.inner_model, "predictor"):
        return torch.cat([denoiser.inner_model.predictor.sigma(place), table.new_zeros(1)])
    return torch.cat([table[place.round().long()], table.new_zeros(1)])


class KDiffusionSampler(Sampler):
    def __init__(self, config):
        super().__init__(config)
        self.model_wrap_cfg = CFGDenoiserKDiffusion(self)

    def _run(self, p, x, sigmas, kwargs):
        if self.takes("n"):
            kwargs |= {"sigma_min": float(sigmas[sigmas > 0].min()), "sigma_max": float(sigmas[0]), "n": len(sigmas) - 1}
        elif self.takes("sigma_min") and not self.takes("sigmas"):
            kwargs |= {"sigma_min": float(sigmas[sigmas > 0].min()), "sigma_max": float(sigmas[0])}
        else:
            kwargs["sigmas"] = sigmas
        if self.takes("noise_sampler") and "sde" in self.func.__name__:
            levels, part = sigmas[sigmas > 0], slice(p.iteration * p.batch_size, (p.iteration + 1) * p.batch_size)
            kwargs["noise_sampler"] = sampling.BrownianTreeNoiseSampler(x, levels.min(), levels.max(), seed=list(p.all_seeds[part]))
        return self.func(self.model_wrap_cfg, x, extra_args=self.sampler_extra_args, disable=True, callback=self.callback_state, **kwargs)

    def _flow(self) -> bool:
        return getattr(shared.sd_model, "kind", "") in FLOWS

    def sample(self, p, x, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        kwargs = self.prepare(p, conditioning, unconditional_conditioning, image_conditioning)
        sigmas = get_sigmas(self.model_wrap_cfg, p.scheduler, steps or p.steps)
        self.last_latent = x
        return self.launch_sampling(steps or p.steps, lambda: self._run(p, x * sigmas[0], sigmas, kwargs))

    def sample_img2img(self, p, x, noise, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        kwargs = self.prepare(p, conditioning, unconditional_conditioning, image_conditioning)
        steps = steps or p.steps
        reach = min(int(min(p.denoising_strength, 0.999) * steps), steps - 1)
        sigmas = get_sigmas(self.model_wrap_cfg, p.scheduler, steps)[steps - reach - 1 :]
        start = sigmas[0] * noise + (1 - sigmas[0]) * x if self._flow() else x + noise * sigmas[0]
        self.model_wrap_cfg.init_latent = self.last_latent = x
        return self.launch_sampling(reach + 1, lambda: self._run(p, start, sigmas, kwargs))
