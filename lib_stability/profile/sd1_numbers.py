"""Published numbers of real Stable Diffusion 1.x that its prior is made of, each with its source.

All are of ``||eps_c - eps_u||``, the difference of the noises predicted for a prompt and for the empty one, on 4 x 64 x 64 latents, sampled with DDIM
in 50 steps at guidance 7.5. What is not known: how far the difference and RMS(D) scatter from prompt to prompt at a single step after the second, and
anything of SD 2.x or SDXL.
"""

from __future__ import annotations

import numpy as np

#: 4 x 64 x 64.
ELEMENTS, SIDE = 16384, 64
#: Guidance scale of all of them.
GUIDANCE = 7.5

#: Mean and standard deviation, over 500 ordinary and 500 memorized prompts, of the squared difference at the first and the second evaluation of
#: SD 1.5 (randomnameforicml/icml-2026, results/full_500/summary.txt, "Wen Step 0" and "Wen Step 1"; MIT licence).
FIRST_LABELS = (1000, 980)
ORDINARY_SQUARED = ((1.06, 0.70), (1.20, 0.92))
MEMORIZED_SQUARED = ((12.87, 13.23), (25.03, 20.83))

#: Label on the plots of SD 1.4 by Wen et al. (arXiv 2407.21720) -> range of the difference over the seeds of an ordinary prompt, read to about 0.3.
ORDINARY_RANGE = {
    940: (0.7, 1.2),
    800: (1.1, 1.9),
    500: (1.8, 2.2),
    200: (2.2, 2.8),
    100: (2.0, 2.5),
    20: (0.8, 1.3),
}
#: Mean over 50 steps and four seeds, of 500 ordinary prompts on SD 1.4: geometric mean and spread of its logarithm (plots of the same source).
ORDINARY_MEAN, BETWEEN_PROMPTS = 1.75, 0.16
#: Noise level -> spread of the logarithm between seeds of one prompt, from the only two curves that can be read: 2.61 and 2.01 at sigma 0.84; 2.27
#: and 0.92, 1.54 and 2.66 between 8.4 and 5.1, where the layout of the picture settles. Two seeds make a poor estimate.
BETWEEN_SEEDS = {0.84: 0.19, 3.35: 0.19, 5.13: 0.5, 8.39: 0.5}

#: ``||eps_u||**2/N``, mean over a run's steps and its standard deviation between runs, as measured on SD 1.x (of which runs is not recorded). What it
#: lacks to 1 is the loss, 0.15.
NOISE_SQUARED, NOISE_SCATTER = 0.846, 0.021

_BETA = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
_KEPT = np.cumprod(1 - _BETA)
#: Noise level of each of SD 1's time steps 0 ... 999 (scaled-linear, beta from 0.00085 to 0.012).
SIGMAS = np.sqrt((1 - _KEPT) / _KEPT)
#: Those of 50 DDIM steps, 981 ... 1.
DDIM_SIGMAS = SIGMAS[981::-20]


def label_sigma(label: np.ndarray | int) -> np.ndarray:
    """Noise level of a label on the published plots: they read 1000, 980, ... 20 for the steps 981, 961, ... 1."""
    return SIGMAS[np.asarray(label) - 19]


def lognormal(mean: float, deviation: float) -> tuple[float, float]:
    """Median and spread of the logarithm of the lognormal distribution with this mean and standard deviation."""
    spread = np.log1p((deviation / mean) ** 2) ** 0.5
    return float(mean * np.exp(-(spread**2) / 2)), float(spread)


def ordinary_difference(sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median over ordinary prompts of the difference at each noise level, and the spread of its logarithm.

    At the first two evaluations both follow from the squared norms. The rest of the curve is that of one prompt, scaled so that the mean over 50
    steps is that of 500 prompts. Its spread is made of that between prompts (of means over a run) and that between seeds. Beyond the ends everything
    is flat. The numbers of the first evaluation hold down to the middle between it and the second: a region's knots lie as far apart as these two.
    """
    squares = [lognormal(*one) for one in ORDINARY_SQUARED]
    place = np.log(sigma)
    first = np.log([label_sigma(label) for label in FIRST_LABELS])
    place = np.where(place > first.mean(), first[0], place)
    points = {float(one): median**0.5 for one, (median, _) in zip(first, squares)}
    rest = {float(np.log(label_sigma(label))): float(np.mean(ends)) for label, ends in ORDINARY_RANGE.items()}

    def curve(scale: float, where: np.ndarray) -> np.ndarray:
        scaled = points | {one: scale * value for one, value in rest.items()}
        return np.interp(where, sorted(scaled), [scaled[one] for one in sorted(scaled)])

    # The mean over the steps is linear in the scale.
    none, one = (float(curve(scale, np.log(DDIM_SIGMAS)).mean()) for scale in (0.0, 1.0))
    median = curve((ORDINARY_MEAN - none) / (one - none), place)
    spreads = [*np.hypot(BETWEEN_PROMPTS, list(BETWEEN_SEEDS.values())), squares[1][1] / 2, squares[0][1] / 2]
    return median, np.interp(place, [*np.log(list(BETWEEN_SEEDS)), first[1], first[0]], spreads)
