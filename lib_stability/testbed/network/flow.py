"""Flow models as web UIs sample them: k-diffusion's functions over sigma in (0, 1], with x = (1 - sigma) x0 + sigma n and denoised = x - sigma v."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from k_diffusion import sampling
from torch import nn
from tqdm.auto import trange

from .model import FLOW_TIME, SCALE_UNIT, TIMESTEPS, Testbed

#: How far times are moved towards noise, in the training and in the usual schedules.
SHIFT = 3.0
#: Guidance scales that the student learns, and that flow models are calibrated and measured over.
SCALES = (1.0, 8.0)
SCHEDULES = ("simple", "beta", "linear")
#: Both parameters of the distribution that "beta" takes its times from (arXiv 2407.12173).
BETA = 0.6


class FlowDenoiser(nn.Module):
    """The U-Net of a flow model as a k-diffusion denoiser over sigma, which is its time.

    `precision` is the context that the U-Net runs in, see :func:`.sample.precision`.
    """

    def __init__(self, bed: Testbed, precision: Callable) -> None:
        super().__init__()
        self.inner_model, self._precision = bed.unet, precision

    def forward(self, x: torch.Tensor, sigma: torch.Tensor, context: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
        """The denoised prediction of latents at noise levels `sigma`, ``(batch,)``; a distilled model is told the `scale` of each image."""
        with self._precision():
            told = {} if scale is None else {"class_labels": SCALE_UNIT * scale}
            velocity = self.inner_model(x, FLOW_TIME * sigma, context, **told).sample.float()
        return x - sigma.view(-1, 1, 1, 1) * velocity


def shifted(t: torch.Tensor, shift: float = SHIFT) -> torch.Tensor:
    """Times in 0..1 moved towards noise: ``shift t / (1 + (shift - 1) t)`` (arXiv 2403.03206, section 5.3.2)."""
    return shift * t / (1 + (shift - 1) * t)


def _beta(share: np.ndarray) -> np.ndarray:
    """Quantiles of the beta distribution."""
    from scipy.stats import beta  # half a second to load, and only one schedule wants it

    return beta.ppf(share, BETA, BETA)


def sigmas(schedule: str, steps: int) -> torch.Tensor:
    """Noise levels of a schedule, ``(steps + 1,)``, from 1 to 0.

    "simple" and "beta" choose among the thousand shifted levels of the model as ComfyUI and Forge do, evenly and with most at both ends; "linear" has
    even ones without a shift, as models of few steps are sampled.
    """
    share = torch.arange(steps, dtype=torch.float64) / steps
    if schedule == "linear":
        found = 1 - share
    else:
        table = shifted(torch.arange(1, TIMESTEPS + 1, dtype=torch.float64) / TIMESTEPS)
        last = TIMESTEPS - 1
        places = last - (share * TIMESTEPS).long() if schedule == "simple" else torch.from_numpy(_beta(1 - share.numpy())).mul(last)
        found = table[places.round().long()]
    return torch.cat([found, torch.zeros(1, dtype=torch.float64)]).float()


@torch.no_grad()
def sample_euler_ancestral(model, x: torch.Tensor, sigmas: torch.Tensor, callback=None, disable=None) -> torch.Tensor:
    """Euler's method with fresh noise after each step, as much as k-diffusion's adds.

    It is that of ``x / (1 - sigma)`` at the noise level ``sigma / (1 - sigma)``: there the part of the old noise that a step to a level r times as
    high keeps is r. Pure noise has r = 0.
    """
    ones = x.new_ones(len(x))
    for i in trange(len(sigmas) - 1, disable=disable):
        here, there = sigmas[i], sigmas[i + 1]
        denoised = model(x, here * ones)
        noise = (x - (1 - here) * denoised) / here
        kept = (there * (1 - here)) / (here * (1 - there))
        noise = kept * noise + (1 - kept**2).sqrt() * torch.randn_like(x)
        x = denoised if there == 0 else (1 - there) * denoised + there * noise
        if callback is not None:
            callback({"x": x, "i": i, "sigma": here, "denoised": denoised})
    return x


#: Name as the web UIs show it: function and how many model evaluations it makes per step.
SAMPLERS: dict[str, tuple[Callable, int]] = {
    "Euler": (sampling.sample_euler, 1),
    "Euler a": (sample_euler_ancestral, 1),
    "Heun": (sampling.sample_heun, 2),
    "DPM2": (sampling.sample_dpm_2, 2),
    "LMS": (sampling.sample_lms, 1),
    "DPM++ 2M": (sampling.sample_dpmpp_2m, 1),
}
