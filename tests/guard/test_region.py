"""The stability region: what the fit recovers, what the look-up covers, and that sampler and step count drop out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import ordinary_runs, quadratic, sigmas
from hypothesis import given
from hypothesis import strategies as st

from lib_stability.guard.norms import Norms, measure
from lib_stability.guard.region import SCORED_GUIDANCE, StabilityRegion, Trajectory
from lib_stability.guard.sensitivity import thresholds
from lib_stability.validation import ValidationError

RATE, CLEAN = (1.0, 0.1, 0.02), (0.5, 0.05, 0.04)


def means(region: StabilityRegion, sigma: np.ndarray | float, guidance: float) -> tuple[np.ndarray, np.ndarray]:
    """Means and spreads of the look-up, arrays of shape ``(sigmas, 2)``."""
    mean, spread, inside = region.look_up(torch.as_tensor(np.atleast_1d(sigma), dtype=torch.float32), guidance)
    assert inside.all()
    return mean.numpy(), spread.numpy()


def one_norm(value: float, count: int = 1) -> Norms:
    return Norms(torch.full((count,), value), torch.full((count,), value))


# -- fit -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.05, 0.1, 0.2])
def test_fit_recovers_curves_and_spread(spread: float) -> None:
    region = StabilityRegion(step=0.3).fit(ordinary_runs(300, spread))
    schedule = sigmas(15, 0.06, 14)
    for guidance in (1.0, 3.0, 7.5, 15.0):
        mean, found = means(region, schedule, guidance)
        # r**2 is fitted, and its mean is (1 + spread**2) times that of the curve.
        expected = np.array([quadratic(RATE, guidance), quadratic(CLEAN, guidance)]) * math.sqrt(1 + spread**2)
        np.testing.assert_allclose(mean, np.broadcast_to(expected, mean.shape), rtol=0.35 * spread)
        # Values between two knots are interpolated when a trajectory is resampled, which takes up to half of the variance.
        assert (found > 0.6 * spread).all() and (found < 1.15 * spread).all()


def test_spread_is_exact_where_the_evaluations_lie_on_the_knots() -> None:
    region = StabilityRegion(step=math.log(14.6 / 0.05) / 19).fit(ordinary_runs(400, 0.1))
    assert len(region.knots_) == 20
    np.testing.assert_allclose(region.curves_["rate"].spread, 0.1, rtol=0.15)
    np.testing.assert_allclose(region.curves_["clean"].spread, 0.1, rtol=0.15)


def test_curves_that_change_with_the_noise_level() -> None:
    """Exact runs of ``a + b w + c w**2`` with c in proportion to sigma: within a few per cent everywhere, the ends of the grid included."""

    def curve(sigma: np.ndarray, guidance: float) -> np.ndarray:
        return np.sqrt(1.0 + 0.1 * guidance + 0.02 * sigma * guidance**2)

    schedule = sigmas(40, 0.1, 14.6)
    runs = [Trajectory(schedule, w, curve(schedule, w), curve(schedule, w)) for w in np.linspace(1, 15, 30)]
    region = StabilityRegion().fit(runs)
    for guidance in (1.0, 7.5, 15.0):
        mean, _ = means(region, schedule, guidance)
        np.testing.assert_allclose(mean[:, 0], curve(schedule, guidance), rtol=0.04)
        np.testing.assert_allclose(mean[2:-2, 0], curve(schedule, guidance)[2:-2], rtol=0.02)


def test_guidance_may_change_within_a_run() -> None:
    schedule = sigmas(20)
    random = np.random.default_rng(0)
    runs = []
    for _ in range(30):
        guidance = np.linspace(*random.uniform(1, 15, 2), 20)
        runs.append(Trajectory(schedule, guidance, quadratic(RATE, guidance), quadratic(CLEAN, guidance)))
    region = StabilityRegion(step=0.4).fit(runs)
    for guidance in (2.0, 7.5, 14.0):
        mean, _ = means(region, sigmas(10, 0.06, 14), guidance)
        np.testing.assert_allclose(mean, np.broadcast_to([quadratic(RATE, guidance), quadratic(CLEAN, guidance)], mean.shape), rtol=0.01)


def test_fit_learns_the_range_of_sigma_and_guidance() -> None:
    region = StabilityRegion().fit(ordinary_runs(20))
    assert region.guidance_ == (1.0, 15.0)
    np.testing.assert_allclose(region.knots_[[0, -1]], np.log([0.05, 14.6]), rtol=1e-9)
    assert np.ptp(np.diff(region.knots_)) < 1e-9 and np.diff(region.knots_)[0] <= 0.2 + 1e-9


def test_the_grid_ends_where_a_fifth_of_the_runs_still_reaches() -> None:
    runs = ordinary_runs(20)
    far = ordinary_runs(20, schedule=sigmas(30, 0.002, 4000))[:3]
    region = StabilityRegion().fit([*runs, *far])
    np.testing.assert_allclose(region.knots_[[0, -1]], np.log([0.05, 14.6]), rtol=1e-9)
    region = StabilityRegion().fit([*runs[:8], *far])
    np.testing.assert_allclose(region.knots_[[0, -1]], np.log([0.002, 4000]), rtol=1e-9)


def test_scores_of_single_evaluations() -> None:
    """Evaluations that alternate between large and small: knots between them see the average, a look at one of them does not."""
    swing = 1 + 0.1 * (-1.0) ** np.arange(20)
    runs = [replace(run, rate=run.rate * swing, clean=run.clean * swing) for run in ordinary_runs(40, 0.02, schedule=sigmas(20, 0.05, 14))]
    watch, probe = StabilityRegion(step=0.6).fit(runs), StabilityRegion(step=0.6).fit(runs, looks=range)
    assert all(np.array_equal(watch.curves_[name].spread, probe.curves_[name].spread) for name in ("rate", "clean"))
    assert np.median(probe.scores_) > 1.5 * np.median(watch.scores_)


def test_single_evaluations_beyond_the_region_do_not_count() -> None:
    runs = ordinary_runs(40, 0.05)
    far = [replace(run, sigma=np.append(run.sigma, 1e-6), rate=np.append(run.rate, 1e3), clean=np.append(run.clean, 1e3)) for run in runs[:4]]
    plain, longer = (StabilityRegion().fit(some, looks=range) for some in (runs, [*far, *runs[4:]]))
    np.testing.assert_allclose(longer.scores_, plain.scores_, rtol=0.05)


def test_fit_starts_anew_each_time() -> None:
    region = StabilityRegion().fit(ordinary_runs(20))
    before = means(region, 1.0, 5.0)[0]
    region.fit(ordinary_runs(20, rate=(4.0, 0, 0), clean=(9.0, 0, 0)))
    after = means(region, 1.0, 5.0)[0]
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, [[2.0, 3.0]], rtol=0.1)


@pytest.mark.parametrize("rule", ["smaller", "late rate"])
@pytest.mark.parametrize(("count", "tolerance"), [(12, 0.25), (40, 0.05)])
def test_leave_one_out_scores_equal_refitting_without_the_run(count: int, tolerance: float, rule: str) -> None:
    """The leave-one-out fits keep the weights of the full fit, so scores agree to a fraction of a spread, not exactly; high ones agree best."""
    step = math.log(14.6 / 0.05) / 19  # knots where the evaluations are
    runs = ordinary_runs(count, 0.1, seed=4)
    runs[2] = replace(runs[2], rate=1.5 * runs[2].rate, clean=1.4 * runs[2].clean)
    region = StabilityRegion(step=step, score=rule).fit(runs)
    refitted = []
    for left_out, run in enumerate(runs):
        if rule == "smaller" and run.guidance < SCORED_GUIDANCE:
            continue
        others = StabilityRegion(step=step, score=rule).fit(runs[:left_out] + runs[left_out + 1 :])
        norms = Norms(torch.from_numpy(run.rate).float(), torch.from_numpy(run.clean).float())
        refitted.append(others.z_scores(norms, torch.from_numpy(run.sigma).float(), float(run.guidance)).score.max().item())
    np.testing.assert_allclose(region.scores_, np.sort(refitted), rtol=0.05, atol=tolerance)
    assert region.scores_[-1] == pytest.approx(max(refitted), rel=0.05)
    assert (np.diff(region.scores_) >= 0).all() and 8 <= len(region.scores_) == len(refitted)
    assert (len(refitted) < count) is (rule == "smaller")


def test_a_run_is_not_judged_by_itself() -> None:
    runs = ordinary_runs(30, 0.05)
    runs[10] = replace(runs[10], rate=3 * runs[10].rate, clean=3 * runs[10].clean)
    region = StabilityRegion().fit(runs)
    norms = Norms(torch.from_numpy(runs[10].rate).float(), torch.from_numpy(runs[10].clean).float())
    own = region.z_scores(norms, torch.from_numpy(runs[10].sigma).float(), float(runs[10].guidance)).score.max().item()
    assert region.scores_[-1] > 3 * own


FIELDS = ("sigma", "guidance", "rate", "clean")


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
def test_fit_names_the_field_of_a_bad_value(field: str, value: float) -> None:
    runs = ordinary_runs(10)
    values = np.broadcast_to(getattr(runs[3], field), (20,)).copy()
    values[7] = value
    runs[3] = replace(runs[3], **{field: values})
    with pytest.raises(ValueError, match=rf"trajectories\[3\]\.{field}: "):
        StabilityRegion().fit(runs)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("count", [0, 7, 21])
def test_fit_names_a_field_of_the_wrong_length(field: str, count: int) -> None:
    runs = ordinary_runs(10)
    runs[3] = replace(runs[3], **{field: np.ones(count)})
    with pytest.raises(ValueError, match=r"trajectories\[3\]\.\w+: "):
        StabilityRegion().fit(runs)


def test_fit_refuses_sigma_zero_and_too_few_runs() -> None:
    runs = ordinary_runs(10)
    runs[0] = replace(runs[0], sigma=np.r_[sigmas()[:-1], 0.0])
    with pytest.raises(ValueError, match=r"trajectories\[0\]\.sigma: "):
        StabilityRegion().fit(runs)
    for few in ([], ordinary_runs(7)):
        with pytest.raises(ValueError, match=r"^trajectories: .*at least 8"):
            StabilityRegion().fit(few)
    assert StabilityRegion().fit(ordinary_runs(7), least=5).guidance_ == (1.0, 15.0)


def test_parameterisation_is_checked() -> None:
    with pytest.raises(ValueError, match=r"^parameterisation: "):
        StabilityRegion("vp")


@pytest.mark.parametrize("schedule", [np.array([14.6]), np.full(5, 3.0), sigmas(2)])
def test_fit_to_few_noise_levels(schedule: np.ndarray) -> None:
    region = StabilityRegion().fit(ordinary_runs(20, schedule=schedule))
    mean, _ = means(region, schedule[0], 7.5)
    np.testing.assert_allclose(mean[0], [quadratic(RATE, 7.5), quadratic(CLEAN, 7.5)], rtol=0.15)
    assert np.isfinite(region.scores_).all()
    again = StabilityRegion.from_json(json.loads(json.dumps(region.to_json())))
    np.testing.assert_allclose(means(again, schedule[0], 7.5)[0], mean, rtol=1e-3)


# -- look-up -------------------------------------------------------------------------------------------------------------------------


def test_z_scores_by_hand(region: StabilityRegion) -> None:
    knot = len(region.knots_) // 2
    sigma = torch.tensor([math.exp(region.knots_[knot])])
    a, b, c = region.curves_["clean"].coefficients[knot]
    curves = region.curves_["clean"]
    spread = math.hypot(curves.spread[knot], curves.guided[knot] * (1 - a / (a + 4 * b + 16 * c)))
    z = region.z_scores(Norms(torch.tensor([100.0]), torch.tensor([5.0])), sigma, 4.0)
    expected = (5.0 / math.sqrt(a + 4 * b + 16 * c) - 1) / spread
    assert z.clean.item() == pytest.approx(expected, rel=1e-3)
    assert z.rate.item() > z.clean.item() and z.score.item() == z.clean.item(), "the smaller counts"
    (late,) = region.z_scores(Norms(torch.tensor([100.0]), torch.tensor([5.0])), torch.tensor([0.07]), 4.0).score.tolist()
    assert late == region.z_scores(Norms(torch.tensor([100.0]), torch.tensor([5.0])), torch.tensor([0.07]), 4.0).rate.item(), "at the end the rate"


def test_regions_of_version_1_go_on_judging_by_the_smaller_deviation(region: StabilityRegion) -> None:
    old = region.to_json() | {"version": 1}
    del old["score"]
    again = StabilityRegion.from_json(old)
    assert again.score == "smaller" and again.to_json() == region.to_json() | {"score": "smaller"}
    norms, sigma = Norms(torch.tensor([100.0, 0.1]), torch.tensor([5.0, 5.0])), torch.tensor([0.07, 0.07])
    one, other = region.z_scores(norms, sigma, 4.0), again.z_scores(norms, sigma, 4.0)
    torch.testing.assert_close(one.both, other.both, rtol=1e-3, atol=1e-3)
    assert torch.equal(one.score, one.rate) and torch.equal(other.score, torch.minimum(other.rate, other.clean))
    assert thresholds(again).rule == "smaller" and thresholds(region).rule == "late rate"


def test_leave_one_out_scores_follow_the_rule() -> None:
    runs = ordinary_runs(60)
    rate, late = StabilityRegion(score="rate").fit(runs), StabilityRegion(score="late rate").fit(runs)
    assert (rate.scores_ >= late.scores_).all() and rate.scores_.mean() > late.scores_.mean() + 0.2
    assert StabilityRegion("flow").score == "rate" and StabilityRegion().score == "late rate"
    with pytest.raises(ValueError, match="score: 'larger' is not one of late rate, rate, smaller"):
        StabilityRegion(score="larger")


def test_curves_are_interpolated_between_knots(region: StabilityRegion) -> None:
    left, right = region.curves_["rate"].coefficients[3:5]
    sigma = math.exp(0.25 * region.knots_[3] + 0.75 * region.knots_[4])
    a, b, c = 0.25 * left + 0.75 * right
    assert means(region, sigma, 6.0)[0][0, 0] == pytest.approx(math.sqrt(a + 6 * b + 36 * c), rel=1e-4)


def test_beyond_the_grid(region: StabilityRegion) -> None:
    low, high = region.knots_[[0, -1]]
    step = region.knots_[1] - low
    outside = torch.tensor([math.exp(low - 2 * step), math.exp(high + 2 * step), 1e-30, 1e30])
    edge = torch.tensor([math.exp(low - 0.9 * step), math.exp(high + 0.9 * step)])
    assert not region.look_up(outside, 5.0)[2].any()
    mean, spread, inside = region.look_up(edge, 5.0)
    assert inside.all(), "one knot beyond the end is still served"
    ends, end_spread, _ = region.look_up(torch.tensor([math.exp(low), math.exp(high)]), 5.0)
    torch.testing.assert_close((mean, spread), (ends, end_spread), rtol=1e-4, atol=0)


BAD_SIGMAS = [math.nan, 0.0, math.inf, -math.inf, -1.0]


@pytest.mark.parametrize("bad", BAD_SIGMAS)
@pytest.mark.parametrize("which", ["region", "flow_region"])
def test_a_bad_sigma_is_outside_and_spreads_nowhere(bad: float, which: str, request: pytest.FixtureRequest) -> None:
    region = request.getfixturevalue(which)
    good = region.z_scores(one_norm(2.0, 3), torch.tensor([0.5, 0.5, 0.3]), 5.0)
    mixed = region.z_scores(one_norm(2.0, 3), torch.tensor([0.5, bad, 0.3]), 5.0)
    assert mixed.inside.tolist() == [True, False, True]
    for kept, found in zip(good[:3], mixed[:3]):
        assert torch.equal(kept[[0, 2]], found[[0, 2]])
    assert torch.isfinite(region.look_up(torch.tensor([bad]), 5.0)[0]).all()


@pytest.mark.parametrize("bad", [math.inf, 1.5, -0.5])
def test_a_flow_region_that_reaches_pure_noise_covers_no_more_than_that(bad: float) -> None:
    region = StabilityRegion("flow").fit(ordinary_runs(12, schedule=np.linspace(1.0, 0.05, 20)))
    assert region.look_up(torch.tensor([1.0, 0.5, bad]), 5.0)[2].tolist() == [True, True, False]


def test_bad_norms_stay_where_they_are(region: StabilityRegion) -> None:
    values = torch.tensor([2.0, math.nan, math.inf, 2.0])
    z = region.z_scores(Norms(values, values), torch.ones(4), 5.0)
    assert torch.isfinite(z.score).tolist() == [True, False, False, True]
    assert z.score[0] == z.score[3]


@given(guidance=st.floats(0, 30), sigma=st.floats(0.05, 14.6), norm=st.floats(0.01, 100))
def test_guidance_as_a_tensor_is_guidance_as_a_number(region: StabilityRegion, guidance: float, sigma: float, norm: float) -> None:
    levels = torch.tensor([sigma, 1.0])
    for number in (guidance, int(guidance)):
        one = region.z_scores(one_norm(norm, 2), levels, number)
        other = region.z_scores(one_norm(norm, 2), levels, torch.full((2,), float(number)))
        torch.testing.assert_close(one[:3], other[:3], rtol=1e-5, atol=1e-5)


def test_guidance_of_each_image_is_its_own(region: StabilityRegion) -> None:
    scales = [1.0, 4.0, 15.0]
    together = region.z_scores(one_norm(2.0, 3), torch.full((3,), 2.0), torch.tensor(scales))
    for i, scale in enumerate(scales):
        assert together.score[i].item() == pytest.approx(region.z_scores(one_norm(2.0), torch.tensor([2.0]), scale).score.item(), rel=1e-5)


@given(norm=st.floats(0.01, 100), more=st.floats(1.01, 10), guidance=st.floats(1, 15), sigma=st.floats(0.05, 14.6))
def test_a_larger_norm_scores_higher_and_more_guidance_allows_more(
    region: StabilityRegion, norm: float, more: float, guidance: float, sigma: float
) -> None:
    level = torch.tensor([sigma])
    score = region.z_scores(one_norm(norm), level, guidance).score.item()
    assert region.z_scores(one_norm(more * norm), level, guidance).score.item() > score
    # Below the mean it may come nearer, since the spread grows with guidance.
    assert region.z_scores(one_norm(norm), level, more * guidance).score.item() <= max(score, 0.0) + 1e-5


# -- flow ----------------------------------------------------------------------------------------------------------------------------


def test_flow_region_recovers_its_curves(flow_region: StabilityRegion) -> None:
    np.testing.assert_allclose(flow_region.knots_[[0, -1]], [math.log(0.05 / 0.95), math.log(0.95 / 0.05)], rtol=1e-6)
    mean, _ = means(flow_region, np.linspace(0.1, 0.9, 7), 5.0)
    np.testing.assert_allclose(mean, np.broadcast_to([quadratic(RATE, 5.0), quadratic(CLEAN, 5.0)], mean.shape), rtol=0.08)
    assert flow_region.look_up(torch.tensor([0.001, 0.9999]), 5.0)[2].tolist() == [False, False]


# -- sampler and step count ----------------------------------------------------------------------------------------------------------

Denoiser = Callable[[torch.Tensor, float], torch.Tensor]
Evaluation = tuple[torch.Tensor, torch.Tensor, float]


def euler(denoise: Denoiser, x: torch.Tensor, levels: np.ndarray) -> list[Evaluation]:
    seen = []
    for sigma, smaller in pairwise(levels):
        denoised = denoise(x, sigma)
        seen.append((x, denoised, sigma))
        x = x + (x - denoised) / sigma * (smaller - sigma)
    return seen


def heun(denoise: Denoiser, x: torch.Tensor, levels: np.ndarray) -> list[Evaluation]:
    seen = []
    for sigma, smaller in pairwise(levels):
        denoised = denoise(x, sigma)
        seen.append((x, denoised, sigma))
        slope = (x - denoised) / sigma
        ahead = x + slope * (smaller - sigma)
        corrected = denoise(ahead, smaller)
        seen.append((ahead, corrected, smaller))
        x = x + (slope + (ahead - corrected) / smaller) / 2 * (smaller - sigma)
    return seen


def multistep(denoise: Denoiser, x: torch.Tensor, levels: np.ndarray) -> list[Evaluation]:
    """DPM-Solver++ of second order (Lu et al. 2022)."""
    seen, before, last_h = [], None, None
    for sigma, smaller in pairwise(levels):
        denoised = denoise(x, sigma)
        seen.append((x, denoised, sigma))
        h = math.log(sigma / smaller)
        mixed = denoised if before is None else denoised + (denoised - before) * h / (2 * last_h)
        x = smaller / sigma * x - math.expm1(-h) * mixed
        before, last_h = denoised, h
    return seen


def karras(steps: int) -> np.ndarray:
    return np.linspace(14.6 ** (1 / 7), 0.05 ** (1 / 7), steps + 1) ** 7


def gaussian_run(sampler: Callable, levels: np.ndarray, guidance: float, seed: int, memorized: bool = False) -> list[Evaluation]:
    """A guided run of exact denoisers, normal data with a mean that a caption moves a little; a memorized caption leaves one picture."""
    random = torch.Generator().manual_seed(seed)
    shape = (1, 4, 8, 8)
    picture = torch.randn(shape, generator=random)
    if memorized:
        mean, variance = picture, 1e-4
    else:
        mean, variance = picture * 0.3 * math.exp(0.15 * torch.randn((), generator=random)), 0.91

    def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
        empty = x / (1 + sigma**2)
        conditional = (variance * x + sigma**2 * mean) / (variance + sigma**2)
        return empty + guidance * (conditional - empty)

    return sampler(denoise, levels[0] * torch.randn(shape, generator=random), levels)


def norms_of(run: list[Evaluation]) -> tuple[Norms, torch.Tensor]:
    x, denoised = (torch.cat(parts) for parts in list(zip(*run))[:2])
    sigma = torch.tensor([level for *_, level in run], dtype=torch.float32)
    return measure(x, denoised, sigma), sigma


SAMPLERS = {
    "euler 20": (euler, sigmas(21)),
    "euler 50 karras": (euler, karras(50)),
    "heun 15": (heun, sigmas(16)),
    "multistep 20 karras": (multistep, karras(20)),
    "euler 12": (euler, sigmas(13)),
}


@pytest.fixture(scope="module")
def euler_region() -> StabilityRegion:
    runs = []
    for seed, guidance in enumerate(np.linspace(1, 15, 60)):
        found, sigma = norms_of(gaussian_run(euler, sigmas(21), guidance, seed))
        runs.append(Trajectory(sigma.numpy(), guidance, found.rate.numpy(), found.clean.numpy()))
    return StabilityRegion().fit(runs)


def scores(region: StabilityRegion, name: str, guidance: float, memorized: bool) -> np.ndarray:
    result = []
    for seed in range(1000, 1025):
        found, sigma = norms_of(gaussian_run(*SAMPLERS[name], guidance, seed, memorized))
        z = region.z_scores(found, sigma, guidance)
        assert z.inside.all()
        result.append(z.score.max().item())
    return np.array(result)


@pytest.mark.parametrize("guidance", [2.0, 7.5, 14.0])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_region_fitted_with_one_sampler_serves_the_others(euler_region: StabilityRegion, name: str, guidance: float) -> None:
    ordinary, memorized = (scores(euler_region, name, guidance, memorized) for memorized in (False, True))
    usual = np.quantile(euler_region.scores_, 0.99)
    assert np.quantile(ordinary, 0.9) < usual + 0.5
    assert memorized.min() > max(ordinary.max(), usual)
    same = scores(euler_region, "euler 20", guidance, False)
    assert abs(np.median(ordinary) - np.median(same)) < 0.7


# -- JSON ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["region", "flow_region"])
def test_json_round_trip(which: str, request: pytest.FixtureRequest) -> None:
    region = request.getfixturevalue(which)
    again = StabilityRegion.from_json(json.loads(json.dumps(region.to_json(), allow_nan=False)))
    assert again.to_json() == region.to_json()
    assert again.parameterisation == region.parameterisation and again.step == pytest.approx(np.diff(region.knots_).mean())
    sigma = torch.linspace(0.06, 0.94, 30)
    for guidance in (1.0, 7.5):
        one, other = (r.z_scores(one_norm(2.0, 30), sigma, guidance) for r in (region, again))
        torch.testing.assert_close(one[:3], other[:3], rtol=1e-3, atol=1e-3)


@given(seed=st.integers(0, 10**6), step=st.floats(0.05, 1), low=st.floats(0.001, 0.5), ratio=st.floats(1.5, 1e5), scale=st.floats(0.01, 100))
def test_every_fitted_region_can_be_read_again(seed: int, step: float, low: float, ratio: float, scale: float) -> None:
    rate, clean = (tuple(scale**2 * v for v in coefficients) for coefficients in (RATE, CLEAN))
    schedule = sigmas(12, low, low * ratio)
    region = StabilityRegion(step=step).fit(ordinary_runs(10, 0.1, seed, rate, clean, schedule))
    data = json.loads(json.dumps(region.to_json(), allow_nan=False))
    assert StabilityRegion.from_json(data).to_json() == data


def test_reference_scores_are_sorted_when_read(region: StabilityRegion) -> None:
    data = region.to_json()
    data["reference_scores"] = [2.0, -1.0, 0.5]
    assert StabilityRegion.from_json(data).scores_.tolist() == [-1.0, 0.5, 2.0]


def test_json_errors_name_source_and_field(region: StabilityRegion) -> None:
    data = region.to_json()
    data["statistics"]["clean"]["b"][4] = -1.0
    with pytest.raises(ValidationError, match=r"^mine\.json\.watch\.statistics\.clean\.b\[4\]: has to be from 0"):
        StabilityRegion.from_json(data, "mine.json.watch")


def test_a_look_that_scatters_more_does_not_set_the_threshold_of_the_others() -> None:
    """Early looks whose norms have a heavy tail: with them in one measure a late look would have to deviate as far as they do by chance."""
    rng = np.random.default_rng(5)
    runs = ordinary_runs(400, 0.05, schedule=sigmas(20, 0.05, 14))
    runs = [
        replace(run, **{name: np.append(getattr(run, name)[:1] * factor, getattr(run, name)[1:]) for name in ("rate", "clean")})
        for run, factor in zip(runs, rng.lognormal(0, 0.25, len(runs)))
    ]
    looks = lambda count: (0, count - 1)  # noqa: E731
    region = StabilityRegion().fit(runs, looks=looks)
    limit = thresholds(region, "medium").mild
    flagged = {0: 0, 19: 0}
    for run in runs:
        for number in flagged:
            norms = Norms(*(torch.tensor([value[number]]) for value in (run.rate, run.clean)))
            flagged[number] += int(
                region.z_scores(
                    norms, torch.tensor([float(run.sigma[number])]), float(run.guidance if np.isscalar(run.guidance) else run.guidance[number])
                ).score
                > limit
            )
    assert all(1 <= count <= 5 for count in flagged.values()) and sum(flagged.values()) <= 8
