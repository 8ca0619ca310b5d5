"""A job: batches, passes, hooks of scripts, infotext, saved pictures."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from modules import errors, extra_networks, images, infotext_utils, prompt_parser, sd_hijack, sd_models, sd_samplers, shape, shared
from modules.rng import ImageRNG
from modules.scripts import PostprocessImageArgs, PostSampleArgs, ScriptRunner
from PIL import Image


@dataclass(repr=False)
class StableDiffusionProcessing:
    prompt: str = ""
    negative_prompt: str = ""
    seed: int = 0
    subseed: int = 0
    subseed_strength: float = 0.0
    sampler_name: str = "Euler"
    scheduler: str = "Automatic"
    batch_size: int = 1
    n_iter: int = 1
    steps: int = 8
    cfg_scale: float = 7.0
    width: int = 64
    height: int = 64
    s_min_uncond: float = 0.0
    refiner_checkpoint: str = ""
    refiner_switch_at: float = 0.8
    enable_hr: bool = False
    denoising_strength: float = 0.7
    hr_scale: float = 2.0
    hr_second_pass_steps: int = 0
    hr_sampler_name: str | None = None
    hr_cfg: float = 1.0
    distilled_cfg_scale: float = 3.5
    hr_distilled_cfg: float = 3.5
    hr_prompt: str = ""
    hr_negative_prompt: str = ""
    image_cfg_scale: float | None = None
    tiling: bool | str | None = None
    init_images: list | None = None
    mask_image: object = None
    do_not_save_samples: bool = True
    extra_generation_params: dict = field(default_factory=dict)
    scripts: object = None
    script_args: list = field(default_factory=list)

    def __post_init__(self):
        self.is_hr_pass = False
        self.iteration = 0
        self.sampler = self.rng = self.c = self.uc = self.mask = self.nmask = None
        self.disable_extra_networks, self.extra_network_data, self.hr_extra_network_data = False, None, None
        self.main_prompt, self.main_negative_prompt = self.prompt, self.negative_prompt
        if self.scripts is None:
            self.scripts = ScriptRunner()  # no scripts: hosts leave out their hooks
        if not shape.FORGE:
            del self.hr_cfg, self.distilled_cfg_scale, self.hr_distilled_cfg  # only the forks have those

    @property
    def sd_model(self):
        return shared.sd_model

    def setup_prompts(self):
        count = self.batch_size * self.n_iter
        self.all_prompts = list(self.prompt) if isinstance(self.prompt, list) else [self.prompt] * count
        self.main_prompt = self.all_prompts[0]
        self.all_negative_prompts = [self.negative_prompt] * count
        self.all_hr_prompts = [self.hr_prompt or text for text in self.all_prompts]
        self.all_hr_negative_prompts = [self.hr_negative_prompt or text for text in self.all_negative_prompts]
        varied = self.subseed_strength != 0
        self.all_seeds = list(self.seed) if isinstance(self.seed, list) else [int(self.seed) + (0 if varied else number) for number in range(count)]
        self.all_subseeds = [int(self.subseed) + number for number in range(count)]

    def setup_conds(self):
        def both(prompts, negatives, steps, scale="cfg_scale", distilled="distilled_cfg_scale"):
            size = {"width": self.width, "height": self.height, "distilled_cfg_scale": getattr(self, distilled, None)}
            negative = prompt_parser.SdConditioning(negatives, is_negative_prompt=True, **size)
            positive = prompt_parser.SdConditioning(prompts, **size)
            unguided = shape.FORGE and getattr(self, scale) == 1
            uc = None if unguided else prompt_parser.get_learned_conditioning(shared.sd_model, negative, steps)
            c = prompt_parser.get_multicond_learned_conditioning(shared.sd_model, positive, steps)
            _collect_notes(self)
            return c, uc

        if self.is_hr_pass:
            steps = self.hr_second_pass_steps or self.steps
            self.hr_c, self.hr_uc = both(self.hr_prompts, self.hr_negative_prompts, steps, "hr_cfg", "hr_distilled_cfg")
        else:
            self.c, self.uc = both(self.prompts, self.negative_prompts, self.steps)
            self.hr_c = self.hr_uc = None

    # Hosts differ in what they ask for.
    if shape.ERSATZ:

        def cached_params(self, required_prompts, steps, extra_network_data, is_negative, hires_steps=None, use_old_scheduling=False):
            return required_prompts, steps, extra_network_data, shared.opts.CLIP_stop_at_last_layers, self.width, self.height, is_negative

    elif shape.NEO:

        def cached_params(self, required_prompts: list[str], steps: int, extra_network_data: dict, hires_steps: int | None):
            return required_prompts, steps, extra_network_data, shared.opts.CLIP_stop_at_last_layers, self.width, self.height

    else:

        def cached_params(self, required_prompts, steps, extra_network_data, hires_steps=None, use_old_scheduling=False):
            return required_prompts, steps, extra_network_data, shared.opts.CLIP_stop_at_last_layers, self.width, self.height

    def parse_extra_network_prompts(self):
        self.prompts, self.extra_network_data = extra_networks.parse_prompts(self.prompts)
        self.hr_prompts, self.hr_extra_network_data = extra_networks.parse_prompts(self.hr_prompts)

    def get_conds(self):
        return (self.hr_c, self.hr_uc) if self.is_hr_pass else (self.c, self.uc)

    def close(self):
        self.sampler = self.c = self.uc = self.hr_c = self.hr_uc = None

    def _image_cond(self, x):
        return x.new_zeros(len(x), 5, 1, 1)

    def _announce(self, x, noise, times=1):
        c, uc = self.get_conds()
        for _ in range(times):
            self.scripts.process_before_every_sampling(self, x=x, noise=noise, c=c, uc=uc)


def _collect_notes(p):
    """What conditioning wants in the infotext."""
    if shape.NEO:
        from backend.args import dynamic_args

        p.extra_generation_params.update(dynamic_args.last_extra_generation_params)
        dynamic_args.last_extra_generation_params.clear()
    elif shape.FORGE:
        from backend.text_processing import classic_engine

        p.extra_generation_params.update(classic_engine.last_extra_generation_params)
        classic_engine.last_extra_generation_params = {}
    else:
        p.extra_generation_params.update(sd_hijack.model_hijack.extra_generation_params)


class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    def sample(self, **_):
        self.sampler = sd_samplers.create_sampler(self.sampler_name)
        x = self.rng.next()
        self._announce(x, x)
        samples = self.sampler.sample(self, x, self.c, self.uc, image_conditioning=self._image_cond(x))
        return self._hires(samples) if self.enable_hr else samples

    def _hires(self, samples):
        if shared.state.interrupted:
            return samples
        self.is_hr_pass = True
        if shared.opts.save_images_before_highres_fix and not self.do_not_save_samples:
            for number, picture in enumerate(to_pictures(shared.sd_model.decode_first_stage(samples))):
                info = create_infotext(self, self.all_prompts, self.all_seeds, iteration=self.iteration, position_in_batch=number)
                images.save_image(picture, "", info, suffix="-before-highres-fix")
        self.hr_upscale_to_x, self.hr_upscale_to_y = int(self.width * self.hr_scale), int(self.height * self.hr_scale)
        samples = torch.nn.functional.interpolate(samples, (self.hr_upscale_to_y // 8, self.hr_upscale_to_x // 8), mode="bilinear")
        shared.state.nextjob()
        self.rng = ImageRNG(samples.shape[1:], self.seeds, self.subseeds, self.subseed_strength)
        self.sampler = sd_samplers.create_sampler(self.hr_sampler_name or self.sampler_name)
        noise = self.rng.next()
        if not self.disable_extra_networks:
            extra_networks.activate(self, self.hr_extra_network_data)
        if self.hr_c is None:
            self.setup_conds()
        self._announce(samples, noise, times=2 if shape.FORGE else 1)
        steps = self.hr_second_pass_steps or self.steps
        samples = self.sampler.sample_img2img(self, samples, noise, self.hr_c, self.hr_uc, steps=steps, image_conditioning=self._image_cond(samples))
        self.is_hr_pass, self.sampler = False, None
        return DecodedSamples(shared.sd_model.decode_first_stage(samples))


class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    def init(self):
        self.sampler = sd_samplers.create_sampler(self.sampler_name)  # one for all batches
        picture = self.init_images[0].convert("RGB").resize((self.width, self.height))
        pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        self.init_latent = shared.sd_model.encode_first_stage(pixels).repeat(self.batch_size, 1, 1, 1)
        if self.mask_image is not None:
            self.mask_for_overlay = self.mask_image
            small = self.mask_image.convert("L").resize((self.width // 8, self.height // 8))
            free = torch.from_numpy(np.asarray(small).copy()).float().div(255).round()[None].repeat(4, 1, 1)
            self.mask, self.nmask = 1 - free, free

    def sample(self, **_):
        noise = self.rng.next()
        self._announce(self.init_latent, noise)
        return self.sampler.sample_img2img(self, self.init_latent, noise, self.c, self.uc, image_conditioning=self._image_cond(noise))


def to_pictures(decoded):
    levels = ((decoded.float() + 1) * 127.5).clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(one) for one in levels]


def create_infotext(
    p, all_prompts, all_seeds, comments=None, iteration=0, position_in_batch=0, use_main_prompt=False, index=None, all_negative_prompts=None
):
    if use_main_prompt:
        index = 0
    elif index is None:
        index = position_in_batch + iteration * p.batch_size
    if all_negative_prompts is None:
        all_negative_prompts = p.all_negative_prompts
    params = {
        "Steps": p.steps,
        "Sampler": p.sampler_name,
        "Schedule type": p.scheduler,
        "CFG scale": p.cfg_scale,
        "Seed": p.all_seeds[0] if use_main_prompt else all_seeds[index],
        **({"Variation seed strength": p.subseed_strength} if p.subseed_strength else {}),
        "Size": f"{p.width}x{p.height}",
        "Model hash": p.sd_model_hash,
        "Model": p.sd_model_name,
        **({"Distilled CFG Scale": p.distilled_cfg_scale} if shared.sd_model.use_distilled_cfg_scale else {}),
        **p.extra_generation_params,
        "Version": shape.VERSION,
    }
    for key, value in params.items():
        try:
            if isinstance(value, list):
                params[key] = value[index]
            elif callable(value):
                params[key] = value(**locals())
        except Exception:
            errors.report(f'Error creating infotext for key "{key}"', exc_info=True)
            params[key] = None
    line = ", ".join(f"{key}: {infotext_utils.quote(value)}" for key, value in params.items() if value is not None)
    prompt = p.main_prompt if use_main_prompt else all_prompts[index]
    negative = p.main_negative_prompt if use_main_prompt else all_negative_prompts[index]
    return f"{prompt}\n{f'Negative prompt: {negative}' + chr(10) if negative else ''}{line}".strip()


class DecodedSamples(list):
    already_decoded = True


class Processed:
    def __init__(self, p, pictures, infotexts=None, index_of_first_image=0):
        self.images, self.infotexts, self.index_of_first_image = pictures, infotexts or [], index_of_first_image
        self.info = self.infotexts[0] if self.infotexts else ""
        self.prompt, self.seed, self.extra_generation_params = p.prompt, p.seed, p.extra_generation_params
        self.all_prompts, self.all_seeds = p.all_prompts, p.all_seeds

    def js(self) -> dict:
        return {
            "prompt": self.prompt,
            "seed": self.seed,
            "all_seeds": self.all_seeds,
            "infotexts": self.infotexts,
            "index_of_first_image": self.index_of_first_image,
        }


def process_images(p) -> Processed:
    p.scripts.before_process(p)
    sd_models.load()
    sd_hijack.model_hijack.clear_comments()
    if p.tiling is None:
        p.tiling = shared.opts.tiling
    if shape.ERSATZ:
        assert "X" not in p.tiling and "Y" not in p.tiling
    with torch.inference_mode() if shape.FORGE else torch.no_grad():
        return _process(p)


def _process(p) -> Processed:
    p.sd_model_name, p.sd_model_hash = shared.sd_model.sd_checkpoint_info.name_for_extra, shared.sd_model.sd_model_hash
    p.setup_prompts()
    p.scripts.process(p)
    if hasattr(p, "init"):
        p.init()
    pictures, infotexts = [], []
    for n in range(p.n_iter):
        p.iteration = n
        shared.state.skipped = False
        if shared.state.interrupted:
            break
        sd_models.load()
        part = slice(n * p.batch_size, (n + 1) * p.batch_size)
        p.prompts, p.negative_prompts, p.seeds = p.all_prompts[part], p.all_negative_prompts[part], p.all_seeds[part]
        p.hr_prompts, p.hr_negative_prompts = p.all_hr_prompts[part], p.all_hr_negative_prompts[part]
        p.subseeds = p.all_subseeds[part]
        p.rng = ImageRNG((4, p.height // 8, p.width // 8), p.seeds, p.subseeds, p.subseed_strength)
        torch.manual_seed(int(p.seeds[0]))  # for noise that hosts draw without a generator
        p.scripts.before_process_batch(p, batch_number=n, prompts=p.prompts, seeds=p.seeds)
        p.parse_extra_network_prompts()
        if not p.disable_extra_networks:
            extra_networks.activate(p, p.extra_network_data)
        p.scripts.process_batch(p, batch_number=n, prompts=p.prompts, seeds=p.seeds)
        p.setup_conds()
        if n == 0 and shared.opts.outdir_samples and not shared.cmd_opts.no_prompt_history:
            (Path(shared.opts.outdir_samples) / "params.txt").write_text(create_infotext(p, p.all_prompts, p.all_seeds), encoding="utf-8")
        told = {"seeds": p.seeds, "subseeds": p.subseeds, "subseed_strength": p.subseed_strength, "prompts": p.prompts}
        samples = p.sample(conditioning=p.c, unconditional_conditioning=p.uc, **told)
        sampled = PostSampleArgs(samples)
        p.scripts.post_sample(p, sampled)
        samples = sampled.samples
        decoded = torch.stack(samples) if getattr(samples, "already_decoded", False) else shared.sd_model.decode_first_stage(samples)
        shared.state.nextjob()
        p.scripts.postprocess_batch(p, decoded, batch_number=n)
        p.prompts, p.negative_prompts = p.all_prompts[part], p.all_negative_prompts[part]
        for i, picture in enumerate(to_pictures(decoded)):
            p.batch_index = i
            finished = PostprocessImageArgs(picture)
            p.scripts.postprocess_image(p, finished)
            picture = finished.image
            text = create_infotext(p, p.prompts, p.seeds, index=i, all_negative_prompts=p.negative_prompts)
            if not p.do_not_save_samples:
                images.save_image(picture, "", text)
            if shared.opts.enable_pnginfo:
                picture.info["parameters"] = text
            infotexts.append(text)
            pictures.append(picture)
            if getattr(p, "mask_for_overlay", None) is not None:  # pictures without an infotext
                pictures += [p.mask_for_overlay.convert("RGB")] * (shared.opts.return_mask + shared.opts.return_mask_composite)
    first = 0
    if len(pictures) > 1 and shared.opts.return_grid:
        text = create_infotext(p, p.prompts, p.seeds, use_main_prompt=True, all_negative_prompts=p.negative_prompts)
        grid = images.image_grid(pictures)
        if shared.opts.enable_pnginfo:
            grid.info["parameters"] = text
        pictures.insert(0, grid)
        infotexts.insert(0, text)
        first = 1
    processed = Processed(p, pictures, infotexts, first)
    p.scripts.postprocess(p, processed)
    return processed


def run(kind: str, script_args: list, **fields) -> Processed:
    """One job of a tab, as the page and the API start it."""
    from modules import scripts

    runner = scripts.scripts_img2img if kind == "img2img" else scripts.scripts_txt2img
    cls = StableDiffusionProcessingImg2Img if kind == "img2img" else StableDiffusionProcessingTxt2Img
    shared.state.begin(kind)
    try:
        with closing(cls(**fields)) as p:
            p.scripts, p.script_args = runner, script_args
            return runner.run(p, *script_args) or process_images(p)
    finally:
        shared.state.end()
