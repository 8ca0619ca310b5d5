"""Stands where a guard would stand in a job of :mod:`.sampling`, and records the norms of ordinary guidance at every image's own scale.

The host has one guidance scale a job, a region needs many. So the job runs at guidance 1, where the host's own prediction is the conditional one,
and the empty prompt is evaluated here, once an evaluation: from the two come the guided prediction of every image at its own scale, which the
sampler goes on with, and the virtual one of the probe. That costs what an ordinary generation costs: where the host evaluates the negative prompt
all the same, as A1111 does, and that is the empty one, its own prediction serves. A negative prompt costs another row an evaluation.

A distilled model is told its scale image by image: the job runs at the probe's, and the prompt is evaluated here once more, at every image's own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import torch

from ...guard.norms import per_sample
from ...guard.probe import REFERENCE_GUIDANCE, virtual
from ...guard.region import Trajectory
from ...profile.calibration import Recorder
from ...profile.profiles import Model
from ...sentences import Sentence
from ..host import host, probing, texts
from ..host.encodings import ENCODINGS
from .standing import Standing


class Recording(Standing):
    """Of one batch.

    Parameters
    ----------
    scales : list of float
        Guidance scale of each image; of a distilled model the one that it is told.
    negative : str
        Negative prompt of the guided prediction; the virtual one is always against the empty prompt.
    probe_guidance : float
        Scale of the virtual prediction.
    expected : Model or None
        The checkpoint that has to be loaded, with the networks that have to be on, and no others.
    stop : threading.Event or None
        Set from another thread, it ends the sampling.
    tick : callable or None
        Told the number of each evaluation.
    """

    def __init__(
        self,
        scales: list[float],
        negative: str = "",
        probe_guidance: float = REFERENCE_GUIDANCE,
        expected: Model | None = None,
        stop: threading.Event | None = None,
        tick: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(expected, stop, tick)
        self.scales, self.negative, self.probe_guidance = torch.tensor(scales), negative, probe_guidance
        self._distilled = self._flow = False
        self._same = all(scale == probe_guidance for scale in scales)
        self._recorder: Recorder | None = None
        self._conds: list[list] = []

    def prepare(self, p: object) -> None:
        """Before sampling: conditioning of the empty and of the negative prompt."""
        described = self.refuse_others(p)
        self._distilled, self._flow = described.distilled, described.prediction == "flow"
        self._recorder = Recorder("flow" if self._flow else "sigma", self.probe_guidance)
        if not self._distilled:
            self._conds = [ENCODINGS.of(p, [text], negative=True) for text in dict.fromkeys(("", self.negative))]

    def _step(self, call: SimpleNamespace) -> torch.Tensor:
        if self._flow:
            self._refuse_levels(call)
        if self._distilled:
            return self._told(call)
        against = [probing.unconditional(call, cond) for cond in self._conds]
        scales = self.scales.to(call.out.device, torch.float32)
        guided = torch.lerp(against[-1], call.out, per_sample(scales, call.out).to(call.out.dtype))
        probed = virtual(against[0], call.out, self.probe_guidance)
        return self._recorder.step(call.x, guided, call.sigma, scales, probed)

    def _told(self, call: SimpleNamespace) -> torch.Tensor:
        scales = self.scales.to(call.out.device, torch.float32)
        alone = [[1.0]] * len(call.x)
        guided = call.out if self._same else probing.at_distilled_scale(call, call.params.text_cond, alone, scales)
        return self._recorder.step(call.x, guided, call.sigma, scales, call.out)

    def _refuse_levels(self, call: SimpleNamespace) -> None:
        """A profile of noise levels that the model does not know would serve, and judge by garbage."""
        p, sigma = call.denoiser.p, call.sigma
        if host.unfit_for_flow(call.denoiser):
            raise ValueError(Sentence(texts.CALIBRATIONS["sampler"], name=p.sampler_name))
        if not bool(((sigma > 0) & (sigma <= 1)).all()):
            found = ", ".join(f"{level:.4g}" for level in sorted(set(sigma.tolist())))
            raise ValueError(Sentence(texts.CALIBRATIONS["scheduler"], name=p.scheduler, levels=found))

    def check(self) -> None:
        """After the job: raise what went wrong while it sampled."""
        self._conds = []
        super().check()

    def trajectories(self) -> tuple[list[Trajectory], list[Trajectory]]:
        """Of the guided and of the virtual prediction, see :meth:`..calibration.Recorder.trajectories`."""
        return self._recorder.trajectories()
