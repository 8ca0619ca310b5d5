"""Conditionings of prompts, made by the host when somebody first asks and kept for other passes and jobs of the same model, networks and settings."""

from __future__ import annotations

import inspect
import weakref
from types import SimpleNamespace
from typing import NamedTuple

import torch

from . import host, networks, probing
from .instead import Instead

#: Bytes that are kept at most, on whatever device the host leaves them: 270 prompts of SD 1.x, 25 of T5.
MOST = 64 * 2**20


class _Kept(NamedTuple):
    """What a conditioning was made for, and the conditioning in the host's schedule format."""

    made_for: tuple
    text: str
    cond: list
    size: int


class Encodings:
    """What was encoded last, the oldest first."""

    def __init__(self) -> None:
        self._kept: list[_Kept] = []
        self._model: weakref.ref | None = None

    def of(self, p: object, texts: list[str], negative: bool = False) -> list:
        """Conditionings of `texts` for the pass of `p`, one an image, without AND; those that are not known are made together.

        As many as are asked for at once stay in memory while they are in use, whatever is kept.
        """
        if self._model is None or self._model() is not p.sd_model:
            self._kept, self._model = [], weakref.ref(p.sd_model)
        made_for = [(negative, *_depends(p, text, negative)) for text in texts]
        known = {text: self._find(own, text) for own, text in zip(made_for, texts)}
        missing = [text for text, cond in known.items() if cond is None]
        for text, cond in zip(missing, probing.conditionings(p, missing, negative)):
            known[text] = cond
            self._kept.append(_Kept(made_for[texts.index(text)], text, cond, _bytes(cond)))
        while sum(one.size for one in self._kept) > MOST:
            del self._kept[0]
        return [known[text] for text in texts]

    def known(self, p: object, text: str, negative: bool = False) -> list | None:
        """One that is kept, None where it would have to be made."""
        here = self._model is not None and self._model() is p.sd_model
        return self._find((negative, *_depends(p, text, negative)), text) if here else None

    def _find(self, made_for: tuple, text: str) -> list | None:
        for number, one in enumerate(self._kept):
            if one.text == text and one.made_for == made_for:
                self._kept.append(self._kept.pop(number))
                return one.cond
        return None

    def forget(self) -> None:
        """Let go of everything."""
        self._kept, self._model = [], None


#: Of the model that is loaded, for all jobs.
ENCODINGS = Encodings()


def while_sampling(call: SimpleNamespace, texts: list[str]) -> list:
    """Those of `texts` at the evaluation under way, see :func:`.host.call_of`; the text encoder is loaded if it must be, and after it the network
    that samples."""
    denoiser = call.denoiser
    conds = ENCODINGS.of(denoiser.p, texts)
    if host.is_forge(denoiser):
        _sampling_prepare()(host.forge_unet(denoiser.inner_model.inner_model), call.x)
    return conds


def _sampling_prepare():
    """What the hosts of Forge's kind load the network with before they sample. A1111 moves what it has to by itself, module by module."""
    try:
        from backend.sampling.sampling_function import sampling_prepare
    except ImportError:  # reForge and Forge Classic
        from modules_forge.forge_sampler import sampling_prepare
    return sampling_prepare


def _depends(p: object, text: str, negative: bool) -> tuple:
    """All that the conditioning of `text` depends on but the model: by what the host itself keeps conditionings for, and by what it overlooks."""
    hires = getattr(p, "is_hr_pass", False)
    data = getattr(p, "hr_extra_network_data" if hires else "extra_network_data", None)
    steps = p.steps if "[" in text else None  # a prompt that changes while it is sampled
    told = {"required_prompts": text, "steps": steps, "extra_network_data": data, "is_negative": negative}
    size, asked = probing.told_of_size(p), getattr(type(p), "cached_params", None)
    own: object = object()  # like nothing else
    if asked is not None:
        # The host takes the size for part of it, whatever the model is told; and what it is asked with differs between hosts.
        wanted = list(inspect.signature(asked).parameters.values())[1:]
        given = {one.name: told.get(one.name) for one in wanted if one.name in told or one.default is one.empty}
        own = asked(Instead(p, width=0, height=0), **given)
    info = getattr(p.sd_model, "sd_checkpoint_info", None)
    return own, info, steps, size, host.distilled_setting(p), networks.active(p.sd_model, p)


def _bytes(cond: object) -> int:
    if isinstance(cond, torch.Tensor):
        return cond.element_size() * cond.nelement()
    if isinstance(cond, dict):
        return sum(map(_bytes, cond.values()))
    if isinstance(cond, tuple) and hasattr(cond, "cond"):  # the hosts' ScheduledPromptConditioning
        return _bytes(cond.cond)
    return sum(map(_bytes, cond)) if isinstance(cond, list | tuple) else 0
