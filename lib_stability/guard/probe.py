"""The probe: a virtual prediction against the empty prompt, judged at a few early evaluations of a pass.

A negative prompt and the guidance scale move the norms of ordinary runs. ``V = D_empty + w_ref * (D_cond - D_empty)`` depends on neither, so one
region fitted at the reference scale serves every setting, guidance 1 included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from .region import StabilityRegion

#: The guidance scale of the virtual prediction.
REFERENCE_GUIDANCE = 7.5
#: A watch below this scale sees no signal (METHOD: Broken Memories never fires without guidance).
LEAST_GUIDANCE = 2.0
POLICIES = ("auto", "always", "never")
MAX_EVALUATIONS = 3
#: How far into a pass the second look is taken: as the first, where noise is strong and the prompt alone decides. In between, from sigma 8 down to
#: 0.5, neither real Stable Diffusion nor the testbed tells copies as well.
SECOND = 0.05
#: The second and third look of regions that judge by the smaller deviation, which sees nothing at the end.
EARLIER = (0.15, 0.25)
#: Evaluations of a pass, where nobody says how many it will make.
USUAL = 20

#: Called with ``(x, sigma)`` of the evaluation at hand; returns the virtual prediction, a tensor like `x`.
VirtualPrediction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def virtual(empty: torch.Tensor, conditional: torch.Tensor, guidance: float = REFERENCE_GUIDANCE) -> torch.Tensor:
    """``empty + guidance * (conditional - empty)`` for predictions of equal shape."""
    return torch.lerp(empty, conditional, guidance)


def looks(expected: int, evaluations: int = MAX_EVALUATIONS, rule: str = "late rate", flow: bool = False) -> tuple[int, ...]:
    """Numbers (from 0) of the evaluations that are probed, `evaluations` of `expected`: the first, the last, and one soon after the first.

    The last evaluations of flow models say nothing (AUC .5 to .9 on a small one, the first .986 to 1.0): only early ones there. Where the `rule` of
    the region's scores is "smaller", those that its thresholds were made for: the first, at 15 % and at 25 % of the pass.
    """
    last, second = max(expected - 1, 0), max(1, round(SECOND * expected))
    if rule == "smaller":
        later = max(1, round(EARLIER[0] * expected))
        found = (0, later, max(later + 1, round(EARLIER[1] * expected)))[:evaluations]
    elif flow:
        found = (0, second, 2 * second)[:evaluations]
    else:
        found = {1: (0,), 2: (0, last), 3: (0, second, last)}[evaluations]
    return tuple(sorted({number for number in found if number <= last}))


@dataclass(frozen=True)
class Probe:
    """When the empty prompt is evaluated, and by which region it is judged: at the first evaluation, and again at later ones, see :func:`looks`.

    Parameters
    ----------
    region : StabilityRegion
        Fitted on virtual predictions at `guidance`.
    predict : callable
        See :data:`VirtualPrediction`. It may cost one model evaluation.
    policy : "auto", "always" or "never"
        Auto probes where the watch cannot judge: a negative prompt that its region does not know, or guidance below 2.
    evaluations : int
        How many evaluations of a pass are probed, 1 to 3.
    guidance : float
        The scale at which `predict` combines its predictions.
    expected : int
        Evaluations that the pass will make. In one that makes fewer a look is missed, and nothing that it would have judged is stable.

    Raises
    ------
    ValueError
        An unknown policy, or more or fewer `evaluations`.

    Examples
    --------
    In earnest `predict` evaluates a model for the empty prompt and for the prompt.

    >>> from lib_stability import Probe, choose_profile, load_profiles
    >>> from lib_stability.guard.probe import virtual
    >>> from lib_stability.profile.storage import BUNDLED
    >>> profile, why = choose_profile(load_profiles([BUNDLED])[0], family="sd1")
    >>> probe = Probe(profile.probe, lambda x, sigma: virtual(0.1 * x, 0.2 * x), expected=40)
    >>> probe.looks, probe.wanted(2, watch_can_judge=False), probe.wanted(2, watch_can_judge=True)
    ((0, 2, 39), True, False)
    """

    region: StabilityRegion
    predict: VirtualPrediction
    policy: str = "auto"
    evaluations: int = MAX_EVALUATIONS
    guidance: float = REFERENCE_GUIDANCE
    expected: int = USUAL

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"probe: {self.policy!r} is not one of {', '.join(POLICIES)}")
        if self.evaluations not in range(1, MAX_EVALUATIONS + 1):
            raise ValueError(f"probe evaluations: {self.evaluations!r} is not from 1 to {MAX_EVALUATIONS}")

    @cached_property
    def looks(self) -> tuple[int, ...]:
        """Numbers (from 0) of the evaluations that are probed."""
        return looks(self.expected, self.evaluations, self.region.score, self.region.parameterisation == "flow")

    def wanted(self, evaluation: int, watch_can_judge: bool) -> bool:
        """Whether the evaluation with this number (from 0) is probed."""
        if self.policy == "never" or evaluation not in self.looks:
            return False
        return self.policy == "always" or not watch_can_judge
