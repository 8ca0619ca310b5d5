"""Where in the finished picture: how far apart prompt and negative prompt still are at each position at a run's last evaluations.

At low noise the two predictions of an ordinary run hardly differ; where a memorized picture shows they do. The field is
``|eps_c - eps_u| = |D_c - D_u| / sigma``, which at the last step localises templates of Stable Diffusion 1.4 (Kim and Lee, arXiv 2605.26756: IoU
.83). Here it is the mean square over the last three evaluations, divided by what ordinary runs have, which the region knows: the squared rate is
``a + b w + c w**2``, and its last part is that of the difference, ``c = RMS(eps_c - eps_u)**2 (1 + sigma**2)`` (flow: of the velocities' difference).
"""

from __future__ import annotations

from collections import deque

import numpy as np
import torch

from .locality import smooth
from .norms import noise
from .region import StabilityRegion

#: Evaluations that are kept.
LATE = 3
#: Noise (per unit of picture) above which the last evaluation is none of a finished picture.
FINISHED = 1.0
#: A region whose guidance scales span less does not know what they multiply.
SPAN = 1.5
#: Least share of its median at low noise that the ordinary difference is taken for, where a fit says less.
FLOOR = 0.5


class Finishing:
    """What one pass keeps: the last evaluations' differences. Nothing here is computed, and nothing waits for the device, until :meth:`maps`."""

    def __init__(self, region: StabilityRegion) -> None:
        self.region = region
        self._kept: deque[tuple[torch.Tensor, torch.Tensor]] = deque(maxlen=LATE)

    def add(self, difference: torch.Tensor | None, sigma: torch.Tensor) -> None:
        """Keep one evaluation.

        Parameters
        ----------
        difference : tensor of shape ``(batch, channels, ..., h, w)`` or None
            See :attr:`.evaluation.Evaluation.difference`; without it there is no map unless later evaluations have it.
        sigma : float32 tensor of shape ``(batch,)``
        """
        if difference is None or difference.ndim < 4:
            self._kept.clear()
            return
        if self._kept and self._kept[0][0].shape != difference.shape:
            self._kept.clear()
        self._kept.append((difference, sigma))

    def maps(self) -> list[np.ndarray | None]:
        """The map of each image, float32 ``(h, w)``, 1 where it is as in ordinary runs; None for one that did not come to its end. Waits for the
        device."""
        low, high = self.region.guidance_
        if not self._kept or high < SPAN * low:
            return []
        levels = torch.stack([sigma for _, sigma in self._kept]).cpu().double()
        ordinary = ordinary_difference(self.region, levels.numpy()) * levels.numpy()
        if not np.isfinite(ordinary).all() or (ordinary <= 0).any():
            return []
        weight = torch.from_numpy(ordinary**-2.0).float()
        energies = (one.cpu().float().square().mean(tuple(range(1, one.ndim - 2))) for one, _ in self._kept)
        total = sum(energy * one.view(-1, 1, 1) for energy, one in zip(energies, weight))
        found = smooth(total / len(self._kept)).sqrt()
        left = noise(levels[-1], self.region.parameterisation).tolist()
        return [one.numpy() if level <= FINISHED else None for one, level in zip(found, left)]


def ordinary_difference(region: StabilityRegion, sigma: np.ndarray) -> np.ndarray:
    """RMS of ``(D_c - D_u) / sigma`` of ordinary runs at noise levels, float64 arrays of one shape."""
    levels, square = region.levels, region.curves_["rate"].coefficients[:, 2]
    if region.parameterisation == "sigma":
        square = square / (1 + levels**2)
    late = square[levels <= max(FINISHED, levels.min())]
    return np.sqrt(np.maximum(np.interp(sigma, levels, square), FLOOR * max(float(np.median(late)), 0.0)))


def joined(inflated: np.ndarray | None, finished: np.ndarray | None, steered: bool) -> np.ndarray | None:
    """One map of an image from that of what was inflated (:meth:`.locality.Locator.maps`) and that of its last evaluations.

    Their geometric mean, of what was inflated and still differs, finds a part better than either (``python -m lib_stability testbed locate``). Of an
    image that was steered away the last ones alone tell what the finished picture shows; without them there is what was inflated.
    """
    if inflated is None or finished is None or inflated.shape != finished.shape:
        return inflated
    return finished if steered else np.sqrt(inflated * finished)
