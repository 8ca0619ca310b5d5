"""How a damped image ended, by what its own prompt says at the last evaluation and by what was handed on there."""

from __future__ import annotations

import math

import torch

from .readings import Pass

#: How a damped image ended: at the last evaluation the original prompt's prediction is judged on the latent that damping has led to.
STEERED, UNCERTAIN = "steered away", "uncertain"
#: What was handed on last points at what flagged the image; or the image was flagged where little but details was open, and may be the copy or its
#: negative.
STILL, LATE = "still near a copy", "too late"
#: It was sampled from its own noise once more, damped from the first evaluation on: what is said behind it is of the second picture.
AGAIN = "sampled again"
OUTCOMES = (STEERED, UNCERTAIN, STILL, LATE, AGAIN, *(f"{AGAIN} - {one}" for one in (STEERED, UNCERTAIN, STILL)))
#: Cosine of the last prediction with the one that flagged the image from which on it is near it, and below which it is little but its negative. With
#: seven kinds of memorization 99 % of reworded runs lie between, and half of those that are copies all the same above (168 runs, Euler and DPM++ 2M,
#: and 90 that were flagged on purpose at the noise levels 1.5, 0.9 and 0.5; measured once, no table keeps it).
NEAR, OPPOSITE = 0.45, -0.7
#: Noise (per unit of picture) by the square root of the latent's elements below which half of the testbed's runs or more can no longer be turned into
#: another picture: between the least and the most of three sizes (0.025 to 0.065, `docs/evaluation/scale.md`).
DECIDED_BELOW = 0.05
#: Deviation of the rate at the last evaluation up to which a damped image was steered away: of the testbed's copies that nobody damped at most 3 %
#: lie there (uniform and Karras schedules of 10 to 20 steps, guidance 6 to 15).
STEERED_BELOW = -0.5
#: What lies above is no proof of a copy: up to a larger deviation it is enough that the picture has little in common with what it was flagged for.
#: Of 165 copies that nobody damped none has so little (cosines of .58 to .97). Of 402 damped pictures of all kinds (Euler, Euler a, DPM++ 2M) 72 %
#: were steered away by both rules, 3 of them copies, of 8 copies in all; 24 % and one by the first alone (measured once, no table keeps it).
ELSEWHERE, ELSEWHERE_BELOW = 0.4, 4.0
#: Where the last two noise levels lie closer than by this factor the last update is too small to tell (Karras, 50 steps: a fifth of the copies would
#: pass for steered away).
APART = 1.25


def ended(what: Pass, rate: float | None, index: int, ends: torch.Tensor, first: int) -> tuple[str, float | None]:
    """How an image ended and the deviation at the end.

    Parameters
    ----------
    what : Pass
    rate : float or None
        Deviation of the update norm at the last evaluation; None where nobody has judged that.
    index : int
        The image's, in its batch.
    ends : tensor of shape ``(evaluations,)``
        Its noise levels.
    first : int
        The evaluation (from 0) that was damped first.

    Returns
    -------
    one of :data:`OUTCOMES` or ""
    `rate`, where it tells anything
    """
    levels = sorted(set(ends.tolist()))
    tells = what.region is not None and what.region.parameterisation != "flow" and len(levels) >= 2 and levels[1] >= APART * levels[0]
    after = rate if tells else None
    likeness = what.likeness[index] if index < len(what.likeness) else math.nan
    if likeness >= NEAR:
        return STILL, after
    if first > 0 and (decided(what, first, index) or likeness <= OPPOSITE):
        return LATE, after
    if after is None:
        return "", after
    return (STEERED if after <= STEERED_BELOW or (likeness <= ELSEWHERE and after <= ELSEWHERE_BELOW) else UNCERTAIN), after


def decided(what: Pass, evaluation: int, index: int) -> bool:
    """Whether an image can hardly be turned into another picture from an evaluation (from 0) on."""
    sigma = float(what.readings[evaluation].sigma[index])
    noise = sigma / max(1 - sigma, 1e-6) if what.region is not None and what.region.parameterisation == "flow" else sigma
    return what.elements > 0 and noise < DECIDED_BELOW * what.elements**0.5
