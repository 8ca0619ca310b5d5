"""What is kept of each run with a LoRA on: its norms, how sharp its landscape is at first, its prediction half-way, how that differs from the base
model's, and its picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...guard.norms import Norms
from ...guard.region import StabilityRegion, Trajectory
from ...profile.calibration import Recorder
from ..network import finished
from ..network.model import Testbed
from ..network.sample import GuidedDenoiser, sample
from ..rivals import jeon

STEPS, GUIDANCE = 20, 7.5
#: The evaluation whose prediction seeds are compared at, from 1 on.
EARLY = 8
SIZE = 48
#: Runs of other captions that each is held against.
BANK = 48


@dataclass
class Runs:
    """Norms of each run, and of all: early predictions and finished latents ``(n, 4, 16, 16)``, the difference to the base, pictures, sharpness."""

    norms: list[Trajectory]
    early: torch.Tensor
    latents: torch.Tensor
    from_base: np.ndarray
    pixels: torch.Tensor
    sharpness: np.ndarray

    def part(self, which: slice) -> Runs:
        """Some of the runs."""
        return Runs(self.norms[which], self.early[which], self.latents[which], self.from_base[which], self.pixels[which], self.sharpness[which])


class _Watcher:
    """Records norms, and at one evaluation the guided prediction and how far the base's own for the same latent and prompt lies from it."""

    def __init__(self, model: GuidedDenoiser, base: GuidedDenoiser) -> None:
        self.model, self.base, self.recorder, self.count = model, base, Recorder(), 0
        self.early = self.from_base = self.sharpness = torch.empty(0)

    def step(self, x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, guidance: float) -> torch.Tensor:
        self.count += 1
        if self.count == 1:
            self.sharpness = _sharpness(self.model, x, sigma)
        if self.count == EARLY:
            theirs = self.base.denoiser(x, sigma, context=self.base.conditional)
            self.early, self.from_base = denoised.clone(), (self.model.predictions[0] - theirs).square().mean((1, 2, 3)).sqrt()
        return self.recorder.step(x, denoised, sigma, guidance)


def _sharpness(model: GuidedDenoiser, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Of Jeon et al., see :mod:`..rivals.jeon`, on the initial noise: ``(batch,)``."""
    sigma = sigma.expand(len(x))
    level = (1 + sigma.square()).sqrt().view(-1, 1, 1, 1)
    t, contexts = model.denoiser.sigma_to_t(sigma), torch.cat([model.conditional, model.empty])

    def score(z: torch.Tensor) -> torch.Tensor:
        told, untold = model.bed.unet(torch.cat([z, z]), torch.cat([t, t]), contexts).sample.chunk(2)
        return (untold - told) * level / sigma.view(-1, 1, 1, 1)

    z = x / level
    return jeon.sharpness(score, z, score(z))


@torch.inference_mode()
def generate(bed: Testbed, base: Testbed, captions: Sequence[str], seed: int, tick: Callable[[int], None] = lambda n: None) -> Runs:
    """Sample captions with `bed`, each from its own seed; `base` is the same model without the network."""
    parts: list[tuple] = []
    for first in range(0, len(captions), SIZE):
        some = captions[first : first + SIZE]
        watchers: list[_Watcher] = []

        def watch(model: GuidedDenoiser, watchers: list[_Watcher] = watchers) -> _Watcher:
            watchers.append(_Watcher(model, GuidedDenoiser(base, model.captions, model.negatives, 1.0)))
            return watchers[0]

        done = sample(bed, some, range(seed + first, seed + first + len(some)), "Euler", STEPS, GUIDANCE, watch=watch)
        one = watchers[0]
        pixels = finished.pictures(bed, done.latents)
        parts.append((one.recorder.trajectories()[0], one.early, done.latents, one.from_base.numpy(), pixels, one.sharpness.numpy()))
        tick(len(some))
    norms, early, latents, from_base, pixels, sharpness = zip(*parts)
    flat = [run for some in norms for run in some]
    return Runs(flat, torch.cat(early), torch.cat(latents), np.concatenate(from_base), torch.cat(pixels), np.concatenate(sharpness))


def scores(region: StabilityRegion, runs: Sequence[Trajectory]) -> np.ndarray:
    """The highest score of each run against a region: ``(runs,)``. All have the same noise levels."""
    rate, clean, sigma, guidance = (
        torch.from_numpy(np.stack([np.broadcast_to(getattr(run, name), run.sigma.shape) for run in runs])).float()
        for name in ("rate", "clean", "sigma", "guidance")
    )
    found = [region.z_scores(Norms(rate[:, i], clean[:, i]), sigma[:, i], guidance[:, i]).score for i in range(sigma.shape[1])]
    return torch.stack(found, 1).nan_to_num(-torch.inf).amax(1).double().numpy()


def agreement(latents: torch.Tensor, groups: Sequence[int]) -> np.ndarray:
    """Mean correlation of each run with the others of its group (other seeds of its caption): ``(runs,)``."""
    rows = latents.flatten(1)
    rows = torch.nn.functional.normalize(rows - rows.mean(1, keepdim=True), dim=1)
    same = torch.tensor(groups)[:, None] == torch.tensor(groups)[None]
    same.fill_diagonal_(False)
    return ((rows @ rows.T * same).sum(1) / same.sum(1)).double().numpy()
