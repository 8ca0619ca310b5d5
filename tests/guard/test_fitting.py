"""Fit of the guidance curves, against SciPy's non-negative least squares."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import quadratic
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from lib_stability.guard.fitting import CurveFit, predict, resample, solve, spread_at


def guidance_design(scales: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(scales), scales, scales**2], 1)


def misfit(design: np.ndarray, target: np.ndarray, answer: np.ndarray) -> float:
    return float(np.sum((design @ answer - target) ** 2))


@given(seed=st.integers(0, 10**6), rows=st.integers(3, 40), pull=st.floats(-2, 2))
def test_solve_is_non_negative_least_squares(seed: int, rows: int, pull: float) -> None:
    random = np.random.default_rng(seed)
    design = random.normal(size=(rows, 3))
    target = design @ (random.normal(size=3) + pull) + random.normal(size=rows)
    expected, _ = nnls(design, target)
    found = solve(design.T @ design, design.T @ target)
    assert (found >= 0).all()
    assert misfit(design, target, found) <= misfit(design, target, expected) * (1 + 1e-7) + 1e-9 * (target @ target)
    condition = np.linalg.cond(design)
    if condition < 1e3:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7 * condition**2 * (1 + np.abs(expected).max()))


@given(seed=st.integers(0, 10**6), rows=st.integers(1, 40), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_solve_on_guidance_curves(seed: int, rows: int, scale: float) -> None:
    """Columns 1, w, w**2 are nearly dependent, and with one or two runs underdetermined: the misfit has to be the least all the same."""
    random = np.random.default_rng(seed)
    scales = random.uniform(1, 15, rows)
    design = guidance_design(scales)
    target = scale * np.maximum(design @ random.uniform(-0.3, 1, 3) * random.lognormal(0, 0.2, rows), 0)
    expected, _ = nnls(design, target)
    found = solve(design.T @ design, design.T @ target)
    assert (found >= 0).all()
    assert misfit(design, target, found) <= misfit(design, target, expected) + 1e-6 * (target @ target)


def test_solve_works_on_stacks_and_on_nothing() -> None:
    random = np.random.default_rng(0)
    designs, targets = random.normal(size=(6, 10, 3)), random.normal(size=(6, 10))
    normal = np.einsum("kri,krj->kij", designs, designs)
    right = np.einsum("kri,kr->ki", designs, targets)
    found = solve(normal, right)
    for k in range(6):
        np.testing.assert_allclose(found[k], nnls(designs[k], targets[k])[0], rtol=1e-5, atol=1e-7)
    assert (solve(np.zeros((2, 3, 3)), np.zeros((2, 3))) == 0).all()
    assert (solve(np.eye(3), -np.ones(3)) == 0).all(), "no unknown may be positive here"


@given(st.integers(0, 10**6))
def test_resample_ignores_the_order_of_evaluations(seed: int) -> None:
    random = np.random.default_rng(seed)
    position, value = random.uniform(-3, 3, 15), random.normal(size=15)
    shuffled = random.permutation(15)
    knots = np.linspace(-4, 4, 30)
    np.testing.assert_allclose(resample(position[shuffled], value[shuffled], knots), resample(position, value, knots), rtol=1e-9, atol=1e-9)


def test_resample_reproduces_a_straight_line_and_marks_what_is_out_of_reach() -> None:
    position = np.array([2.0, 0.0, 1.0])
    found = resample(position, 3 * position + 1, np.linspace(-1, 3, 9))
    np.testing.assert_allclose(found[2:7], 3 * np.linspace(0, 2, 5) + 1)
    assert np.isnan(found[[0, 1, 7, 8]]).all()


def test_resample_averages_evaluations_at_one_noise_level() -> None:
    position = np.array([1.0, 0.0, 1.0, 0.0, 2.0])
    value = np.array([4.0, 1.0, 6.0, 3.0, 9.0])
    np.testing.assert_allclose(resample(position, value, np.array([0.0, 0.5, 1.0, 2.0])), [2.0, 3.5, 5.0, 9.0])
    nearly = resample(position + np.array([0, 0, 1e-6, 0, 0]), value, np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(nearly, [2.0, 5.0, 9.0], atol=1e-4)


def test_resample_of_a_single_evaluation() -> None:
    found = resample(np.array([1.0]), np.array([7.0]), np.array([0.0, 0.4, 0.8, 1.2, 1.6]))
    np.testing.assert_array_equal(found, [np.nan, np.nan, 7.0, 7.0, np.nan])


COEFFICIENTS = [(1.0, 0.1, 0.02), (0.0, 0.0, 0.3), (2.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1e-4, 0.0, 1e-5)]


@pytest.mark.parametrize("coefficients", COEFFICIENTS)
def test_exact_curves_come_back(coefficients: tuple[float, float, float]) -> None:
    guidance = np.repeat(np.linspace(1, 15, 12)[:, None], 5, 1)
    fit = CurveFit(quadratic(coefficients, guidance), guidance, floor=0.02)
    wide = np.repeat(np.linspace(1, 20, 30)[:, None], 5, 1)
    np.testing.assert_allclose(predict(fit.curves.coefficients, wide), quadratic(coefficients, wide), rtol=1e-3)
    np.testing.assert_allclose(fit.curves.spread, 0.02)


@pytest.mark.parametrize("spread", [0.05, 0.15])
def test_relative_spread_comes_back_at_every_guidance_scale(spread: float) -> None:
    random = np.random.default_rng(3)
    guidance = np.repeat(np.linspace(1, 15, 400)[:, None], 6, 1)
    mean = quadratic((1.0, 0.1, 0.05), guidance)
    fit = CurveFit(mean * (1 + spread * random.standard_normal(mean.shape)), guidance, floor=0.001)
    np.testing.assert_allclose(fit.curves.spread, spread, rtol=0.12)
    np.testing.assert_allclose(predict(fit.curves.coefficients, guidance), mean, rtol=2 * spread**2 + 5 * spread / 20)


def test_fit_is_blind_to_units() -> None:
    random = np.random.default_rng(5)
    guidance = np.repeat(np.linspace(1, 15, 25)[:, None], 4, 1)
    table = quadratic((1.0, 0.1, 0.05), guidance) * random.lognormal(0, 0.1, guidance.shape)
    one, hundred = (CurveFit(scale * table, guidance, 0.01) for scale in (1.0, 100.0))
    np.testing.assert_allclose(hundred.curves.coefficients, 1e4 * one.curves.coefficients, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(hundred.curves.spread, one.curves.spread, rtol=1e-6)


def test_runs_that_do_not_reach_a_knot_do_not_count_there() -> None:
    random = np.random.default_rng(7)
    guidance = np.repeat(np.linspace(1, 15, 40)[:, None], 5, 1)
    table = quadratic((1.0, 0.1, 0.05), guidance) * random.lognormal(0, 0.1, guidance.shape)
    table[::2, 0] = np.nan
    fit = CurveFit(table, guidance, 0.01)
    assert np.isfinite(fit.curves.coefficients).all() and np.isfinite(fit.curves.spread).all()
    assert np.isnan(fit.leave_out(0)[0]) and np.isfinite(fit.leave_out(0)[1:]).all()
    assert np.isfinite(fit.leave_out(1)).all()


def test_leaving_a_run_out_is_fitting_without_it() -> None:
    """The fit without the run starts its weights anew, :meth:`CurveFit.leave_out` keeps them: a few hundredths of a spread apart."""
    random = np.random.default_rng(11)
    guidance = np.repeat(random.uniform(1, 15, 40)[:, None], 6, 1)
    table = quadratic((1.0, 0.1, 0.05), guidance) * random.lognormal(0, 0.1, guidance.shape)
    table[4] *= 1.6  # an outlier, on which the two would differ most
    fit = CurveFit(table, guidance, 0.01)
    inside = (table / predict(fit.curves.coefficients, guidance) - 1) / fit.curves.spread
    for run in range(40):
        others = CurveFit(np.delete(table, run, 0), np.delete(guidance, run, 0), 0.01).curves
        expected = (table[run] / predict(others.coefficients, guidance[run]) - 1) / others.spread
        np.testing.assert_allclose(fit.leave_out(run), expected, atol=0.05, rtol=0.05)
    assert (fit.leave_out(4) > inside[4] + 0.5).all(), "an outlier hides in a fit that includes it"


def test_single_evaluations_of_the_run_that_is_left_out() -> None:
    """At the knots they are what the run is there; between two knots they are held against what lies between the two curves."""
    random = np.random.default_rng(12)
    guidance = np.repeat(random.uniform(1, 15, 40)[:, None], 6, 1)
    table = quadratic((1.0, 0.1, 0.05), guidance) * random.lognormal(0, 0.1, guidance.shape) * np.arange(1, 7)
    fit = CurveFit(table, guidance, 0.01)
    np.testing.assert_allclose(fit.leave_out_at(3, np.arange(6.0), table[3]), fit.leave_out(3), rtol=1e-9)
    others = CurveFit(np.delete(table, 3, 0), np.delete(guidance, 3, 0), 0.01).curves
    mean, spread = predict(others.coefficients, guidance[3]), others.spread
    expected = (9.0 / (0.75 * mean[2] + 0.25 * mean[3]) - 1) / (0.75 * spread[2] + 0.25 * spread[3])
    assert fit.leave_out_at(3, np.array([2.25]), np.array([9.0]))[0] == pytest.approx(expected, rel=0.05)
    assert np.isnan(fit.leave_out_at(3, np.array([np.nan, 1.0]), np.ones(2))).tolist() == [True, False]


def test_leaving_a_run_out_against_scipy() -> None:
    """With the weights of the full fit given, the rest is written out with SciPy: equal to rounding."""
    random = np.random.default_rng(13)
    guidance = np.repeat(random.uniform(1, 15, 20)[:, None], 2, 1)  # two knots: nothing to smooth
    table = quadratic((1.0, 0.1, 0.05), guidance) * random.lognormal(0, 0.1, guidance.shape)
    fit = CurveFit(table, guidance, 1e-3)
    for run in range(20):
        for knot in range(2):
            keep = np.arange(20) != run
            w, r, root = guidance[keep, knot], table[keep, knot], np.sqrt(fit.weight[keep, knot])
            answer, _ = nnls(guidance_design(w) * root[:, None], r**2 * root)
            ratio = r / np.sqrt(guidance_design(w) @ answer) - 1
            spread = np.sqrt(np.sum(ratio**2) / 18)
            mean = np.sqrt(guidance_design(guidance[run, knot : knot + 1]) @ answer)[0]
            assert fit.leave_out(run)[knot] == pytest.approx((table[run, knot] / mean - 1) / spread, abs=2e-3)


def grown_runs(count: int, fixed: float, guided: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Norms and guidance, ``(count, 9)``: squares 1 + w**2 / 10, scattered by `fixed` and, in the part that guidance adds, by `guided`."""
    rng = np.random.default_rng(seed)
    guidance = np.repeat(rng.uniform(1, 15, (count, 1)), 9, 1)
    mean = np.sqrt(1 + guidance**2 / 10)
    spread = np.hypot(fixed, guided * (1 - 1 / mean**2))
    return mean * (1 + spread * rng.normal(0, 1, (count, 9))).clip(0.05), guidance


