"""Sampling through the host's own processing that shows and saves nothing: what calibration, prompt scan and a scan's pictures run on."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache

import torch

from ...sentences import Sentence
from ...wording import without_tags
from . import host, texts
from .memory import is_out_of_memory

#: Schedules that keep to the noise levels of a flow model, and what stands in for one: those whose last evaluation comes the earlier the fewer steps
#: there are; an even one, which ends low, though with SD 3 three times above the lowest level; and one that always goes down to that.
#: "Automatic" has Flux begin at 9999, and SD 3 end with 0 twice.
_FLOW_SCHEDULES = (("Simple", "SGM Uniform"), ("Normal",), ("Beta",))
#: Above every noise level: from here down A1111 leaves out the unconditional half of every other evaluation, which nobody reads at guidance 1.
_ALL_LEVELS = 1e6


class Cancelled(Exception):
    """The user stopped it, here or with the host's Interrupt."""


@cache
def _processing() -> type:
    """The host's txt2img job, but for what it does after sampling."""
    from modules import processing

    class Quiet(processing.StableDiffusionProcessingTxt2Img):
        def sample(self, *args, **kwargs):
            try:
                self.recording.prepare(self)
                super().sample(*args, **kwargs)
            except Exception as error:  # the host puts things back only where sampling ends well
                self.recording.fail(error)
            # As hires fix does: what is decoded already is not decoded again.
            return processing.DecodedSamples([torch.zeros(3, 8, 8) for _ in self.prompts])

    return Quiet


def plain(prompt: str) -> str:
    """The prompt without extra networks and without AND, which would make it several prompts."""
    return re.sub(r"\bAND\b", "and", without_tags(prompt)).strip()


def samplers(wanted: tuple[str, ...] | None = None) -> list[str]:
    """Those of the wanted samplers that the host has, in their order; all that it has where none are named."""
    from modules import sd_samplers

    known = [one.name for one in sd_samplers.all_samplers]
    return known if wanted is None else [name for name in wanted if name in known]


def is_second_order(sampler: str) -> bool:
    """Whether a sampler asks the model twice a step, by its name: for an estimate of time only."""
    return any(part in sampler for part in ("DPM2", "DPM++ 2S", "DPM++ SDE", "Heun"))


def schedules(flow: bool) -> list[str]:
    """The schedules that runs are sampled with, in turn."""
    if not flow:
        return ["Automatic"]
    try:
        from modules import sd_schedulers
    except ImportError:  # Forge Classic has one schedule for each sampler
        return ["Automatic"]
    known = {one.label for one in sd_schedulers.schedulers}
    found = [next((name for name in names if name in known), "") for names in _FLOW_SCHEDULES]
    return [name for name in found if name] or ["Automatic"]


def in_batches(total: int, batch: int, work: Callable[[slice], None]) -> int:
    """Do `work` on parts of 0..total that do not cross a multiple of `batch`, halved for good when memory runs out; returns the last size."""
    size, first = batch, 0
    while first < total:
        part = slice(first, min(first + size, first - first % batch + batch, total))
        try:
            work(part)
        except Exception as error:
            if not is_out_of_memory(error) or size == 1:
                raise
            size //= 2
        else:
            first = part.stop
            continue
        # Out here the error, and with it the frames that hold its tensors, is gone.
        with contextlib.suppress(ImportError, AttributeError):
            from modules import devices

            devices.torch_gc()
    return size


@contextlib.contextmanager
def _alone(job: str) -> Iterator[object]:
    """The host's queue, its state, and its "last prompt" file left alone."""
    from modules import shared

    queue = contextlib.nullcontext()
    with contextlib.suppress(ImportError):
        from modules.call_queue import queue_lock as queue
    with queue:
        shared.state.begin(job)
        before = getattr(shared.cmd_opts, "no_prompt_history", False)
        shared.cmd_opts.no_prompt_history = True
        try:
            yield shared.state
        finally:
            shared.cmd_opts.no_prompt_history = before
            getattr(shared.state, "end", lambda: None)()


def _untiled() -> bool | str:
    """What "no tiling" is called here: ersatzForge has words for its ways of tiling."""
    from modules import shared

    return "None" if isinstance(getattr(shared.opts, "tiling", False), str) else False


