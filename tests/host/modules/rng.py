"""Noise of every image of a batch from its own seed, mixed with that of its variation seed."""

from __future__ import annotations

import torch
from modules import shared


def _drawn(seed: int, size) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(int(seed)))


def _between(share: float, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """On the arc from one to the other."""
    angle = torch.acos((one / one.norm() * (other / other.norm())).sum().clamp(-1, 1))
    return (torch.sin((1 - share) * angle) * one + torch.sin(share * angle) * other) / torch.sin(angle)


class ImageRNG:
    def __init__(self, shape, seeds, subseeds=None, subseed_strength=0.0, seed_resize_from_h=0, seed_resize_from_w=0):
        self.shape, self.seeds, self.subseeds, self.subseed_strength = tuple(map(int, shape)), seeds, subseeds, subseed_strength
        self.seed_resize_from_h, self.seed_resize_from_w = seed_resize_from_h, seed_resize_from_w
        self.generators = self._generators(0)
        self.is_first = True

    def _generators(self, delta: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(int(seed) + delta) for seed in self.seeds]

    def first(self):
        noise = torch.stack([torch.randn(self.shape, generator=generator) for generator in self.generators])
        if self.subseeds is not None and self.subseed_strength:
            mixed = zip(noise, (_drawn(seed, self.shape) for seed in self.subseeds))
            noise = torch.stack([_between(self.subseed_strength, one, other) for one, other in mixed])
        if shared.opts.eta_noise_seed_delta:
            self.generators = self._generators(shared.opts.eta_noise_seed_delta)
        return noise

    def next(self):
        if self.is_first:
            self.is_first = False
            return self.first()
        return torch.stack([torch.randn(self.shape, generator=generator) for generator in self.generators])

    def next_like(self, x):
        return torch.stack([torch.randn(x.shape[1:], generator=generator) for generator in self.generators])
