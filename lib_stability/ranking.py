"""How well a score ranks memorized runs above ordinary ones: arrays in, a number out. Every room may use it."""

from __future__ import annotations

import numpy as np


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a memorized run scores above an ordinary one, ties count half."""
    order = np.sort(negative)
    below, upto = np.searchsorted(order, positive, "left"), np.searchsorted(order, positive, "right")
    return float((below + upto).mean() / (2 * len(order)))


def tpr_at(positive: np.ndarray, negative: np.ndarray, fpr: float = 0.01) -> float:
    """Share of memorized runs above the threshold that lets at most `fpr` of the ordinary ones through."""
    allowed = int(np.floor(fpr * len(negative)))
    threshold = np.sort(negative)[::-1][allowed]
    return float((positive > threshold).mean())
