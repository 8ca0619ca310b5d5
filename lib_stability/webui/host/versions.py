"""Versions of a batch's prompts with parts left out: conditioned when an image is flagged, evaluated by the host's own model while it samples."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import NamedTuple

import torch

from ...guard.probe import virtual
from ...guard.rewording import Rewording, Version
from ...wording import stages
from . import encodings, host, probing
from .predictions import predictions
from .stopping import Poll


class Versions(NamedTuple):
    """Those of one image's prompt, numbered through the stages in which they are tried: how many each stage has, their texts, and what each lacks.
    All empty where the prompt has fewer than two words."""

    sizes: tuple[int, ...]
    texts: tuple[str, ...]
    words: tuple[str, ...]

    def stage(self, number: int) -> tuple[str, ...]:
        """Texts of the stage to which a version belongs."""
        for first, end in itertools.pairwise(itertools.accumulate(self.sizes, initial=0)):
            if first <= number < end:
                return self.texts[first:end]
        raise IndexError(number)


def of(p: object, negatives: list[str]) -> list[Versions]:
    """By image of the coming batch of `p`, given its negative prompts (one for each, or one for all). Nothing is encoded."""
    hires = getattr(p, "is_hr_pass", False) and getattr(p, "hr_prompts", None)
    prompts = list(hires or getattr(p, "prompts", None) or [])
    found = []
    for prompt, negative in zip(prompts, itertools.cycle(negatives)):
        own = stages(prompt, negative=negative)
        every = [one for stage in own for one in stage]
        found.append(Versions(tuple(map(len, own)), tuple(one.text for one in every), tuple(" ".join(one.words) for one in every)))
    return found


class Reworder:
    """Makes the :class:`..rewording.Rewording` of one pass.

    Parameters
    ----------
    versions : list of Versions
        By image.
    empty : list or None
        Conditioning of the empty prompt, see :class:`.encodings.Encodings`; without it there is no virtual prediction, unless the model is a
        distilled one.
    current : callable
        Gives the evaluation under way, see :func:`.host.call_of`.
    read : callable
        From that and a prediction in the host's terms to the core's, see :meth:`.latents.View.read`.
    scale : float
        Guidance scale of the virtual prediction.
    distilled : bool
        Whether guidance is distilled into the model, which is then told the scale.
    """

    def __init__(self, versions: list[Versions], empty: list | None, current, read, scale: float, distilled: bool = False) -> None:
        self.versions, self.empty, self.current, self.read, self.scale, self.distilled = versions, empty, current, read, scale, distilled
        self._conds: dict[str, list] = {}
        self._shared: tuple[object, dict[str, torch.Tensor]] = (None, {})
        #: Whether a version had to do without what another extension makes of guidance.
        self.bare = False

    def rewording(self) -> Rewording | None:
        """None where no prompt has versions."""
        if not any(own.texts for own in self.versions):
            return None
        stages = [own.sizes for own in self.versions]
        words = [own.words for own in self.versions]
        return Rewording(stages, self._predict, words, reader=Poll, bare=lambda: self.bare, linear=not self.distilled)

    def _once(self, call: SimpleNamespace, name: str, make) -> torch.Tensor:
        """What all versions of one evaluation share."""
        if self._shared[0] is not call:
            self._shared = call, {}
        if name not in self._shared[1]:
            self._shared[1][name] = make()
        return self._shared[1][name]

    def _told(self, call: SimpleNamespace, numbers: list[int | None]) -> object:
        """Conditioning of a version for each image, those of a stage made together when its first is wanted. What stands in for an image of which no
        version is wanted is not used."""
        wanted = [None if number is None else (own.texts[number], own.stage(number)) for own, number in zip(self.versions, numbers)]
        missing = {text: None for one in wanted if one is not None for text in one[1] if text not in self._conds}
        if missing:
            self._conds.update(zip(missing, encodings.while_sampling(call, list(missing))))
        spare = next(one[0] for one in wanted if one is not None)
        return together([self._conds[spare if one is None else one[0]] for one in wanted], call.denoiser.step)

    def _predict(self, x: torch.Tensor, sigma: torch.Tensor, numbers: list[int | None], with_virtual: bool) -> Version:
        call = self.current()
        cond = self._told(call, numbers)
        known = predictions(call)
        if host.is_forge(call.denoiser) and (known is None or known.negative is None or self.distilled):
            return self._on_forge(call, cond, with_virtual)
        guided = conditional = probing.single(call, cond)
        if not (isinstance(call.cfg, float) and call.cfg == 1.0):
            shown = known is not None and known.negative is not None
            against = known.negative if shown else self._once(call, "unconditional", lambda: probing.evaluate(call, call.params.text_uncond))
            guided = self._guided(call, conditional, against)
        return Version(self.read(call, guided)[1], self._virtual(call, conditional) if with_virtual else None)

    def _guided(self, call: SimpleNamespace, conditional: torch.Tensor, against: torch.Tensor) -> torch.Tensor:
        """On A1111: through what other extensions have put in the place of guidance, unless they keep something that they made of the prompt."""
        if host.guided_by_others(call.denoiser):
            if isinstance(call.cfg, float) and not host.others_listen("cfg_denoised"):
                conds = [[(row, 1.0)] for row in range(len(conditional))]
                return call.denoiser.combine_denoised(torch.cat([conditional, against]), conds, call.params.text_uncond, call.cfg)
            self.bare = True
        scale = call.cfg if isinstance(call.cfg, float) else call.cfg.view(-1, *[1] * (conditional.ndim - 1)).to(conditional.dtype)
        return against + scale * (conditional - against)

    def _virtual(self, call: SimpleNamespace, conditional: torch.Tensor) -> torch.Tensor | None:
        if self.empty is None:
            return None
        nothing = self._once(call, "empty", lambda: probing.plain_prediction(call, self.empty))
        return self.read(call, virtual(nothing, conditional, self.scale))[1]

    def _on_forge(self, call: SimpleNamespace, cond: object, with_virtual: bool) -> Version:
        scale = call.cfg if isinstance(call.cfg, float) else host.nominal_guidance(call.denoiser)
        result = probing.guided_on_forge(call, cond, call.params.text_uncond, scale, with_others=True)
        guided = self.read(call, result[0])[1]
        if with_virtual and self.distilled:
            return Version(guided, self.read(call, probing.at_distilled_scale(call, cond, [[1.0]] * len(call.x), self.scale))[1])
        if not with_virtual or self.empty is None:
            return Version(guided, None)
        conditional = result[1] if len(result) == 3 else probing.guided_on_forge(call, cond, None, 1.0)[0]
        return Version(guided, self._virtual(call, conditional))


def together(conds: list, step: int) -> object:
    """One conditioning for each image, of the schedules `conds` at a step. Longer and shorter ones are repeated to a common length, which
    cross-attention does not notice."""
    from modules import prompt_parser

    each = [prompt_parser.reconstruct_cond_batch([one], step) for one in conds]
    lengths = {_tokens(one).shape[1] for one in each}
    if len(lengths) == 1:
        return prompt_parser.reconstruct_cond_batch(conds, step)
    length = math.lcm(*lengths)
    if not isinstance(each[0], dict):
        return torch.cat([_repeated(one, length) for one in each])
    rows = [{**one, "crossattn": _repeated(one["crossattn"], length)} for one in each]
    return type(each[0])({key: torch.cat([row[key] for row in rows]) for key in rows[0]})


def _tokens(cond: object) -> torch.Tensor:
    return cond["crossattn"] if isinstance(cond, dict) else cond


def _repeated(tokens: torch.Tensor, length: int) -> torch.Tensor:
    return tokens.repeat(1, length // tokens.shape[1], 1)
