"""One model evaluation on its way through a guard: what the sampler handed over, and what the detectors have found in it so far."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch

from .deviation import Expected
from .norms import per_sample
from .readings import Judged
from .region import StabilityRegion


class Evaluation:
    """Held while the evaluation lasts, by nobody afterwards.

    Parameters
    ----------
    number : int
        From 0.
    x, denoised : tensors of shape ``(batch, ...)``
        Latent and guided prediction; not written to.
    sigma : float32 tensor of shape ``(batch,)``
    guidance : float or float32 tensor of shape ``(batch,)``
    parameterisation : "sigma" or "flow"
    difference : callable, optional
        See :attr:`difference`, which it gives.
    plain : bool tensor ``(batch,)``, optional
        See :meth:`.guard.Guard.step`.

    Attributes
    ----------
    judged : dict of Judged
        By detector, in the order in which they looked.
    unstable : bool tensor ``(batch,)`` or None
        By any detector; None while none has judged.
    source : tensor like `x`, and `size`, its RMS ``(batch,)`` or None
        The prediction that shows what an unstable image is pulled to: the probe's where the probe finds it so, else the guided one.
    """

    def __init__(
        self,
        number: int,
        x: torch.Tensor,
        denoised: torch.Tensor,
        sigma: torch.Tensor,
        guidance: float | torch.Tensor,
        parameterisation: str,
        difference: Callable[[], torch.Tensor | None] | None = None,
        plain: torch.Tensor | None = None,
    ) -> None:
        self.number, self.x, self.denoised, self.sigma, self.guidance, self.plain = number, x, denoised, sigma, guidance, plain
        self.parameterisation, self._ask_difference = parameterisation, difference
        self.judged: dict[str, Judged] = {}
        self.unstable: torch.Tensor | None = None
        self.source = denoised
        self.size: torch.Tensor | None = None
        self._expected: Expected | None = None

    def add(self, name: str, judged: Judged) -> None:
        """Take in what a detector found."""
        self.judged[name] = judged
        if self.unstable is None or self.size is None:
            self.unstable, self.size = judged.unstable, judged.norms.clean
        else:
            self.unstable = self.unstable | judged.unstable
            self.size = torch.where(judged.unstable, judged.norms.clean, self.size)
        if judged.prediction is not None and judged.prediction is not self.denoised:
            self.source = torch.where(per_sample(judged.unstable, self.x), judged.prediction, self.source)

    def expected(self, region: StabilityRegion) -> Expected:
        """What ordinary guided predictions have here, by the watch's region: looked up once, by the watch where it looked."""
        if self._expected is None:
            self._expected = region.look_up(self.sigma, self.guidance)
        return self._expected

    @cached_property
    def difference(self) -> torch.Tensor | None:
        """The prediction for the prompt less that for the negative prompt, like `x`: what guidance multiplies. None where the sampler has not got
        both; it costs no model evaluation."""
        return None if self._ask_difference is None else self._ask_difference()

    @property
    def watched(self) -> Judged | None:
        """What was found in the guided prediction itself."""
        return next((one for one in self.judged.values() if one.prediction is self.denoised), None)


def checked(
    number: int,
    batch: int,
    x: torch.Tensor,
    denoised: torch.Tensor,
    sigma: torch.Tensor,
    guidance: float | torch.Tensor,
    parameterisation: str,
    difference: Callable[[], torch.Tensor | None] | None = None,
    plain: torch.Tensor | None = None,
) -> Evaluation:
    """The evaluation that a sampler hands over in a pass of `batch` images, noise levels and scales as float32 on the latent's device.

    Raises
    ------
    ValueError, TypeError
        Shapes that do not go together, or guidance that is no number.
    """
    sigma = sigma.to(device=x.device, dtype=torch.float32)
    if len(x) != batch or sigma.shape != (batch,) or denoised.shape != x.shape:
        raise ValueError(f"batch of {batch}: latent {tuple(x.shape)}, prediction {tuple(denoised.shape)}, noise levels {tuple(sigma.shape)}")
    if isinstance(guidance, torch.Tensor):
        if guidance.shape != (batch,):
            raise ValueError(f"guidance: of shape {tuple(guidance.shape)} for a batch of {batch}")
        guidance = guidance.to(device=x.device, dtype=torch.float32)
    elif not isinstance(guidance, (int, float)):
        raise TypeError(f"guidance: {guidance!r} is no number")
    return Evaluation(number, x, denoised, sigma, guidance, parameterisation, difference, plain)
