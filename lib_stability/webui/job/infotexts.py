"""The guard's keys in the host's infotext: callables that the host asks for one image's value at a time, early and late."""

from __future__ import annotations

import logging

from ...guard.verdict import NOT_JUDGED, Verdict
from ...trail.infotext import GRID_KEY, KEYS, PASS_PREFIXES, REGION_KEY, REPLACED_KEY, SETTINGS, VERSION_KEY, Settings, result_key, write
from ..host import host
from . import job, renewing, wholes

log = logging.getLogger(__name__)
DETAILS = ("Verdict only", "Verdict and numbers", "Verdict, numbers and profile")
SETTING_KEYS = tuple(stored.key for stored in SETTINGS.values())
_BRIEF = {
    VERSION_KEY,
    GRID_KEY,
    REPLACED_KEY,
    *SETTING_KEYS,
    *(result_key(name, which) for name in ("verdict", "unwatched") for which in range(len(PASS_PREFIXES))),
}


class Value(str):
    """One key: called with the locals of the host's ``create_infotext``, answers the value of the image that it is about.

    An empty text to whoever does not call it: Forge Classic writes the parameters of a job as JSON.
    """

    def __new__(cls, key: str) -> Value:
        self = super().__new__(cls, "")
        self.key = key
        return self

    def __call__(self, p=None, index=0, all_prompts=None, use_main_prompt=False, **_: object) -> str | None:
        found = job.of(p)
        if found is None:
            return None
        try:
            grid = ("" if wholes.of(p) else "several jobs") if found.over else f"{found.images()} images" if use_main_prompt else ""
            where = None if use_main_prompt or found.over else _where(p, index or 0, all_prompts)
            replaced = "" if where is None else renewing.said(found, *where)
            return _texts(found, *_verdicts(found, p, where, use_main_prompt), grid, replaced).get(self.key)
        except Exception as error:  # the host would leave the key out, and silence reads as safe
            log.exception("Memorization Guard: an error, an image is called not judged")
            return write(Settings(enabled=True), Verdict(NOT_JUDGED, reason=f"error {type(error).__name__}")).get(self.key)


def _where(p: object, index: int, all_prompts: list | None) -> tuple[int, int]:
    """Batch and position of the image that the host asks about."""
    everything = getattr(p, "all_prompts", None)
    # The save loop hands over the batch's prompts, on reForge a copy of them, and an index local to the batch.
    local = all_prompts is not None and everything is not None and all_prompts is not everything and len(all_prompts) != len(everything)
    return (p.iteration, index) if local else divmod(index, max(p.batch_size, 1))


def _verdicts(found: job.Job, p: object, where: tuple[int, int], use_main_prompt: bool) -> tuple[Verdict | None, ...]:
    """Of the first pass, the hires pass, and what was sampled inside the job."""
    if found.over:
        whole = wholes.of(p)
        return (_of_several(found.gravest()) if whole is None else whole.verdict()), None, None
    if use_main_prompt:  # a grid shows every image, so it carries the gravest verdict
        return found.gravest(), None, None
    # The upscale button makes its picture from a finished one: there is no first pass to speak of.
    first = None if getattr(p, "txt2img_upscale", False) else found.verdict(*where)
    return first, found.verdict(*where, hires=True), found.inner_verdict(*where)


def _of_several(verdict: Verdict | None) -> Verdict:
    """What a grid of several jobs says, whose text the X/Y/Z plot asks of the first of them once that is over: of the others nothing is known."""
    return verdict if verdict is not None and verdict.flagged else Verdict(NOT_JUDGED, reason="a grid of several jobs")


def _texts(found: job.Job, verdict: Verdict | None, hires: Verdict | None, inner: Verdict | None, grid: str, replaced: str) -> dict[str, str]:
    detail = getattr(host.opts(), "memorization_guard_infotext", DETAILS[1])
    texts = write(found.settings, verdict, hires, found.served() if detail == DETAILS[2] or found.foreign() else "", inner, grid, replaced)
    # What judged is said wherever it does not come with the extension.
    return {key: text for key, text in texts.items() if detail != DETAILS[0] or key in _BRIEF or key == REGION_KEY}


def attach(p: object) -> None:
    """Let the host ask for every key of ours."""
    p.extra_generation_params.update({key: Value(key) for key in KEYS})


def detach(p: object) -> None:
    """Take our keys away again: jobs of one grid share their parameters."""
    for key in KEYS:
        if isinstance(p.extra_generation_params.get(key), Value):
            del p.extra_generation_params[key]
