"""The guard of one sampling pass: every evaluation goes through the detectors, flagged images through the damper.

Nothing here waits for the device: all state is ``(batch,)``-shaped tensors on the latent's device, read once by :meth:`Guard.report`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch

from .dampers import Damper, damper_for
from .dampers.stop import Stop
from .damping import Damping, Marks
from .detectors import Detector, detectors
from .evaluation import Evaluation
from .locality import Locator
from .probe import Probe
from .readings import Pass, Reading
from .region import StabilityRegion
from .rewording import Rewording
from .sensitivity import PAPER_MILD, check
from .verdict import Verdict, verdicts

log = logging.getLogger(__name__)
MODES = ("report", "damp", "stop")
#: The doubt about a watch whose region was fitted with another negative prompt.
UNKNOWN_NEGATIVE = "no probe and a negative prompt that the region does not know"


@dataclass(frozen=True)
class Options:
    """What a guard does: its mode, sensitivity level (`tau` for "custom"), how it damps, and whether it maps where flagged images are unstable.

    Mode "report" changes nothing, "damp" damps flagged images, "stop" blanks an image from the evaluation on that flags it as strong.
    """

    mode: str = "report"
    sensitivity: str = "medium"
    tau: float = PAPER_MILD
    damping: Damping = Damping()
    locate: bool = False

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode: {self.mode!r} is not one of {', '.join(MODES)}")
        check(self.sensitivity, self.tau)


class Guard:
    """One sampling pass of one batch.

    Parameters
    ----------
    region : StabilityRegion or None
        Ordinary runs of this model; None when no profile fits, then nothing is judged.
    options : Options
    probe : Probe, optional
        Judges a few early evaluations against the empty prompt.
    parameterisation : "sigma" or "flow"
        That of the sampler.
    doubt : str
        Why the watch cannot judge this pass, for instance :data:`UNKNOWN_NEGATIVE`; empty when it can. The probe may still judge.
    rewording : Rewording, optional
        The prompts' versions for the damping policy "reword"; without it that policy is the directional one.

    Raises
    ------
    ValueError
        A region of the other parameterisation.
    """

    def __init__(
        self,
        region: StabilityRegion | None,
        options: Options = Options(),
        probe: Probe | None = None,
        parameterisation: str = "sigma",
        doubt: str = "",
        rewording: Rewording | None = None,
    ) -> None:
        for one in (region, probe.region if probe else None):
            if one is not None and one.parameterisation != parameterisation:
                raise ValueError(f"region: fitted in the parameterisation {one.parameterisation!r}, this pass runs in {parameterisation!r}")
        self.region, self.options, self.probe, self.parameterisation, self.doubt = region, options, probe, parameterisation, doubt
        self.detectors: list[Detector] = detectors(region, probe, options.sensitivity, options.tau, doubt) if region else []
        self.damper: Damper | None = damper_for(options.mode, options.damping, region, self.detectors, rewording) if region else None
        self.evaluations = self.batch = 0
        self.error: str | None = None
        self.readings: list[Reading] = []
        self._flagged: Marks | None = None
        self._locator = Locator() if options.locate else None

    def step(self, x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, guidance: float | torch.Tensor) -> torch.Tensor:
        """Judge one model evaluation; returns `denoised`, damped where an image is flagged and the mode is "damp".

        Parameters
        ----------
        x : tensor of shape ``(batch, ...)``
            Latent that the model saw.
        denoised : tensor like `x`
            Guided prediction of the clean latent. It is not written to.
        sigma : tensor of shape ``(batch,)``
            Noise levels.
        guidance : float or tensor of shape ``(batch,)``
            Effective guidance scale of this evaluation.

        An exception in here is logged once and leaves the prediction alone; the verdicts then say "not judged (error)".
        """
        self.batch = len(x)
        try:
            if self.error is not None or self.region is None:
                return self.damper.blank(denoised) if isinstance(self.damper, Stop) else denoised
            return self._step(self._evaluation(x, denoised, sigma, guidance))
        except Exception as error:
            log.exception("Memorization Guard: an error, this pass goes on without it")
            self.error = f"{type(error).__name__}: {error}"
            return denoised
        finally:
            self.evaluations += 1

    def _step(self, evaluation: Evaluation) -> torch.Tensor:
        for detector in self.detectors:
            judged = detector.judge(evaluation)
            if judged is not None:
                evaluation.add(detector.name, judged)
                if self._locator:
                    self._locator.add(judged.prediction, judged.expected.mean[:, 1], judged.unstable)
        result, acted = evaluation.denoised, None
        if self.damper is not None:
            self._flag(evaluation.unstable)
            if self._flagged is not None:
                result, acted = self.damper.act(evaluation, self._flagged)
        watched, probed = (evaluation.judged[name].kept() if name in evaluation.judged else None for name in ("watch", "probe"))
        self.readings.append(Reading(evaluation.sigma, evaluation.guidance, watched, probed, acted))
        return result

    def _flag(self, unstable: torch.Tensor | None) -> None:
        if unstable is not None:
            if self._flagged is None:
                self._flagged = Marks(len(unstable), unstable.device)
            self._flagged.tensor |= unstable

    def _evaluation(self, x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, guidance: float | torch.Tensor) -> Evaluation:
        sigma = sigma.to(device=x.device, dtype=torch.float32)
        batch = len(self.readings[0].sigma) if self.readings else len(x)
        if len(x) != batch or sigma.shape != (batch,) or denoised.shape != x.shape:
            raise ValueError(f"batch of {batch}: latent {tuple(x.shape)}, prediction {tuple(denoised.shape)}, noise levels {tuple(sigma.shape)}")
        if isinstance(guidance, torch.Tensor):
            if guidance.shape != (batch,):
                raise ValueError(f"guidance: of shape {tuple(guidance.shape)} for a batch of {batch}")
            guidance = guidance.to(device=x.device, dtype=torch.float32)
        return Evaluation(self.evaluations, x, denoised, sigma, guidance, self.parameterisation)

    def succeed(self, before: Guard) -> None:
        """Take over from the guard that watched the pass up to here, where another model goes on with the same images."""
        self._flagged = before._flagged
        if self.damper is not None and before.damper is not None:
            self.damper.succeed(before.damper)
        if self._locator and before._locator:
            self._locator = before._locator

    @property
    def stopped(self) -> torch.Tensor | None:
        """The mask ``(batch,)`` of images that mode "stop" has blanked, None before the first evaluation that was judged in that mode."""
        return self.damper.stopped if isinstance(self.damper, Stop) else None

    def maps(self) -> list[np.ndarray | None]:
        """Where each image was unstable, see :meth:`.locality.Locator.maps`; None for one that was not. Read from the device here and only here."""
        found = self._locator.maps() if self._locator and self.error is None else []
        return found or [None] * self.batch

    def seen(self) -> Pass:
        """All that was seen up to here, for :func:`.history.history`; nothing is read from the device."""
        watch = self.detectors[0].range if self.detectors else (0.0, 0.0)
        return Pass(self.readings, self.evaluations, self.batch, self.region, self.doubt, watch, self.stopped is not None, self.error)

    def report(self) -> list[Verdict]:
        """One verdict per image, read from the device here and only here."""
        return verdicts(self.seen())
