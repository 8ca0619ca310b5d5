"""The guard of one sampling pass: every evaluation goes through the detectors, flagged images through the damper.

Nothing here waits for the device: all state is ``(batch,)``-shaped tensors on the latent's device, read once by :meth:`Guard.report`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from .acting import Acting
from .dampers import Damper, damper_for
from .detectors import Detector, detectors
from .detectors.parts import Apart
from .evaluation import Evaluation, checked
from .judging import Judging
from .norms import rms
from .options import Options
from .probe import Probe
from .readings import Pass, Reading
from .recalling import Recalled
from .region import StabilityRegion
from .rewording import Rewording
from .trouble import EVALUATION, Trouble
from .verdict import Verdict, verdicts

#: The doubt about a watch whose region was fitted with another negative prompt.
UNKNOWN_NEGATIVE = "no probe and a negative prompt that the region does not know"


class Guard:
    """One sampling pass of one batch: every model evaluation is shown to :meth:`step`, the verdicts are read at the end.

    Norms and score follow Broken Memories (arXiv 2605.22050), taken per evaluation instead of per step of one scheduler, see :mod:`.norms` and
    :class:`.deviation.ZScores`.

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
    apart : callable, optional
        Where prompts have parts: see :data:`.detectors.parts.Apart`.
    recalled : sequence of Recalled or None, optional
        Of every image what another guard, under which it was sampled before, has found out: it is damped from the first evaluation on. None for an
        image that is to be treated like any other.

    Raises
    ------
    ValueError
        A region of the other parameterisation.

    Examples
    --------
    Two images over three evaluations, with made-up predictions: what the second image's add to the latent is ten times as large as the first's.

    >>> import torch
    >>> from lib_stability import Guard, Options, choose_profile, load_profiles
    >>> from lib_stability.profile.storage import BUNDLED
    >>> profile, why = choose_profile(load_profiles([BUNDLED])[0], family="sd1")
    >>> guard = Guard(profile.watch, Options(mode="damp", sensitivity="medium"))
    >>> for sigma in (14.0, 5.0, 1.0):
    ...     x = torch.randn(2, 4, 64, 64) * (1 + sigma**2) ** 0.5
    ...     guided = torch.randn(2, 4, 64, 64) * torch.tensor([0.5, 5.0]).view(2, 1, 1, 1)
    ...     denoised = guard.step(x, x / (1 + sigma**2) + guided, torch.full((2,), sigma), guidance=7.5)
    >>> [(verdict.verdict, verdict.flagged_at, verdict.damped) for verdict in guard.report()]
    [('stable', None, 0), ('strong', 1, 3)]
    """

    def __init__(
        self,
        region: StabilityRegion | None,
        options: Options = Options(),
        probe: Probe | None = None,
        parameterisation: str = "sigma",
        doubt: str = "",
        rewording: Rewording | None = None,
        apart: Apart | None = None,
        recalled: Sequence[Recalled | None] = (),
    ) -> None:
        for one in (region, probe.region if probe else None):
            if one is not None and one.parameterisation != parameterisation:
                raise ValueError(f"region: fitted in the parameterisation {one.parameterisation!r}, this pass runs in {parameterisation!r}")
        self.region, self.options, self.probe, self.parameterisation, self.doubt = region, options, probe, parameterisation, doubt
        self.trouble, self.evaluations, self.batch, self._elements = Trouble(), 0, 0, 0
        self.readings: list[Reading] = []
        looking = detectors(region, probe, options.sensitivity, options.tau, doubt, apart) if region else []
        finished = None if options.mode == "stop" else region
        self._judging = Judging(looking, self.trouble, options.locate, finished, options.mode == "damp", probe)
        damper = damper_for(options.mode, options.damping, region, looking, rewording) if region else None
        self._acting = Acting(damper, self.trouble)
        self._acting.recall(recalled)
        #: Whether another guard has gone on with the pass: what is still to be seen is that one's to see.
        self._succeeded = False

    def step(
        self,
        x: torch.Tensor,
        denoised: torch.Tensor,
        sigma: torch.Tensor,
        guidance: float | torch.Tensor,
        difference: Callable[[], torch.Tensor | None] | None = None,
        plain: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Judge one model evaluation; returns `denoised`, damped where an image is flagged and the mode is "damp".

        Parameters
        ----------
        x : tensor of shape ``(batch, ...)``
            Latent that the model saw, any float dtype.
        denoised : tensor like `x`
            Guided prediction of the clean latent. It is not written to; what is returned has its dtype.
        sigma : tensor of shape ``(batch,)``
            Noise levels.
        guidance : float or tensor of shape ``(batch,)``
            Effective guidance scale of this evaluation.
        difference : callable, optional
            Gives :attr:`.Evaluation.difference`, if a detector asks for it; called while this lasts, if at all.
        plain : bool tensor of shape ``(batch,)``, optional
            Images whose `denoised` is what plain guidance makes of the model's predictions: the watch judges no other. Without it all are.

        An exception in here is logged and disturbs no other part: a detector that fails is not asked again, a damper that fails hands over to the
        next cheaper one. What was flagged stays flagged; what was not cannot be called stable any more.
        """
        self.batch, before, self._elements = max(self.batch, len(x)), len(self.readings), x.numel() // max(len(x), 1)
        try:
            if self.region is None:
                return denoised
            batch = len(self.readings[0].sigma) if self.readings else len(x)
            return self._step(checked(self.evaluations, batch, x, denoised, sigma, guidance, self.parameterisation, difference, plain))
        except Exception as error:
            self.trouble.note(EVALUATION, error)
            self.trouble.missed += len(self.readings) == before
            return self._acting.unseen(denoised)
        except BaseException:  # passes through; what was in sight is no whole pass
            self.trouble.cut_short = self.trouble.cut_short or "interrupted"
            raise
        finally:
            self.evaluations += 1

    def _step(self, evaluation: Evaluation) -> torch.Tensor:
        try:
            self._judging.judge(evaluation)
        finally:  # a flag outlives whatever ends its evaluation, an interruption among it
            judged = {name: one.kept() for name, one in evaluation.judged.items()}
            self.readings.append(Reading(evaluation.sigma, evaluation.guidance, judged, plain=evaluation.plain))
        result, acted = self._acting.act(evaluation)
        finite = None if evaluation.watched else torch.isfinite(rms(evaluation.denoised))
        self.readings[-1] = self.readings[-1]._replace(acted=acted, finite=finite)
        return result

    @property
    def error(self) -> str | None:
        """The first error in this pass, None where there was none."""
        return self.trouble.error

    def miss(self, error: Exception, batch: int = 0) -> None:
        """One evaluation, of `batch` images, could not be shown to this guard; whoever found out says so, and has logged the error."""
        self.trouble.judging.setdefault(EVALUATION, type(error).__name__)
        self.trouble.missed += 1
        self.batch, self.evaluations = max(self.batch, batch), self.evaluations + 1

    def succeed(self, before: Guard) -> None:
        """Take over from the guard that watched the pass up to here, where another model goes on with the same images."""
        before._succeeded = True
        self._judging.succeed(before._judging)
        self._acting.succeed(before._acting)

    @property
    def detectors(self) -> list[Detector]:
        """Those that look, in their order."""
        return self._judging.detectors

    @property
    def damper(self) -> Damper | None:
        """The one that serves now, None where nothing is changed."""
        return self._acting.damper

    @property
    def stopped(self) -> torch.Tensor | None:
        """The mask ``(batch,)`` of images that mode "stop" has blanked, None before the first evaluation that was judged in that mode."""
        return self._acting.stopped

    def maps(self) -> list[np.ndarray | None]:
        """Where the memorized part of each flagged image is, see :func:`.finished.joined`; None for one that was not. Read from the device here and
        only here."""
        return self._judging.maps(self.batch)

    def seen(self) -> Pass:
        """All that was seen up to here, for :func:`.history.history`; nothing is read from the device."""
        last = self.readings[-1] if self.readings else None
        awaited = last is not None and not self._succeeded and self._judging.awaits(self.evaluations, last)
        stopping, watched = self.stopped is not None, self._judging.watched
        return Pass(
            self.readings, self.evaluations, self.batch, self.region, self.doubt, watched, stopping, awaited, self.trouble, elements=self._elements
        )

    def recalled(self) -> list[Recalled | None]:
        """Of every flagged image what a guard needs under which it is sampled again; waits for the device."""
        return self._acting.recalled(self.batch)

    def report(self) -> list[Verdict]:
        """One verdict per image, read from the device here and only here."""
        seen = self.seen()
        seen.carriers, seen.bare, seen.likeness = self._acting.carriers(), self._acting.bare(), self._acting.likeness()
        return verdicts(seen)
