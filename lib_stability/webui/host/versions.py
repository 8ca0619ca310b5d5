"""Versions of a batch's prompts with parts left out, conditioned before sampling and evaluated by the host's own model while it samples."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import NamedTuple

import torch

from ...guard.probe import virtual
from ...guard.rewording import Rewording, Version
from ...wording import Without, stages
from . import host, networks, probing
from .stopping import Poll


class Conditioned(NamedTuple):
    """The versions of one image's prompt, numbered through the stages in which they are tried: how many each stage has, what each lacks, and their
    conditionings in the host's schedule format. All empty where the prompt has fewer than two words."""

    sizes: tuple[int, ...]
    words: tuple[str, ...]
    conds: list


#: By image of the batch.
Conditionings = list[Conditioned]


class Prepared:
    """Conditionings for the pass that is about to be sampled: the text encoder may be out of reach once it runs. Kept for the next batch."""

    def __init__(self) -> None:
        self._known: dict[tuple, Conditioned] = {}

    def of(self, p: object, negatives: list[str]) -> Conditionings:
        """Those of the coming batch's prompts, given its negative prompts (one for each, or one for all)."""
        hires = getattr(p, "is_hr_pass", False) and getattr(p, "hr_prompts", None)
        prompts = list(hires or getattr(p, "prompts", None) or [])
        made_for = (p.sd_model, getattr(p.sd_model, "sd_checkpoint_info", None), *probing.size(p), host.distilled_setting(p))
        made_for += (networks.active(p.sd_model, p),)
        texts = [tuple(map(tuple, stages(prompt, negative=negative))) for prompt, negative in zip(prompts, itertools.cycle(negatives))]
        known = {(made_for, own): self._known.get((made_for, own)) for own in texts}
        self._known = {key: self._conditioned(p, key[1]) if found is None else found for key, found in known.items()}
        return [self._known[made_for, own] for own in texts]

    @staticmethod
    def _conditioned(p: object, own: tuple[tuple[Without, ...], ...]) -> Conditioned:
        every = [one for stage in own for one in stage]
        texts = probing.conditionings(p, [one.text for one in every])
        return Conditioned(tuple(map(len, own)), tuple(" ".join(one.words) for one in every), texts)


class Reworder:
    """Makes the :class:`..rewording.Rewording` of one pass.

    Parameters
    ----------
    conds : Conditionings
    empty : list or None
        Conditioning of the empty prompt, see :func:`.probing.empty_conditioning`; without it there is no virtual prediction, unless the model is a
        distilled one.
    current : callable
        Gives the evaluation under way, see :func:`.host.call_of`.
    read : callable
        From that and a prediction in the host's terms to the core's, see :meth:`.latents.View.read`.
    scale : float
        Guidance scale of the virtual prediction.
    """

    def __init__(self, conds: Conditionings, empty: list | None, current, read, scale: float) -> None:
        self.conds, self.empty, self.current, self.read, self.scale = conds, empty, current, read, scale
        self._shared: tuple[object, dict[str, torch.Tensor]] = (None, {})
        #: Whether a version had to do without what another extension makes of guidance.
        self.bare = False

    def rewording(self) -> Rewording | None:
        """None where no prompt has versions."""
        if not any(own.conds for own in self.conds):
            return None
        return Rewording([own.sizes for own in self.conds], self._predict, [own.words for own in self.conds], reader=Poll, bare=lambda: self.bare)

    def _once(self, call: SimpleNamespace, name: str, make) -> torch.Tensor:
        """What all versions of one evaluation share."""
        if self._shared[0] is not call:
            self._shared = call, {}
        if name not in self._shared[1]:
            self._shared[1][name] = make()
        return self._shared[1][name]

    def _predict(self, x: torch.Tensor, sigma: torch.Tensor, numbers: list[int | None], with_virtual: bool) -> Version:
        from modules import prompt_parser

        call = self.current()
        chosen = [None if number is None else own.conds[number] for own, number in zip(self.conds, numbers)]
        # What stands in for an image of which no version is wanted is not used.
        spare = next(one for one in chosen if one is not None)
        chosen = [spare if one is None else one for one in chosen]
        cond = prompt_parser.reconstruct_cond_batch(chosen, call.denoiser.step)
        if host.is_forge(call.denoiser):
            return self._on_forge(call, cond, with_virtual)
        conditional = probing.evaluate(call, cond)
        guided = conditional
        if not (isinstance(call.cfg, float) and call.cfg == 1.0):
            against = self._once(call, "unconditional", lambda: probing.evaluate(call, call.params.text_uncond))
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
        if with_virtual and host.is_distilled(call.denoiser.inner_model.inner_model):
            return Version(guided, self.read(call, probing.at_distilled_scale(call, cond, [[1.0]] * len(call.x), self.scale))[1])
        if not with_virtual or self.empty is None:
            return Version(guided, None)
        conditional = result[1] if len(result) == 3 else probing.guided_on_forge(call, cond, None, 1.0)[0]
        return Version(guided, self._virtual(call, conditional))
