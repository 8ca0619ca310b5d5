"""Reference runs that look like copies are left out, ordinary ones are not."""

from __future__ import annotations

import numpy as np
import pytest

from lib_stability.guard.region import Trajectory
from lib_stability.profile import trimming


def runs(count: int, copies: int, seed: int, size: float = 1.0, parameterisation: str = "sigma") -> list[Trajectory]:
    """Made-up runs, the first `copies` of them with norms raised by `size`."""
    noise = np.random.default_rng(seed)
    found = []
    for number in range(count):
        sigma = np.geomspace(14, 0.05, 20) if parameterisation == "sigma" else np.linspace(0.98, 0.02, 20)
        # One factor a run, as prompts differ, with a tail heavier than the normal one.
        factor = 1 + 0.06 * noise.standard_t(16) + (size if number < copies else 0.0)
        rate, clean = (np.abs(factor * (1 + 0.02 * noise.standard_normal(20))) + 0.1 for _ in range(2))
        found.append(Trajectory(sigma, 7.5, rate, clean))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_ordinary_runs_stay(seed):
    assert trimming.copies(runs(200, 0, seed)) == []


@pytest.mark.parametrize("parameterisation", ["sigma", "flow"])
@pytest.mark.parametrize("copies", [1, 2, 4, 8])
def test_copies_go_even_where_they_hide_one_another(copies, parameterisation):
    assert trimming.copies(runs(200, copies, 0, parameterisation=parameterisation), parameterisation) == list(range(copies))


def test_never_more_than_five_in_a_hundred():
    assert trimming.copies(runs(100, 5, 0)) == list(range(5)) and len(trimming.copies(runs(100, 9, 0))) <= 5


def test_small_calibrations_are_left_whole():
    assert trimming.copies(runs(40, 2, 0)) == []


def test_thresholds_come_back_to_those_without_copies():
    from lib_stability.guard.region import StabilityRegion
    from lib_stability.guard.sensitivity import thresholds

    def raw(found: list[Trajectory]) -> float:
        """What the Medium threshold is worth in norms."""
        region = StabilityRegion().fit(found)
        return 1 + thresholds(region, "medium").mild * float(region.curves_["clean"].spread.mean())

    ordinary, mixed = runs(200, 0, 1), runs(200, 3, 1)
    left_out = trimming.copies(mixed)
    trimmed = [run for number, run in enumerate(mixed) if number not in left_out]
    assert raw(mixed) > 1.15 * raw(ordinary)
    assert raw(trimmed) == pytest.approx(raw(ordinary), rel=0.03)
