"""Between what a host's denoiser speaks and the (x, denoised, sigma) of the core: timesteps, epsilon, inpainting masks."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from ...guard.norms import per_sample
from . import host

#: Share of the latent that an inpainting mask has to free for its norms to mean anything.
LEAST_COVERAGE = 0.25


class View:
    """How one pass's latents are read and written.

    With an inpainting mask only the freed part is judged: x and denoised are weighted with the mask and scaled up by its root mean square, so
    that their per-element norms are those of the freed part.

    Attributes
    ----------
    coverage : float
        Share of the latent that is free, 1 without a mask. Reading it waits for the device, once a pass and only with a mask.
    """

    def __init__(self, denoiser: object) -> None:
        self.timesteps = host.is_timesteps(denoiser)
        self._free, self.coverage = None, 1.0
        if getattr(denoiser, "mask", None) is not None and getattr(denoiser, "nmask", None) is not None:
            free = denoiser.nmask.float()
            self.coverage = float((free**2).mean())
            self._free, self._scale = free, max(self.coverage, 1e-6) ** 0.5
            self._weight = free / self._scale

    def read(self, call: SimpleNamespace, out: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(x, denoised, sigma) of the core from the host's `call` and `out`, a prediction in the host's terms."""
        x, sigma = call.x, call.sigma
        if self.timesteps:
            alphas = call.denoiser.inner_model.inner_model.alphas_cumprod
            level = alphas.to(sigma.device)[sigma.round().long().clamp(0, len(alphas) - 1)].float()
            sigma = ((1 - level) / level).sqrt()
            x = x.float() / per_sample(level.sqrt(), x)
            out = x - per_sample(sigma, x) * out
        if self._free is not None:
            x, out = x * self._weight, out * self._weight
        return x, out, sigma

    def write(self, call: SimpleNamespace, read: tuple[torch.Tensor, torch.Tensor, torch.Tensor], result: torch.Tensor) -> torch.Tensor:
        """`result`, the core's answer to what was `read`, in the host's terms; what the core left alone keeps its bits."""
        x, denoised, sigma = read
        same, out = result == denoised, call.out
        if self._free is not None:
            if self.timesteps:  # undo the weights of what was read
                x, whole, sigma = self._unmasked(call)
            else:
                whole = out
            result = whole * (1 - self._free) + result * self._scale
        if self.timesteps:
            result = (x - result) / per_sample(sigma, x)
        return torch.where(same, out, result.to(out.dtype))

    def _unmasked(self, call: SimpleNamespace) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        free, self._free = self._free, None
        try:
            return self.read(call, call.out)
        finally:
            self._free = free
