"""Some images of a batch sampled once more by the host's own ``p.sample``, from noise of the same or of other seeds.

``p.sample`` is all that a host does between conditioning and decoding, hires pass and inpainting mask included, and what other extensions have put in
its place. So nothing of it is written here again: `p` is made to look as if its batch were those images alone, and then it and the host's state are
as they were.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from . import host

#: What `p` has one of for every image of the batch, and what it has for every image of the job.
_OF_BATCH = ("prompts", "negative_prompts", "hr_prompts", "hr_negative_prompts", "subseeds")
_OF_JOB = ("all_prompts", "all_negative_prompts", "all_hr_prompts", "all_hr_negative_prompts", "all_subseeds")
#: Tensors that img2img has a row of for every image; masks have none.
_ROWS = ("init_latent", "image_conditioning")
#: Where hosts keep the last conditionings.
_CACHES = ("cached_c", "cached_uc", "cached_hr_c", "cached_hr_uc")
#: What the host's progress is made of; whether somebody has interrupted stays as it is.
_STATE = ("job", "job_no", "textinfo", "sampling_step", "sampling_steps", "current_image_sampling_step")
_HIGHEST_SEED = 2**32 - 2


@dataclass
class Begun:
    """What the host began the passes of one batch with, taken down before each: what follows changes it."""

    #: By whether it is the hires pass: conditioning of the prompts and of the negative prompts.
    conds: dict[bool, tuple[object, object]] = field(default_factory=dict)
    rng: object = None
    #: The checkpoint that the first pass began with; a refiner or a hires checkpoint comes after it.
    checkpoint: object = None
    #: Noise levels of Forge's predictor, which the host changes for the time of sampling where the schedule is to end at zero SNR.
    levels: torch.Tensor | None = None

    def note(self, p: object, c: object, uc: object) -> None:
        """The host is about to sample a pass; on Forge it says so twice for hires."""
        hires = bool(getattr(p, "is_hr_pass", False))
        self.conds[hires] = c, uc
        if not hires:
            self.rng, self.checkpoint = p.rng, getattr(p.sd_model, "sd_checkpoint_info", None)
            self.levels = getattr(_predictor(p.sd_model), "sigmas", None)


def next_seed(seed: int, used: set[int]) -> int:
    """The first one after `seed` that is not in use."""
    while seed in used:
        seed = seed + 1 if seed < _HIGHEST_SEED else 0
    return seed


def possible(p: object, begun: Begun) -> bool:
    """Whether the batch can be sampled once more: it was begun by a host that is known, and nobody wants it to end."""
    return False in begun.conds and begun.rng is not None and hasattr(begun.rng, "seeds") and not host.cut_short()


def sample(
    p: object, begun: Begun, rows: Sequence[int], seeds: Sequence[int], said: str, prepare: Callable[[], None]
) -> Sequence[torch.Tensor] | None:
    """The chosen `rows` of the batch of `p` from noise of `seeds`; latents, or pictures behind a hires pass, as the host's own.

    None where somebody has interrupted or skipped meanwhile. `said` is what the host's progress shows; `prepare` is called when `p` is ready, to
    attach to it what is to watch.
    """
    with _state(said), _random(), _alone(p, begun, list(rows), list(seeds)):
        _load(p, begun)
        prepare()
        told = {name: getattr(p, name) for name in ("seeds", "subseeds", "subseed_strength", "prompts") if hasattr(p, name)}
        with _precision(p.sd_model), _levels(p.sd_model, begun.levels):
            samples = p.sample(conditioning=p.c, unconditional_conditioning=p.uc, **told)
    return None if host.cut_short() else samples


@contextlib.contextmanager
def _alone(p: object, begun: Begun, rows: list[int], seeds: list[int]) -> Iterator[None]:
    """`p` as if its batch were those rows, every attribute as it was afterwards."""
    own, params = dict(vars(p)), dict(p.extra_generation_params)
    batch, first = len(p.seeds), p.iteration * len(rows)
    sampler = getattr(p, "sampler", None)
    parts = [one for one in (sampler, getattr(sampler, "model_wrap_cfg", None)) if one is not None]
    inner = [dict(vars(one)) for one in parts]
    try:
        for name in _OF_BATCH:
            if isinstance(own.get(name), list) and len(own[name]) == batch:
                setattr(p, name, [own[name][row] for row in rows])
        p.batch_size, p.seeds = len(rows), seeds
        for name in _OF_JOB:
            if isinstance(own.get(name), list):
                chosen = [own[name][p.iteration * batch + row] for row in rows]
                setattr(p, name, [None] * first + chosen)
        p.all_seeds = [0] * first + seeds
        for name in _ROWS:
            if isinstance(own.get(name), torch.Tensor) and len(own[name]) == batch:
                setattr(p, name, own[name][rows])
        for name in _CACHES:
            if isinstance(getattr(p, name, None), list):
                setattr(p, name, list(getattr(p, name)))
        p.c, p.uc = (_rows_of(cond, rows) for cond in begun.conds[False])
        if True in begun.conds:
            p.hr_c, p.hr_uc = (_rows_of(cond, rows) for cond in begun.conds[True])
        p.rng, p.is_hr_pass, p.do_not_save_samples = _noise(begun.rng, rows, seeds), False, True
        yield
    finally:
        vars(p).clear()
        vars(p).update(own)
        p.extra_generation_params.clear()
        p.extra_generation_params.update(params)
        for one, before in zip(parts, inner):
            vars(one).clear()
            vars(one).update(before)


def _rows_of(cond: object, rows: list[int]) -> object:
    """Those of a batch's conditionings, in the hosts' schedule format: a list, or an object with one called `batch`."""
    if cond is None or isinstance(cond, list):
        return cond and [cond[row] for row in rows]
    chosen = copy.copy(cond)
    chosen.batch, chosen.shape = [cond.batch[row] for row in rows], (len(rows),)
    return chosen


def _noise(rng: object, rows: list[int], seeds: list[int]) -> object:
    """The host's source of noise as it was before it was first asked, for other images."""
    told = {name: getattr(rng, name) for name in ("subseed_strength", "seed_resize_from_h", "seed_resize_from_w")}
    subseeds = None if rng.subseeds is None else [rng.subseeds[row] for row in rows]
    return type(rng)(rng.shape, seeds, subseeds=subseeds, **told)


