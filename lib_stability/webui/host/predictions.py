"""Both predictions of an evaluation, for the prompt and for the negative prompt, as the host itself has made them before it combines them.

AUTOMATIC1111 shows them to ``on_cfg_denoised``: a row for every part of every prompt, then one for every negative prompt. Its forks call the post-CFG
functions of the patcher around the denoising network; ours is put there when an evaluation begins and taken away when it ends, on the patcher itself,
since a clone would have the host load the model anew.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import torch

from . import host
from .host import is_ours, ours

#: How far, as a share of its size, a guided prediction may lie from the plain one: half precision rounds off less, who changes guidance does more.
LEAST_CHANGE = 0.01


class Predictions(NamedTuple):
    """Tensors like the images' own rows, in the terms of the host's denoiser; not to be written to. `negative` is None where the host has left that
    one out, or may have done so by the noise level, which only the device knows."""

    conditional: torch.Tensor
    negative: torch.Tensor | None


class Shown:
    """What the host shows of one evaluation, listened to from the callback that opens it until :meth:`close`.

    Parameters
    ----------
    params
        Of ``on_cfg_denoiser``; not kept alive.
    """

    def __init__(self, params: object) -> None:
        self.found: torch.Tensor | tuple[torch.Tensor, torch.Tensor | None] | None = None
        self._params = weakref.ref(params)
        self._patcher = host.forge_unet(params.denoiser.inner_model.inner_model)
        put = getattr(self._patcher, "set_model_sampler_post_cfg_function", None)
        if put is not None:
            _take_away(self._patcher)  # what an evaluation that was cut off may have left
            put(_listener(self))
            _put_first(self._patcher)

    def rows(self, params: object) -> None:
        """``on_cfg_denoised`` of AUTOMATIC1111."""
        begun = self._params()
        if begun is not None and len(params.x) == len(begun.x):
            self.found = _kept(begun, params.x)

    def pair(self, args: dict) -> None:
        """A post-CFG function's arguments."""
        begun = self._params()
        if begun is not None and args.get("input") is begun.x:
            conditional, negative = args["cond_denoised"], args["uncond_denoised"]
            self.found = _kept(begun, conditional), None if negative is None else _kept(begun, negative)

    def close(self) -> None:
        """Listen no longer."""
        if self._patcher is not None:
            _take_away(self._patcher)
            self._patcher = None


def _listener(shown: Shown) -> Callable[[dict], torch.Tensor]:
    """A plain function, which survives the deep copies that hosts make of their options, and keeps nothing alive."""
    alive = weakref.ref(shown)

    def listen(args: dict) -> torch.Tensor:
        shown = alive()
        if shown is not None:
            shown.pair(args)
        return args["denoised"]

    return ours(listen)


def _kept(begun: object, shown: torch.Tensor) -> torch.Tensor:
    """What is shown, or a copy where somebody else may write to it."""
    return shown.clone() if host.guided_by_others(begun.denoiser) else shown


def _put_first(patcher: object) -> None:
    """Before others of its kind, which may write to what they are shown."""
    options, name = patcher.model_options, "sampler_post_cfg_function"
    if len(options.get(name, ())) > 1:
        options[name] = sorted(options[name], key=is_ours, reverse=True)


def _take_away(patcher: object) -> None:
    options, name = patcher.model_options, "sampler_post_cfg_function"
    if name in options and any(map(is_ours, options[name])):
        options[name] = [one for one in options[name] if not is_ours(one)]
        if not options[name]:
            del options[name]


def shares(weights: list[list[float]]) -> list[list[float]]:
    """Of the parts of every image's prompt: those of negative weight are left out, the others count in proportion."""
    positive = [[max(weight, 0.0) for weight in parts] for parts in weights]
    return [[weight / (sum(parts) or 1.0) for weight in parts] for parts in positive]


