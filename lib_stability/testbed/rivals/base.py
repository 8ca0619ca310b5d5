"""What a mitigation of the comparison is: something that may change captions, guidance, the starting noise, the prompt's embedding, each prediction.

It hooks into the sampling of one batch; every sampler then runs as it always does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch

from ...profile.profiles import Profile
from ..network.sample import GuidedDenoiser
from .broken_memories import Tables

#: Elements of the papers' latents (SD 1 and 2 at 512 pixels), to which their absolute norms belong.
PAPER_ELEMENTS = 4 * 64 * 64


def paper_norm(tensor: torch.Tensor) -> torch.Tensor:
    """Norm of each sample ``(batch,)`` that a latent of the papers' size has at the same RMS, so that published thresholds keep their meaning."""
    return tensor.flatten(1).norm(dim=1) * (PAPER_ELEMENTS / tensor[0].numel()) ** 0.5


@dataclass(frozen=True)
class Context:
    """What a mitigation may know beforehand: the guard's profile, and Broken Memories' tables of the setting at hand."""

    profile: Profile
    tables: Tables


class Mitigation:
    """One mitigation; subclasses are frozen dataclasses whose fields are its parameters. This one does nothing.

    Attributes
    ----------
    name : str
    trigger : "always" or "own"
        Whether every picture is treated, or those that the method itself finds.
    ours : bool
    """

    name: ClassVar[str] = "none"
    trigger: ClassVar[str] = "always"
    ours: ClassVar[bool] = False

    def parameters(self) -> dict[str, Any]:
        """Parameters by name."""
        return asdict(self)

    def captions(self, captions: Sequence[str], seed: int) -> list[str]:
        """The captions to sample instead; `seed` is that of the first picture."""
        return list(captions)

    def guidance(self, guidance: float) -> float:
        """The guidance scale to sample with."""
        return guidance

    def attach(self, model: GuidedDenoiser, context: Context):
        """Hook into one batch; returns what watches its predictions (``step(x, denoised, sigma, guidance)``), or None."""
        return None


@dataclass(frozen=True)
class Plain(Mitigation):
    """Nothing is done."""


@dataclass(frozen=True)
class LowerGuidance(Mitigation):
    """A lower guidance scale for the whole run, what anybody would try first: `scale` in place of the setting's own where that is higher."""

    scale: float = 3.0
    name = "lower guidance"

    def guidance(self, guidance: float) -> float:
        return min(guidance, self.scale)
