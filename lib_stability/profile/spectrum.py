"""The norms of an ideal prediction without guidance, for Gaussian pictures with the power spectrum of Stable Diffusion's latents.

For data of unit variance and a predictor that is the conditional mean, ``D_u**2 + mmse = 1`` and ``eps_u**2 + mmse/sigma**2 = 1`` hold (mean squares
per element), and because ``v = sqrt(1 + sigma**2)/sigma * (x/(1 + sigma**2) - D)`` the rate follows from the same number:
``rate_u**2 = 1 - mmse * (1 + sigma**2)/sigma**2 = D_u**2 + eps_u**2 - 1``. A predictor that knew the picture would have mmse 0 and both norms 1 at
every sigma. White data are the other end: ``D_u**2 = 1/(1 + sigma**2)`` and rate 0.

Pictures lie between: here Gaussian data whose power P falls like ``k**-EXPONENT`` with the spatial frequency k, for which each frequency is predicted
by itself, ``D = P/(P + sigma**2) x``. So ``mmse = mean(P sigma**2/(P + sigma**2))`` and
``rate_u**2 = mean(sigma**2 (1 - P)**2/((1 + sigma**2)(P + sigma**2)))``, means over the frequencies.

The exponent comes from SD 1.x itself, whose mean of ``eps_u**2`` over 50 DDIM steps was measured as 0.846 +- 0.021
(:data:`.sd1_numbers.NOISE_SQUARED`). An exponent of 2.6 gives 0.833, the 2 of natural images (Field 1987) only 0.740: latents are smoother than
pictures.
"""

from __future__ import annotations

import numpy as np

#: How fast the power of latents falls with the spatial frequency.
EXPONENT = 2.6
#: Least RMS of the unguided part, half that of the data. It covers what the Gaussian leaves out: the mean of the data and the network's error, which
#: sigma amplifies, at high noise; at low noise real pictures are more predictable than a Gaussian. A floor makes the watch less eager, never more.
LEAST_UNGUIDED = 0.5


def unguided(sigma: np.ndarray, side: int, exponent: float = EXPONENT, least: float = LEAST_UNGUIDED) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean squares of rate and clean norm of an ideal unguided prediction, neither norm below `least`, and its mmse: arrays like `sigma`.

    `side` is that of the latents, see the module's docstring for the model.
    """
    axis = np.fft.fftfreq(side, 1 / side)
    square = axis[:, None] ** 2 + axis**2
    square[0, 0] = 1.0  # the constant counts like the longest wave
    power = square ** (-exponent / 2)
    power = (power / power.mean()).ravel()
    level = sigma[:, None] ** 2
    mmse = np.mean(power * level / (power + level), 1)
    rate = np.mean(level * (1 - power) ** 2 / ((1 + level) * (power + level)), 1)
    return np.maximum(rate, least**2), np.maximum(1 - mmse, least**2), mmse
