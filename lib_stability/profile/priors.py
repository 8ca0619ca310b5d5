"""The bundled prior profiles, built from stated numbers: for use until a checkpoint is calibrated, never as good as a calibration.

The unguided part of both norms is that of Gaussian pictures as smooth as SD 1.x's latents, see :mod:`.spectrum`.

The guided part. Guidance adds ``w * (D_c - D_u)``. Averaged over prompts, ``D_u`` is the mean of ``D_c`` given the latent, so both parts are
orthogonal and squares add: ``r**2 = a + c w**2``, b = 0. With ``g = ||eps_c - eps_u||/sqrt(N)`` the part of eps is ``w g``, that of D
``-sigma w g``, hence that of ``v = alpha eps - s D`` is ``(alpha + s sigma) w g = sqrt(1 + sigma**2) w g``. So ``c`` is ``(sigma g)**2`` for the
clean norm and ``(1 + sigma**2) g**2`` for the rate.

The spread of the rate, which alone decides. A prior's thresholds take a whole run for five independent looks at a normal deviate (see
:mod:`..guard.sensitivity`), so one look may flag a fifth of a level's target. But ``g`` is skewed: its published standard deviation at the first two
evaluations is too large for a normal number, and the quantiles of its means over runs are a little more skewed than a lognormal one's. So the spread
is not its standard deviation: it is the number for which the share of ordinary prompts above the threshold, at guidance 7.5 and for a lognormal
``g``, comes nearest to its target at Low, Medium and High together, as a ratio. That is 0.30 at the first evaluation, where the standard deviation
is 0.19; the three shares are off by factors of 1.9, 0.9 and 0.5. What scatters is the guided part, so the spread grows with its share of the norm.

At low noise guidance hardly moves an ordinary rate, and what scatters is the unguided part. How much at single steps has not been published, nor how
the 0.846 is made up of them: the last steps follow from the Gaussian and from the floor alone. So the spread is so wide there that a run whose
unguided mean square stayed at 0.846 + 0.021 to its last step would still not be flagged at Medium; memorized curves are, if barely (see
:func:`rate_spread`). The spread of the clean norm, which only charts and damping use, is the standard deviation at the first two evaluations, and
kept below them, since nothing is known.

There is no prior for flow matching: no published norms exist to start from, and models of that kind often run without real guidance, where there is
no signal to judge. They have to be calibrated.
"""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist

import numpy as np

from ..guard import fitting
from ..guard.probe import REFERENCE_GUIDANCE
from ..guard.region import SPREADS, StabilityRegion
from ..guard.sensitivity import PRIOR_LOOKS, TARGETS
from . import profiles, storage
from . import sd1_numbers as sd1_of
from .spectrum import LEAST_UNGUIDED, unguided

#: From below the last step of the usual schedules to beyond the first of zero-terminal-SNR ones.
SIGMA_RANGE, KNOTS = (0.002, 5000.0), 149
#: Guidance scales that the priors claim; the guard judges up to twice the upper one.
GUIDANCE = (1.0, 15.0)
#: Least relative spread of the rate, a guess: how single steps scatter in the middle of a run is not known. A calibration of the testbed has 0.16.
LEAST_SPREAD = 0.1

#: Other models: the share of the variance still unexplained that an ordinary prompt explains is taken for so many times that of SD 1.x (0.017 at its
#: first evaluation, 0.0001 at its last; memorized 0.20; a prompt that determines the picture: 1).
GENERIC_MARGIN = 1.25
#: Spread for other models: the fixed part, with which at low noise, where no numbers exist, a predictor that knows the picture is not flagged at
#: Medium; and how many times that of SD 1.x the part is that grows with guidance.
GENERIC_SPREAD, GENERIC_WIDER = 0.35, 1.3
#: Side of the latents, that of SDXL at 1024: larger ones have stronger low frequencies, which errs towards a larger ordinary norm.
GENERIC_SIDE = 128

#: Relative spread at each knot, and its part that grows with guidance.
Spreads = tuple[np.ndarray, np.ndarray | None]

_NORMAL = NormalDist()
#: Deviates that stand for a normal distribution in means.
_DEVIATES = np.array([_NORMAL.inv_cdf((i + 0.5) / 2000) for i in range(2000)])


def fair_spread(part: float, median: float, spread: float, mean: float) -> float:
    """The relative spread with which the levels hold best for ``r**2 = part + s``, s lognormal with this median and spread, see the docstring above.

    `mean` is that of the region. The worst level's ratio of share to target, or of target to share, is the least possible.
    """
    target = np.array(list(TARGETS.values())) / PRIOR_LOOKS
    deviates = np.array([_NORMAL.inv_cdf(1 - one) for one in target])

    def off(candidate: float) -> float:
        excess = np.maximum((mean * (1 + candidate * deviates)) ** 2 - part, 1e-12)
        shares = [_NORMAL.cdf(-float(z)) for z in np.log(excess / median) / spread]
        return float(np.abs(np.log(np.maximum(shares, 1e-300) / target)).max())

    return min(np.linspace(0.005, 1.0, 400), key=off)


