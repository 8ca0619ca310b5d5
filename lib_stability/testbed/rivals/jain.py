"""Guidance outside the attraction basin (Jain et al., "Classifier-Free Guidance inside the Attraction Basin May Cause Memorization", CVPR 2025,
arXiv 2411.16738).

No guidance until the trajectory has left the basin, then the usual scale: ``eps = eps_u + w(t) (eps_c - eps_u)`` with w = `before` up to the
transition point. The *static* transition point is a time step; the *dynamic* one is the first local minimum of ``|eps_c - eps_u|`` over the steps:
guidance starts at the evaluation that shows the norm rising after it fell. *Opposite guidance* takes a negative scale before the transition and so
leaves the basin sooner.

The authors' code: before = 0 and time step 500; opposite -2 and 650. Its dynamic variant has been run with 0 and with 1 before the transition; here
0 stands for "as published" and the other is among what tuning may choose. For the dynamic opposite variant the scale is assumed to be -2 as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...guard.norms import per_sample
from ..network.sample import GuidedDenoiser
from . import wen
from .base import Context, Mitigation


class Transition:
    """Watches one batch and holds the guidance of each image back until its transition point.

    Parameters
    ----------
    model : GuidedDenoiser
        Its predictions are those of the evaluation at hand.
    before : float
        Guidance scale before the transition.
    transition : float, optional
        Time step (0 to 999) from which on guidance acts; without one, the first local minimum decides for each image.
    """

    def __init__(self, model: GuidedDenoiser, before: float, transition: float | None = None) -> None:
        self.model, self.before, self.transition = model, before, transition
        self.passed: torch.Tensor | None = None
        self._norms: list[torch.Tensor] = []

    def step(self, x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, guidance: float) -> torch.Tensor:
        """The prediction with the usual guidance where the transition is past, else with `before`."""
        conditional, unconditional = self.model.predictions
        if self.transition is not None:
            self.passed = self.model.denoiser.sigma_to_t(sigma) <= self.transition
        else:
            self._norms.append(wen.difference(conditional, unconditional) / sigma)
            self.passed = torch.zeros(len(x), dtype=torch.bool) if self.passed is None else self.passed
            if len(self._norms) > 2:
                first, second, third = self._norms[-3:]
                self.passed = self.passed | ((second < first) & (second < third))
        held = torch.lerp(unconditional, conditional, self.before)
        return torch.where(per_sample(self.passed, x), denoised, held)


@dataclass(frozen=True)
class Static(Mitigation):
    """Guidance from a fixed time step on."""

    transition: float = 500.0
    before: float = 0.0
    name = "Jain, static"

    def attach(self, model: GuidedDenoiser, context: Context) -> Transition:
        return Transition(model, self.before, self.transition)


@dataclass(frozen=True)
class StaticOpposite(Static):
    """Opposite guidance up to a fixed time step."""

    transition: float = 650.0
    before: float = -2.0
    name = "Jain, static, opposite"


@dataclass(frozen=True)
class Dynamic(Mitigation):
    """Guidance from the first local minimum of the noise difference on."""

    before: float = 0.0
    name = "Jain, dynamic"

    def attach(self, model: GuidedDenoiser, context: Context) -> Transition:
        return Transition(model, self.before)


@dataclass(frozen=True)
class DynamicOpposite(Dynamic):
    """Opposite guidance up to the first local minimum."""

    before: float = -2.0
    name = "Jain, dynamic, opposite"
