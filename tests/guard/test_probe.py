from __future__ import annotations

import pytest
import torch
from conftest import ordinary_runs
from guard_fixtures import FACTORS, GUIDANCE, clean_norm, guard, noisy, options, predictions, probe, region, same_bits, step
from hypothesis import given
from hypothesis import strategies as st

from lib_stability.guard.damping import Damping
from lib_stability.guard.deviation import SCORES
from lib_stability.guard.guard import UNKNOWN_NEGATIVE, Guard
from lib_stability.guard.probe import MAX_EVALUATIONS, POLICIES, REFERENCE_GUIDANCE, Probe, looks, virtual
from lib_stability.guard.region import StabilityRegion
from lib_stability.guard.verdict import NOT_JUDGED, STABLE


class Model:
    """A model whose virtual predictions are counted."""

    def __init__(self, *kinds: str) -> None:
        self.predicted, self.calls = predictions(*kinds), []

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        self.calls.append((x, sigma))
        return self.predicted


def sample(model: Model, length: int = 5, guidance: float = GUIDANCE, known: bool = True, kinds=("ordinary",), mode="damp", **more) -> Guard:
    watcher = guard(mode, probe=Probe(region(), model, **{"expected": length, **more}), doubt="" if known else UNKNOWN_NEGATIVE)
    for number in range(length):
        step(watcher, noisy(len(kinds)), predictions(*kinds), 2.0 / (number + 1), guidance)
    assert watcher.error is None
    return watcher


# -- the virtual prediction ----------------------------------------------------------------------------------------------------------


