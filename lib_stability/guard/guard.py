"""The guard of one sampling pass: judge every model evaluation of every image, damp the unstable ones.

Nothing here waits for the device: all state is ``(batch,)``-shaped tensors on the latent's device, read once by :meth:`Guard.report`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch

from .damping import Acted, Damping, Marks, Remembered, directional, radial
from .locality import Locator
from .norms import measure, per_sample, rms
from .probe import LEAST_GUIDANCE, Probe
from .region import Expected, StabilityRegion
from .rewording import Rewording
from .sensitivity import PAPER_MILD, Thresholds, check, thresholds
from .verdict import Judged, Reading, Verdict, verdicts

log = logging.getLogger(__name__)
MODES = ("report", "damp", "stop")
#: The doubt about a watch whose region was fitted with another negative prompt.
UNKNOWN_NEGATIVE = "no probe and a negative prompt that the region does not know"
#: No finite deviation exceeds it.
HUGE = torch.finfo(torch.float32).max


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
        self.region, self.options, self.probe = region, options, probe
        self.parameterisation, self.doubt = parameterisation, doubt
        self.rewording = rewording if options.mode == "damp" and options.damping.policy == "reword" else None
        self.watch_limits = thresholds(region, options.sensitivity, options.tau) if region else None
        self.probe_limits = thresholds(probe.region, options.sensitivity, options.tau) if probe else None
        self._widest = float(region.curves_["clean"].spread.max()) if region else 0.0
        self.evaluations = self.batch = 0
        self.error: str | None = None
        self.readings: list[Reading] = []
        self._flagged: Marks | None = None
        self._stopped: torch.Tensor | None = None
        #: By the latent's shape: some samplers (SMEA, Dy) evaluate at another size in between, where a direction of this one means nothing.
        self._remembered: dict[torch.Size, Remembered] = {}
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
        if self.error is not None or self.region is None:
            self.evaluations += 1
            return denoised if self._stopped is None else denoised.masked_fill(per_sample(self._stopped, denoised), 0.0)
        try:
            return self._step(x, denoised, sigma.to(device=x.device, dtype=torch.float32), guidance)
        except Exception as error:
            log.exception("Memorization Guard: an error, this pass goes on without it")
            self.error = f"{type(error).__name__}: {error}"
            return denoised
        finally:
            self.evaluations += 1

    def _step(self, x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, guidance: float | torch.Tensor) -> torch.Tensor:
        guidance = self._checked(x, denoised, sigma, guidance)
        unstable = watched = probed = acted = expected = size = None
        source = result = denoised
        knows = self._watch_can_judge(guidance)
        if knows:
            expected = self.region.look_up(sigma, guidance)
            watched = self._judge(self._within(expected, guidance), self.watch_limits, x, denoised, sigma)
            unstable, size = watched.unstable, watched.norms.clean
            if self._locator:
                self._locator.add(denoised, expected.mean[:, 1], unstable)
        if self.probe and self.probe.wanted(self.evaluations, knows):
            predicted = self.probe.predict(x, sigma)
            usual = self.probe.region.look_up(sigma, self.probe.guidance)
            probed = self._judge(usual, self.probe_limits, x, predicted, sigma)
            if self._locator:
                self._locator.add(predicted, usual.mean[:, 1], probed.unstable)
            unstable = probed.unstable if unstable is None else unstable | probed.unstable
            source = torch.where(per_sample(probed.unstable, x), predicted, denoised)
            size = probed.norms.clean if size is None else torch.where(probed.unstable, probed.norms.clean, size)
        if self.options.mode == "damp" and not (unstable is None and self._flagged is None):
            result, acted = self._damp(denoised, expected or self.region.look_up(sigma, guidance), unstable, source, size, watched)
            if self.rewording and acted:
                result, acted = self._reword(x, sigma, guidance, expected, result, acted)
        elif self.options.mode == "stop" and not (unstable is None and self._stopped is None):
            result = self._stop(denoised, watched, probed)
        self.readings.append(Reading(sigma, guidance, watched, probed, acted))
        return result

    def _checked(self, x, denoised, sigma, guidance) -> float | torch.Tensor:
        batch = len(self.readings[0].sigma) if self.readings else len(x)
        if len(x) != batch or sigma.shape != (batch,) or denoised.shape != x.shape:
            raise ValueError(f"batch of {batch}: latent {tuple(x.shape)}, prediction {tuple(denoised.shape)}, noise levels {tuple(sigma.shape)}")
        if not isinstance(guidance, torch.Tensor):
            return guidance
        if guidance.shape != (batch,):
            raise ValueError(f"guidance: of shape {tuple(guidance.shape)} for a batch of {batch}")
        return guidance.to(device=x.device, dtype=torch.float32)

    @property
    def guidance_range(self) -> tuple[float, float]:
        """Guidance scales that the watch judges."""
        return LEAST_GUIDANCE, 2 * self.region.guidance_[1]

    def _watch_can_judge(self, guidance: float | torch.Tensor) -> bool:
        low, high = self.guidance_range
        return not self.doubt and (isinstance(guidance, torch.Tensor) or low <= guidance <= high)

    def _within(self, expected: Expected, guidance: float | torch.Tensor) -> Expected:
        """A tensor's values are not read here, they count where :meth:`_watch_can_judge` would let a number pass."""
        if not isinstance(guidance, torch.Tensor):
            return expected
        low, high = self.guidance_range
        return expected._replace(inside=expected.inside & (guidance >= low) & (guidance <= high))

    def _judge(self, expected: Expected, limits: Thresholds, x, denoised, sigma) -> Judged:
        measured = measure(x, denoised, sigma, self.parameterisation)
        z = expected.z_scores(measured)
        score = z.score
        # Not above the threshold, or not finite: then the clamp moves it (or NaN differs from itself).
        return Judged(measured, z, z.inside & (score == score.clamp(limits.mild, HUGE)))

    def _damp(self, denoised, expected: Expected, unstable, source, size, watched: Judged | None) -> tuple[torch.Tensor, Acted | None]:
        if unstable is not None:
            if self._flagged is None:
                self._flagged = Marks(len(unstable), unstable.device)
            self._flagged.tensor |= unstable
        if self._flagged.surely_empty:
            return denoised, None
        if self.options.damping.policy == "radial":
            if unstable is None:
                return denoised, None
            return radial(denoised, self._limit(expected), unstable & expected.inside)
        held = self._remembered.get(denoised.shape)
        if held is None:
            held = self._remembered[denoised.shape] = Remembered(denoised)
        release = self.options.damping.release
        length = watched.norms.clean if watched else rms(denoised)
        along, buffer = held.along(denoised)
        acting = along > release * length
        if unstable is not None:  # remembered where nothing is yet, or where it pulls somewhere else
            fresh = held.update(unstable, acting, source, size, buffer)
            if fresh is not None:
                # A prediction lies wholly along the direction that it has just become; along a virtual one only in part, or against it.
                along = along.lerp_(length, fresh) if source is denoised else held.along(denoised)[0].clamp_min(0.0)
                acting = acting | unstable
        gate = self._flagged.tensor & expected.inside
        acting = acting & gate
        taken = torch.where(acting, along, held.zeros)
        limit = self._limit(expected, acting, watched and watched.z.width)
        return directional(denoised, length, taken, limit, gate, self.options.damping.strength, held, buffer)

    def _reword(self, x, sigma, guidance, expected: Expected | None, result: torch.Tensor, acted: Acted) -> tuple[torch.Tensor, Acted]:
        """`expected` is None where the watch cannot judge: then the probe's region judges the versions, if there is one."""
        judging, limits = expected, self.watch_limits
        if expected is None and self.probe:
            judging, limits = self.probe.region.look_up(sigma, self.probe.guidance), self.probe_limits

        def unstable(prediction: torch.Tensor) -> torch.Tensor:
            if judging is None:
                return ~torch.isfinite(rms(prediction))
            judged = self._judge(judging, limits, x, prediction, sigma)
            return judged.unstable | ~judged.finite()

        got = self.rewording.step(x, sigma, self._flagged.tensor, limits is self.probe_limits, unstable, self.evaluations)
        if got is None:
            return result, acted
        mean, found = got
        # A version may be near the memorized picture without being unstable: then it still points there.
        held = self._remembered[result.shape]
        along, buffer = held.along(mean)
        length = rms(mean)
        near = found & (along > self.options.damping.release * length)
        limit = self._limit(expected or self.region.look_up(sigma, guidance), near)
        mean, _ = directional(mean, length, torch.where(near, along, held.zeros), limit, near, self.options.damping.strength, held, buffer)
        return torch.where(per_sample(found, result), mean.to(result.dtype), result), acted._replace(replaced=found)

    def _stop(self, denoised: torch.Tensor, watched: Judged | None, probed: Judged | None) -> torch.Tensor:
        stopped = [] if self._stopped is None else [self._stopped]
        for judged, limits in ((watched, self.watch_limits), (probed, self.probe_limits)):
            if judged:
                stopped.append(judged.unstable & (judged.z.score > limits.strong))
        self._stopped = torch.stack(stopped).any(0)
        return denoised.masked_fill(per_sample(self._stopped, denoised), 0.0)

    def succeed(self, before: Guard) -> None:
        """Take over from the guard that watched the pass up to here, where another model goes on with the same images."""
        self._flagged, self._stopped, self._remembered = before._flagged, before._stopped, before._remembered
        if self._locator and before._locator:
            self._locator = before._locator

    @property
    def stopped(self) -> torch.Tensor | None:
        """The mask ``(batch,)`` of images that mode "stop" has blanked, None before the first evaluation that was judged in that mode."""
        return self._stopped

    def _limit(self, expected: Expected, acting: torch.Tensor | None = None, width: torch.Tensor | None = None) -> torch.Tensor:
        """Largest RMS of a damped prediction ``(batch,)``: the margin counts where directional damping acts, else the limit is the mean.

        `width` is one spread as a norm, ``(batch, 2)``, where it is at hand.
        """
        margin, mean = self.options.damping.limit, expected.mean[:, 1]
        width = mean * expected.spread[:, 1] if width is None else width[:, 1]
        if margin * self._widest > 0.9:
            width = torch.minimum(width, mean * (0.9 / margin))  # at least a tenth of the mean is left
        return torch.sub(mean, width if acting is None else width * acting, alpha=margin)

    def maps(self) -> list[np.ndarray | None]:
        """Where each image was unstable, see :meth:`.locality.Locator.maps`; None for one that was not. Read from the device here and only here."""
        found = self._locator.maps() if self._locator and self.error is None else []
        return found or [None] * self.batch

    def report(self) -> list[Verdict]:
        """One verdict per image, read from the device here and only here."""
        return verdicts(self)
