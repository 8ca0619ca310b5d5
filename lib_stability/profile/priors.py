"""The bundled prior profiles, built from stated numbers: for use until a checkpoint is calibrated, never as good as a calibration.

The unguided part of both norms. For data of unit variance and a predictor that is the conditional mean, ``D_u**2 + mmse = 1`` holds (mean squares
per element), and because ``v = sqrt(1 + sigma**2)/sigma * (x/(1 + sigma**2) - D)`` the rate follows from the same number:
``rate_u**2 = 1 - mmse * (1 + sigma**2)/sigma**2``. A predictor that knew the picture would have mmse 0 and both norms 1 at every sigma. White data
are the other end: ``D_u**2 = 1/(1 + sigma**2)`` and rate 0. Pictures lie between: here Gaussian data whose power falls like ``1/k**2`` with the
spatial frequency k, as that of natural images does (Field 1987), for which ``mmse = mean(P sigma**2/(P + sigma**2))`` and
``rate_u**2 = mean(sigma**2 (1 - P)**2/((1 + sigma**2)(P + sigma**2)))``. Neither norm is taken below :data:`LEAST_UNGUIDED`.

The guided part. Guidance adds ``w * (D_c - D_u)``. Averaged over prompts, ``D_u`` is the mean of ``D_c`` given the latent, so both parts are
orthogonal and squares add: ``r**2 = a + c w**2``, b = 0. With ``g = ||eps_c - eps_u||/sqrt(N)`` the part of eps is ``w g``, that of D
``-sigma w g``, hence that of ``v = alpha eps - s D`` is ``(alpha + s sigma) w g = sqrt(1 + sigma**2) w g``. So ``c`` is ``(sigma g)**2`` for the
clean norm and ``(1 + sigma**2) g**2`` for the rate.

There is no prior for flow matching: no published norms exist to start from, and models of that kind often run without real guidance, where there is
no signal to judge. They have to be calibrated.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..guard import fitting
from ..guard.probe import REFERENCE_GUIDANCE
from ..guard.region import StabilityRegion
from . import profiles, storage

#: From below the last step of the usual schedules to beyond the first of zero-terminal-SNR ones.
SIGMA_RANGE, KNOTS = (0.002, 5000.0), 75
#: Guidance scales that the priors claim; the guard judges up to twice the upper one.
GUIDANCE = (1.0, 15.0)
#: Least RMS of the unguided part, half that of the data. It covers what the Gaussian leaves out: the mean of the data and the network's error, which
#: sigma amplifies, at high noise; at low noise real pictures are more predictable than a Gaussian. A floor makes the watch less eager, never more.
LEAST_UNGUIDED = 0.5

#: SD 1.x, 4 x 64 x 64 latents.
SD1_ELEMENTS = 16384
#: DDIM timestep -> ordinary and memorized range of ||eps_c - eps_u|| on SD 1.4 at w = 7.5, read off published plots (+-0.3).
SD1_DIFFERENCE = {
    1000: ((0.4, 0.8), (4.7, 5.3)),  # memorized: "about 5"
    980: ((0.5, 1.0), (2.6, 6.0)),
    940: ((0.7, 1.2), (2.0, 3.0)),
    800: ((1.1, 1.9), (3.0, 3.7)),
    500: ((1.8, 2.2), (3.5, 5.7)),
    200: ((2.2, 2.8), (5.5, 7.7)),
    100: ((2.0, 2.5), (7.4, 10.0)),
    20: ((0.8, 1.3), (13.0, 19.0)),
}
#: SD 1.5, mean of ||eps_c - eps_u||**2 at the first step.
SD1_FIRST_SQUARED = {"ordinary": 1.06, "memorized": 12.9}
#: Relative deviation between prompts: of 500 ordinary ones with a mean peak of 1.7 the largest is 3.5, and the largest of 500 normal deviates is
#: about 3; SD 1.5's squared norms at the first step, 1.06 +- 0.70, say the same. The plots' reading error is absolute.
SD1_PROMPTS, SD1_READING = 0.35, 0.3

#: Share of the variance still unexplained that an ordinary prompt explains. SD 1.x at its first step: 0.003 to 0.013 ordinary, 0.08 to 0.44
#: memorized; a prompt that determines the picture: 1.
GENERIC_SHARE, GENERIC_SPREAD = 0.015, 0.6
#: Side of the latents, that of SDXL at 1024: larger ones have stronger low frequencies, which errs towards a larger ordinary norm.
GENERIC_SIDE, SD1_SIDE = 128, 64


def sd1_sigma(timestep: np.ndarray | int) -> np.ndarray:
    """Noise level of a DDIM timestep (1000 counts as the last, 999) in SD 1's scaled-linear schedule, beta from 0.00085 to 0.012."""
    beta = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    kept = np.cumprod(1 - beta)
    return np.sqrt((1 - kept) / kept)[np.minimum(timestep, 999)]