@pytest.mark.parametrize(("fixed", "guided"), [(0.05, 0.3), (0.1, 0.1), (0.1, 0.0)])
def test_a_spread_that_grows_with_guidance_is_found(fixed: float, guided: float) -> None:
    fit = CurveFit(*grown_runs(3000, fixed, guided), 0.02, growing=True)
    for scale in (1.0, 3.0, 7.5, 15.0):
        expected = math.hypot(fixed, guided * (1 - 1 / (1 + scale**2 / 10)))
        np.testing.assert_allclose(spread_at(fit.curves, scale), expected, rtol=0.15)
    plain = CurveFit(*grown_runs(3000, fixed, guided), 0.02)
    assert plain.curves.guided is None and spread_at(plain.curves, 3.0) is plain.curves.spread


def test_one_guidance_scale_leaves_the_spread_one_number() -> None:
    norms, guidance = grown_runs(300, 0.1, 0.3)
    same = np.full_like(guidance, 7.5)
    one, other = (CurveFit(norms, same, 0.02, growing) for growing in (True, False))
    np.testing.assert_allclose(one.curves.spread, other.curves.spread, rtol=0.02)
    assert (one.curves.guided == 0).all()


def test_thresholds_hold_at_weak_and_at_strong_guidance() -> None:
    """With one spread for all scales runs at weak guidance hardly ever reach it, and those at strong guidance too often."""
    norms, guidance = grown_runs(1500, 0.03, 0.4)
    for growing, low, high in ((True, 0.7, 1.4), (False, 0.0, 0.6)):
        fit = CurveFit(norms, guidance, 0.02, growing)
        z = (norms / predict(fit.curves.coefficients, guidance) - 1) / spread_at(fit.curves, guidance)
        weak, strong = (z[part].std() for part in (guidance[:, 0] < 2, guidance[:, 0] > 8))
        assert low < weak / strong < high
