"""What differs between AUTOMATIC1111, Forge, reForge and Forge Classic, asked of the objects at hand, never of a version number."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace

import torch

from ...profile.profiles import Model

_MARK = "memorization_guard"
#: The predictions of a profile, by the names that the hosts use.
_PREDICTIONS = {"eps": "epsilon", "epsilon": "epsilon", "v": "v", "v_prediction": "v", "const": "flow"}
_FAMILIES = ("sd1", "sd2", "sdxl", "sd3")


def opts() -> object:
    from modules import shared

    return shared.opts


def cut_short() -> str:
    """Why the sampling that has just ended did so before its time, "" where it did not: somebody interrupted the job, or skipped the batch."""
    from modules import shared

    return "interrupted" if shared.state.interrupted else "skipped" if shared.state.skipped else ""


def command_line() -> object:
    """The options that the host was started with."""
    from modules import shared

    return shared.cmd_opts


def loaded_model() -> object | None:
    """The checkpoint's model where one is loaded already; asking never loads one."""
    from modules import sd_models

    data = getattr(sd_models, "model_data", None)
    return getattr(data, "sd_model", None) if data is not None else None


def forge_unet(model: object) -> object | None:
    """Forge's patcher around the denoising network, None on A1111."""
    return getattr(getattr(model, "forge_objects", None), "unet", None)


def _family(model: object) -> str:
    for family in _FAMILIES:
        if getattr(model, f"is_{family}", False) is True:
            return family
    return type(model).__name__.lower()[:40]


def _prediction(model: object) -> str:
    unet = forge_unet(model)
    predictor = getattr(getattr(unet, "model", None), "predictor", None)
    if predictor is not None and hasattr(predictor, "prediction_type"):
        return _PREDICTIONS.get(predictor.prediction_type, "")
    if unet is not None:  # reForge and Forge Classic: other kinds of prediction are patched over the checkpoint's
        kinds = {kind.__name__ for kind in type(getattr(unet.model, "model_sampling", None)).__mro__}
        for name, prediction in (("CONST", "flow"), ("V_PREDICTION", "v"), ("EDM", "")):
            if name in kinds:
                return prediction
    if getattr(model, "is_sd3", False) is True:
        return "flow"
    return _PREDICTIONS.get(getattr(model, "parameterization", "eps"), "")


def describe(model: object) -> Model:
    """Family, prediction type ("" where no profile can know it), name and hash of a loaded checkpoint, and whether its guidance is distilled; its
    networks are :mod:`.networks`' to tell."""
    info = getattr(model, "sd_checkpoint_info", None)
    name, sha256 = getattr(info, "name_for_extra", "") or "", getattr(info, "sha256", None) or ""
    return Model(_family(model), _prediction(model), name, sha256, is_distilled(model))


def is_distilled(model: object) -> bool:
    """Whether guidance is baked into the model, which is told a scale as it is told the prompt (Flux dev)."""
    return bool(getattr(model, "use_distilled_cfg_scale", False))


def distilled_setting(p: object) -> float | None:
    """The scale that the coming or running pass of `p` tells a distilled model, None where the host knows none; Forge Neo has another use of that
    setting, for models that are not."""
    hires = getattr(p, "is_hr_pass", False) and getattr(p, "hr_distilled_cfg", None)
    return hires or getattr(p, "distilled_cfg_scale", None)


def distilled_scale(call: SimpleNamespace) -> float:
    """The scale that the model of an evaluation (see :func:`call_of`) is told, to be multiplied with the CFG scale; 1 where it has no such input.

    A prediction that is guided by g already, ``D_empty + g (D_cond - D_empty)``, guided by w once more is one that is guided by g w. Reading it may
    wait for the device.
    """
    if not is_distilled(call.denoiser.inner_model.inner_model):
        return 1.0
    told = call.params.text_cond.get("guidance") if isinstance(call.params.text_cond, dict) else None
    # Hosts take a setting of 0 for one that was not made: what they tell the model counts.
    return float(told.flatten()[0]) if told is not None else float(distilled_setting(call.denoiser.p) or 0.0)


def unfit_for_flow(denoiser: object) -> bool:
    """Whether the sampler mixes picture and noise as no flow model knows it: Forge's DDIM, PLMS, UniPC and LCM, and Forge Neo's DDIM and PLMS."""
    kinds = {kind.__name__ for kind in type(denoiser).__mro__}
    return is_forge(denoiser) and bool(kinds & {"CFGDenoiserTimesteps", "CFGDenoiserLCM"})


def is_forge(denoiser: object) -> bool:
    """Whether the host is Forge or one of its relatives."""
    return forge_unet(denoiser.inner_model.inner_model) is not None


