"""The two callbacks that every host fires once per model evaluation, and A1111's between them, led to the job of the `p` that samples."""

from __future__ import annotations

import logging
import weakref
from typing import NamedTuple

from ..host import callbacks, host, predictions
from . import inner

log = logging.getLogger(__name__)


class _Begun(NamedTuple):
    """An evaluation that has not ended: the host's parameters, the job that judges it or None, and what the host shows of it in between. Weak, so
    that one that an interruption has cut off drops out by itself and holds no latent."""

    params: weakref.ref
    owner: weakref.ref | None
    shown: predictions.Shown | None

    def over(self) -> None:
        """It has ended, or never will."""
        if self.shown is not None:
            self.shown.close()


#: Innermost last.
_begun: list[_Begun] = []


def register() -> None:
    """Register the callbacks once, whatever was registered before."""
    callbacks.once("cfg_denoiser", before_evaluation)
    callbacks.once("cfg_denoised", between)
    callbacks.once("cfg_after_cfg", after_evaluation)


def _drop_cut_off() -> None:
    while _begun and _begun[-1].params() is None:
        _begun.pop().over()


def before_evaluation(params: object) -> None:
    """``on_cfg_denoiser``: remember the evaluation until it ends."""
    found = inner.evaluated(params.denoiser)
    if found is None and not _begun:
        return
    _drop_cut_off()
    _begun.append(_Begun(weakref.ref(params), None if found is None else weakref.ref(found), None if found is None else _listen(params)))


def _listen(params: object) -> predictions.Shown | None:
    try:
        return predictions.Shown(params)
    except Exception:  # what it would have shown is computed again
        log.exception("Memorization Guard: the host's own predictions cannot be had")
        return None


@host.ours
def between(params: object) -> None:
    """``on_cfg_denoised``, on A1111 alone: the rows of the evaluation under way."""
    _drop_cut_off()
    if _begun and _begun[-1].shown is not None:
        _begun[-1].shown.rows(params)


@host.ours
def after_evaluation(params: object) -> None:
    """``on_cfg_after_cfg``: judge, and damp in place of the host's prediction where the guard says so."""
    if not _begun:
        return
    _drop_cut_off()
    if not _begun:
        return
    begun = _begun.pop()
    begun.over()
    found = None if begun.owner is None else begun.owner()
    if found is None:
        return
    try:
        result = found.step(host.call_of(begun.params(), params, begun.shown))
        if result is not None:
            params.x = result
    except Exception as error:  # the host would log it and go on, and nobody would know that an evaluation was not judged
        log.exception("Memorization Guard: an evaluation could not be judged")
        found.miss(error)
