"""What stands where a guard would stand in a job of :mod:`.sampling`: found by the callbacks, told of every evaluation, ending the job on a fault."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import torch

from ...profile.profiles import Model
from ...sentences import Sentence, joined
from ..host import host, networks, texts
from ..host.sampling import Cancelled
from . import job


class Standing:
    """Of one batch; by itself it leaves every prediction as it is.

    Parameters
    ----------
    expected : Model or None
        The checkpoint that has to be loaded, with the networks that have to be on, and no others.
    stop : threading.Event or None
        Set from another thread, it ends the sampling.
    tick : callable or None
        Told the number of each evaluation.
    """

    def __init__(self, expected: Model | None = None, stop: threading.Event | None = None, tick: Callable[[int], None] | None = None) -> None:
        self.expected, self.stop, self._tick = expected, stop, tick
        self.owner = lambda: None
        self.evaluations = 0
        self._error: Exception | None = None

    def attach(self, p: object) -> None:
        """Let the two callbacks of :mod:`.hooks` find this."""
        self.owner = weakref.ref(p)
        job.attach(p, self)

    def refuse_others(self, p: object) -> Model:
        """What is loaded; RuntimeError where that is another checkpoint, ValueError where other networks are on."""
        described = host.describe(p.sd_model)
        if self.expected is not None and described != replace(self.expected, networks=()):
            raise RuntimeError(f"the checkpoint was changed from {self.expected.checkpoint} to {described.checkpoint}")
        trouble = networks.differ(self.expected.networks, networks.active(p.sd_model, p)) if self.expected is not None else ""
        if trouble:
            raise ValueError(joined(": ", ("networks", trouble)))
        return described

    def step(self, call: SimpleNamespace) -> torch.Tensor | None:
        """One evaluation, see :func:`.host.call_of`; what the sampler is to go on with, None for what the host has."""
        from modules import shared

        if self._error is not None:
            return None
        try:
            if self.stop is not None and self.stop.is_set():
                raise Cancelled(Sentence(texts.CANCELLED))
            self.evaluations += 1
            found = self._step(call)
            if self._tick is not None:
                self._tick(self.evaluations)
            return found
        except Exception as error:  # the host would log it and go on
            self.fail(error)
            shared.state.skipped = True
            return None

    def _step(self, call: SimpleNamespace) -> torch.Tensor | None:
        if self.evaluations == 1:  # a host may apply networks as late as this
            self.refuse_others(call.denoiser.p)
        return None

    def fail(self, error: Exception) -> None:
        """Keep the first error until :meth:`check`."""
        self._error = self._error or error

    miss = fail  # an evaluation that could not be recorded: what is made of the job is whole, or nothing

    def check(self) -> None:
        """After the job: raise what went wrong while it sampled."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