def flavour(denoiser: object) -> str:
    """ "a1111", "forge" (also ersatzForge), "neo", "reforge" or "classic", by what only the one has."""
    if not is_forge(denoiser):
        return "a1111"
    if "backend.sampling.sampling_function" in sys.modules:
        return "neo" if hasattr(denoiser.inner_model.inner_model, "ini_latent") else "forge"
    return "reforge" if hasattr(denoiser, "need_last_noise_uncond") else "classic"


def is_timesteps(denoiser: object) -> bool:
    """Whether this denoiser speaks in (variance-preserving latent, epsilon, timestep), as A1111's DDIM, PLMS and UniPC do.

    Forge's of the same name converts before its callbacks.
    """
    kind = getattr(sys.modules.get("modules.sd_samplers_timesteps"), "CFGDenoiserTimesteps", None)
    return kind is not None and isinstance(denoiser, kind) and not is_forge(denoiser)


def guided_by_pictures(p: object) -> bool:
    """Whether the coming or running pass of `p` is guided by a picture too, which no region knows.

    InstructPix2Pix models with a guidance scale for the picture, and edit models of Forge Neo (Flux Kontext, Qwen-Image-Edit and so on), whose
    network reads the pictures beside the noise.
    """
    if getattr(p.sd_model, "cond_stage_key", "") == "edit" and getattr(p, "image_cfg_scale", None) not in (None, 1.0):
        return True
    shown = getattr(sys.modules.get("backend.args"), "dynamic_args", None)
    return shown is not None and bool(shown.get("ref_latents"))


def guided_by_others(denoiser: object) -> bool:
    """Whether something else may change what plain classifier-free guidance makes: an extension that has put itself in its place or looks at what it
    has made, or a setting of the host's own. Whether it does so, :func:`.predictions.combined` helps to tell."""
    combine = getattr(denoiser, "combine_denoised", None)
    if not getattr(combine, "__module__", "modules.").startswith("modules."):
        return True
    options = getattr(forge_unet(denoiser.inner_model.inner_model), "model_options", None) or {}
    return any(foreign(options, key) for key in FOREIGN_OPTIONS) or others_listen("cfg_after_cfg") or rescaled_by_the_host()


def regions_of_others(denoiser: object) -> bool:
    """Whether an extension tells the network other prompts than the host's for regions of the picture, past the host's own conditioning.

    Forge Couple patches the cross-attention of Forge's network; Tiled Diffusion with regions stands in the place of AUTOMATIC1111's forward pass.
    What shares the host's conditioning among regions (AND, BREAK, Regional Prompter) is none of these.
    """
    options = getattr(forge_unet(denoiser.inner_model.inner_model), "model_options", None) or {}
    patches = (options.get("transformer_options") or {}).get("patches") or {}
    forward = getattr(denoiser.inner_model, "forward", None)
    return bool(patches.get("attn2_patch")) or bool(getattr(getattr(forward, "__self__", None), "custom_bboxes", None))


def others_listen(event: str) -> bool:
    """Whether an extension beside this one has registered a callback for this event."""
    from modules import script_callbacks

    listening = getattr(script_callbacks, "callback_map", {}).get(f"callbacks_{event}", [])
    return any(not is_ours(one.callback) for one in listening)


def foreign(options: dict, key: str) -> object:
    """What others have put into a place of Forge's model options."""
    found = options.get(key)
    return [one for one in found if not is_ours(one)] if isinstance(found, list) else found


def ours(function: Callable) -> Callable:
    """Mark a function of ours that a host calls."""
    setattr(function, _MARK, True)
    return function


def is_ours(function: object) -> bool:
    """Whether a function that a host knows is one of those."""
    return getattr(function, _MARK, False) is True


def rescaled_by_the_host() -> bool:
    """Whether a setting of the host's own (reForge's, ersatzForge's) changes what guidance has made."""
    options = opts()
    changed = any(float(getattr(options, name, plain)) != plain for name, plain in _RESCALING.items())
    return changed or bool(getattr(options, "epsilon_scaling_enabled", False))


#: Settings of ersatzForge's that change a prediction, and the value at which each does not.
_RESCALING = {"epsilon_scaling": 1.0, "prediction_scaling": 1.0, "cfg_normalization": 0.0, "cfg_rescale": 0.0}

#: Places of Forge's and reForge's model options where extensions change guidance.
FOREIGN_OPTIONS = ("sampler_cfg_function", "sampler_pre_cfg_function", "sampler_post_cfg_function", "sampler_calc_cond_batch_function")


def prompt_weights(denoiser: object) -> list[list[float]]:
    """Weights of the parts of every image's prompt, joined by AND."""
    cond = (denoiser.sampler.sampler_extra_args or {}).get("cond")
    return [[float(part.weight) for part in parts] for parts in getattr(cond, "batch", [])]


