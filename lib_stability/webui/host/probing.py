"""The probe's virtual prediction from a host's own model, past its denoiser: no callback fires, no counter moves, nothing of its state changes."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import torch

from ...guard.probe import virtual
from . import host, traces
from .instead import Instead
from .memory import is_out_of_memory
from .predictions import is_negative, joined, predictions, shares


def size(p: object) -> tuple[int, int]:
    """Width and height of the picture that is about to be sampled."""
    if getattr(p, "is_hr_pass", False) and getattr(p, "hr_upscale_to_x", 0):
        return p.hr_upscale_to_x, p.hr_upscale_to_y
    return p.width, p.height


def told_of_size(p: object) -> tuple[int, ...]:
    """What of :func:`size` conditioning tells the model: nothing where its kind is told none."""
    return () if host.describe(p.sd_model).family in ("sd1", "sd2") else size(p)


def conditionings(p: object, prompts: list[str], negative: bool = False) -> list:
    """Conditionings of several prompts without AND, one an image, in the host's schedule format; to be made before sampling."""
    from modules import devices, prompt_parser

    if not prompts:
        return []
    width, height = size(p)
    texts = prompt_parser.SdConditioning(prompts, is_negative_prompt=negative, width=width, height=height)
    if host.distilled_setting(p) is not None:
        texts.distilled_cfg_scale = host.distilled_setting(p)
    with devices.autocast(), traces.none_left(p.sd_model):
        return prompt_parser.get_learned_conditioning(p.sd_model, texts, p.steps)


def virtual_prediction(call: SimpleNamespace, empty: list, weights: list[list[float]], scale: float, guidance: object) -> torch.Tensor:
    """``D_empty + scale * (D_cond - D_empty)`` at the evaluation under way, in the terms of the host's denoiser.

    Parameters
    ----------
    call
        See :func:`.host.call_of`.
    empty
        Conditioning of the empty prompt for one image, in the host's schedule format.
    weights
        Of every image's prompt parts; parts of negative weight are left out, the others count in proportion.
    scale : float
        The profile's reference scale.
    guidance : float or tensor
        Effective CFG scale of the prediction at hand: at exactly 1 that is the conditional one already.
    """
    from modules import prompt_parser

    known = predictions(call)
    if known is not None:
        return virtual(unconditional(call, empty), known.conditional, scale)
    nothing, parts = prompt_parser.reconstruct_cond_batch(empty * len(call.x), call.denoiser.step), shares(weights)
    if host.is_forge(call.denoiser):
        return _on_forge(call, nothing, parts, scale)
    plain = isinstance(guidance, float) and guidance == 1.0 and getattr(call.denoiser, "mask", None) is None
    conditional = call.out if plain else _conditional(call, weights)
    return virtual(evaluate(call, nothing), conditional, scale)


def at_distilled_scale(call: SimpleNamespace, cond: object, weights: list[list[float]], scales: float | torch.Tensor) -> torch.Tensor:
    """Prediction of a distilled model at the evaluation under way, told other scales than the job's; no CFG, no negative prompt.

    Parameters
    ----------
    call
        See :func:`.host.call_of`.
    cond
        What the model is told: ``call.params.text_cond``, or likewise of other prompts.
    weights
        See :func:`virtual_prediction`.
    scales : float or tensor of shape ``(batch,)``
        One for all images, or one for each, whose prompts have one part each.
    """
    if not isinstance(cond, dict) or "guidance" not in cond:
        raise ValueError("guidance is distilled into this model, but the host tells it no scale")
    told = torch.as_tensor(scales, dtype=cond["guidance"].dtype, device=cond["guidance"].device).expand_as(cond["guidance"])
    instead = copy.copy(call)
    instead.params = copy.copy(call.params)
    instead.params.text_cond = type(cond)({**cond, "guidance": told})
    # At scale 1 the host leaves out the unconditional half, whatever it is.
    return _sample_on_forge(instead, instead.params.text_cond, shares(weights), 1.0)[0]


def plain_prediction(call: SimpleNamespace, cond: list) -> torch.Tensor:
    """Prediction for `cond`, a conditioning for one image in the host's schedule format, at the evaluation under way, without any guidance."""
    from modules import prompt_parser

    return single(call, prompt_parser.reconstruct_cond_batch(cond * len(call.x), call.denoiser.step))


