"""Parts of prompts: each is judged as if it were the whole, at the first evaluation, and the one furthest off counts."""

from __future__ import annotations

import pytest
from guard_fixtures import guard, noisy, predictions, probe, same_bits, step

from lib_stability.guard.verdict import STABLE, STRONG


def parted(*parts, policy: str = "auto", **more):
    """A guard, and how often it asked for its parts: each of them kinds of predictions by image."""
    asked = []

    def apart(x, sigma):
        asked.append(len(x))
        return [predictions(*kinds, seed=10 * number) for number, kinds in enumerate(parts)]

    return guard(probe=probe(predictions(*parts[0]) if parts else None, policy=policy), apart=apart, **more), asked


@pytest.mark.parametrize("parts", [(("strong",), ("ordinary",)), (("ordinary",), ("strong",)), (("small",), ("ordinary",), ("strong",))])
def test_the_part_that_is_furthest_off_counts(parts):
    which, asked = parted(*parts)
    for _ in range(3):
        step(which, noisy(1), predictions("ordinary"))
    (verdict,) = which.report()
    assert (verdict.verdict, verdict.flagged_at, verdict.detector) == (STRONG, 1, "parts") and asked == [1]


def test_each_image_has_its_own():
    which, _ = parted(("ordinary", "strong", "ordinary"), ("ordinary", "ordinary", "strong"))
    denoised = predictions("ordinary", "ordinary", "ordinary")
    result = step(which, noisy(3), denoised)
    assert [one.verdict for one in which.report()] == [STABLE, STRONG, STRONG] and same_bits(result[:1], denoised[:1])


def test_damping_turns_away_from_the_part():
    which, _ = parted(("ordinary",), ("strong",))
    memorized = predictions("strong", seed=10)
    step(which, noisy(1), predictions("ordinary"))
    assert not same_bits(step(which, noisy(1), memorized), memorized)


def test_nothing_is_asked_for_where_nothing_is_probed():
    which, asked = parted(("strong",), ("strong",), policy="never")
    step(which, noisy(1), predictions("ordinary"))
    assert which.report()[0].verdict == STABLE and asked == []


def test_prompts_of_one_whole_have_none():
    which, _ = parted()
    step(which, noisy(1), predictions("ordinary"))
    assert (which.report()[0].verdict, which.report()[0].detector) == (STABLE, "watch")
