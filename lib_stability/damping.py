"""Damping of a guided prediction: pure functions with one gain and one multiple of a direction per image.

The policies "directional" and "radial" leave prompt and guidance scale alone and need no second pass through the model; "reword" (see
:mod:`.rewording`) does, and falls back on the directional one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from .norms import inner, per_sample, rms

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


def gain(denoised: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
    """The factor of shape ``(batch,)``, at most 1, that brings each sample to the RMS `limit` of shape ``(batch,)``."""
    return (limit / rms(denoised).clamp_min(1e-12)).clamp(max=1.0)


class Remembered:
    """The direction of each image of a batch: its prediction at the evaluation that flagged it, zero until then.

    Predictions are kept as they were, with their RMS; dividing by it when it is used saves a pass over the latent.
    """

    def __init__(self, like: torch.Tensor) -> None:
        self.latent = torch.zeros_like(like, dtype=torch.float32)
        self.size = torch.ones(len(like), device=like.device)

    def along(self, denoised: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Component of each sample along its direction as an RMS, ``(batch,)``, zero where nothing is remembered; and a buffer to write to."""
        product = denoised * self.latent
        return product.mean(inner(product)) / self.size, product

    def update(self, fresh: torch.Tensor, source: torch.Tensor, size: torch.Tensor) -> None:
        """Remember `source`, of RMS `size`, for the images in the mask `fresh`."""
        torch.where(per_sample(fresh, source), source.float(), self.latent, out=self.latent)
        self.size = torch.where(fresh, size, self.size)


class Acted(NamedTuple):
    """What one damping did, tensors of shape ``(batch,)``: the `gate`, the radial factor, the component taken out (an RMS) or None, and the mask of
    images that got another prediction altogether, or None."""

    gate: torch.Tensor
    shrink: torch.Tensor
    taken: torch.Tensor | None
    replaced: torch.Tensor | None = None

    def changed(self) -> torch.Tensor:
        """The mask of images that were really changed, not only flagged."""
        changed = self.gate & ((self.shrink if self.taken is None else self.shrink - self.taken) < 1)
        return changed if self.replaced is None else changed | self.replaced


def damp(
    denoised: torch.Tensor,
    limit: torch.Tensor,
    gate: torch.Tensor,
    strength: float = 0.0,
    taken: torch.Tensor | None = None,
    remembered: Remembered | None = None,
    buffer: torch.Tensor | None = None,
) -> tuple[torch.Tensor, Acted]:
    """Damp the samples in the mask `gate`; all others keep every bit.

    Directional where a direction m (of unit length) is remembered: ``D <- D - strength * <D, m> * m``. Then radial: a sample whose RMS exceeds
    `limit` is scaled down to it.

    Parameters
    ----------
    denoised : tensor of shape ``(batch, ...)``
    limit : float32 tensor of shape ``(batch,)``
        Positive.
    gate : bool tensor of shape ``(batch,)``
    strength : float
    taken : float32 tensor of shape ``(batch,)``
        Component along the remembered direction, an RMS, see :meth:`Remembered.along`; zero where nothing is to be taken out, never negative.
    remembered : Remembered
    buffer : float32 tensor like `denoised`
        Is written to.

    Returns
    -------
    tensor in the dtype of `denoised`, and what was done
    """
    whole = denoised.float()
    if remembered is None:
        shrink = gain(whole, limit)
        rest = whole * per_sample(shrink, whole)
    else:
        rest = torch.addcmul(whole, remembered.latent, per_sample(taken / remembered.size, whole), value=-strength, out=buffer)
        shrink = (limit / rms(rest)).clamp(max=1.0)
        rest.mul_(per_sample(shrink, rest))
    rest = rest.to(denoised.dtype)
    return torch.where(per_sample(gate, rest), rest, denoised, out=rest), Acted(gate, shrink, taken)
