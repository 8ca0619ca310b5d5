"""The mitigation of Broken Memories as published (Huang et al., KDD 2026, arXiv 2605.22050), with the tables of :mod:`.broken_memories`.

A step is unstable where the deviations of ``|delta|`` and ``|z0|`` both exceed `mild`. The first unstable step classifies the run: strong where the
deviation of ``|z0|`` exceeds `strong`, else mild. On unstable steps the clean prediction z0 is rescaled to the table's mean norm: in a mild run only
during the first `share` of the steps (the paper: 10 of 50), in a strong one at any step. In a strong run the update delta = z_new - z_old of such a
step is then clamped to within `gamma` deviations of its mean norm, and after that z_new itself.

No code is public. Assumed: whether a step is unstable has to be known before it is taken, so delta is that of a first-order step from the guided
prediction, which for DDIM and Euler is the sampler's own; the clamps act on the step that the sampler then really took; after the last step only
delta is clamped, since the tables hold no norm of the finished latent. One evaluation per step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...guard.norms import per_sample
from ..network.batches import batches
from ..network.model import Testbed
from ..network.sample import GuidedDenoiser
from ..network.setting import Setting
from . import broken_memories
from .base import Context, Mitigation
from .broken_memories import Tables, preserving


class Recording:
    """Keeps what tables are fitted to of one batch of plain runs."""

    def __init__(self) -> None:
        self.values: dict[str, list[torch.Tensor]] = {"sigma": [], "latent": [], "clean": []}
        self.latents: list[torch.Tensor] = []

    def step(self, x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, guidance: float) -> torch.Tensor:
        z = preserving(x, sigma)
        self.latents.append(z)
        for name, value in (("sigma", sigma), ("latent", z.flatten(1).norm(dim=1)), ("clean", denoised.flatten(1).norm(dim=1))):
            self.values[name].append(value)
        return denoised

    def finish(self, latents: torch.Tensor) -> dict[str, np.ndarray]:
        """Norms of each step, arrays ``(runs, steps)``."""
        self.values["update"] = list(broken_memories.update_norms(torch.stack([*self.latents, latents])))
        return {name: torch.stack(found, 1).double().numpy() for name, found in self.values.items()}


def fit(bed: Testbed, captions: Sequence[str], setting: Setting, seed: int, tick: Callable[[int], None] = lambda n: None) -> Tables:
    """Tables of one setting from plain runs of ordinary captions."""
    found = []
    seeds = range(seed, seed + len(captions))
    for batch in batches(bed, captions, seeds, [""] * len(captions), lambda model: Recording(), **setting.sampling()):
        found.append(batch.guard.finish(batch.samples.latents))
        tick(batch.count)
    return Tables.fit({name: np.concatenate([one[name] for one in found]) for name in found[0]})


def clamped(tensor: torch.Tensor, mean: float, deviation: float, gamma: float, which: torch.Tensor) -> torch.Tensor:
    """`tensor` with the norm of the samples in the mask `which` brought to within `gamma` deviations of `mean`."""
    norm = tensor.flatten(1).norm(dim=1)
    wanted = norm.clamp(max(mean - gamma * deviation, 0.0), mean + gamma * deviation)
    return torch.where(per_sample(which, tensor), tensor * per_sample(wanted / norm.clamp_min(1e-12), tensor), tensor)


class Damper:
    """Watches one batch, rescales clean predictions and clamps latents; parameters as in the module's text."""

    def __init__(self, tables: Tables, mild: float = 3.0, strong: float = 14.0, gamma: float = 3.0, share: float = 0.2) -> None:
        self.tables, self.mild, self.strong, self.gamma, self.share = tables, mild, strong, gamma, share
        self.index = 0
        self.flagged: torch.Tensor | None = None
        self.is_strong = self._clamp = self._before = None

    @property
    def steps(self) -> int:
        return len(self.tables.levels)

    def _entry(self, name: str, index: int) -> tuple[float, float]:
        return float(self.tables.means[name][index]), float(self.tables.deviations[name][index])

    def step(self, x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, guidance: float) -> torch.Tensor:
        """The clean prediction, rescaled where this step is unstable and the run's class says so."""
        index, norm = self.index, denoised.flatten(1).norm(dim=1)
        self.index += 1
        if self.flagged is None:
            self.flagged = self.is_strong = torch.zeros(len(x), dtype=torch.bool)
        z, (mean, deviation) = preserving(x, sigma), self._entry("clean", index)
        following = sigma.new_full((len(x),), float(np.exp(self.tables.levels[index + 1])) if index + 1 < self.steps else 0.0)
        ahead = preserving(denoised + per_sample(following / sigma, x) * (x - denoised), following)
        update, spread = self._entry("update", index)
        clean_score = (norm - mean) / deviation
        unstable = (((ahead - z).flatten(1).norm(dim=1) - update) / spread > self.mild) & (clean_score > self.mild)
        self.is_strong = self.is_strong | (unstable & ~self.flagged & (clean_score > self.strong))
        self.flagged = self.flagged | unstable
        self._before, self._clamp = z, unstable & self.is_strong
        acting = unstable if index < self.share * self.steps else self._clamp
        return torch.where(per_sample(acting, x), denoised * per_sample(mean / norm.clamp_min(1e-12), x), denoised)

    def correct(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """The latent after a step, clamped where that step was unstable in a strong run."""
        if self._before is None:
            return x
        z, index = preserving(x, sigma), self.index
        moved = self._before + clamped(z - self._before, *self._entry("update", index - 1), self.gamma, self._clamp)
        if index < self.steps:
            moved = clamped(moved, *self._entry("latent", index), self.gamma, self._clamp)
        return torch.where(per_sample(self._clamp, x), moved * per_sample((1 + sigma.square()).sqrt(), x), x)


@dataclass(frozen=True)
class BrokenMemories(Mitigation):
    """As published; `share` is that of the steps in which a mild run is damped."""

    mild: float = 3.0
    strong: float = 14.0
    gamma: float = 3.0
    share: float = 0.2
    name = "Broken Memories"
    trigger = "own"

    def attach(self, model: GuidedDenoiser, context: Context) -> Damper:
        damper = Damper(context.tables, self.mild, self.strong, self.gamma, self.share)
        model.correct = damper.correct
        return damper
