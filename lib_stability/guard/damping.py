"""Damping of a guided prediction: pure functions with one gain and one multiple of a direction per image.

The policies "directional" and "radial" leave prompt and guidance scale alone and need no second pass through the model; "reword" (see
:mod:`.rewording`) does, and falls back on the directional one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .norms import inner, per_sample, rms
from .readings import Acted

POLICIES = ("reword", "directional", "radial")
STRENGTH_RANGE, MARGIN_RANGE, RELEASE_RANGE = (0.0, 4.0), (-3.0, 5.0), (0.0, 1.0)


@dataclass(frozen=True)
class Damping:
    """How flagged images are damped.

    Parameters
    ----------
    policy : "reword", "directional" or "radial"
        Reword guides by the prompt with one part left out, in turn, and is directional where it cannot; directional takes out the remembered
        direction, then limits the norm; radial, the rescaling of Broken Memories, does only that.
    strength : float
        Multiple of the component along the remembered direction that is taken out (beta): 1 removes it, more reflects it. Not for radial damping.
    margin : float, optional
        The radial limit lies this many relative spreads below the region's mean; by default 0 for radial damping, else 2 (what is left
        without the direction is grainier than an ordinary prediction of equal norm).
    release : float
        Directional damping acts while the cosine of the prediction and the remembered direction exceeds this. Below, only the radial limit at the
        region's mean is kept; a prediction that is unstable there pulls somewhere else, and that becomes the direction.

    Raises
    ------
    ValueError
        An unknown policy, or a number outside :data:`STRENGTH_RANGE`, :data:`MARGIN_RANGE` or :data:`RELEASE_RANGE`.

    Examples
    --------
    >>> from lib_stability import Damping
    >>> Damping().policy, Damping().limit, Damping("radial").limit
    ('reword', 2.0, 0.0)
    >>> Damping(strength=9)
    Traceback (most recent call last):
    ValueError: strength: 9 is not from 0 to 4
    """

    policy: str = "reword"
    strength: float = 3.0
    margin: float | None = None
    release: float = 0.5

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"damping: {self.policy!r} is not one of {', '.join(POLICIES)}")
        checked = (("strength", self.strength, STRENGTH_RANGE), ("margin", self.limit, MARGIN_RANGE), ("release", self.release, RELEASE_RANGE))
        for name, value, (low, high) in checked:
            if not low <= value <= high:
                raise ValueError(f"{name}: {value!r} is not from {low:g} to {high:g}")

    @property
    def limit(self) -> float:
        """The margin in force."""
        return self.margin if self.margin is not None else (0.0 if self.policy == "radial" else 2.0)


class Marks:
    """One number per image, zeros at first: `tensor` of shape ``(count,)``, and a way to see on the host that none is set.

    A processor's own memory can be looked at without waiting; what empty marks leave alone need not be computed there.
    """

    def __init__(self, count: int, device: torch.device, dtype: torch.dtype = torch.bool) -> None:
        memory = np.zeros(count, str(dtype).removeprefix("torch.")) if device.type == "cpu" else None
        self.tensor = torch.zeros(count, dtype=dtype, device=device) if memory is None else torch.from_numpy(memory)
        self._memory = memory

    @property
    def surely_empty(self) -> bool:
        """True where no number is set; False, too, where the host cannot know."""
        return self._memory is not None and not self._memory.any()


class Remembered:
    """The direction of each image of a batch: its prediction at the evaluation that flagged it, zero until then.

    Predictions are kept as they were, with their RMS; dividing by it when it is used saves a pass over the latent. Nothing is chosen by a mask of
    whole latents, which takes a processor several times as long as arithmetic: weights of 0 and 1 are as exact.
    """

    def __init__(self, like: torch.Tensor) -> None:
        self.latent = torch.zeros_like(like, dtype=torch.float32)
        self.size = torch.ones(len(like), device=like.device)
        #: The same of what was remembered first, all zeros until then: what the image was flagged for, wherever it was pulled later.
        self.first, self.first_size = torch.zeros_like(self.latent), torch.zeros_like(self.size)
        self.zeros, self.ones = torch.zeros_like(self.size), torch.ones_like(self.size)
        # Written anew at each use; the views are what a latent is multiplied by.
        self._fresh, self._multiple = Marks(len(like), like.device, torch.float32), torch.zeros_like(self.size)
        self._fresh_view, self._multiple_view = per_sample(self._fresh.tensor, like), per_sample(self._multiple, like)

    def recall(self, directions: Sequence[tuple[torch.Tensor, torch.Tensor] | None]) -> None:
        """Begin with what each image is known for, see :class:`.recalling.Recalled`; None where nothing is."""
        for image, known in enumerate(directions[: len(self.latent)]):
            if known is not None:
                self.latent[image], self.size[image] = known
                self.first[image], self.first_size[image] = known

    def along(self, denoised: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Component of each sample along its direction as an RMS, ``(batch,)``, zero where nothing is remembered; and a buffer to write to."""
        product = denoised * self.latent
        return product.mean(inner(product)) / self.size, product

    def update(
        self, unstable: torch.Tensor, acting: torch.Tensor, source: torch.Tensor, size: torch.Tensor, buffer: torch.Tensor
    ) -> torch.Tensor | None:
        """Remember `source`, of RMS `size`, for images of the mask `unstable` that are not in `acting`; all masks are ``(batch,)``.

        `buffer`, float32 like `source`, is written to.
        Returns 1 for those images and 0 for all others, float32 ``(batch,)``; it is written to at the next call. None where there surely are none.
        """
        fresh = torch.gt(unstable, acting, out=self._fresh.tensor)
        if self._fresh.surely_empty:
            return None
        # A weight of 0 does not keep infinity out. Whoever is to be remembered has none.
        source, size = torch.nan_to_num(source.float(), 0.0, 0.0, 0.0, out=buffer), size.nan_to_num(0.0, 0.0, 0.0)
        self.latent.lerp_(source, self._fresh_view)
        self.size.lerp_(size, fresh)
        new = fresh * (self.first_size == 0)
        self.first.lerp_(source, per_sample(new, source))
        self.first_size.lerp_(size, new)
        return fresh

    def likeness(self, prediction: torch.Tensor) -> torch.Tensor:
        """Cosine of each sample with what was remembered first, ``(batch,)``; NaN where nothing is."""
        product = prediction.float() * self.first
        return product.mean(inner(product)) / (rms(prediction) * self.first_size)

    def without(self, whole: torch.Tensor, along: torch.Tensor, strength: float, buffer: torch.Tensor) -> torch.Tensor:
        """``D - strength * along * m`` in `buffer`, for `along` an RMS of shape ``(batch,)``; every bit of `whole` (float32) where it is 0."""
        torch.div(along, self.size, out=self._multiple)
        return torch.addcmul(whole, self.latent, self._multiple_view, value=-strength, out=buffer)


