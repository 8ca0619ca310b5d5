"""The denoisers that samplers call: guidance, skipped evaluations, masks, refiner, and the callbacks around one model evaluation."""

from __future__ import annotations

import torch
from modules import script_callbacks, sd_models, shape, shared
from modules.prompt_parser import DictWithShape, reconstruct_cond_batch, reconstruct_multicond_batch
from modules.sd_samplers_common import InterruptedException, apply_refiner


def catenate(conds):
    if isinstance(conds[0], dict):
        return DictWithShape({key: torch.cat([cond[key] for cond in conds]) for key in conds[0]})
    return torch.cat(conds)


class CFGDenoiser(torch.nn.Module):
    def __init__(self, sampler):
        super().__init__()
        self.sampler, self.p, self.model_wrap = sampler, None, None
        self.mask = self.nmask = self.init_latent = self.steps = self.total_steps = self.image_cfg_scale = None
        self.step = 0
        self.cond_scale_miltiplier = 1.0
        self.need_last_noise_uncond, self.last_noise_uncond = False, None
        self.mask_before_denoising = False
        if shape.FORGE:
            self.classic_ddim_eps_estimation = False

    @property
    def inner_model(self):
        if self.model_wrap is None:
            self.model_wrap = sd_models.wrap(shared.sd_model)
        return self.model_wrap

    def get_pred_x0(self, x_in, x_out, sigma):
        return x_out

    def combine_denoised(self, x_out, conds_list, uncond, cond_scale):
        denoised_uncond = x_out[-uncond.shape[0] :]
        denoised = torch.clone(denoised_uncond)
        for image, conds in enumerate(conds_list):
            for index, weight in conds:
                denoised[image] += (x_out[index] - denoised_uncond[image]) * (weight * cond_scale)
        return denoised

    def _skips_uncond(self, s_min_uncond, sigma) -> bool:
        share = self.step / self.total_steps
        if shared.opts.skip_early_cond != 0.0 and share <= shared.opts.skip_early_cond and not (shape.NEO and share == 0):
            self.p.extra_generation_params["Skip Early CFG"] = shared.opts.skip_early_cond
            return True
        every = shape.ERSATZ or shared.opts.s_min_uncond_all
        return bool((self.step % 2 or every) and s_min_uncond > 0 and sigma[0] < s_min_uncond)

    def forward(self, x, sigma, uncond, cond, cond_scale, s_min_uncond, image_cond):
        if shared.state.interrupted or shared.state.skipped:
            raise InterruptedException
        arguments = (x, sigma, cond_scale, s_min_uncond, image_cond)
        return self._forge(*arguments) if shape.FORGE else self._a1111(*arguments)

    def _a1111(self, x, sigma, cond_scale, s_min_uncond, image_cond):
        apply_refiner(self)
        extra = self.sampler.sampler_extra_args
        conds_list, text = reconstruct_multicond_batch(extra["cond"], self.step)
        uncond = reconstruct_cond_batch(extra["uncond"], self.step)
        if self.mask_before_denoising and self.mask is not None:
            x = x * self.nmask + self.init_latent * self.mask
        rows = [image for image, conds in enumerate(conds_list) for _ in conds]
        everything = [*rows, *range(len(x))]
        params = script_callbacks.CFGDenoiserParams(
            x[everything],
            image_cond[everything],
            sigma[everything],
            shared.state.sampling_step,
            shared.state.sampling_steps,
            text,
            uncond,
            self,
        )
        script_callbacks.fire("cfg_denoiser", params)
        skip = self._skips_uncond(s_min_uncond, sigma)
        count = len(rows) if skip else len(everything)
        conds = params.text_cond if skip else catenate([params.text_cond, params.text_uncond])
        inputs = dict(conds) if isinstance(conds, dict) else {"c_crossattn": [conds]}
        x_out = self.inner_model(params.x[:count], params.sigma[:count], cond={**inputs, "c_concat": [params.image_cond[:count]]})
        first = [conds[0][0] for conds in conds_list]
        if skip:
            x_out = torch.cat([x_out, x_out[first]])
        script_callbacks.fire(
            "cfg_denoised", script_callbacks.CFGDenoisedParams(x_out, shared.state.sampling_step, shared.state.sampling_steps, self.inner_model)
        )
        if self.need_last_noise_uncond:
            self.last_noise_uncond = x_out[-len(x) :].clone()
        denoised = self.combine_denoised(x_out, conds_list, uncond, 1.0 if skip else cond_scale * self.cond_scale_miltiplier)
        if not self.mask_before_denoising and self.mask is not None:
            denoised = denoised * self.nmask + self.init_latent * self.mask
        self.sampler.last_latent = self.get_pred_x0(params.x[first], x_out[first], sigma)
        return self._finish(denoised)

    def _forge(self, x, sigma, cond_scale, s_min_uncond, image_cond):
        from backend.sampling.sampling_function import sampling_function

        classic = self.classic_ddim_eps_estimation
        if classic:
            levels = self.inner_model.inner_model.alphas_cumprod
            sigma = (((1 - levels) / levels) ** 0.5)[sigma.round().long().clamp(0, 999)]
            x = x * (1 + sigma**2).sqrt().view(-1, 1, 1, 1)
        apply_refiner(self)
        extra = self.sampler.sampler_extra_args
        composition, cond = reconstruct_multicond_batch(extra["cond"], self.step)
        uncond = None if extra["uncond"] is None else reconstruct_cond_batch(extra["uncond"], self.step)
        if self.mask is not None:
            predictor = self.inner_model.inner_model.forge_objects.unet.model.predictor
            noisy = predictor.noise_scaling(sigma.view(-1, 1, 1, 1), torch.randn_like(x), self.init_latent)
            x = x * self.nmask + noisy * self.mask
        params = script_callbacks.CFGDenoiserParams(x, image_cond, sigma, shared.state.sampling_step, shared.state.sampling_steps, cond, uncond, self)
        script_callbacks.fire("cfg_denoiser", params)
        if self.p.is_hr_pass:
            cond_scale = self.p.hr_cfg
        if self._skips_uncond(s_min_uncond, sigma):
            cond_scale = 1.0
        denoised, _, uncond_pred = sampling_function(self, denoiser_params=params, cond_scale=cond_scale, cond_composition=composition)
        if self.need_last_noise_uncond:
            self.last_noise_uncond = (x - uncond_pred) / sigma.view(-1, 1, 1, 1)
        if self.mask is not None:
            denoised = denoised * self.nmask + self.init_latent * self.mask
        self.sampler.last_latent = denoised
        denoised = self._finish(denoised)
        return (x - denoised) / sigma.view(-1, 1, 1, 1) if classic else denoised

    def _finish(self, denoised):
        shared.state.current_latent = denoised
        after = script_callbacks.AfterCFGCallbackParams(denoised, shared.state.sampling_step, shared.state.sampling_steps)
        script_callbacks.fire("cfg_after_cfg", after)
        self.step += 1
        return after.x