def rate_spread(rate: np.ndarray, median: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both parts of the rate's relative spread at each knot (see :func:`..guard.fitting.spread_at`), all arrays over the knots.

    Parameters
    ----------
    rate
        Mean square of the unguided part.
    median, spread
        Of the guided part of the mean square per squared guidance scale, lognormal.

    Returns
    -------
    fixed, guided
        Together :func:`fair_spread` at guidance 7.5, and no less than it at the end of the range. Where that is less than `fixed`, which leaves room
        for an unguided part as large as its mean over a whole run, `guided` is zero.
    """
    fixed, guided = np.full(len(rate), LEAST_SPREAD), np.zeros(len(rate))
    for scale in (GUIDANCE[1], sd1_of.GUIDANCE):
        square = scale**2 * median * np.exp(spread**2 / 2)
        mean = np.sqrt(rate + square)
        fair = np.array([fair_spread(*one) for one in zip(rate, scale**2 * median, spread, mean)])
        guided = np.maximum(guided, np.sqrt(np.maximum(fair**2 - LEAST_SPREAD**2, 0)) * mean**2 / square)
    room = (np.sqrt(sd1_of.NOISE_SQUARED + sd1_of.NOISE_SCATTER + square) / mean - 1) / _NORMAL.inv_cdf(1 - TARGETS["medium"] / PRIOR_LOOKS)
    return np.where(room > fair, np.maximum(room, fixed), fixed), guided


def _knots() -> np.ndarray:
    low, high = np.log(SIGMA_RANGE)
    return np.linspace(low, high, KNOTS)


def _region(sigma: np.ndarray, side: int, clean_squared: np.ndarray, spreads: dict[str, Spreads], guidance: tuple[float, float]) -> StabilityRegion:
    """A region from the guided mean square of D per squared guidance scale at each knot, and both parts of the relative spread of each norm."""
    rate, clean, _ = unguided(sigma, side)
    region = StabilityRegion(score="rate")
    region.knots_, region.guidance_, region.scores_ = _knots(), guidance, np.zeros(0)
    region.step = float(region.knots_[1] - region.knots_[0])
    guided = {"rate": clean_squared * (1 + sigma**2) / sigma**2, "clean": clean_squared}
    region.curves_ = {
        name: fitting.Curves(np.stack([a, np.zeros_like(a), guided[name]], 1), *spreads[name]) for name, a in (("rate", rate), ("clean", clean))
    }
    return region


def _profile(
    name: str,
    family: str,
    prediction: str,
    provenance: dict,
    sigma: np.ndarray,
    side: int,
    clean_squared: np.ndarray,
    spreads: dict[str, Spreads],
) -> profiles.Profile:
    scales = (GUIDANCE, (REFERENCE_GUIDANCE, REFERENCE_GUIDANCE))
    watch, probe = (_region(sigma, side, clean_squared, spreads, guidance) for guidance in scales)
    common = {
        "what": "A prior, not a calibration: no reference run was made with any checkpoint.",
        "unguided": "Ideal prediction of Gaussian data of unit variance whose power falls like k^-2.6; RMS at least 0.5. The exponent is that of SD "
        "1.x: ||eps_u||^2/N measured 0.846 +- 0.021, mean over 50 DDIM steps; 2.6 gives 0.833.",
        "levels": "Thresholds take a run for five independent looks. A single look (a scan, a probe) flags about a fifth of a level's target.",
        "probe": "The virtual prediction against the empty prompt has the same norms as guided sampling against it at its scale: the same curves.",
    }
    return profiles.Profile(name, "prior", profiles.Model(family, prediction), watch, probe, provenance=common | provenance)


def sd1() -> profiles.Profile:
    """Prior of SD 1.x (epsilon), from published norms of the guidance term.

    Beyond SD 1's largest sigma (14.6) all curves are flat; below the last evaluation of 50 (sigma 0.041) the difference of the predicted noises is.
    """
    sigma = np.minimum(np.exp(_knots()), sd1_of.SIGMAS[-1])
    median, skew = sd1_of.ordinary_difference(sigma)
    rate, clean, _ = unguided(sigma, sd1_of.SIDE)
    squared = median**2 * np.exp(2 * skew**2)

    guided = sd1_of.GUIDANCE**2 * (sigma * median)[:, None] ** 2 * np.exp(2 * skew[:, None] * _DEVIATES) / sd1_of.ELEMENTS
    norms = np.sqrt(clean[:, None] + guided)
    known = sd1_of.label_sigma(sd1_of.FIRST_LABELS[1])
    spreads: dict[str, Spreads] = {
        "rate": rate_spread(rate, (1 + sigma**2) * median**2 / sd1_of.ELEMENTS, 2 * skew),
        "clean": (np.interp(np.maximum(sigma, known), sigma, norms.std(1) / norms.mean(1)), None),
    }
    provenance = {
        "source": "published norms of SD 1.5 (first two evaluations, 500 ordinary prompts) and of SD 1.4 (arXiv 2407.21720); how far ordinary "
        "pictures scatter at low noise is a guess",
        "guided": "w ||eps_c - eps_u|| / 128, at w 7.5. First two evaluations: SD 1.5, 500 ordinary prompts, squared 1.06 +- 0.70 and 1.20 +- 0.92 "
        "(randomnameforicml/icml-2026). The rest: SD 1.4, DDIM 50, one prompt, read off plots by Wen et al. (arXiv 2407.21720) to about 0.3, and "
        "scaled to the mean of 500 prompts, 1.75. Label L on those plots is time step L - 19.",
        "spread": "Chosen so that the levels hold for lognormal prompts. Spread of ln ||eps_c - eps_u||: 0.30 and 0.34 at the first two "
        "evaluations (published), 0.52 at sigma 8 to 5 and 0.25 below 3 (0.16 between prompts, published for means over a run; the rest between "
        "seeds, from two curves alone). At low noise so wide that a run whose ||eps_u||^2/N stays at 0.867 passes at Medium, and 0.1 at least: "
        "guesses, since no scatter at single steps is known.",
        "score": "The rate alone: at low noise the clean norm cannot see guidance.",
        "extension": "Numbers reach from sigma 0.041 to 13.1. Beyond 14.6 the curves are flat; below 0.041 ||eps_c - eps_u|| is.",
        "limits": "Made for an empty negative prompt; all published numbers are of guidance 7.5, other scales follow by theory. Memorized prompts "
        "stand out at the first two evaluations from pure noise, hardly at sigma 5 to 8, and at the last ones. Not known: the scatter of either "
        "norm at single steps of low noise, anything of SD 2.x.",
    }
    clean_squared = sigma**2 * squared / sd1_of.ELEMENTS
    return _profile("SD 1.x prior", "sd1", "epsilon", provenance, sigma, sd1_of.SIDE, clean_squared, spreads)


def ordinary_share(sigma: np.ndarray) -> np.ndarray:
    """Share of the variance still unexplained that an ordinary prompt explains on SD 1.x. Beyond its noise levels it is flat."""
    held = np.clip(sigma, sd1_of.DDIM_SIGMAS[-1], sd1_of.DDIM_SIGMAS[0])
    median, skew = sd1_of.ordinary_difference(held)
    return held**2 * median**2 * np.exp(2 * skew**2) / sd1_of.ELEMENTS / unguided(held, sd1_of.SIDE)[2]


def generic(prediction: str = "epsilon") -> profiles.Profile:
    """Prior for any model on latents of unit variance, by theory.

    ``D_c**2 - D_u**2`` is the variance that the prompt explains beyond the latent, at most the mmse, and a prompt that determines the picture
    explains all of it. An ordinary one is taken to explain somewhat more than on SD 1.x. Both norms are functions of x, D and sigma, so epsilon and v
    prediction share the curves.
    """
    sigma = np.exp(_knots())
    *_, mmse = unguided(sigma, GENERIC_SIDE)
    explained = GENERIC_MARGIN * ordinary_share(sigma) * np.minimum(mmse, 1 - LEAST_UNGUIDED**2)
    provenance = {
        "source": "theory, with the smoothness and the prompts of SD 1.x; nothing was measured on other models",
        "guided": "D_c^2 - D_u^2 is the variance that a prompt explains beyond the noisy latent, at most the error of the unguided prediction. An "
        "ordinary prompt is taken to explain 1.25 times the share of SD 1.x: 0.021 at the first evaluations, less at lower noise; one that "
        "determines the picture explains all.",
        "spread": "0.45, at sigma 5 to 10 up to 0.66: at least 1.3 times that of SD 1.x, since models differ, too. No numbers of other models exist.",
        "score": "The rate alone. At low noise the spread leaves room for any picture, so the start of a run decides.",
        "assumption": "Latents of unit variance and of SD 1.x's smoothness, an empty negative prompt; side 128 for the unguided part.",
        "extension": "Theory gives all of sigma 0.002 to 5000; where the unguided part is at its least, at high sigma, the curves are flat.",
        "limits": "Copies of whole pictures stand out, templates (a part of the picture) may not. Calibrate the checkpoint where that matters. "
        "Nothing is known of SD 2.x and SDXL that would bear out these numbers.",
    }
    name = {"epsilon": "Generic prior", "v": "Generic prior v"}[prediction]
    wider = np.minimum(GENERIC_WIDER * np.asarray(sd1().watch.curves_["rate"].guided), SPREADS[1])
    spreads: dict[str, Spreads] = dict.fromkeys(("rate", "clean"), (np.full(KNOTS, GENERIC_SPREAD), wider))
    return _profile(name, profiles.ANY, prediction, provenance, sigma, GENERIC_SIDE, explained, spreads)


def write_all(folder: Path) -> list[Path]:
    """Write all priors into `folder`; returns their paths."""
    made = {"sd1-prior.json": sd1(), "generic-prior.json": generic("epsilon"), "generic-prior-v.json": generic("v")}
    for name, profile in made.items():
        storage.write(profile, Path(folder) / name)
    return [Path(folder) / name for name in made]