def radial(denoised: torch.Tensor, limit: torch.Tensor, gate: torch.Tensor) -> tuple[torch.Tensor, Acted]:
    """Scale samples in the mask `gate` whose RMS exceeds `limit` down to it; all others keep every bit (a NaN stays one).

    Parameters
    ----------
    denoised : tensor of shape ``(batch, ...)``
    limit : float32 tensor of shape ``(batch,)``
    gate : bool tensor of shape ``(batch,)``

    Returns
    -------
    tensor in the dtype of `denoised`, and what was done
    """
    shrink = torch.where(gate, limit / rms(denoised).clamp_min(1e-12), 1.0).clamp(max=1.0)
    return (denoised.float() * per_sample(shrink, denoised)).to(denoised.dtype), Acted(shrink)


def directional(
    denoised: torch.Tensor,
    length: torch.Tensor,
    along: torch.Tensor,
    limit: torch.Tensor,
    gate: torch.Tensor,
    strength: float,
    remembered: Remembered,
    buffer: torch.Tensor,
) -> tuple[torch.Tensor, Acted]:
    """Take a multiple of what lies along the remembered direction m (of unit length) out of each sample, ``D <- D - strength * <D, m> * m``; then
    scale those of the mask `gate` whose RMS exceeds `limit` down to it.

    Parameters
    ----------
    denoised : tensor of shape ``(batch, ...)``
    length : float32 tensor of shape ``(batch,)``
        RMS of `denoised`.
    along : float32 tensor of shape ``(batch,)``
        Component along the direction as an RMS, see :meth:`Remembered.along`; zero where nothing is to be taken out, never negative. A sample for
        which it is zero and that is outside the gate keeps every bit (a NaN stays one).
    limit : float32 tensor of shape ``(batch,)``
        Positive.
    gate : bool tensor of shape ``(batch,)``
    strength : float
    remembered : Remembered
    buffer : float32 tensor like `denoised`
        Is written to, and returned where `denoised` is float32.

    Returns
    -------
    tensor in the dtype of `denoised`, and what was done
    """
    rest = remembered.without(denoised.float(), along, strength, buffer)
    shrink = torch.where(gate, limit / _left(length, along, strength), remembered.ones).clamp(max=1.0)
    return rest.mul_(per_sample(shrink, rest)).to(denoised.dtype), Acted(shrink, along)


def _left(length: torch.Tensor, along: torch.Tensor, strength: float) -> torch.Tensor:
    """RMS of ``D - strength * along * m``, without a pass over the latent: ``|D|**2 + (strength**2 - 2 strength) * along**2``."""
    change = strength * (strength - 2)
    if change >= 0:
        return torch.hypot(length, along * change**0.5)
    # Rounding in the sums over a latent (seen: 1e-4) may not make it negative.
    return torch.addcmul(length.square(), along, along, value=max(change, 1e-3 - 1)).sqrt()
