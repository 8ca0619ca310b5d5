"""Means over predictions of which each counts for some of the images."""

from __future__ import annotations

import torch

from .norms import per_sample


class Sums:
    """Mean of the predictions that count, by image; nothing is allocated before there is one."""

    def __init__(self) -> None:
        self._sums: tuple[torch.Tensor, torch.Tensor] | None = None

    def add(self, prediction: torch.Tensor, good: torch.Tensor) -> None:
        """A prediction, and the mask ``(batch,)`` of images that it counts for."""
        if self._sums is None:
            self._sums = torch.zeros_like(prediction, dtype=torch.float32), torch.zeros(len(good), device=good.device)
        total, count = self._sums
        total += torch.where(per_sample(good, total), prediction.float(), 0.0)
        count += good

    def mean(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Means and the mask of images that have one; None where nothing was added."""
        if self._sums is None:
            return None
        total, count = self._sums
        return total / per_sample(count.clamp_min(1.0), total), count > 0