def weight_sums(denoiser: object, weights: list[list[float]]) -> list[float]:
    """What the weights of each image's prompt multiply its guidance with."""
    if not weights or not is_forge(denoiser):
        return [sum(parts) for parts in weights]
    # Forge goes through the parts of all images at once, as many as every image has, and takes the last image's weights.
    return [sum(weights[-1][: min(map(len, weights))])] * len(weights)


def sampler_name(denoiser: object) -> str:
    """The sampler of the pass under way; a hires pass may have its own."""
    own = getattr(getattr(getattr(denoiser, "sampler", None), "config", None), "name", None)
    return str(own or getattr(denoiser.p, "sampler_name", None) or "")


def nominal_guidance(denoiser: object) -> float:
    """The CFG scale of the pass under way, before prompt weights and skipped evaluations."""
    p, scale = denoiser.p, float(denoiser.sampler.sampler_extra_args["cond_scale"])
    if not is_forge(denoiser):
        return scale * float(getattr(denoiser, "cond_scale_miltiplier", 1.0))
    if getattr(p, "is_hr_pass", False) and getattr(p, "hr_cfg", None) is not None:
        return float(p.hr_cfg)
    return scale


def guidance(denoiser: object, sigma: torch.Tensor, multiple: float | torch.Tensor) -> float | torch.Tensor:
    """Effective CFG scale of the evaluation under way; that of a distilled model comes on top, see :func:`distilled_scale`.

    Parameters
    ----------
    denoiser : the host's CFGDenoiser
        Before its step counter moves on.
    sigma : tensor of shape ``(batch,)``
        As the host's own decisions read it (a timestep where the denoiser counts in those).
    multiple : float or tensor of shape ``(batch,)``
        Sum of the weights of each image's prompt.

    Returns
    -------
    float, or a tensor of shape ``(batch,)`` where images differ or the host decides by the noise level on the device
    """
    scale, left_out = nominal_guidance(denoiser), leaves_out(denoiser)
    # On A1111 an unguided evaluation is that of the first part of a prompt, whatever its weight.
    unguided = 1.0 if flavour(denoiser) == "a1111" else multiple
    if left_out is True:
        return unguided
    if left_out is False:
        return scale * multiple
    # The host compares the first image's level; so does this, without reading it.
    below = (sigma[:1] < left_out).expand(len(sigma))
    return torch.where(below, unguided, scale * multiple).float()


def leaves_out(denoiser: object) -> bool | float:
    """Whether the host leaves the negative prompt out at the evaluation under way, before its step counter moves on, for another reason than a
    guidance of 1; a number where it does so below that noise level (a timestep where the denoiser counts in those)."""
    options, step = opts(), denoiser.step
    kind, floor = flavour(denoiser), float(denoiser.sampler.sampler_extra_args.get("s_min_uncond") or 0.0)
    early = float(getattr(options, "skip_early_cond", 0.0) or 0.0)
    share = step / max(getattr(denoiser, "total_steps", None) or 1, 1)
    # Forge Classic always skips the very first, Forge Neo never.
    if share <= early and (early > 0 or kind == "classic") and (step > 0 or kind != "neo"):
        return True
    skips = step % 2 == 1
    if kind == "classic" or (kind == "forge" and not hasattr(options, "s_min_uncond_all")):
        skips = True  # without that option there is nothing to choose, and all are skipped
    elif kind == "reforge":
        skips, floor = not skips, float(getattr(options, "s_min_uncond", 0.0) or 0.0)
    return floor if floor > 0 and (skips or getattr(options, "s_min_uncond_all", False)) else False


def call_of(params: object, guided: object, shown: object = None) -> SimpleNamespace:
    """The evaluation that `params` (of cfg_denoiser) opened and `guided` (of after_cfg) closes, reduced to the images' own rows.

    Attributes: `denoiser`, `params`, `x`, `sigma` (as the host has them), `out` (what the host got), `shown` (what it has shown in between, see
    :func:`.predictions.predictions`).
    """
    batch = len(guided.x)
    return SimpleNamespace(denoiser=params.denoiser, params=params, x=params.x[-batch:], sigma=params.sigma[-batch:], out=guided.x, shown=shown)


def evaluations(denoiser: object) -> int:
    """Model evaluations that the pass at hand will make, 0 where the host does not tell.

    Samplers of second order make two a step, for which the host counts, but one at the last. Samplers that count in timesteps make one at each; how
    many there are is not always the number of steps, and where a picture is started from the host says one more than there are. DDIM makes none at
    the last one.
    """
    total, steps = (getattr(denoiser, name, None) or 0 for name in ("total_steps", "steps"))
    sampler = getattr(denoiser, "sampler", None)
    if steps and hasattr(sampler, "get_timesteps"):
        started = getattr(denoiser, "init_latent", None) is not None
        count = steps - 1 if started else len(sampler.get_timesteps(denoiser.p, steps))
        return max(count - getattr(sampler.func, "__name__", "").startswith("ddim"), 1)
    return total - 1 if total > steps > 0 else total