def unconditional(call: SimpleNamespace, cond: list) -> torch.Tensor:
    """As :func:`plain_prediction`, but where it is the negative prompt's the host's own. Finding out may wait for the device."""
    from modules import prompt_parser

    known, text = predictions(call), prompt_parser.reconstruct_cond_batch(cond * len(call.x), call.denoiser.step)
    return known.negative if known is not None and known.negative is not None and is_negative(call, text) else single(call, text)


def single(call: SimpleNamespace, text: object) -> torch.Tensor:
    """Prediction at the evaluation under way for what the model is told, one conditioning an image, without any guidance: a row an image."""
    if not host.is_forge(call.denoiser):
        return evaluate(call, text)
    if host.forge_unet(call.denoiser.inner_model.inner_model).model_options.get("conditioning_modifiers"):
        # They may rely on a prompt. At scale 1 Forge leaves out the unconditional half, whatever it is.
        return guided_on_forge(call, text, text, 1.0)[0]
    # No part of any prompt is left: the guided prediction is the unconditional one, whatever the scale, if only it is not 1.
    return _sample_on_forge(call, text, [[]] * len(call.x), 2.0)[0]


def evaluate(call: SimpleNamespace, cond: object) -> torch.Tensor:
    """On A1111: the prediction for `cond`, one conditioning an image, at the evaluation under way, in the terms of the host's denoiser."""
    return _evaluate(call, call.x, call.sigma, cond, call.params.image_cond[-len(call.x) :])


def guided_on_forge(call: SimpleNamespace, cond: object, uncond: object, scale: float, with_others: bool = False) -> tuple:
    """On Forge and its relatives: guided prediction of `cond` against `uncond`, one of each an image; behind it, on Forge, the conditional and the
    unconditional one. `with_others` lets other extensions do to it what they do to the host's own."""
    instead = copy.copy(call)
    instead.params = copy.copy(call.params)
    instead.params.text_cond = cond
    return _sample_on_forge(instead, cond if uncond is None else uncond, [[1.0]] * len(call.x), scale, with_others)


#: Tokens of one chunk of a prompt, which the text encoder reads at once.
_CHUNK = 77
#: More parts than this are not looked at one by one.
_MOST_PARTS = 8


def parts_apart(call: SimpleNamespace, weights: list[list[float]], empty: object) -> list:
    """What the model is told of each part of every image's prompt alone, one conditioning an image in each; no more than one where every prompt is
    one whole.

    Parts are those joined by AND, and the chunks of each: where a prompt is longer than one, is broken by BREAK, or is split among regions of the
    picture. A chunk takes the places of all others, so whoever shares them among regions gives each of these the same.

    Parameters
    ----------
    call
        See :func:`.host.call_of`.
    weights
        Of every image's parts; those of negative weight are left out.
    empty
        The empty prompt's conditioning at this evaluation: chunks that say no more are left out. Waits for the device.
    """
    text, row, rows = call.params.text_cond, 0, []
    for parts in weights:
        rows.append([row + number for number, weight in enumerate(parts) if weight > 0] or [row])
        row += len(parts)
    found = []
    for number in range(max(map(len, rows))):
        own = torch.tensor([each[min(number, len(each) - 1)] for each in rows])
        found += _chunks(_rows(text, own), empty)
    return found[:_MOST_PARTS]


def _chunks(cond: object, empty: object) -> list:
    tokens, nothing = (one["crossattn"] if isinstance(one, dict) else one for one in (cond, empty))
    count = tokens.shape[1] // _CHUNK if tokens.ndim == 3 else 1
    if count < 2 or tokens.shape[1] % _CHUNK:
        return [cond]
    chunks = [chunk for chunk in tokens.split(_CHUNK, 1) if not torch.equal(chunk, nothing[:, :_CHUNK].to(chunk).expand_as(chunk))]
    alone = [torch.cat([chunk] * count, 1) for chunk in chunks]
    return [type(cond)({**cond, "crossattn": one}) if isinstance(cond, dict) else one for one in alone]


