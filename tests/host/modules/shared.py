"""Options, command line, state of the running job, and the loaded model as an attribute that loads it."""

from __future__ import annotations

import sys
import types
from types import SimpleNamespace

from modules import shape
from modules.paths_internal import data_path


class OptionInfo:
    def __init__(self, default=None, label="", component=None, component_args=None, onchange=None, section=None, refresh=None, infotext=None):
        self.default, self.label, self.component, self.component_args = default, label, component, component_args
        self.onchange, self.section, self.refresh, self.infotext = onchange, section, refresh, infotext

    def info(self, text):
        self.comment_after = f" ({text})"
        return self

    def needs_reload_ui(self):
        self.comment_after = " (requires Reload UI)"
        return self


def options_section(section_identifier, options_dict):
    for info in options_dict.values():
        info.section = section_identifier
    return options_dict


class Options:
    def __init__(self, templates):
        self.__dict__["data_labels"] = templates
        self.__dict__["data"] = {key: info.default for key, info in templates.items()}

    def __getattr__(self, name):
        if name in self.data:
            return self.data[name]
        if name in self.data_labels:
            return self.data_labels[name].default
        raise AttributeError(name)

    def __setattr__(self, name, value):
        self.data[name] = value

    def add_option(self, key, info):
        self.data_labels[key] = info
        if key not in self.data:
            self.data[key] = info.default

    def set(self, key, value, **_):
        self.data[key] = value

    def get_default(self, key):
        info = self.data_labels.get(key)
        return None if info is None else info.default


class State:
    def __init__(self):
        self.begin()

    def begin(self, job=""):
        self.job, self.skipped, self.interrupted, self.stopping_generation = job, False, False, False
        self.sampling_step = self.sampling_steps = self.job_no = 0
        self.job_count, self.textinfo = -1, None
        self.current_latent = None

    def end(self):
        self.job = ""

    def nextjob(self):
        self.sampling_step = 0
        self.job_no += 1


options_templates = options_section(
    ("all", "All"),
    {
        "skip_early_cond": OptionInfo(0.0, "Ignore negative prompt during early sampling"),
        "s_min_uncond_all": OptionInfo(False, "NGMS on every step"),
        "CLIP_stop_at_last_layers": OptionInfo(1, "Clip skip"),
        "eta_noise_seed_delta": OptionInfo(0, "Eta noise seed delta"),
        "batch_cond_uncond": OptionInfo(True, "Batch cond and uncond"),
        "save_images_before_highres_fix": OptionInfo(False, "Save a copy before hires fix"),
        "return_grid": OptionInfo(True, "Show grid"),
        "return_mask": OptionInfo(False, "Show the mask of inpainting among the results"),
        "return_mask_composite": OptionInfo(False, "Show what the mask has let through among the results"),
        "enable_pnginfo": OptionInfo(True, "Write infotext into pictures"),
        "outdir_samples": OptionInfo("", "Output folder"),
        "outdir_txt2img_samples": OptionInfo("outputs/txt2img-images", "Output folder for txt2img"),
        "hires_fix_refiner_pass": OptionInfo("second pass", "Hires fix: which pass to enable refiner for"),
    },
)
if shape.ERSATZ:
    del options_templates["s_min_uncond_all"]  # it always skips all
    rescaling = {"epsilon_scaling": 1.0, "prediction_scaling": 1.0, "cfg_normalization": 0.0, "cfg_rescale": 0.0}
    options_templates |= options_section(("all", "All"), {name: OptionInfo(value, name) for name, value in rescaling.items()})
options_templates["tiling"] = OptionInfo("None" if shape.ERSATZ else False, "Tiling")
if shape.ERSATZ:
    options_templates["use_real_SHA256"] = OptionInfo(False, "Hash checkpoints")
opts = Options(options_templates)
cmd_opts = SimpleNamespace(
    api=True,
    api_auth=None,
    nowebui=False,
    gradio_auth=None,
    no_prompt_history=False,
    no_hashing=False,
    lora_dir="",
    gradio_allowed_path=[data_path],
    disable_extension_access=False,
    hide_ui_dir_config=False,
)
state = State()


class _Shared(types.ModuleType):
    @property
    def sd_model(self):
        from modules import sd_models

        return sd_models.model_data.get_sd_model()


sys.modules[__name__].__class__ = _Shared
