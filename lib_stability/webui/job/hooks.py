"""The two callbacks that every host fires once per model evaluation, led to the job of the `p` that samples."""

from __future__ import annotations

import logging
import weakref

from ..host import callbacks, host
from . import job

log = logging.getLogger(__name__)
#: Evaluations begun and not ended, innermost last: the host's parameters, and the job that judges them or None. Weak, so that one that an
#: interruption has cut off drops out by itself and holds no latent.
_begun: list[tuple[weakref.ref, weakref.ref | None]] = []


def register() -> None:
    """Register both callbacks once, whatever was registered before."""
    callbacks.once("cfg_denoiser", before_evaluation)
    callbacks.once("cfg_after_cfg", after_evaluation)


def _drop_cut_off() -> None:
    while _begun and _begun[-1][0]() is None:
        _begun.pop()


def before_evaluation(params: object) -> None:
    """``on_cfg_denoiser``: remember the evaluation until it ends."""
    found = job.of(getattr(params.denoiser, "p", None))
    if found is None and not _begun:
        return
    _drop_cut_off()
    _begun.append((weakref.ref(params), None if found is None else weakref.ref(found)))


def after_evaluation(params: object) -> None:
    """``on_cfg_after_cfg``: judge, and damp in place of the host's prediction where the guard says so."""
    if not _begun:
        return
    _drop_cut_off()
    if not _begun:
        return
    begun, owner = _begun.pop()
    found = None if owner is None else owner()
    if found is None:
        return
    try:
        result = found.step(host.call_of(begun(), params))
        if result is not None:
            params.x = result
    except Exception as error:  # the host would log it and go on, and nobody would know that an evaluation was not judged
        log.exception("Memorization Guard: an evaluation could not be judged")
        found.miss(error)
