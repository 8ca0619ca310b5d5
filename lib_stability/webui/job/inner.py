"""What other tools sample inside a job to finish its pictures, faces for instance: guards of their own, with the settings of the job outside.

Such a tool has a `p` of its own, of which the host may tell our script nothing: then the job is made when its first evaluation begins.
"""

from __future__ import annotations

import logging
import weakref

from ...guard.verdict import NOT_JUDGED, Verdict
from . import job

log = logging.getLogger(__name__)
#: The attribute of a `p` whose user has turned the guard off.
_OFF = "memorization_guard_off"
#: The job that the host has begun last and not handed over, unless it is one inside another.
_running: weakref.ref[job.Job] | None = None


def begun(found: job.Job, p: object) -> None:
    """The host has told our script of a job."""
    global _running
    vars(p).pop(_OFF, None)
    outer = _outside(p)
    if outer is None:
        _running = weakref.ref(found)
    else:
        found.outer = weakref.ref(outer)
        outer.note_inner(_where(outer), found)


def off(p: object) -> None:
    """Nothing that `p` samples is to be judged."""
    setattr(p, _OFF, True)


def evaluated(denoiser: object) -> job.Job | None:
    """The job of what `denoiser` is about to evaluate for a `p` that our script was told nothing of; None where that is part of no job.

    The first evaluation of a pass makes it ready, since no hook of a script has.
    """
    p = getattr(denoiser, "p", None)
    found = job.of(p)
    if found is None:
        found = _adopt(p)
    if isinstance(found, job.Job) and found.adopted and (denoiser.step == 0 or not found.passes):
        found.expect_pass()
    return found


def _adopt(p: object) -> job.Job | None:
    outer = _outside(p)
    if p is None or outer is None or getattr(p, _OFF, False):
        return None
    try:
        found = job.Job(p, outer.settings, outer.library, outer.general, outer.trouble, False, outer.ignoring, adopted_by=outer)
        job.attach(p, found)
    except Exception as error:
        log.exception("Memorization Guard: an error, what is sampled inside this job is not judged")
        outer.note_inner(_where(outer), Unjudged(error))
        return None
    outer.note_inner(_where(outer), found)
    return found


def _outside(p: object) -> job.Job | None:
    """The job that is under way outside of `p`. One that an exception has ended is under way no longer: its `p` is closed, if not gone."""
    found = None if _running is None else _running()
    owner = None if found is None or found.over else found.owner()
    # Behind its hires pass a job has let go of the sampler, but not yet of the prompt.
    closed = owner is None or all(getattr(owner, name, None) is None for name in ("sampler", "c", "uc"))
    return None if closed or owner is p else found


def _where(outer: job.Job) -> tuple[int, int | None]:
    """Batch and position of the picture that the host is finishing; no position where the batch is still being sampled."""
    p = outer.owner()
    iteration = getattr(p, "iteration", 0)
    return iteration, getattr(p, "batch_index", None) if iteration in outer.sampled else None


class Unjudged:
    """Stands for an inner job that could not be made."""

    def __init__(self, error: Exception) -> None:
        self._verdict = Verdict(NOT_JUDGED, reason=f"error {type(error).__name__}")

    def said(self) -> list[Verdict]:
        """See :meth:`.job.Job.said`."""
        return [self._verdict]
