"""From which likeness on a picture counts as a copy: what unrelated pictures of the index itself reach with each other.

Pairs of pictures drawn by chance have nothing to do with each other, but for the few that are copies. A picture that is looked up meets every picture
of the index, and its mirror image does: the more pictures, the higher the nearest of them comes by chance. So the threshold is the likeness that a
pair exceeds so rarely that among all of these one in a hundred unrelated pictures finds a picture above it. Training sets repeat pictures, and those
are just what is looked for: so the rate is read off where pairs are common, between :data:`FROM` and :data:`TO`, and carried on from there.

A set of a dozen pictures has too few pairs for that: :func:`of_few` takes them for normally distributed on the scale on which likenesses are.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from ..sentences import Sentence
from . import search, store

#: Share of unrelated pictures that may be called copies.
RATE = 0.01
#: Fewest pictures that a threshold can be taken from, and pictures of which all pairs are looked at.
FEWEST, PAIRED = 50, 3000
#: Pairs that are the same picture; and the share of such pairs from which on an index's pictures are too much alike.
ALIKE, TOO_MANY = 0.95, 0.02
#: Shares of pairs between which the tail's slope is measured; the second is that of so many pairs at least.
FROM, TO, PAIRS = 0.03, 0.003, 10
#: The picture and its mirror image.
_VIEWS = 2
#: Fewest pictures of a small set, the share of its pairs from which on it is too much alike, and by how much its rate is kept below
#: :data:`RATE`: tails are heavier than normal ones. On the testbed's autoencoder sets of 8 to 30 then call 1 to 2 % of unrelated pictures copies,
#: one set in ten 4 %.
LEAST, MOST_ALIKE, CAUTION = 8, 0.1, 5


def calibrate(rows: np.ndarray) -> tuple[float | None, str]:
    """The threshold for an index of these rows, or None and why."""
    if len(rows) < FEWEST:
        return None, Sentence(store.TEXTS["few"], count=len(rows), least=FEWEST)
    sample = np.asarray(rows[search.sampled(len(rows), PAIRED)], np.float32)
    found = (sample @ sample.T)[np.triu_indices(len(sample), 1)]
    unlike = found[found < ALIKE]
    if len(found) - len(unlike) > TOO_MANY * len(found):
        return None, Sentence(store.TEXTS["alike"])
    # On this scale a likeness near 1 is far from the others, and the tail all but falls at one rate.
    common, rare = FROM, max(TO, PAIRS / len(unlike))
    low, high = (math.atanh(min(float(one), ALIKE)) for one in np.quantile(unlike, [1 - common, 1 - rare]))
    slope = max(high - low, 0.0) / math.log(common / rare)
    limit = high + slope * math.log(rare * _VIEWS * len(rows) / RATE)
    return round(min(math.tanh(limit), ALIKE), 4), ""


def of_few(rows: np.ndarray, mirrored: np.ndarray) -> tuple[float | None, str]:
    """The threshold for a small set of pictures, given as rows and as rows of their mirror images, or None and why."""
    if len(rows) < LEAST:
        return None, Sentence(store.TEXTS["few"], count=len(rows), least=LEAST)
    above = np.triu_indices(len(rows), 1)
    found = np.concatenate([(rows @ other.T)[above] for other in (rows, mirrored)])
    unlike = found[found < ALIKE]
    if len(found) - len(unlike) > MOST_ALIKE * len(found):
        return None, Sentence(store.TEXTS["alike"])
    scale = np.arctanh(np.clip(unlike, -ALIKE, ALIKE))
    limit = scale.mean() + scale.std() * NormalDist().inv_cdf(1 - RATE / CAUTION / (_VIEWS * len(rows)))
    return round(min(math.tanh(float(limit)), ALIKE), 4), ""
