"""What a guard keeps of a pass, as data: one reading an evaluation, ``(batch,)``-shaped tensors on the latent's device, read at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from .deviation import Expected, ZScores
from .norms import Norms, measure
from .region import StabilityRegion
from .sensitivity import Thresholds
from .trouble import Trouble

#: No finite deviation exceeds it.
HUGE = torch.finfo(torch.float32).max


class Judged(NamedTuple):
    """One prediction against one region: norms, deviations, the mask ``(batch,)`` of unstable images, and the thresholds that they were held against.

    `wanted` is the mask of images that the detector can judge at all, None for all of them; `prediction` and `expected` are at hand while the
    evaluation lasts and not kept.
    """

    norms: Norms
    z: ZScores
    unstable: torch.Tensor
    limits: Thresholds
    wanted: torch.Tensor | None = None
    prediction: torch.Tensor | None = None
    expected: Expected | None = None

    def finite(self) -> torch.Tensor:
        """The mask of images whose norms are numbers."""
        return torch.isfinite(self.norms.rate + self.norms.clean)

    def strong(self) -> torch.Tensor:
        """The mask of images that are unstable so clearly that the flag is a strong one."""
        return self.unstable & (self.z.score > self.limits.strong)

    def kept(self) -> Judged:
        """The same without what is as large as a latent."""
        return self._replace(prediction=None, expected=None)


def judge(x: torch.Tensor, prediction: torch.Tensor, sigma: torch.Tensor, parameterisation: str, expected: Expected, limits: Thresholds) -> Judged:
    """Hold the norms of `prediction` (like `x`) against what ordinary runs have at noise levels `sigma` ``(batch,)``."""
    measured = measure(x, prediction, sigma, parameterisation)
    z = expected.z_scores(measured, sigma, limits.rule)
    score = z.score
    # Not above the threshold, or not finite: then the clamp moves it (or NaN differs from itself).
    unstable = z.inside & (score == score.clamp(limits.mild, HUGE))
    return Judged(measured, z, unstable, limits, None, prediction, expected)


class Acted(NamedTuple):
    """What one damping did, tensors of shape ``(batch,)``: the radial factor, the component taken out (an RMS) or None, and the mask of images that
    got another prediction altogether, or None. An image that is left alone has 1 and 0."""

    shrink: torch.Tensor
    taken: torch.Tensor | None = None
    replaced: torch.Tensor | None = None

    def changed(self) -> torch.Tensor:
        """The mask of images that were really changed, not only flagged."""
        changed = (self.shrink if self.taken is None else self.shrink - self.taken) < 1
        return changed if self.replaced is None else changed | self.replaced


class Reading(NamedTuple):
    """One model evaluation: what each detector that looked has found, by its name, and what was done (None: nothing).

    `finite` is the mask ``(batch,)`` of images whose prediction is a number, None where the watch has measured it; `plain` that of images whose
    guidance nobody has changed, None where nobody might have.
    """

    sigma: torch.Tensor
    guidance: float | torch.Tensor
    judged: dict[str, Judged]
    acted: Acted | None = None
    finite: torch.Tensor | None = None
    plain: torch.Tensor | None = None

    @property
    def watched(self) -> Judged | None:
        """What the watch found."""
        return self.judged.get("watch")

    @property
    def probed(self) -> Judged | None:
        """What the probe found."""
        return self.judged.get("probe")


@dataclass
class Pass:
    """All that verdicts and histories rest on.

    Attributes
    ----------
    readings : list of Reading
    evaluations, batch : int
        Evaluations of the pass, and its images.
    region : StabilityRegion or None
        The watch's; None where no profile fits.
    doubt : str
        Why the watch could not judge, empty where it could.
    guidance_range : tuple of two floats
        Scales that the watch judges.
    stopping : bool
        Whether strongly flagged images were blanked.
    awaited : bool
        Whether a detector wanted a look later than the last evaluation.
    trouble : Trouble
    carriers : list of str
        Of each image: see :meth:`.rewording.Rewording.carriers`; shorter than the batch where nobody looked.
    bare : bool
        Whether reworded predictions are without what another extension makes of guidance.
    likeness : list of float
        Of each image the cosine of the last prediction that was handed on with the one that flagged it, NaN where nothing is remembered; shorter than
        the batch where nobody looked.
    elements : int
        Numbers in one image's latent, 0 where that is not known.
    """

    readings: list[Reading] = field(default_factory=list)
    evaluations: int = 0
    batch: int = 0
    region: StabilityRegion | None = None
    doubt: str = ""
    guidance_range: tuple[float, float] = (0.0, 0.0)
    stopping: bool = False
    awaited: bool = False
    trouble: Trouble = field(default_factory=Trouble)
    carriers: list[str] = field(default_factory=list)
    bare: bool = False
    likeness: list[float] = field(default_factory=list)
    elements: int = 0