def _load(p: object, begun: Begun) -> None:
    """Checkpoint and networks of the first pass, where a refiner or the hires pass had others."""
    from modules import extra_networks, sd_models

    if getattr(p.sd_model, "sd_checkpoint_info", None) is not begun.checkpoint:
        (getattr(sd_models, "forge_model_reload", None) or sd_models.reload_model_weights)()
    if True in begun.conds and not p.disable_extra_networks:
        with _precision(p.sd_model):
            extra_networks.activate(p, p.extra_network_data)


def _precision(model: object) -> contextlib.AbstractContextManager:
    """What A1111 samples in; its forks see to that within ``p.sample``."""
    from modules import devices

    if host.forge_unet(model) is not None:
        return contextlib.nullcontext()
    without = getattr(devices, "without_autocast", None)
    return without() if without is not None and getattr(devices, "unet_needs_upcast", False) else devices.autocast()


def _predictor(model: object) -> object | None:
    return getattr(getattr(host.forge_unet(model), "model", None), "predictor", None)


@contextlib.contextmanager
def _levels(model: object, levels: torch.Tensor | None) -> Iterator[None]:
    predictor = _predictor(model)
    now = getattr(predictor, "sigmas", None)
    changed = levels is not None and now is not None and levels is not now and hasattr(predictor, "set_sigmas")
    if changed:
        predictor.set_sigmas(levels)
    try:
        yield
    finally:
        if changed:
            predictor.set_sigmas(now)


@contextlib.contextmanager
def _state(said: str) -> Iterator[None]:
    from modules import shared

    before = {name: getattr(shared.state, name) for name in _STATE if hasattr(shared.state, name)}
    shared.state.job = said
    if "textinfo" in before:
        shared.state.textinfo = said
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(shared.state, name, value)


@contextlib.contextmanager
def _random() -> Iterator[None]:
    """Noise that anybody draws without a source of its own is drawn afterwards as if nothing had been drawn in here."""
    from modules import rng

    device = [torch.cuda.current_device()] if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    before = getattr(rng, "nv_rng", None)
    with torch.random.fork_rng(devices=device):
        try:
            yield
        finally:
            if hasattr(rng, "nv_rng"):
                rng.nv_rng = before