def conditional_alone(call: SimpleNamespace, cond: object) -> torch.Tensor:
    """Prediction for `cond`, one conditioning an image, at the evaluation under way, without any guidance."""
    if host.is_forge(call.denoiser):
        return guided_on_forge(call, cond, None, 1.0)[0]
    return evaluate(call, cond)


def _rows(cond: object, span: slice) -> object:
    if isinstance(cond, dict):
        return type(cond)({key: value[span] for key, value in cond.items()})
    return cond[span]


def _evaluate(call: SimpleNamespace, x, sigma, cond: object, image_cond: torch.Tensor) -> torch.Tensor:
    """Alone, or twice in one batch where another extension has hung something into the network that wants rows in pairs, as guidance has them."""
    if not getattr(call.denoiser, _IN_PAIRS, False):
        try:
            return _ask(call, x, sigma, cond, image_cond)
        except (ValueError, IndexError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            alone = error
    try:
        out = _ask(call, *(torch.cat([one, one]) for one in (x, sigma)), _twice(cond), torch.cat([image_cond, image_cond]))[: len(x)]
    except Exception as error:
        raise (error if getattr(call.denoiser, _IN_PAIRS, False) else alone) from None
    setattr(call.denoiser, _IN_PAIRS, True)
    return out


#: The attribute of a denoiser whose network was seen to want rows in pairs.
_IN_PAIRS = "memorization_guard_in_pairs"


def _twice(cond: object) -> object:
    if isinstance(cond, dict):
        return type(cond)({key: torch.cat([value, value]) for key, value in cond.items()})
    return torch.cat([cond, cond])


def _ask(call: SimpleNamespace, x, sigma, cond: object, image_cond: torch.Tensor) -> torch.Tensor:
    from modules import shared

    if shared.sd_model.model.conditioning_key == "crossattn-adm":
        inputs = {"c_crossattn": [cond], "c_adm": image_cond}
    else:
        inputs = {**(cond if isinstance(cond, dict) else {"c_crossattn": [cond]}), "c_concat": [image_cond]}
    return call.denoiser.inner_model(x, sigma, cond=inputs)


def _conditional(call: SimpleNamespace, weights: list[list[float]]) -> torch.Tensor:
    params, rows, batch = call.params, sum(map(len, weights)), len(call.x)
    # A batch at a time, so that the probe never needs more memory than the host's own evaluation.
    spans = [slice(at, min(at + batch, rows)) for at in range(0, rows, batch)]
    parts = [_evaluate(call, params.x[s], params.sigma[s], _rows(params.text_cond, s), params.image_cond[s]) for s in spans]
    return joined(torch.cat(parts), weights, call.x)


def _on_forge(call: SimpleNamespace, nothing: object, parts: list[list[float]], scale: float) -> torch.Tensor:
    result = _sample_on_forge(call, nothing, parts, scale)
    if len(result) == 3:
        _, conditional, unconditional = result
        return virtual(unconditional, conditional, scale)
    return result[0]


def _sample_on_forge(call: SimpleNamespace, nothing: object, shared: list[list[float]], scale: float, with_others: bool = False) -> tuple:
    """Guided, conditional and unconditional prediction (the first alone on reForge) through Forge's own sampling function, with what other
    extensions hang into guidance left out, or not."""
    try:
        from backend.sampling.sampling_function import sampling_function
    except ImportError:  # reForge and Forge Classic
        from modules_forge.forge_sampler import forge_sample as sampling_function

    outer = call.denoiser.inner_model
    patcher = host.forge_unet(outer.inner_model)
    options = {key: value for key, value in patcher.model_options.items() if with_others or key not in host.FOREIGN_OPTIONS}
    objects = Instead(outer.inner_model.forge_objects, unet=Instead(patcher, model_options=options))
    model = Instead(outer.inner_model, forge_objects=objects)
    bare = Instead(call.denoiser, inner_model=Instead(outer, inner_model=model))
    params = copy.copy(call.params)
    params.text_uncond = nothing
    row, composition = 0, []
    for parts in shared:
        composition.append([(row + number, share) for number, share in enumerate(parts)])
        row += len(parts)
    result = sampling_function(bare, denoiser_params=params, cond_scale=scale, cond_composition=composition)
    return result if isinstance(result, tuple) else (result,)