def sample(
    recording: object,
    prompts: list[str],
    seeds: list[int],
    sampler: str,
    steps: int,
    size: tuple[int, int],
    negative: str = "",
    job: str = "scan",
    schedule: str = "",
    tags: str = "",
) -> None:
    """Sample one batch at guidance 1 with `recording` attached; nothing is decoded or saved, no other extension takes part.

    Without a `schedule` it is the first of :func:`schedules`. A distilled model is told the scale of the recording's probe. The `tags` of networks
    are on for all images; those in the prompts are not.

    Raises
    ------
    Cancelled
        The host's Interrupt or Skip was pressed.
    """
    from modules import processing

    fields = {"prompt": [plain(prompt) + tags for prompt in prompts], "negative_prompt": negative, "seed": list(seeds), "sampler_name": sampler}
    fields |= {"steps": steps, "cfg_scale": 1.0, "width": size[0], "height": size[1], "batch_size": len(prompts), "s_min_uncond": _ALL_LEVELS}
    with _alone(f"Memorization Guard: {job}") as state, closing(_processing()(**fields, do_not_save_samples=True)) as p:
        p.recording = recording
        _prepared(p, schedule, recording.probe_guidance)
        recording.attach(p)
        processing.process_images(p)
        recording.check()
        _refuse_cut_off(state)


def pictures(
    watcher: object, prompts: list[str], seeds: list[int], sampler: str, steps: int, size: tuple[int, int], guidance: float, tags: str = ""
) -> list[object]:
    """One batch as an ordinary generation makes it, guided and decoded (pictures of Pillow); shown and saved nowhere, beside no other extension.

    `watcher` is attached as a recording is, see :func:`sample`. Of a distilled model `guidance` is the scale that it is told.

    Raises
    ------
    Cancelled
        The host's Interrupt or Skip was pressed.
    """
    from modules import processing

    distilled = host.describe(host.loaded_model()).distilled
    fields = {"prompt": [plain(prompt) + tags for prompt in prompts], "seed": list(seeds), "sampler_name": sampler, "batch_size": len(prompts)}
    fields |= {"steps": steps, "cfg_scale": 1.0 if distilled else guidance, "width": size[0], "height": size[1], "do_not_save_samples": True}
    with _alone("Memorization Guard: pictures") as state, closing(processing.StableDiffusionProcessingTxt2Img(**fields)) as p:
        _prepared(p, "", guidance)
        watcher.attach(p)
        done = processing.process_images(p)
        watcher.check()
        _refuse_cut_off(state)
        first = getattr(done, "index_of_first_image", 0)
        return [one.convert("RGB") for one in done.images[first : first + len(prompts)]]


def _prepared(p: object, schedule: str, distilled_scale: float) -> None:
    """What no setting of the page may decide."""
    p.do_not_save_grid, p.restore_faces, p.tiling = True, False, _untiled()
    model = host.describe(host.loaded_model())
    p.scheduler = schedule or schedules(model.prediction == "flow")[0]
    if model.distilled:
        p.distilled_cfg_scale = distilled_scale


def _refuse_cut_off(state: object) -> None:
    if state.interrupted or state.skipped or getattr(state, "stopping_generation", False):
        raise Cancelled(Sentence(texts.INTERRUPTED))


@contextlib.contextmanager
def _hashing() -> Iterator[None]:
    """The host hashes checkpoints in here, whatever its flag and (ersatzForge's, off unless chosen) its setting say."""
    from modules import shared

    flag, options = getattr(shared.cmd_opts, "no_hashing", False), shared.opts.data
    setting = options.get("use_real_SHA256")
    shared.cmd_opts.no_hashing, options["use_real_SHA256"] = False, True
    try:
        yield
    finally:
        shared.cmd_opts.no_hashing = flag
        if setting is None:
            del options["use_real_SHA256"]
        else:
            options["use_real_SHA256"] = setting


def hash_of(model: object) -> str:
    """SHA-256 of a loaded checkpoint, worked out now, once, where the host has not done so; the host remembers it."""
    info = getattr(model, "sd_checkpoint_info", None)
    if not getattr(info, "sha256", None) and hasattr(info, "calculate_shorthash"):
        with _hashing():
            info.calculate_shorthash()
    return getattr(info, "sha256", None) or ""


def loaded() -> object:
    """The model of the checkpoint that the next job would use, loaded now where the host waits for that."""
    from modules import sd_models, shared

    with _alone("Memorization Guard: loading"):
        # Not every host has both.
        (getattr(sd_models, "forge_model_reload", None) or sd_models.reload_model_weights)()
        return shared.sd_model
