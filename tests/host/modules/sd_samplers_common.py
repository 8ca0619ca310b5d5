"""What the samplers of both families share."""

from __future__ import annotations

import inspect

import torch
from k_diffusion import sampling
from modules import sd_models, shape, shared


def images_tensor_to_samples(image, approximation=None, model=None):
    """Latents of pictures in 0..1; with anything but 0 those of another encoder."""
    assert approximation == 0 and sd_models.model_data.sd_model is model
    return model.encode_first_stage(image * 2 - 1)


class InterruptedException(BaseException):
    pass


class TorchHijack:
    """Noise of one image does not depend on its neighbours in the batch."""

    def __init__(self, rng):
        self.rng = rng

    def __getattr__(self, item):
        return self.rng.next_like if item == "randn_like" else getattr(torch, item)


def apply_refiner(denoiser) -> None:
    """Load the refiner once the share of steps is reached; its conditioning replaces the base's."""
    p = denoiser.p
    if not p.refiner_checkpoint or denoiser.step / max(denoiser.total_steps, 1) < p.refiner_switch_at:
        return
    if shared.sd_model.sd_checkpoint_info.name_for_extra == p.refiner_checkpoint:
        return
    if p.enable_hr and not p.is_hr_pass and shared.opts.hires_fix_refiner_pass == "second pass":
        return
    sd_models.load(p.refiner_checkpoint)
    p.setup_conds()
    cond, uncond = p.get_conds()
    denoiser.model_wrap = None
    if shape.FORGE:
        _bring_network()
    denoiser.sampler.sampler_extra_args["cond"], denoiser.sampler.sampler_extra_args["uncond"] = cond, uncond


def _bring_network() -> None:
    from backend.sampling.sampling_function import sampling_prepare

    sampling_prepare(shared.sd_model.forge_objects.unet, None)


class Sampler:
    def __init__(self, config):
        self.config, self.func = config, config.func
        self.last_latent = self.p = self.sampler_extra_args = None

    def callback_state(self, d):
        shared.state.sampling_step = d["i"]

    def launch_sampling(self, steps, func):
        denoiser = self.model_wrap_cfg
        denoiser.steps, denoiser.total_steps = steps, steps * (2 if self.config.second_order else 1)
        shared.state.sampling_steps, shared.state.sampling_step = steps, 0
        try:
            return func()
        except InterruptedException:
            return self.last_latent

    def prepare(self, p, cond, uncond, image_cond) -> dict:
        """Set the denoiser to this pass; keyword arguments of the sampler's function."""
        self.p = self.model_wrap_cfg.p = p
        self.model_wrap_cfg.mask, self.model_wrap_cfg.nmask = getattr(p, "mask", None), getattr(p, "nmask", None)
        self.model_wrap_cfg.step = 0
        self.model_wrap_cfg.image_cfg_scale = getattr(p, "image_cfg_scale", None)
        self.sampler_extra_args = {
            "cond": cond,
            "uncond": uncond,
            "image_cond": image_cond,
            "cond_scale": p.cfg_scale,
            "s_min_uncond": p.s_min_uncond,
        }
        sampling.torch = TorchHijack(p.rng)
        if shape.FORGE:
            _bring_network()
        return {}

    def takes(self, name: str) -> bool:
        return name in inspect.signature(self.func).parameters
