"""Samplers that count in timesteps: on A1111 their denoiser takes a variance-preserving latent and answers with epsilon."""

from __future__ import annotations

import torch
from diffusers import PNDMScheduler, UniPCMultistepScheduler
from modules import shape, shared
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from modules.sd_samplers_common import Sampler


class Epsilon(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.inner_model = model

    def forward(self, z, timesteps, cond):
        out, t = self.inner_model.apply_model(z, timesteps, cond), timesteps.long()
        if self.inner_model.parameterization != "v":
            return out
        level = self.inner_model.alphas_cumprod[t].view(-1, 1, 1, 1)
        return level.sqrt() * out + (1 - level).sqrt() * z


class CFGDenoiserTimesteps(CFGDenoiser):
    def __init__(self, sampler):
        super().__init__(sampler)
        self.alphas = shared.sd_model.alphas_cumprod
        self.mask_before_denoising = not shape.FORGE
        if shape.FORGE:
            self.classic_ddim_eps_estimation = True

    @property
    def inner_model(self):
        if self.model_wrap is None and not shape.FORGE:
            self.model_wrap = Epsilon(shared.sd_model)
        return self.model_wrap if self.model_wrap is not None else super().inner_model

    def get_pred_x0(self, x_in, x_out, sigma):
        level = self.alphas[sigma.long()].view(-1, 1, 1, 1)
        return (x_in - (1 - level).sqrt() * x_out) / level.sqrt()


def _ddim(model, x, timesteps, extra_args, callback, plus: bool = False):
    levels = model.inner_model.inner_model.alphas_cumprod
    if plus:
        model.cond_scale_miltiplier, model.need_last_noise_uncond = 1 / 12.5, True
    for i, index in enumerate(range(len(timesteps) - 1, 0, -1)):  # as in the hosts, none at the last timestep
        t = timesteps[index]
        now, then = levels[t], levels[timesteps[index - 1]]
        eps = model(x, t.float().expand(len(x)), **extra_args)
        clean = (x - (1 - now).sqrt() * eps) / now.sqrt()
        x = then.sqrt() * clean + (1 - then).sqrt() * (model.last_noise_uncond if plus else eps)
        callback({"i": i})
    return x


def ddim(model, x, timesteps, extra_args, callback):
    return _ddim(model, x, timesteps, extra_args, callback)


def ddim_cfgpp(model, x, timesteps, extra_args, callback):
    return _ddim(model, x, timesteps, extra_args, callback, plus=True)


def _by_scheduler(kind, model, x, timesteps, extra_args, callback, **options):
    scheduler = kind(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **options)
    scheduler.set_timesteps(len(timesteps))
    for i, t in enumerate(scheduler.timesteps):
        eps = model(x, t.float().clamp(0, 999).expand(len(x)), **extra_args)
        x = scheduler.step(eps, t, x).prev_sample
        callback({"i": min(i, len(timesteps) - 1)})
    return x


def plms(model, x, timesteps, extra_args, callback):
    return _by_scheduler(PNDMScheduler, model, x, timesteps, extra_args, callback, skip_prk_steps=True, steps_offset=1)


def unipc(model, x, timesteps, extra_args, callback):
    return _by_scheduler(UniPCMultistepScheduler, model, x, timesteps, extra_args, callback)


class CompVisSampler(Sampler):
    def __init__(self, config):
        super().__init__(config)
        self.model_wrap_cfg = CFGDenoiserTimesteps(self)

    def get_timesteps(self, p, steps):
        """Not always as many as there are steps."""
        return (torch.arange(0, 1000, 1000 // steps) + 1).clamp(0, 999)

    def _run(self, x, timesteps, steps):
        return self.launch_sampling(steps, lambda: self.func(self.model_wrap_cfg, x, timesteps, self.sampler_extra_args, self.callback_state))

    def sample(self, p, x, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        self.prepare(p, conditioning, unconditional_conditioning, image_conditioning)
        self.last_latent = x
        return self._run(x, self.get_timesteps(p, steps or p.steps), steps or p.steps)

    def sample_img2img(self, p, x, noise, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        self.prepare(p, conditioning, unconditional_conditioning, image_conditioning)
        steps = steps or p.steps
        timesteps = self.get_timesteps(p, steps)
        reach = min(int(min(p.denoising_strength, 0.999) * steps), steps - 1)
        level = shared.sd_model.alphas_cumprod[timesteps[reach]]
        self.model_wrap_cfg.init_latent = self.last_latent = x
        return self._run(level.sqrt() * x + (1 - level).sqrt() * noise, timesteps[:reach], reach + 1)