def unguided(sigma: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean squares of rate and clean norm of an ideal unguided prediction, floored, and its mmse: arrays like `sigma`.

    `side` is that of the latents, see the module's docstring for the model.
    """
    axis = np.fft.fftfreq(side, 1 / side)
    square = axis[:, None] ** 2 + axis**2
    square[0, 0] = 1.0  # the constant counts like the longest wave
    power = (1 / square / np.mean(1 / square)).ravel()
    level = sigma[:, None] ** 2
    mmse = np.mean(power * level / (power + level), 1)
    rate = np.mean(level * (1 - power) ** 2 / ((1 + level) * (power + level)), 1)
    return np.maximum(rate, LEAST_UNGUIDED**2), np.maximum(1 - mmse, LEAST_UNGUIDED**2), mmse


def _knots() -> np.ndarray:
    low, high = np.log(SIGMA_RANGE)
    return np.linspace(low, high, KNOTS)


def _region(sigma: np.ndarray, side: int, clean_squared: np.ndarray, spread: np.ndarray, guidance: tuple[float, float]) -> StabilityRegion:
    """A region from the guided mean square of D per squared guidance scale at each knot, both norms with the same relative spread."""
    rate, clean, _ = unguided(sigma, side)
    region = StabilityRegion(score="smaller")
    region.knots_, region.guidance_, region.scores_ = _knots(), guidance, np.zeros(0)
    region.step = float(region.knots_[1] - region.knots_[0])
    guided = {"rate": clean_squared * (1 + sigma**2) / sigma**2, "clean": clean_squared}
    region.curves_ = {
        name: fitting.Curves(np.stack([a, np.zeros_like(a), guided[name]], 1), spread) for name, a in (("rate", rate), ("clean", clean))
    }
    return region


def _profile(
    name: str, family: str, prediction: str, provenance: dict, sigma: np.ndarray, side: int, clean_squared: np.ndarray, spread: np.ndarray
) -> profiles.Profile:
    scales = (GUIDANCE, (REFERENCE_GUIDANCE, REFERENCE_GUIDANCE))
    watch, probe = (_region(sigma, side, clean_squared, spread, guidance) for guidance in scales)
    common = {
        "what": "A prior, not a calibration: no reference run was made with any checkpoint.",
        "unguided": "Ideal prediction of Gaussian data of unit variance whose power falls like 1/k^2 (natural images, Field 1987); RMS at least 0.5.",
        "probe": "The virtual prediction against the empty prompt has the same norms as guided sampling against it at its scale: the same curves.",
    }
    return profiles.Profile(name, "prior", profiles.Model(family, prediction), watch, probe, provenance=common | provenance)


def sd1() -> profiles.Profile:
    """Prior of SD 1.x (epsilon), from published norms of the guidance term.

    Beyond SD 1's largest sigma (14.6) all curves are flat; below the last timestep in the table (sigma 0.14) the difference of the predicted noises
    is. At the reference scale memorized prompts stand out at the first one or two evaluations of fifty, from pure noise (sigma above about 12).
    """
    place = np.log(sd1_sigma(np.array(list(SD1_DIFFERENCE))))[::-1]
    middle = np.array([np.mean(ordinary) for ordinary, _ in SD1_DIFFERENCE.values()])[::-1]
    sigma = np.minimum(np.exp(_knots()), sd1_sigma(999))
    difference = np.interp(np.log(sigma), place, middle)
    spread = np.hypot(SD1_PROMPTS, SD1_READING / difference)
    clean_squared = sigma**2 * difference**2 * (1 + SD1_PROMPTS**2) / SD1_ELEMENTS
    provenance = {
        "guided": "w sigma ||eps_c - eps_u|| / sqrt(16384), SD 1.4, DDIM 50, w 7.5, ordinary prompts, read off published plots to about 0.3.",
        "spread": "0.35 between prompts (500 ordinary prompts: mean peak 1.7, range 1 to 3.5; SD 1.5, first step, squared: 1.06 +- 0.70), and 0.3 of "
        "reading the plots.",
        "extension": "Numbers reach from sigma 0.14 to 14.6. Beyond 14.6 the curves are flat; below 0.14 ||eps_c - eps_u|| is.",
        "limits": "Made for an empty negative prompt. Memorized prompts stand out at the first evaluations of pure noise (sigma above about 12), at "
        "guidance of 5 and more; the probe has its own scale. All published numbers are of guidance 7.5.",
    }
    return _profile("SD 1.x prior", "sd1", "epsilon", provenance, sigma, SD1_SIDE, clean_squared, spread)


def generic(prediction: str = "epsilon") -> profiles.Profile:
    """Prior for any model on latents of unit variance, by theory.

    ``D_c**2 - D_u**2`` is the variance that the prompt explains beyond the latent, at most the mmse, and a prompt that determines the picture
    explains all of it. An ordinary one is taken to explain :data:`GENERIC_SHARE`. Both norms are functions of x, D and sigma, so epsilon and v
    prediction share the curves.
    """
    sigma = np.exp(_knots())
    *_, mmse = unguided(sigma, GENERIC_SIDE)
    explained = GENERIC_SHARE * np.minimum(mmse, 1 - LEAST_UNGUIDED**2)
    provenance = {
        "guided": "D_c^2 - D_u^2 is the variance that a prompt explains beyond the noisy latent, at most the error of the unguided prediction. An "
        "ordinary prompt is taken to explain 0.015 of it (SD 1.x at its first step: 0.003 to 0.013), one that determines the picture explains all.",
        "spread": "0.6 throughout: wider than the differences between prompts (0.35 on SD 1.x), since models differ, too.",
        "assumption": "Latents of unit variance, an empty negative prompt; side 128 for the unguided part.",
        "extension": "Theory gives all of sigma 0.002 to 5000; where the unguided part is at its least, at high sigma, the curves are flat.",
        "limits": "Copies of whole pictures stand out, templates (a part of the picture) may not. Calibrate the checkpoint where that matters.",
    }
    name = {"epsilon": "Generic prior", "v": "Generic prior v"}[prediction]
    return _profile(name, profiles.ANY, prediction, provenance, sigma, GENERIC_SIDE, explained, np.full(KNOTS, GENERIC_SPREAD))


def write_all(folder: Path) -> list[Path]:
    """Write all priors into `folder`; returns their paths."""
    made = {"sd1-prior.json": sd1(), "generic-prior.json": generic("epsilon"), "generic-prior-v.json": generic("v")}
    for name, profile in made.items():
        storage.write(profile, Path(folder) / name)
    return [Path(folder) / name for name in made]
