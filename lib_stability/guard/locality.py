"""Where in the picture: how large the prediction of a flagged image is at each position, beside what ordinary runs have.

A memorized part is a part of the picture where guidance inflates the prediction. So the map is the RMS of the prediction over channels and a small
window, divided by the region's mean norm at the same noise level and guidance scale; 1 is an ordinary run's norm. It is taken from a pass's first
evaluation, where nothing but the prompt decides what is predicted; where no detector judges that or the pass does not begin in noise, from the
evaluation that flags the image: a damped run's later ones are no longer its own. Where both predictions of the last evaluations are at hand the map
is joined with theirs, see :mod:`.finished` (``python -m lib_stability testbed locate`` compares several maps).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from torch.nn import functional

from ..sentences import spoken

#: A window's side over the shorter side of the latent.
WINDOW = 1 / 16
#: A position counts as memorized where the map exceeds this; ``testbed locate`` chooses 1.62 on captions of its own.
THRESHOLD = 1.6
#: Noise (per unit of picture) from which on a pass begins with nothing of the picture decided.
BEGUN = 8.0
#: Longest side of a map that is kept after a pass.
KEPT_SIDE = 32
#: A part that its middle lies this far from the picture's, in sides, is said to be on that side.
_ASIDE = 0.1


class Locator:
    """What one pass of one batch keeps: ``(batch, h, w)`` energies for each size that its sampler evaluates at, and who has been flagged.

    Nothing here waits for the device until :meth:`maps`.
    """

    def __init__(self) -> None:
        self._energies: dict[tuple[int, int], torch.Tensor] = {}
        self._seen: torch.Tensor | None = None
        self._first: tuple[torch.Tensor, torch.Tensor] | None = None

    def add(self, prediction: torch.Tensor, mean: torch.Tensor, unstable: torch.Tensor, noise: torch.Tensor | None = None) -> None:
        """Keep the local energies of the images that are flagged now and were not before, and those of the first evaluation.

        Parameters
        ----------
        prediction : tensor of shape ``(batch, channels, ..., h, w)``
            The guided (or the probe's virtual) prediction, any float dtype; of fewer dimensions nothing is kept.
        mean : float32 tensor of shape ``(batch,)``
            RMS of ordinary predictions at this noise level and guidance scale.
        unstable : bool tensor of shape ``(batch,)``
        noise : float32 tensor of shape ``(batch,)``, optional
            Of a pass's first evaluation the noise per unit of picture, zero for images that are not judged here: their map may be another detector's,
            or that of the evaluation that flags.
        """
        if prediction.ndim < 4:
            return
        size, inner = (prediction.shape[-2], prediction.shape[-1]), tuple(range(1, prediction.ndim - 2))
        # In float32 whatever the dtype: squares of float16 overflow. (A vector norm over channels takes a thousand times as long on CPUs.)
        energy = prediction.float().square().mean(inner).div_(mean.square().view(-1, 1, 1))
        if noise is not None:
            self._begin(energy, noise)
        fresh = unstable if self._seen is None else unstable > self._seen
        # Not a product: what is not finite stays with its own image.
        energy.masked_fill_(~fresh.view(-1, 1, 1), 0.0)
        held = self._energies.get(size)
        if held is None:
            self._energies[size] = energy
        else:
            held.add_(energy)
        self._seen = fresh if self._seen is None else self._seen | unstable

    def _begin(self, energy: torch.Tensor, noise: torch.Tensor) -> None:
        """Keep the first evaluation of images that begin in noise; what the first detector does not judge is left to the next."""
        begins = noise >= BEGUN
        if self._first is None:
            self._first = energy.clone(), begins
        elif self._first[0].shape == energy.shape:
            held, known = self._first
            self._first = torch.where((begins > known).view(-1, 1, 1), energy, held), begins | known

    def maps(self) -> list[np.ndarray | None]:
        """The map of each image, float32 ``(h, w)`` of the largest size seen, None where nothing was flagged; waits for the device."""
        if self._seen is None:
            return []
        size = max(self._energies, key=math.prod)
        total = reduce(torch.add, (_resized(energy, size) for energy in self._energies.values()))
        if self._first is not None:
            first, begins = self._first
            begins = begins & torch.isfinite(first).flatten(1).all(1)
            total = torch.where(begins.view(-1, 1, 1), _resized(first, size), total)
        found = smooth(total).sqrt().cpu()
        return [one.numpy() if flagged else None for one, flagged in zip(found, self._seen.tolist())]


def _resized(energy: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return energy if energy.shape[-2:] == size else functional.interpolate(energy[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def window(size: Sequence[int]) -> int:
    """Odd side of the window for a latent of this height and width: 1 at 16 positions, 5 at 64."""
    return 2 * round(WINDOW * min(size) / 2) + 1


def smooth(energy: torch.Tensor) -> torch.Tensor:
    """Mean over the window around each position of ``(batch, h, w)``; at the edges over the part of it that lies inside."""
    side = window(energy.shape[-2:])
    return functional.avg_pool2d(energy[:, None], side, 1, side // 2, count_include_pad=False)[:, 0] if side > 1 else energy


#: What a map says: of no part, or of one, and where that is.
NOWHERE = "No part exceeds {times} times an ordinary norm (at most {most} times): nothing stands out"
SOMEWHERE = "{share} % of the picture is above {times} times an ordinary norm (up to {most} times), {where}"
PLACES = {"everywhere": "nearly everywhere"} | {
    name: f"mostly {name}" for name in ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right")
}


@dataclass(frozen=True)
class LocalMap:
    """One image's map as plain values.

    Attributes
    ----------
    rows : tuple of tuples of float
        From top to bottom; each value is the norm there over that of ordinary runs, to two decimals.
    threshold : float
        What counts as memorized.
    """

    rows: tuple[tuple[float, ...], ...]
    threshold: float = THRESHOLD

    @classmethod
    def of(cls, values: np.ndarray, scale: float = 1.0) -> LocalMap:
        """From an array of :meth:`Locator.maps`, made smaller (by area) where it is larger than :data:`KEPT_SIDE`; `scale` multiplies it."""
        shrink = -(-max(values.shape) // KEPT_SIDE)
        energy = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).square()[None, None]
        size = [max(1, round(side / shrink)) for side in values.shape]
        kept = (functional.interpolate(energy, size, mode="area").sqrt() * scale)[0, 0]
        return cls(tuple(tuple(round(value, 2) for value in row) for row in kept.clamp(0, 999).nan_to_num(0.0).tolist()))

    @classmethod
    def from_json(cls, data: dict) -> LocalMap:
        """What :meth:`to_json` gave."""
        return cls(tuple(map(tuple, data["rows"])), data["threshold"])

    def to_json(self) -> dict:
        """Plain values: `rows`, `threshold`, and the `share` and `place` of what lies above it."""
        return {"rows": [list(row) for row in self.rows], "threshold": self.threshold, "share": round(self.share, 3), "place": self.place()}

    @property
    def array(self) -> np.ndarray:
        """Float32 ``(h, w)``."""
        return np.array(self.rows, dtype=np.float32)

    @property
    def share(self) -> float:
        """Share of the picture above the threshold."""
        return float((self.array > self.threshold).mean())

    def place(self) -> str:
        """Where the part above the threshold lies, in words: "top left", "middle", "everywhere", "nowhere"."""
        above = self.array > self.threshold
        if not above.any():
            return "nowhere"
        if above.mean() > 0.85:
            return "everywhere"
        down, across = ((np.argwhere(above) + 0.5) / above.shape).mean(0) - 0.5
        words = [
            low if value < -_ASIDE else high if value > _ASIDE else "" for value, low, high in ((down, "top", "bottom"), (across, "left", "right"))
        ]
        return " ".join(word for word in words if word) or "middle"

    def describe(self, say: Callable[..., str] = spoken) -> str:
        """For people; `say` finds the words of another language."""
        place = self.place()
        numbers = {"times": f"{self.threshold:g}", "most": f"{self.array.max():.1f}"}
        if place == "nowhere":
            return say(NOWHERE, **numbers)
        return say(SOMEWHERE, share=f"{100 * self.share:.0f}", where=say(PLACES[place]), **numbers)
