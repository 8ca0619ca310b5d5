"""The norms of one model evaluation: pure functions of the latent, its guided denoised prediction and the noise level.

Broken Memories (arXiv 2605.22050) watches the norm of the latent update of a scheduler step and the norm of the clean prediction. With
``alpha = 1/sqrt(1 + sigma**2)``, ``s = sigma * alpha`` and ``lambda = -ln sigma`` the variance-preserving latent moves along the probability flow
as ``dz/dlambda = -alpha * s * v``, ``v = alpha * (x - denoised)/sigma - s * denoised``. Since
``alpha * s * dlambda = -d(atan sigma)``, ``RMS(v)`` is the update norm per radian of the noise angle ``atan sigma``, whatever the sampler, its
schedule and its step count; and an RMS does not depend on the latent's size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

#: Noise parameterisations: ``sigma`` is x = x0 + sigma * noise (epsilon and v-prediction), ``flow`` is x = (1 - sigma) * x0 + sigma * noise.
PARAMETERISATIONS = ("sigma", "flow")


class Norms(NamedTuple):
    """Per-image norms of one evaluation, float32 tensors of shape ``(batch,)``.

    rate: RMS of the update per radian of the noise angle (``sigma``), or of the velocity (``flow``).
    clean: RMS of the denoised prediction.
    """

    rate: torch.Tensor
    clean: torch.Tensor


def per_sample(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """View `value` of shape ``(batch,)`` so that it broadcasts over `like` of shape ``(batch, ...)``."""
    return value.view(-1, *(1,) * (like.ndim - 1))


def inner(x: torch.Tensor) -> tuple[int, ...]:
    """All dimensions of `x` but the first."""
    return tuple(range(1, x.ndim))


def rms(x: torch.Tensor) -> torch.Tensor:
    """Root mean square of each sample of `x` of shape ``(batch, ...)``: float32 ``(batch,)``, summed in float32 whatever the dtype of `x`."""
    return torch.linalg.vector_norm(x.float(), dim=inner(x)).mul_((x.shape[0] / max(x.numel(), 1)) ** 0.5)


def axis(sigma: torch.Tensor, parameterisation: str) -> torch.Tensor:
    """Position of a noise level on the axis that regions are tabulated on: ``ln sigma``, or ``ln(sigma / (1 - sigma))`` for flow matching."""
    if parameterisation == "flow":
        return torch.logit(sigma, eps=1e-6)
    return torch.log(sigma)


def noise(sigma: torch.Tensor, parameterisation: str) -> torch.Tensor:
    """Noise per unit of picture at noise levels: ``sigma``, or ``sigma / (1 - sigma)`` for flow matching."""
    return sigma / (1 - sigma).clamp_min(1e-6) if parameterisation == "flow" else sigma


def measure(x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, parameterisation: str = "sigma") -> Norms:
    """Norms of one evaluation.

    Parameters
    ----------
    x : tensor of shape ``(batch, ...)``
        The latent at noise level `sigma`, any float dtype.
    denoised : tensor like `x`
        The prediction of the clean latent, after guidance.
    sigma : tensor of shape ``(batch,)``
        Noise level of each sample, float32.
    parameterisation : "sigma" or "flow"
    """
    if parameterisation == "flow":
        velocity = x.float() - denoised.float()
        return Norms(rms(velocity) / sigma, rms(denoised))
    # v = sqrt(1 + sigma^2)/sigma * (x/(1 + sigma^2) - denoised): no large intermediate at any sigma, and one temporary.
    level = 1 + sigma.square()
    difference = torch.addcdiv(denoised.float(), x.float(), per_sample(level, x), value=-1)
    return Norms(rms(difference).mul_(level.sqrt_().div_(sigma)), rms(denoised))
