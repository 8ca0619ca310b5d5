"""Which pictures of a trial are copies: by likeness to originals where somebody has them, else by agreement between seeds.

A copy comes out the same from every seed, so a picture that is like what *other* seeds of its prompt gave (reporting, so that nothing was steered
away) passes for one. The threshold is what ordinary prompts' own pictures reach: with originals their likeness to any of these, which have nothing
to do with them; without, their agreement among each other. How good the second is, is measured on the testbed: ``testbed agreement``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from ..guard.tail import Tail
from ..match.likeness import nearest
from .plan import BEFORE, ORDINARY, REPORT

#: Share of ordinary pictures that may pass for copies, and fewest of them that a threshold can be set by.
RATE, FEWEST = 0.01, 20
#: Spreads from which an ordinary picture stands apart from the others, and the largest share of those that are left out.
APART, MOST_APART = 4.0, 0.1


class Judgement(NamedTuple):
    """Likeness and verdict (None where it cannot be told) of each picture, and how they came about."""

    likeness: list[float | None]
    copies: list[bool | None]
    limit: float | None
    ordinary: int
    why: str = ""


def limit(ordinary: np.ndarray) -> float:
    """The likeness that :data:`RATE` of ordinary pictures exceed, at most half of the way from the highest of them to sameness.

    An ordinary prompt may hand out a copy, too (of the testbed's 6 %): pictures that stand apart from the others are left out, a tenth at most. They
    stand apart where Fisher's z of their likeness is :data:`APART` spreads above the median; the spread is told by the middle, which a few copies do
    not move.
    """
    z = np.arctanh(np.clip(ordinary, -1 + 1e-6, 1 - 1e-6))
    middle, above = np.quantile(z, (0.5, 0.8))
    usual = z <= max(middle + APART * (above - middle) / NormalDist().inv_cdf(0.8), np.quantile(z, 1 - MOST_APART))
    highest = float(ordinary[usual].max())
    return min(float(Tail(ordinary[usual]).quantile(RATE)), (1 + highest) / 2)


def agreement(rows: Sequence[dict], vectors: np.ndarray) -> np.ndarray:
    """Likeness of each picture to the most alike of those that other seeds of its prompt gave, reporting; NaN where there is none."""
    groups = defaultdict(list)
    for number, row in enumerate(rows):
        if row["mode"] == REPORT and row["phase"] == BEFORE:
            groups[row["setting"], row["set"], row["prompt"]].append(number)
    found = np.full(len(rows), np.nan)
    for number, row in enumerate(rows):
        others = [other for other in groups[row["setting"], row["set"], row["prompt"]] if rows[other]["seed"] != row["seed"]]
        if others and vectors[number].any():
            found[number] = float((vectors[others] @ vectors[number]).max())
    return found


def judge(rows: Sequence[dict], vectors: np.ndarray, originals: np.ndarray | None = None) -> Judgement:
    """Judge pictures, one row of `vectors` each, against `originals` or, without, against each other."""
    with_originals = originals is not None and len(originals) > 0
    found = nearest(vectors, originals).astype(float) if with_originals else agreement(rows, vectors)
    found = np.where(vectors.any(1), found, np.nan)
    reference = np.array([value for value, row in zip(found, rows) if _is_reference(row) and np.isfinite(value)])
    likeness = [round(float(value), 4) if np.isfinite(value) else None for value in found]
    if len(reference) < FEWEST:
        why = f"only {len(reference)} ordinary pictures to set a threshold by, {FEWEST} are wanted" + (
            "" if with_originals else "; use two seeds or more"
        )
        return Judgement(likeness, [None] * len(rows), None, len(reference), why)
    least = round(limit(reference), 4)
    return Judgement(likeness, [None if value is None else value > least for value in likeness], least, len(reference))


def _is_reference(row: dict) -> bool:
    return row["set"] == ORDINARY and row["mode"] == REPORT and row["phase"] == BEFORE


def of_each_other(found: Sequence[bool | None], truth: Sequence[bool | None]) -> dict:
    """How one judgement does where another is taken for the truth: share of the copies found, share of the others called copies."""
    pairs = [(bool(one), bool(other)) for one, other in zip(found, truth) if one is not None and other is not None]
    copies, others = ([one for one, other in pairs if other is kind] for kind in (True, False))
    return {
        "copies": len(copies),
        "found": float(np.mean(copies)) if copies else None,
        "others": len(others),
        "wrong": float(np.mean(others)) if others else None,
    }
