"""Sensitivity: whether a target false-alarm rate is what fresh runs really get."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from conftest import with_scores
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lib_stability.guard.sensitivity import LEVELS, PRIOR_LOOKS, TARGETS, Thresholds, false_alarm_table, thresholds
from lib_stability.guard.tail import Tail

Draw = Callable[[np.random.Generator, int], np.ndarray]
#: Reference scores as they may be distributed, and the true share above a threshold.
SCORES: dict[str, tuple[Draw, Callable[[float], float]]] = {
    "gumbel": (lambda random, n: random.gumbel(1, 0.5, n), stats.gumbel_r(1, 0.5).sf),
    "normal": (lambda random, n: random.normal(size=n), stats.norm.sf),
    "largest of 12 normal": (lambda random, n: random.normal(size=(n, 12)).max(1), lambda t: 1 - stats.norm.cdf(t) ** 12),
    "exponential": (lambda random, n: random.exponential(size=n), stats.expon.sf),
}
PRIOR = with_scores(np.array([]))


def gumbel_scores(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gumbel(size=count)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("count", [90, 140, 200])
@pytest.mark.parametrize("level", TARGETS)
def test_fresh_runs_get_the_target_rate_on_average(name: str, count: int, level: str) -> None:
    draw, share_above = SCORES[name]
    random = np.random.default_rng(17)
    achieved = np.array([share_above(thresholds(with_scores(draw(random, count)), level).mild) for _ in range(300)])
    target = TARGETS[level]
    # The rarest rate, 1 of 500, lies beyond all the runs there are: a tail fitted to so few of them gives no more than its order of magnitude.
    factor = {"low": 2.5, "medium": 1.5, "high": 1.3}[level]
    assert target / factor < achieved.mean() < target * factor
    # And no single calibration is wildly off.
    assert np.quantile(achieved, 0.95) < {"low": 8, "medium": 4, "high": 2.2}[level] * target


@given(seed=st.integers(0, 10**6), count=st.integers(8, 300), scale=st.floats(0.05, 20))
def test_levels_are_ordered(seed: int, count: int, scale: float) -> None:
    region = with_scores(scale * gumbel_scores(count, seed))
    low, medium, high = (thresholds(region, level) for level in ("low", "medium", "high"))
    assert low.mild >= medium.mild >= high.mild >= 0.1
    assert low.false_alarms < medium.false_alarms < high.false_alarms
    for limits in (low, medium, high):
        assert limits.measured
        # A strong flag is ten times rarer among ordinary runs.
        assert limits.strong >= limits.mild
        if limits.strong > limits.mild:
            assert Tail(region.scores_).rate(limits.strong) == pytest.approx(limits.false_alarms / 10, rel=0.05)


@given(seed=st.integers(0, 10**6), count=st.integers(8, 300))
def test_a_rarer_false_alarm_never_needs_a_lower_threshold(seed: int, count: int) -> None:
    tail = Tail(gumbel_scores(count, seed))
    found = np.array([tail.quantile(rate) for rate in np.geomspace(1e-4, 0.99, 400)])
    assert (np.diff(found) <= 1e-9).all()


@given(seed=st.integers(0, 10**6), count=st.integers(90, 200), rate=st.sampled_from([1e-4, 0.002, 0.005, 0.01, 0.08, 0.3, 0.7, 0.95]))
def test_rate_inverts_quantile(seed: int, count: int, rate: float) -> None:
    tail = Tail(gumbel_scores(count, seed))
    assert tail.rate(tail.quantile(rate)) == pytest.approx(rate, rel=1e-6)


@given(seed=st.integers(0, 10**6), count=st.integers(8, 200))
def test_rate_falls_with_the_threshold_and_is_a_share(seed: int, count: int) -> None:
    scores = gumbel_scores(count, seed)
    tail = Tail(scores)
    rates = np.array([tail.rate(t) for t in np.linspace(scores.min() - 1, scores.max() + 5, 60)])
    assert (np.diff(rates) <= 1e-12).all()
    assert (rates > 0).all() and rates[0] == pytest.approx(1)


def test_a_level_moves_and_scales_with_the_scores() -> None:
    scores = gumbel_scores(120)
    for level in TARGETS:
        plain = thresholds(with_scores(scores + 10), level).mild
        assert thresholds(with_scores(scores + 13), level).mild == pytest.approx(plain + 3)
        assert thresholds(with_scores(2 * scores + 20), level).mild == pytest.approx(2 * plain)


@pytest.mark.parametrize("rate", [0.02, 0.005, 0.002])
def test_an_exponential_tail_is_continued(rate: float) -> None:
    """Scores at the quantiles of an exponential distribution leave nothing to chance: what lies beyond them has to be its quantiles, too."""
    tail = Tail(stats.expon.ppf(np.arange(1, 201) / 201))
    assert tail.quantile(rate) == pytest.approx(stats.expon.isf(rate), rel=0.05)


def test_many_reference_runs_need_no_extrapolation() -> None:
    scores = np.arange(1, 10_000) / 10_000
    for level, rate in TARGETS.items():
        assert thresholds(with_scores(scores), level).mild == pytest.approx(1 - rate, abs=2e-4)


@pytest.mark.parametrize("scores", [np.full(100, 1.0), np.r_[np.zeros(99), 50.0], np.full(50, -2.0), np.r_[np.zeros(50), np.ones(50)]])
def test_odd_reference_scores_still_give_thresholds(scores: np.ndarray) -> None:
    region = with_scores(scores)
    found = [thresholds(region, level) for level in ("low", "medium", "high")]
    assert all(math.isfinite(limits.mild) and limits.mild >= 0.1 for limits in found)
    assert found[0].mild >= found[1].mild >= found[2].mild
    assert 0 < thresholds(region, "custom", 3.0).false_alarms <= 1


def test_paper_thresholds_are_the_paper_s() -> None:
    for region in (PRIOR, with_scores(gumbel_scores(120))):
        limits = thresholds(region, "paper", tau=7.0)
        assert (limits.mild, limits.strong) == (3.0, 14.0)


def test_expected_false_alarms_of_fixed_thresholds() -> None:
    draw, share_above = SCORES["largest of 12 normal"]
    region = with_scores(draw(np.random.default_rng(0), 4000))
    for tau in (1.5, 2.0, 2.5, 3.0):
        limits = thresholds(region, "custom", tau)
        assert limits.mild == tau
        # Where the sample hands over to the fitted tail one threshold stands for a range of rates.
        assert limits.false_alarms / 20 < Tail(region.scores_).rate(limits.strong) < limits.false_alarms / 5
        assert limits.false_alarms == pytest.approx(share_above(tau), rel=0.3)
    assert thresholds(region, "paper").false_alarms == thresholds(region, "custom", 3.0).false_alarms


def test_priors_assume_a_few_looks_at_a_normal_deviate() -> None:
    for level, rate in TARGETS.items():
        limits = thresholds(PRIOR, level)
        assert not limits.measured
        assert PRIOR_LOOKS * stats.norm.sf(limits.mild) == pytest.approx(rate, rel=1e-6)
    assert thresholds(PRIOR, "paper").false_alarms == pytest.approx(PRIOR_LOOKS * stats.norm.sf(3.0), rel=1e-6)
    assert thresholds(PRIOR, "custom", 0.1).false_alarms <= 1
    assert not thresholds(with_scores(np.arange(7.0)), "medium").measured, "seven runs measure nothing"


@pytest.mark.parametrize("level", ["", "Medium", "strict", None, 3, ["low"]])
def test_unknown_levels_are_refused(level: object) -> None:
    with pytest.raises(ValueError, match=r"^sensitivity: .*low, medium, high, paper, custom"):
        thresholds(PRIOR, level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("tau", [0.0, 0.09, -3.0, 1000.1, math.nan, math.inf, -math.inf])
def test_thresholds_out_of_range_are_refused(level: str, tau: float) -> None:
    with pytest.raises(ValueError, match=r"^threshold: .*\b0\.1\b.*\b1000$"):
        thresholds(PRIOR, level, tau)


def test_description_names_threshold_rate_and_source() -> None:
    assert "z > 2.50" in Thresholds(2.5, 11.67, 0.01, True).describe()
    assert "1 %" in Thresholds(2.5, 11.67, 0.01, True).describe()
    assert "measured" in Thresholds(2.5, 11.67, 0.01, True).describe()
    assert "prior" in Thresholds(2.5, 11.67, 0.01, False).describe()
    assert "0.2 %" in Thresholds(4, 18, 0.002, True).describe()


@pytest.mark.parametrize("rate", [1.0, 0.996, 0.5, 0.05, 0.0067, 1e-4, 1e-9, 0.0])
def test_description_is_plain_to_read(rate: float) -> None:
    found = re.search(r"false alarms (\S+(?: \S+)?) %", Thresholds(1.0, 4.7, rate, True).describe())
    assert found and "e" not in found[1].split()[-1], found


def test_false_alarm_table_falls_and_is_empty_for_priors() -> None:
    assert false_alarm_table(PRIOR) == []
    table = np.array(false_alarm_table(with_scores(gumbel_scores(120))))
    assert (np.diff(table[:, 0]) > 0).all() and (np.diff(table[:, 1]) <= 0).all()
    assert (table[:, 1] >= 0).all() and (table[:, 1] <= 1).all()
