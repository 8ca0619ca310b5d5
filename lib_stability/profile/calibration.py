"""Calibration: record ordinary reference runs, fit the watch and the probe region of a model from them."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from datetime import date
from functools import partial

import numpy as np
import torch

from ..guard.norms import Norms, measure
from ..guard.probe import REFERENCE_GUIDANCE, looks
from ..guard.region import StabilityRegion, Trajectory
from ..sentences import Sentence
from ..version import __version__
from .profiles import FEW, Model, Profile

#: Guidance scales that reference runs are spread over.
GUIDANCE_RANGE = (1.0, 15.0)
#: Likewise of the scale that a distilled model is told, and the one that its probe looks at: among those that such models are used at, and the least
#: that a profile may have.
DISTILLED_RANGE, DISTILLED_REFERENCE = (1.0, 10.0), 5.0
#: What is said of one that rests on few runs.
CAUTION = (
    "Only {runs} reference runs: below {few} the thresholds, above all those of Low and of strong, rest on extrapolation. "
    "That is a trial, which serves only where it is chosen by name. Take 200 for keeps."
)


def caution(runs: int) -> str:
    """What to say of a calibration from so few `runs`; "" from :data:`FEW` on."""
    if runs >= FEW:
        return ""
    return Sentence(CAUTION, runs=runs, few=FEW)


class Recorder:
    """Stands where a guard would stand in one sampling pass and only records norms: of the guided and of the virtual prediction.

    Both norms are those of :func:`.norms.measure`. Nothing waits for the device until :meth:`trajectories`.

    Parameters
    ----------
    parameterisation : "sigma" or "flow"
        That of the sampler, see :data:`.norms.PARAMETERISATIONS`.
    probe_guidance : float
        Scale of the virtual prediction.

    Examples
    --------
    Two images over two evaluations; the predictions would be a model's own.

    >>> import torch
    >>> from lib_stability import Recorder
    >>> recorder = Recorder()
    >>> for sigma in (10.0, 1.0):
    ...     x, denoised = torch.randn(2, 4, 8, 8) * (1 + sigma**2) ** 0.5, torch.randn(2, 4, 8, 8)
    ...     denoised = recorder.step(x, denoised, torch.full((2,), sigma), guidance=7.5)
    >>> watch, probe = recorder.trajectories()
    >>> len(watch), watch[0].sigma.tolist(), watch[0].clean.shape, probe
    (2, [10.0, 1.0], (2,), [])

    From a few hundred such runs over guidance 1 to 15, ``StabilityRegion().fit(watch)`` makes a region and :func:`fit_profile` a profile.
    """

    def __init__(self, parameterisation: str = "sigma", probe_guidance: float = REFERENCE_GUIDANCE) -> None:
        self.parameterisation, self.probe_guidance = parameterisation, probe_guidance
        self._rows: list[tuple[torch.Tensor, torch.Tensor, Norms, Norms | None]] = []

    def step(
        self, x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, guidance: float | torch.Tensor, virtual: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Record one evaluation; returns `denoised`, untouched.

        Parameters
        ----------
        x : tensor of shape ``(batch, ...)``
            Latent that the model saw, any float dtype.
        denoised : tensor like `x`
            Guided prediction of the clean latent.
        sigma : tensor of shape ``(batch,)``
            Noise levels.
        guidance : float or tensor of shape ``(batch,)``
            Effective guidance scale of this evaluation.
        virtual : tensor like `x`, optional
            The probe's virtual prediction, see :func:`.probe.virtual`.
        """
        sigma = sigma.float()
        scale = guidance if isinstance(guidance, torch.Tensor) else torch.full_like(sigma, guidance)
        probed = None if virtual is None else measure(x, virtual, sigma, self.parameterisation)
        self._rows.append((sigma, scale, measure(x, denoised, sigma, self.parameterisation), probed))
        return denoised

    def trajectories(self) -> tuple[list[Trajectory], list[Trajectory]]:
        """One trajectory per image for the watch, and for the probe (empty where an evaluation came without a virtual prediction).

        Float64 arrays of shape ``(evaluations,)``, read from the device here and only here.

        Raises
        ------
        RuntimeError
            Nothing was recorded, or the batch changed its size.
        """
        sigmas, scales, guided, virtual = zip(*self._rows) if self._rows else ((),) * 4
        sigma, scale = _on_host(sigmas), _on_host(scales)

        def of(norms: Sequence[Norms | None], guidance: np.ndarray) -> list[Trajectory]:
            seen = [one for one in norms if one is not None]
            if len(seen) < len(norms):
                return []
            rate, clean = (_on_host(column) for column in zip(*seen))
            return [Trajectory(sigma[:, i], guidance[:, i], rate[:, i], clean[:, i]) for i in range(sigma.shape[1])]

        return of(guided, scale), of(virtual, np.full_like(scale, self.probe_guidance))


def _on_host(rows: Sequence[torch.Tensor]) -> np.ndarray:
    return torch.stack(list(rows)).cpu().double().numpy()


def spread_guidance(count: int, low: float = GUIDANCE_RANGE[0], high: float = GUIDANCE_RANGE[1]) -> np.ndarray:
    """`count` guidance scales evenly over the range, in an order that any leading part of them also covers (van der Corput)."""
    order = [int(f"{i:032b}"[::-1], 2) / 2**32 for i in range(count)]
    return low + (high - low) * np.array(order)


def prompts_hash(prompts: Sequence[str]) -> str:
    """SHA-256 of the sorted prompts, so that a profile tells which set it was made from without holding it."""
    return hashlib.sha256("\n".join(sorted(prompts)).encode()).hexdigest()


def fit_profile(
    name: str, model: Model, watch: list[Trajectory], probe: list[Trajectory], prompts: Sequence[str], parameterisation: str = "sigma", **provenance
) -> Profile:
    """Fit both regions to reference runs and state where they come from; the probe's runs are all at one scale, which the profile keeps."""
    region, judging = StabilityRegion(parameterisation).fit(watch), StabilityRegion(parameterisation)
    return Profile(
        name,
        "calibrated",
        model,
        region,
        judging.fit(probe, looks=partial(looks, rule=judging.score, flow=parameterisation == "flow")) if probe else None,
        probe_guidance=float(np.mean(probe[0].guidance)) if probe else REFERENCE_GUIDANCE,
        provenance={
            "prompts_sha256": prompts_hash(prompts),
            "prompts": len(set(prompts)),
            "runs": len(watch),
            **provenance,
            "date": date.today().isoformat(),
            "software": f"memorization-guard {__version__}, torch {torch.__version__.split('+')[0]}, python {platform.python_version()}",
        },
    )