@given(st.floats(0, 20), st.integers(0, 100))
def test_virtual_prediction_extrapolates(scale, seed):
    empty, conditional = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(virtual(empty, conditional, scale), empty + scale * (conditional - empty), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(virtual(empty, conditional), virtual(empty, conditional, REFERENCE_GUIDANCE))


def test_virtual_prediction_of_equal_predictions_is_that_prediction():
    one = torch.randn(2, 4, 8, 8)
    assert torch.equal(virtual(one, one), one)
    assert torch.equal(virtual(torch.zeros_like(one), one, 1.0), one)


# -- when it is asked ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("evaluations", range(1, MAX_EVALUATIONS + 1))
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("watch_can_judge", [True, False])
def test_wanted(policy, evaluations, watch_can_judge):
    asked = probe(policy=policy, evaluations=evaluations)
    wanted = {number for number in range(20) if asked.wanted(number, watch_can_judge)}
    assert wanted == (set(asked.looks) if policy == "always" or (policy == "auto" and not watch_can_judge) else set())


@given(st.integers(1, MAX_EVALUATIONS), st.integers(1, 1000), st.sampled_from(SCORES), st.booleans())
def test_looks_are_as_many_as_asked_for(evaluations, expected, rule, flow):
    found, at_the_end = looks(expected, evaluations, rule, flow), rule != "smaller" and not flow
    assert found[0] == 0 and sorted(set(found)) == list(found) and found[-1] < expected
    assert len(found) == min(evaluations, expected) or (not at_the_end and expected < 4)
    if at_the_end:
        assert evaluations == 1 or found[-1] == expected - 1
        assert evaluations < 3 or expected < 3 or found[1] <= max(1, 0.05 * expected + 0.5)
    else:
        assert found[-1] <= max(0.25 * expected + 0.5, 2)


@pytest.mark.parametrize(
    ("expected", "late", "smaller", "rate"),
    [(20, (0, 1, 19), (0, 3, 5), (0, 1, 2)), (100, (0, 5, 99), (0, 15, 25), (0, 5, 10)), (4, (0, 1, 3), (0, 1, 2), (0, 1, 2)), (1, (0,), (0,), (0,))],
)
def test_looks_keep_their_place_in_a_pass_of_any_length(expected, late, smaller, rate):
    assert [looks(expected, rule=rule) for rule in ("late rate", "rate", "smaller")] == [late, late, smaller]
    assert looks(expected, rule="rate", flow=True) == rate
    assert Probe(region(), Model("ordinary"), expected=expected).looks == smaller, "those of the rule that the region's thresholds are for"
    assert Probe(StabilityRegion().fit(ordinary_runs(20)), Model("ordinary"), expected=expected).looks == late


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("guidance, known, unsure", [(GUIDANCE, True, False), (GUIDANCE, False, True), (1.0, True, True), (40.0, True, True)])
def test_the_model_is_evaluated_only_as_often_as_asked(policy, guidance, known, unsure):
    model = Model("ordinary")
    watcher = sample(model, guidance=guidance, known=known, policy=policy, evaluations=2, expected=20)
    calls = 2 if policy == "always" or (policy == "auto" and unsure) else 0
    assert len(model.calls) == calls
    assert [reading.probed is not None for reading in watcher.readings] == [bool(calls) and number in (0, 3) for number in range(5)]
    (verdict,) = watcher.report()
    assert (verdict.verdict == NOT_JUDGED) is (unsure and not calls)


def test_auto_asks_at_a_skipped_uncond_evaluation_only():
    model = Model("ordinary")
    watcher = guard(probe=Probe(region(), model, evaluations=3))
    for guidance in (GUIDANCE, 1.0, GUIDANCE, 1.0):
        step(watcher, noisy(1), predictions("ordinary"), guidance=guidance)
    assert [reading.probed is not None for reading in watcher.readings] == [False, False, False, True]


def test_it_is_asked_about_the_evaluation_at_hand():
    model, x, level = Model("ordinary"), noisy(1).half(), torch.full((1,), 2.0, dtype=torch.float64)
    guard(probe=Probe(region(), model, policy="always")).step(x, predictions("ordinary").half(), level, GUIDANCE)
    ((seen, sigma),) = model.calls
    assert seen is x
    assert sigma.tolist() == [2.0] and sigma.dtype == torch.float32


@pytest.mark.parametrize("wrong", [dict(policy="sometimes"), dict(evaluations=0), dict(evaluations=4), dict(evaluations=2.5)])
def test_refuses_impossible_settings(wrong):
    with pytest.raises(ValueError, match="probe"):
        probe(**wrong)


# -- what it says --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guidance, known", [(1.0, True), (GUIDANCE, False), (1.0, False), (40.0, True)])
def test_it_judges_where_the_watch_cannot(guidance, known):
    first, second = sample(Model("ordinary", "strong"), guidance=guidance, known=known, kinds=("strong", "ordinary")).report()
    assert (first.verdict, first.detector, first.reason) == (STABLE, "probe", "")
    assert (second.verdict, second.detector, second.flagged_at) == ("strong", "probe", 1)


@pytest.mark.parametrize("guidance", [1.0, GUIDANCE, 14.0])
def test_it_is_judged_at_its_own_guidance(guidance):
    watcher = sample(Model("ordinary"), guidance=guidance, known=False, mode="report")
    assert watcher.report()[0].score == pytest.approx(0.0, abs=3.0)
    assert watcher.report() == sample(Model("ordinary"), guidance=5.0, known=False, mode="report").report()


def test_another_reference_scale_is_honoured():
    model = Model("ordinary")
    model.predicted = model.predicted * clean_norm(3.0) / clean_norm()
    (verdict,) = sample(model, known=False, guidance=1.0, mode="report").report()
    other = guard("report", probe=Probe(region(), model, guidance=3.0, expected=1), doubt=UNKNOWN_NEGATIVE)
    step(other, noisy(1), predictions("ordinary"), 2.0)
    assert abs(other.report()[0].score) < 3 and verdict.score < other.report()[0].score


def test_either_detector_flags():
    watcher = sample(Model("ordinary", "strong", "ordinary", "strong"), kinds=("strong", "ordinary", "ordinary", "strong"), policy="always")
    watch, asked, neither, both = watcher.report()
    assert (watch.verdict, watch.detector) == ("strong", "watch")
    assert (asked.verdict, asked.detector) == ("strong", "probe")
    assert neither.verdict == STABLE
    assert both.verdict == "strong"
    assert [v.damped for v in (watch, asked, neither, both)] == [5, 5, 0, 5]


@pytest.mark.parametrize("kind", ["mild", "strong"])
def test_mild_and_strong(kind):
    (verdict,) = sample(Model(kind), known=False).report()
    assert verdict.verdict == kind and verdict.threshold == 3.0 and verdict.flagged


def test_unflagged_images_stay_bit_identical_beside_a_probed_one():
    watcher = guard(probe=probe(predictions("ordinary", "strong")), doubt=UNKNOWN_NEGATIVE)
    denoised = predictions("strong", "ordinary")
    for _ in range(4):
        out = step(watcher, noisy(2), denoised)
        assert same_bits(out[0], denoised[0]) and not same_bits(out[1], denoised[1])


# -- the direction -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_direction_is_that_of_the_virtual_prediction(dtype):
    memorized, other = predictions("strong", seed=1)[0], predictions("ordinary", seed=2)[0]
    unit = memorized / memorized.norm()
    other = other - (other * unit).sum() * unit
    denoised = (200.0 * unit + other)[None].to(dtype)
    watcher = guard(probe=probe(memorized[None].to(dtype)), doubt=UNKNOWN_NEGATIVE)
    for _ in range(4):  # the last two are not probed
        out = step(watcher, noisy(1).to(dtype), denoised)[0].float()
        gain = (out * other).sum() / other.square().sum()
        assert 0 < gain <= 1.001
        assert (out * unit).sum() / (200.0 * gain) == pytest.approx(1 - Damping().strength, abs=0.01)


def test_where_only_the_watch_flags_the_direction_is_that_of_the_guided_prediction():
    guided, virtual_ = predictions("strong", seed=1), predictions("ordinary", seed=2)
    watcher = guard(probe=probe(virtual_, policy="always"))
    out = step(watcher, noisy(1), guided)[0]
    along = (out * guided[0]).sum() / guided.norm() / out.norm()
    assert along == pytest.approx(-1.0, abs=1e-4)  # wholly along the guided prediction, reflected


def test_radial_damping_does_not_rescale_by_the_norm_of_the_virtual_prediction():
    watcher = Guard(region(), options("damp", "radial"), probe(predictions("strong")), doubt=UNKNOWN_NEGATIVE)
    ordinary = predictions("small")
    torch.testing.assert_close(step(watcher, noisy(1), ordinary), ordinary)
    assert FACTORS["small"] < 1


def test_a_guided_prediction_that_points_against_the_virtual_one_is_not_pushed_towards_it():
    memorized = predictions("strong", seed=1)
    watcher = guard(probe=probe(memorized), doubt=UNKNOWN_NEGATIVE)
    against = -0.05 * memorized + predictions("ordinary", seed=2)
    out = step(watcher, noisy(1), against)
    assert (against * memorized).sum() < 0
    torch.testing.assert_close(out / out.norm(), against / against.norm())  # only rescaled
