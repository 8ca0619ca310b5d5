"""What the numbers of a profile can be at all: bounds from theory, so that no file silences the guard by saying that everything is ordinary.

Latents have unit variance, mean squares are per element, and ``t`` is the ratio of noise to picture: sigma, or ``sigma/(1 - sigma)`` for flow
matching (both axes of a region hold ``ln t``). Given a noisy latent at most ``m = t**2/(1 + t**2)`` of the variance is unexplained, whatever the
pictures are (that is the best linear guess), and a prompt explains at most all of that. The unguided prediction has ``1 - m'`` with an ``m' <= m``,
the guided one ``D = D_u + w (D_c - D_u)`` adds ``w**2`` times what the prompt explains (see :mod:`.priors`). So the prompt that says the whole
picture has the largest norms that there can be, for ``w >= 1``

    clean**2 = 1 + (w**2 - 1) m
    rate**2  = 1 + (w**2 - 1)                               sigma
    rate**2  = 2 + (w**2 - 1)/((1 - sigma)**2 + sigma**2)   flow: the velocity is noise minus picture, of variance 2

and that is what a copy of a whole picture looks like. Two bounds follow for a region:

* no mean lies above :data:`TOLERANCE` times ``w``, the largest of these over all noise levels (``sqrt(2) w`` for the velocity): a sampler carries the
  guidance of the noisy evaluations on to the others. The factor is for latents that are not quite of unit variance and for the network's errors. At
  low noise (t below 1) it is :data:`LOOSE`: there the division by the noise enlarges the network's errors and the sampler's, of few steps above all.
* a copy of a whole picture is flagged: at the level Medium, mean and threshold together stay below its norms, at most noise levels where the
  picture is not yet known (t of 1 to 20). That is asked at the usual guidance and at the least at which a copy stands out of any honest region,
  whatever scales the region says that its fit saw: its curves go on beyond them. The bundled regions reach 0.20 to 0.53 of it. A region above it
  could see nothing; nor could one of a model that follows any prompt that blindly, as some distilled ones do.

Spreads and scores have bounds of their own in :mod:`..guard.region`: a norm is positive, so a spread well above 1 would mean that most ordinary runs
have no norm to speak of.
"""

from __future__ import annotations

import numpy as np

from ..guard.fitting import predict
from ..guard.probe import REFERENCE_GUIDANCE
from ..guard.region import SCORED_GUIDANCE, STATISTICS, StabilityRegion
from ..guard.sensitivity import thresholds
from ..validation import Field

#: How many times the largest norm of theory a mean may be, and at low noise.
TOLERANCE, LOOSE = 2.0, 20.0
#: ln t between which the picture is not yet known, and at how many places one looks there.
UNKNOWN, PLACES = (0.0, 3.0), 16
#: Share of those places at which a copy has to be flagged.
SHARE = 0.5
#: Fewest reference scores of a calibrated region: what :meth:`.StabilityRegion.fit` needs.
LEAST_SCORES = 8


def copy_of_a_picture(parameterisation: str, position: np.ndarray, guidance: float) -> dict[str, np.ndarray]:
    """The norms of a copy of a whole picture, by statistic: arrays like `position` on a region's axis."""
    squared = max(guidance, 1.0) ** 2 - 1
    left = 1 / (1 + np.exp(-2 * position))
    if parameterisation == "flow":
        sigma = 1 / (1 + np.exp(-position))
        rate = 2 + squared / ((1 - sigma) ** 2 + sigma**2)
    else:
        rate = np.full_like(left, 1 + squared)
    return {"rate": np.sqrt(rate), "clean": np.sqrt(1 + squared * left)}


def check(region: StabilityRegion, source: str, calibrated: bool, guidance: float = REFERENCE_GUIDANCE, fixed: bool = False) -> None:
    """Refuse a region that no model can have, or under which a copy would pass for ordinary.

    Parameters
    ----------
    region : StabilityRegion
    source : str
        What messages call it.
    calibrated : bool
        Whether it claims reference runs.
    guidance : float
        Scale that it is used at.
    fixed : bool
        Whether at that scale alone, as the probe's region is; else at all up to twice what the fit saw.

    Raises
    ------
    ValidationError
        Naming the field.
    """
    low, high = region.guidance_
    usual = guidance if fixed else min(guidance, 2 * high)  # the guard judges up to twice what the fit saw
    for scale in sorted({low, high, usual}):
        for name in STATISTICS:
            largest = max(scale, 1.0) * (2**0.5 if (region.parameterisation, name) == ("flow", "rate") else 1.0)
            limit = largest * np.where(region.knots_ < UNKNOWN[0], LOOSE, TOLERANCE)
            mean = predict(region.curves_[name].coefficients, np.full(len(region.knots_), scale))
            worst = int((mean / limit).argmax())
            if mean[worst] > limit[worst]:
                where = Field(None, f"{source}.statistics.{name}")
                where.fail(f"a norm of {mean[worst]:.4g} at guidance {scale:g}: latents of unit variance allow at most {limit[worst]:.4g}")
    if calibrated:
        _check_scores(region, Field(None, f"{source}.reference_scores"))
    for scale in [usual] if fixed else sorted({SCORED_GUIDANCE, max(usual, SCORED_GUIDANCE)}):
        seen = standing_out(region, scale)
        if seen < SHARE:
            reach = thresholds(region, "medium").mild
            Field(None, source).fail(
                f"even a copy of a whole picture would pass for ordinary: at Medium (z > {reach:.3g}) and guidance {scale:g} its norms are not above "
                f"the threshold at {1 - seen:.0%} of the noise levels; curves, spreads or reference scores are too large, or a calibration had too "
                "few runs"
            )


def _check_scores(region: StabilityRegion, field: Field) -> None:
    scores = region.scores_
    if len(scores) < LEAST_SCORES:
        field.fail(f"{len(scores)} are too few for a calibrated profile, it has at least {LEAST_SCORES}")
    different = len(np.unique(scores))
    if 2 * different < len(scores):
        field.fail(f"only {different} of {len(scores)} differ: no two runs give the same number")


def standing_out(region: StabilityRegion, guidance: float) -> float:
    """Share of the places with an unknown picture at which a copy of it lies above the threshold of the level Medium."""
    low, high = (float(np.clip(end, region.knots_[0], region.knots_[-1])) for end in UNKNOWN)
    if low == high:  # the region ends before: whatever it covers
        low, high = float(region.knots_[0]), float(region.knots_[-1])
    place, mild = np.linspace(low, high, PLACES), thresholds(region, "medium").mild
    copy, flagged = copy_of_a_picture(region.parameterisation, place, guidance), np.ones(PLACES, dtype=bool)
    for name in STATISTICS:
        mean = np.interp(place, region.knots_, predict(region.curves_[name].coefficients, np.full(len(region.knots_), guidance)))
        flagged &= mean * (1 + mild * np.interp(place, region.knots_, region.curves_[name].spread)) < copy[name]
    return float(flagged.mean())