def joined(out: torch.Tensor, weights: list[list[float]], like: torch.Tensor) -> torch.Tensor:
    """One prediction for each image, shaped `like`, from one for each part of its prompt."""
    if len(out) == len(like):
        return out
    weight = torch.tensor([share for parts in shares(weights) for share in parts], dtype=out.dtype, device=out.device)
    image = torch.tensor([number for number, parts in enumerate(weights) for _ in parts], device=out.device)
    return torch.zeros_like(like).index_add(0, image, out * weight.view(-1, *[1] * (out.ndim - 1)))


def predictions(call: SimpleNamespace) -> Predictions | None:
    """What the host has computed at the evaluation under way, see :func:`.host.call_of`; None where it shows nothing, or what it shows may be no
    plain prediction of the model: another extension in the chain of guidance, a picture that guides too, prompt parts that the host weights in
    its own way. Inpainting masks come later and matter here no more than to the network."""
    found, denoiser = getattr(getattr(call, "shown", None), "found", None), call.denoiser
    if found is None or host.guided_by_pictures(denoiser.p) or host.guided_by_others(denoiser):
        return None
    weights = host.prompt_weights(denoiser) or [[1.0]] * len(call.x)
    if isinstance(found, tuple):
        if any(weight < 0 for parts in weights for weight in parts):
            return None
        conditional, negative = found
    else:
        rows = sum(map(len, weights))
        if len(weights) != len(call.x) or len(found) != rows + len(call.x) or host.others_listen("cfg_denoised"):
            return None
        conditional, negative = joined(found[:rows], weights, call.x), found[rows:]
    if conditional.shape != call.x.shape:
        return None
    return Predictions(conditional, negative if has_negative(call) else None)


def combined(call: SimpleNamespace) -> torch.Tensor | None:
    """What plain classifier-free guidance makes of the predictions that the host has shown at the evaluation under way, in the terms of its denoiser;
    None where it has shown none."""
    found, denoiser = getattr(getattr(call, "shown", None), "found", None), call.denoiser
    if found is None:
        return None
    shape = -1, *[1] * (call.x.ndim - 1)
    if isinstance(found, tuple):
        conditional, negative = found
        if negative is None:
            return conditional
        scale = call.cfg.view(shape) if isinstance(call.cfg, torch.Tensor) else call.cfg
        return negative + scale * (conditional - negative)
    weights = host.prompt_weights(denoiser) or [[1.0]] * len(call.x)
    rows = sum(map(len, weights))
    if len(weights) != len(call.x) or len(found) != rows + len(call.x):
        return None
    # Where the host has left the negative prompt out, it puts the first part's prediction in its place.
    negative, scale = found[rows:], host.guidance(denoiser, call.sigma, 1.0)
    image = torch.tensor([number for number, parts in enumerate(weights) for _ in parts], device=found.device)
    weight = torch.tensor([one for parts in weights for one in parts], dtype=found.dtype, device=found.device).view(shape)
    moved = torch.zeros_like(negative).index_add(0, image, (found[:rows] - negative[image]) * weight)
    return negative + (scale.view(shape).to(found.dtype) if isinstance(scale, torch.Tensor) else scale) * moved


def has_negative(call: SimpleNamespace) -> bool:
    """Whether the host surely evaluates the negative prompt here."""
    if call.params.text_uncond is None or host.leaves_out(call.denoiser) is not False:
        return False
    # At guidance 1 the forks leave it out, AUTOMATIC1111 does not.
    return not host.is_forge(call.denoiser) or not math.isclose(host.nominal_guidance(call.denoiser), 1.0)


def is_negative(call: SimpleNamespace, cond: object) -> bool:
    """Whether the negative prompt of the evaluation under way is told to the model as `cond`, one conditioning an image, is. May wait for the
    device; asked at the few evaluations that are probed."""
    told = call.params.text_uncond
    # Padded in the oldest of A1111's ways even the empty prompt is another one.
    if told is None or type(told) is not type(cond) or getattr(call.denoiser, "padded_cond_uncond_v0", False):
        return False
    if isinstance(cond, dict):
        return told.keys() == cond.keys() and all(_equal(told[key], cond[key]) for key in cond)
    return _equal(told, cond)


def _equal(one: object, other: object) -> bool:
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return False
    return one.shape == other.shape and one.dtype == other.dtype and one.device == other.device and torch.equal(one, other)
