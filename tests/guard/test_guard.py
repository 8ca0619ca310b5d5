from __future__ import annotations

import logging
import math
from copy import copy
from dataclasses import replace

import pytest
import torch
from guard_fixtures import BITS, GUIDANCE, bits, clean_norm, guard, noisy, options, picture, predictions, probe, region, same_bits, step
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_stability.guard.damping import Marks
from lib_stability.guard.guard import UNKNOWN_NEGATIVE, Guard
from lib_stability.guard.norms import rms
from lib_stability.guard.options import Options
from lib_stability.guard.probe import Probe
from lib_stability.guard.rewording import Rewording
from lib_stability.guard.verdict import NOT_JUDGED, STABLE
from lib_stability.shell.bench import kept_bytes
from lib_stability.shell.counting import Dispatched

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
VARIANTS = [("report", "directional"), ("damp", "directional"), ("damp", "radial")]
SIGMAS = (8.0, 2.0, 0.5)


def limit_of(sigma: float, margin: float, guidance: float = GUIDANCE) -> float:
    mean, spread, _ = region().look_up(torch.tensor([sigma]), guidance)
    return float(mean[0, 1] * (1 - margin * spread[0, 1]))


# -- nothing waits for the device ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [("ordinary", "strong", "mild"), ("ordinary", "ordinary", "ordinary")])
@pytest.mark.parametrize("accelerator", [False, True])
@pytest.mark.parametrize("scale", ["number", "tensor", "skipped"])
@pytest.mark.parametrize("when", [None, "auto", "always", "never"])
@pytest.mark.parametrize("mode, policy", VARIANTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_step_never_waits(mode, policy, when, scale, dtype, accelerator, kinds, monkeypatch):
    if accelerator:  # where the host cannot see that nothing is flagged
        monkeypatch.setattr(Marks, "surely_empty", False)
    x, denoised = noisy(3).to(dtype), predictions(*kinds).to(dtype)
    asked = probe(predictions("strong", "ordinary", "ordinary").to(dtype), policy=when) if when else None
    watcher = guard(mode, policy, probe=asked, doubt=UNKNOWN_NEGATIVE if when == "auto" else "")
    scales = {"number": [GUIDANCE] * 4, "tensor": [torch.full((3,), GUIDANCE)] * 4, "skipped": [GUIDANCE, 1.0, 40.0, GUIDANCE]}[scale]
    with Dispatched() as counted:
        for sigma, guidance in zip((8.0, 2.0, 0.5, 1e6), scales):
            step(watcher, x, denoised, sigma, guidance)
    assert watcher.error is None
    assert counted.operations > 0
    assert counted.synchronisations == 0, counted.waits


def test_broken_numbers_do_not_make_it_wait():
    denoised = predictions("strong", "strong")
    denoised[0, 0, 0, 0] = math.nan
    watcher = guard()
    with Dispatched() as counted:
        for sigma in (math.nan, 0.0, math.inf, 1.0):
            step(watcher, noisy(2), denoised, sigma)
    assert counted.synchronisations == 0 and watcher.error is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
@pytest.mark.parametrize("mode, policy", VARIANTS)
def test_step_never_waits_for_an_accelerator(mode, policy):
    x, denoised = noisy(3).cuda(), predictions("ordinary", "strong", "mild").cuda()
    asked = probe(predictions("strong", "ordinary", "ordinary").cuda(), policy="always")
    levels = [torch.full((3,), sigma, device="cuda") for sigma in SIGMAS]
    guard(mode, policy, probe=asked).step(x, denoised, levels[0], GUIDANCE)  # tables go to the device once per region
    watcher = guard(mode, policy, probe=asked)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for level in levels:
            watcher.step(x, denoised, level, GUIDANCE)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert watcher.error is None
    assert [v.flagged_at for v in watcher.report()] == [1, 1, 1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
@pytest.mark.parametrize("mode, policy", VARIANTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_accelerator_gives_what_the_cpu_gives(mode, policy, dtype):
    x, denoised = noisy(3).to(dtype), predictions("ordinary", "strong", "mild").to(dtype)
    watchers, results = {}, {}
    for device in ("cpu", "cuda"):
        watcher = watchers[device] = Guard(region(), replace(options(mode, policy), locate=True))
        results[device] = [
            watcher.step(x.to(device), denoised.to(device), torch.full((3,), sigma, device=device), GUIDANCE).float().cpu() for sigma in SIGMAS
        ]
    for ours, theirs in zip(results["cpu"], results["cuda"]):
        torch.testing.assert_close(theirs, ours, rtol=2e-3, atol=2e-3 if dtype == torch.float32 else 2e-2)
        assert torch.equal(theirs[0], denoised[0].float()), "what is not flagged keeps its bits"
    for ours, theirs in zip(*(watcher.report() for watcher in watchers.values())):
        assert (ours.verdict, ours.flagged_at, ours.damped) == (theirs.verdict, theirs.flagged_at, theirs.damped)
        assert theirs.score == pytest.approx(ours.score, rel=0.01, abs=0.02)
    for ours, theirs in zip(*(watcher.maps() for watcher in watchers.values())):
        assert (ours is None) == (theirs is None) and (ours is None or ours == pytest.approx(theirs, rel=0.02, abs=0.02))


# -- off, report only ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["directional", "radial"])
def test_report_mode_returns_the_same_object(policy):
    watcher, denoised = guard("report", policy), predictions("strong", "ordinary")
    for sigma in SIGMAS:
        assert step(watcher, noisy(2, sigma), denoised, sigma) is denoised
    strong, ordinary = watcher.report()
    assert (strong.verdict, strong.damped, ordinary.verdict) == ("strong", 0, STABLE)


def test_without_a_profile_nothing_is_judged():
    watcher, denoised = Guard(None), predictions("strong", "ordinary")
    for sigma in SIGMAS:
        assert step(watcher, noisy(2), denoised, sigma) is denoised
    assert [(v.verdict, v.reason, v.score, v.evaluations) for v in watcher.report()] == [(NOT_JUDGED, "no profile", None, 3)] * 2


def test_refuses_a_region_of_the_other_parameterisation():
    with pytest.raises(ValueError, match=r"region.*'sigma'.*'flow'"):
        Guard(region(), parameterisation="flow")
    with pytest.raises(ValueError, match=r"region.*'flow'.*'sigma'"):
        Guard(region("flow"))
    with pytest.raises(ValueError, match="region"):
        Guard(None, probe=probe(), parameterisation="flow")
    assert Guard(region("flow"), parameterisation="flow").report() == []


def test_refuses_unknown_options():
    with pytest.raises(ValueError, match="mode"):
        Options(mode="off")
    with pytest.raises(ValueError, match="sensitivity"):
        Guard(region(), Options(sensitivity="extreme"))


def test_flow_models_are_judged():
    watcher = Guard(region("flow"), options(), parameterisation="flow")
    denoised = predictions("ordinary", "strong")
    out = step(watcher, noisy(2, 0.0), denoised, 0.8)
    assert watcher.error is None
    assert same_bits(out[:1], denoised[:1])
    assert rms(out)[1] < rms(denoised)[1]


# -- unflagged images stay as they are -----------------------------------------------------------------------------------------------


def with_odd_bits(denoised: torch.Tensor) -> torch.Tensor:
    """Signed zeros and subnormals into sample 0 (still ordinary), NaN payloads into sample 2, infinities into sample 3."""
    low = {torch.float32: 0x7F800000, torch.float16: 0x7C00, torch.bfloat16: 0x7F80}[denoised.dtype]
    sign = -(2**31) if denoised.dtype == torch.float32 else -(2**15)
    raw = bits(denoised).clone().flatten(1)
    raw[0, :4] = torch.tensor([sign, 0, 1, sign + 1], dtype=raw.dtype)
    raw[2, :4] = torch.tensor([low + 5, low + low // 256, sign + low + 1, low + 1], dtype=raw.dtype)
    raw[3, :2] = torch.tensor([low, sign + low], dtype=raw.dtype)
    return raw.view(denoised.dtype).view(denoised.shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("policy", ["directional", "radial"])
def test_unflagged_images_are_bit_identical_beside_a_flagged_one(policy, dtype):
    denoised = with_odd_bits(predictions("ordinary", "strong", "strong", "strong", "small").to(dtype))
    assert denoised[2].isnan().sum() == 4 and denoised[3].isinf().sum() == 2 and (denoised[0] == 0).sum() >= 2
    before, watcher = denoised.clone(), guard("damp", policy)
    for sigma in SIGMAS:
        out = step(watcher, noisy(5, sigma).to(dtype), denoised, sigma)
        assert out.dtype == dtype
        for index in (0, 3, 4):
            assert same_bits(out[index], before[index]), index
        # A NaN stays one where it is; arithmetic makes a signalling one a quiet one.
        number = ~before[2].isnan()
        assert torch.equal(number, ~out[2].isnan()) and same_bits(out[2][number], before[2][number])
        assert not same_bits(out[1], before[1])
        assert same_bits(denoised, before), "the prediction was written to"
    assert [v.verdict for v in watcher.report()] == [STABLE, "strong", NOT_JUDGED, NOT_JUDGED, STABLE]


def test_an_image_that_was_broken_once_is_left_alone_when_it_is_whole_again():
    whole = predictions("ordinary", "strong", "ordinary")
    broken = whole.clone()
    broken[0, 0, 0, :3], broken[2] = torch.tensor([math.inf, -math.inf, math.nan]), 3e38
    watcher = guard("damp", "directional")
    for number, denoised in enumerate((whole, broken, whole, whole)):
        out = step(watcher, noisy(3), denoised, 2.0 / (number + 1))
        assert not same_bits(out[1], denoised[1])
        if denoised is whole:
            assert same_bits(out[[0, 2]], whole[[0, 2]])
        else:
            assert torch.equal(out[[0, 2]].isnan(), broken[[0, 2]].isnan()) and torch.equal(out[2], broken[2])
    assert watcher.report()[1].damped == 4


@pytest.mark.parametrize("policy", ["directional", "radial"])
def test_inputs_are_never_written_to(policy):
    x, denoised, virtual = noisy(2), predictions("strong", "ordinary"), predictions("ordinary", "strong")
    level, scale = torch.full((2,), 1.0), torch.full((2,), GUIDANCE)
    everything = (x, denoised, virtual, level, scale)
    before, versions = [one.clone() for one in everything], [one._version for one in everything]
    watcher = guard("damp", policy, probe=probe(virtual, policy="always"))
    results = []
    for _ in range(4):
        results.append(watcher.step(x, denoised, level, scale))
        kept = [result.clone() for result in results]
    assert [one._version for one in everything] == versions
    assert all(torch.equal(one, old) for one, old in zip(everything, before))
    assert all(torch.equal(one, old) for one, old in zip(results, kept))


# -- broken numbers ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["directional", "radial"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["x", "denoised", "both"])
def test_broken_numbers_stay_in_their_image(policy, value, where):
    mates, broken = guard("damp", policy), guard("damp", policy)
    kinds = ("strong", "strong", "ordinary")
    for number, sigma in enumerate(SIGMAS):
        x, denoised = noisy(3, sigma), predictions(*kinds)
        expected = step(mates, x, denoised, sigma)
        x, denoised = x.clone(), denoised.clone()
        if number:  # broken from the second evaluation on, when all directions are remembered
            for one, name in ((x, "x"), (denoised, "denoised")):
                if where in (name, "both"):
                    one[1, 2, 3, 4] = value
        out = step(broken, x, denoised, sigma)
        assert same_bits(out[[0, 2]], expected[[0, 2]])
    first, second, third = mates.report()
    assert [first, third] == [broken.report()[0], broken.report()[2]]
    assert second.verdict == "strong"
    # It was flagged before its numbers broke: that stays, and so does the reason why no more is known.
    assert (broken.report()[1].verdict, broken.report()[1].flagged_at, broken.report()[1].reason) == ("strong", 1, "numbers not finite")


def test_a_broken_image_is_not_flagged():
    watcher, denoised = guard(), predictions("strong", "strong")
    denoised[0].fill_(1e30)  # overflows its norm
    denoised[1, 0, 0, 0] = math.inf
    assert same_bits(step(watcher, noisy(2), denoised), denoised)
    assert {v.reason for v in watcher.report()} == {"numbers not finite"}


def test_broken_virtual_prediction_is_not_judged():
    virtual = predictions("ordinary", "strong")
    virtual[0, 0, 0, 0] = math.nan
    watcher = guard(probe=probe(virtual, policy="always"))
    denoised = predictions("ordinary", "ordinary")
    out = step(watcher, noisy(2), denoised)
    assert same_bits(out[0], denoised[0])
    assert [v.verdict for v in watcher.report()] == [NOT_JUDGED, "strong"]


# -- a batch is its images -----------------------------------------------------------------------------------------------------------

KINDS = st.lists(st.sampled_from(["ordinary", "mild", "strong", "small", "nan", "inf", "late"]), min_size=1, max_size=5)
#: Sums over 1024 elements may be taken in another order in a batch.
TOLERANCE = dict(rtol=1e-5, atol=1e-5)


def trajectory(kind: str, seed: int, evaluation: int) -> torch.Tensor:
    base = {"nan": "strong", "inf": "ordinary", "late": "strong" if evaluation else "ordinary"}.get(kind, kind)
    one = picture(base, seed)
    if kind in ("nan", "inf") and evaluation == 1:
        one[0, 0, 0, seed % 16] = float(kind)
    return one


def sample(mode: str, policy: str, kinds: list[str], seeds: list[int]) -> tuple[list[torch.Tensor], list]:
    watcher, outputs = guard(mode, policy), []
    for number, sigma in enumerate(SIGMAS):
        x = torch.cat([noisy(1, sigma, seed=500 + seed) for seed in seeds])
        outputs.append(step(watcher, x, torch.cat([trajectory(k, s, number) for k, s in zip(kinds, seeds)]), sigma))
    assert watcher.error is None
    return outputs, watcher.report()


@settings(max_examples=40, deadline=None)
@given(KINDS, st.sampled_from(VARIANTS), st.integers(0, 1000))
def test_an_image_fares_alike_alone_and_in_a_batch(kinds, variant, seed):
    seeds = [seed + i for i in range(len(kinds))]
    together, verdicts = sample(*variant, kinds, seeds)
    for index, (kind, own) in enumerate(zip(kinds, seeds)):
        alone, (verdict,) = sample(*variant, [kind], [own])
        mine = verdicts[index]
        assert (mine.verdict, mine.reason, mine.flagged_at, mine.damped, mine.detector, mine.evaluations) == (
            verdict.verdict,
            verdict.reason,
            verdict.flagged_at,
            verdict.damped,
            verdict.detector,
            verdict.evaluations,
        )
        assert mine.score == (verdict.score if verdict.score is None else pytest.approx(verdict.score, rel=1e-4, abs=1e-4))
        for one, other in zip(together, alone):
            if mine.damped:
                torch.testing.assert_close(one[index], other[0], equal_nan=True, **TOLERANCE)
            else:
                assert same_bits(one[index], other[0])


@settings(max_examples=40, deadline=None)
@given(KINDS, st.sampled_from(VARIANTS), st.integers(0, 1000))
def test_what_a_processor_leaves_out_changes_no_bit(kinds, variant, seed):
    """An accelerator computes what empty marks leave alone, because nobody there waits to see that they are empty."""
    seeds = [seed + i for i in range(len(kinds))]
    here, verdicts = sample(*variant, kinds, seeds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Marks, "surely_empty", False)
        there, others = sample(*variant, kinds, seeds)
    assert all(same_bits(one, other) for one, other in zip(here, there))
    assert repr(verdicts) == repr(others)


@pytest.mark.parametrize("policy", ["directional", "radial"])
def test_on_a_processor_an_ordinary_batch_is_handed_back_as_it_is(policy):
    watcher, denoised = guard("damp", policy), predictions("ordinary", "ordinary")
    assert all(step(watcher, noisy(2, sigma), denoised, sigma) is denoised for sigma in SIGMAS)
    assert step(watcher, noisy(2), predictions("ordinary", "strong"), 0.5) is not denoised and watcher.report()[1].damped == 1


def test_marks_are_looked_at_only_in_a_processors_memory():
    marks = Marks(3, torch.device("cpu"))
    assert marks.surely_empty and not marks.tensor.any()
    marks.tensor |= torch.tensor([False, True, False])
    assert not marks.surely_empty
    elsewhere = Marks(3, torch.device("meta"), torch.float32)
    assert not elsewhere.surely_empty and elsewhere.tensor.device.type == "meta" and elsewhere.tensor.dtype == torch.float32


def test_resolution_drops_out():
    small = guard("report")
    x, denoised = noisy(3), predictions("ordinary", "mild", "strong")
    step(small, x, denoised)
    large, independent = guard("report"), guard("report")
    step(large, x.repeat(1, 1, 4, 4), denoised.repeat(1, 1, 4, 4))
    step(independent, noisy(3, size=64), predictions("ordinary", "mild", "strong", size=64))
    for a, b, c in zip(small.report(), large.report(), independent.report()):
        assert a.score == pytest.approx(b.score, rel=1e-3, abs=1e-3)
        assert a.verdict == b.verdict == c.verdict
        assert a.score == pytest.approx(c.score, rel=0.1, abs=1.0)  # chance correlation of x and prediction at 16x16


# -- what is not judged --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sigma, guidance, known, reason",
    [
        (1.0, 1.0, True, "no guidance and no probe"),
        (1.0, 1.99, True, "no guidance and no probe"),
        (1.0, GUIDANCE, False, "no probe and a negative prompt that the region does not know"),
        (1.0, 1.0, False, "no probe and a negative prompt that the region does not know"),
        (1e4, GUIDANCE, True, "noise level outside the region"),
        (1e-5, GUIDANCE, True, "noise level outside the region"),
        (1.0, 30.1, True, "guidance above the region"),
    ],
)
@pytest.mark.parametrize("asked", [None, "never"])
def test_says_why_nothing_was_judged(sigma, guidance, known, reason, asked):
    watcher = guard(doubt="" if known else UNKNOWN_NEGATIVE, probe=probe(policy="never") if asked else None)
    denoised = predictions("strong", "ordinary")
    for _ in range(2):
        assert same_bits(step(watcher, noisy(2), denoised, sigma, guidance), denoised)
    assert [(v.verdict, v.reason, v.score, v.flagged_at, v.damped) for v in watcher.report()] == [(NOT_JUDGED, reason, None, None, 0)] * 2


@pytest.mark.parametrize("sigma", [math.nan, math.inf, 0.0, -1.0])
def test_impossible_noise_levels_are_not_judged(sigma):
    watcher, denoised = guard(), predictions("strong")
    assert same_bits(step(watcher, noisy(1), denoised, sigma), denoised)
    (verdict,) = watcher.report()
    assert verdict.verdict == NOT_JUDGED and verdict.reason


@pytest.mark.parametrize("sigma, judged", [(30.0, True), (0.02, True), (60.0, False), (0.01, False)])
def test_the_grid_ends_where_it_says(sigma, judged):
    watcher = guard("report")
    step(watcher, noisy(1, sigma), predictions("ordinary"), sigma)
    assert (watcher.report()[0].verdict == STABLE) is judged


def test_each_image_has_its_own_noise_level_and_guidance():
    watcher = guard()
    level, scale = torch.tensor([1.0, 1e6, 1.0]), torch.tensor([GUIDANCE, GUIDANCE, 14.0])
    denoised = predictions("strong", "strong", "ordinary") * torch.tensor([1.0, 1.0, clean_norm(14.0) / clean_norm()]).view(3, 1, 1, 1)
    out = watcher.step(noisy(3), denoised, level, scale)
    assert same_bits(out[1:], denoised[1:]) and not same_bits(out[:1], denoised[:1])
    assert [v.verdict for v in watcher.report()] == ["strong", NOT_JUDGED, STABLE]


@pytest.mark.parametrize("guidance", [1.0, 1.9, 31.0, math.nan])
def test_guidance_in_a_tensor_is_held_to_the_same_range_as_a_number(guidance):
    watcher = guard()
    denoised = predictions("ordinary", "ordinary")
    out = step(watcher, noisy(2), denoised, guidance=torch.tensor([guidance, GUIDANCE]))
    assert same_bits(out, denoised)
    assert [v.verdict for v in watcher.report()] == [NOT_JUDGED, STABLE]


def test_a_skipped_uncond_evaluation_is_merely_not_judged():
    watcher, denoised = guard("report"), predictions("ordinary", "strong")
    for guidance in (GUIDANCE, 1.0, GUIDANCE, 1.0):
        step(watcher, noisy(2), denoised, guidance=guidance)
    ordinary, strong = watcher.report()
    assert [reading.watched is not None for reading in watcher.readings] == [True, False, True, False]
    assert (ordinary.verdict, ordinary.evaluations, strong.verdict, strong.flagged_at) == (STABLE, 4, "strong", 1)


@pytest.mark.parametrize("scale", [31.0, math.inf, math.nan])
@pytest.mark.parametrize("tensor", [False, True])
def test_guidance_above_the_region_for_a_part_of_the_pass_leaves_a_gap(scale, tensor):
    """Unlike an unguided evaluation it may show a copy, and nobody looks; the probe does not depend on it."""
    for asked, verdict in ((None, NOT_JUDGED), (probe(predictions("ordinary", "ordinary"), policy="always", expected=3), STABLE)):
        watcher = guard("report", probe=asked)
        for guidance in (GUIDANCE, scale, scale):
            step(watcher, noisy(2), predictions("ordinary", "ordinary"), guidance=torch.tensor([guidance, GUIDANCE]) if tensor else guidance)
        first, second = watcher.report()
        assert first.verdict == verdict and second.verdict == (STABLE if tensor else verdict)
        assert first.reason == ("" if asked else "guidance above the region - 1/3 judged")
    step(watcher, noisy(2), predictions("strong", "ordinary"))
    assert watcher.report()[0].verdict == "strong"


def test_flagged_images_are_damped_where_the_watch_cannot_judge():
    watcher, denoised = guard("damp", "directional"), predictions("ordinary", "strong")
    step(watcher, noisy(2), denoised)
    out = step(watcher, noisy(2), denoised, guidance=1.0)
    assert same_bits(out[0], denoised[0]) and not same_bits(out[1], denoised[1])
    assert [v.damped for v in watcher.report()] == [0, 2]


def test_first_evaluation_that_is_judged_counts_the_skipped_ones():
    watcher, denoised = guard("report"), predictions("strong")
    for guidance in (1.0, 1.0, GUIDANCE):
        step(watcher, noisy(1), denoised, guidance=guidance)
    assert watcher.report()[0].flagged_at == 3


# -- damping -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [0.5, 1.0, 1.5])
def test_directional_damping_turns_against_the_remembered_picture(strength):
    watcher = Guard(region(), options("damp", "directional", strength=strength))
    picture_, other = predictions("strong")[0], predictions("ordinary", seed=7)[0]
    direction = picture_ / picture_.norm()
    other = other - (other * direction).sum() * direction
    step(watcher, noisy(1), picture_[None])
    denoised = (20.0 * direction + other)[None]
    out = step(watcher, noisy(1, 0.5), denoised, 0.5)[0]
    along, across = (out * direction).sum(), (out * other).sum() / other.norm()
    gain = across / other.norm()
    assert 0 < gain <= 1 + 1e-6
    assert along == pytest.approx(float(gain * (1 - strength) * 20.0), abs=1e-3)
    assert rms(out[None])[0] <= limit_of(0.5, 2.0) * (1 + 1e-5)


def test_directional_damping_leaves_a_prediction_that_points_away():
    watcher = guard("damp", "directional")
    strong = predictions("strong")
    step(watcher, noisy(1), strong)
    away = -strong / 30
    torch.testing.assert_close(step(watcher, noisy(1), away), away)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("policy, margin", [("directional", 2.0), ("radial", 0.0)])
def test_damped_norm_is_within_the_limit(policy, margin, dtype):
    watcher, denoised = guard("damp", policy), predictions("strong", "mild", "ordinary").to(dtype)
    for sigma in SIGMAS:
        out = step(watcher, noisy(3, sigma).to(dtype), denoised, sigma)
        assert (rms(out)[:2] <= limit_of(sigma, margin) * (1 + torch.finfo(dtype).eps + 1e-4)).all()


def test_radial_damping_rescales_unstable_evaluations_only():
    watcher, strong, ordinary = guard("damp", "radial"), predictions("strong"), predictions("ordinary")
    out = step(watcher, noisy(1), strong)
    torch.testing.assert_close(out, strong * (limit_of(1.0, 0.0) / float(rms(strong))))
    assert same_bits(step(watcher, noisy(1), ordinary), ordinary)
    assert not same_bits(step(watcher, noisy(1), strong), strong)
    (verdict,) = watcher.report()
    assert (verdict.damped, verdict.flagged_at, verdict.evaluations) == (2, 1, 3)


def test_an_unstable_prediction_that_pulls_somewhere_else_becomes_the_direction():
    watcher = guard("damp", "directional")
    first, second = predictions("strong", seed=1), predictions("strong", seed=2)
    step(watcher, noisy(1), first)
    out = step(watcher, noisy(1), second)
    torch.testing.assert_close(out / out.norm(), -second / second.norm(), atol=0.02, rtol=0.1)
    calm = predictions("ordinary", seed=3)
    again = step(watcher, noisy(1), calm + 2 * second * calm.norm() / second.norm())
    assert (again * second).sum() < 0, "and it is remembered"


def test_damping_starts_at_the_flag_and_goes_on():
    watcher = guard("damp", "directional")
    kinds = ["ordinary", "ordinary", "strong", "strong", "ordinary"]
    changed = []
    for kind in kinds:
        denoised = predictions("ordinary", kind)
        out = step(watcher, noisy(2), denoised)
        changed.append(not same_bits(out[1], denoised[1]))
        assert same_bits(out[0], denoised[0])
    assert changed == [False, False, True, True, True]
    ordinary, flagged = watcher.report()
    assert (ordinary.damped, ordinary.flagged_at, flagged.damped, flagged.flagged_at) == (0, None, 3, 3)


def test_damped_counts_only_evaluations_that_changed_something():
    watcher, strong = guard("damp", "directional"), predictions("strong")
    step(watcher, noisy(1), strong)
    away = -strong / 30
    assert same_bits(step(watcher, noisy(1), away), away)
    assert watcher.report()[0].damped == 1


def test_outside_the_region_nothing_is_damped():
    watcher, strong = guard(), predictions("strong")
    step(watcher, noisy(1), strong)
    assert same_bits(step(watcher, noisy(1), strong, 1e6), strong)
    assert watcher.report()[0].damped == 1


# -- errors --------------------------------------------------------------------------------------------------------------------------


def raising(error: BaseException):
    def boom(*args, **more):
        raise error

    return boom


def check_error(watcher: Guard, caplog, message: str) -> None:
    denoised = predictions("strong", "ordinary")
    with caplog.at_level(logging.DEBUG):
        for _ in range(4):
            assert step(watcher, noisy(2), denoised) is denoised
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and record.exc_info and message in caplog.text and "Traceback" in caplog.text
    verdicts = watcher.report()
    assert [(v.verdict, v.reason, v.evaluations, v.score) for v in verdicts] == [(NOT_JUDGED, "error", 4, None)] * 2
    assert message in watcher.error


def test_an_error_of_the_probe_leaves_the_watch_alone(caplog):
    asked = probe(policy="always")
    object.__setattr__(asked, "predict", raising(RuntimeError("no such model")))
    watcher = guard("damp", probe=asked)
    for _ in range(3):
        out = step(watcher, noisy(2), predictions("strong", "ordinary"))
    assert not same_bits(out[:1], predictions("strong", "ordinary")[:1]) and same_bits(out[1:], predictions("strong", "ordinary")[1:])
    flagged, other = watcher.report()
    assert (flagged.verdict, flagged.damped, flagged.reason) == ("strong", 3, "error RuntimeError in the probe")
    assert (other.verdict, other.reason) == (NOT_JUDGED, "error RuntimeError in the probe - 3/3 judged")
    assert len(caplog.records) == 1 and "no such model" in caplog.text


def test_an_error_of_the_watch_leaves_the_probe_alone(caplog, monkeypatch):
    watcher = guard(probe=probe(predictions("strong", "ordinary")))
    monkeypatch.setattr(watcher.detectors[0], "judge", raising(ZeroDivisionError("broken table")))
    for _ in range(2):
        step(watcher, noisy(2), predictions("strong", "ordinary"))
    flagged, other = watcher.report()
    assert (flagged.verdict, flagged.detector, flagged.reason) == ("strong", "probe", "error ZeroDivisionError in the watch")
    assert (other.verdict, other.score) == (NOT_JUDGED, None) and "in the watch" in other.reason
    assert len(caplog.records) == 1


@pytest.mark.parametrize("name", ["look_up", "tables"])
def test_an_error_of_the_region_leaves_the_pass_alone(name, caplog, monkeypatch):
    watcher, denoised = guard(), predictions("strong", "ordinary")
    monkeypatch.setattr(watcher.region, name, raising(ZeroDivisionError("broken table")))
    for _ in range(4):
        assert step(watcher, noisy(2), denoised) is denoised
    found = [(v.verdict, v.reason, v.evaluations, v.score) for v in watcher.report()]
    assert found == [(NOT_JUDGED, "error ZeroDivisionError in the watch", 4, None)] * 2
    assert len(caplog.records) == 1 and "broken table" in caplog.text


def test_a_flag_and_what_was_damped_outlive_a_later_error(caplog, monkeypatch):
    watcher, denoised = guard(), predictions("strong", "ordinary")
    assert step(watcher, noisy(2), denoised) is not denoised
    monkeypatch.setattr(watcher.detectors[0], "judge", raising(RuntimeError("late")))
    for _ in range(2):
        step(watcher, noisy(2), denoised)
    flagged, other = watcher.report()
    assert (flagged.verdict, flagged.flagged_at, flagged.evaluations, flagged.damped >= 1) == ("strong", 1, 3, True)
    assert flagged.reason == "error RuntimeError in the watch"
    assert (other.verdict, other.reason) == (NOT_JUDGED, "error RuntimeError in the watch - 1/3 judged")
    assert len(caplog.records) == 1


def test_a_flag_outlives_an_interruption_of_the_next_look():
    asked = probe(policy="always")
    object.__setattr__(asked, "predict", raising(KeyboardInterrupt()))
    watcher = guard("report", probe=asked)
    with pytest.raises(KeyboardInterrupt):
        step(watcher, noisy(2), predictions("strong", "ordinary"))
    assert [(one.verdict, one.flagged_at) for one in watcher.report()] == [("strong", 1), (NOT_JUDGED, None)]


@pytest.mark.parametrize("when", ["acting", "measuring"])
def test_a_flag_outlives_what_ends_its_own_evaluation(when, caplog, monkeypatch):
    asked = probe(predictions("strong", "ordinary"), policy="always")
    watcher = guard("damp" if when == "acting" else "report", probe=asked, doubt=UNKNOWN_NEGATIVE)
    if when == "acting":
        monkeypatch.setattr(watcher.damper, "act", raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            step(watcher, noisy(2), predictions("ordinary", "ordinary"))
    else:
        monkeypatch.setattr("lib_stability.guard.guard.rms", raising(RuntimeError("late")))
        step(watcher, noisy(2), predictions("ordinary", "ordinary"))
    flagged, other = watcher.report()
    reason = "interrupted" if when == "acting" else "error RuntimeError"
    assert (flagged.verdict, flagged.flagged_at, flagged.evaluations, flagged.reason) == ("strong", 1, 1, reason)
    assert (other.verdict, other.reason) == (NOT_JUDGED, f"{reason} - 1/1 judged")


def test_a_damper_that_fails_hands_over_to_the_next_cheaper_one(caplog, monkeypatch):
    rewording = Rewording([2, 2], raising(torch.cuda.OutOfMemoryError("out of memory")))
    watcher, denoised = guard("damp", "reword", rewording=rewording), predictions("strong", "ordinary")
    names = [watcher.damper.name]
    out = step(watcher, noisy(2), denoised)
    names.append(watcher.damper.name)
    expected = step(guard("damp", "directional"), noisy(2), denoised)
    assert torch.allclose(out, expected, atol=1e-5) and same_bits(out[1], denoised[1])
    monkeypatch.setattr(watcher.damper, "act", raising(RuntimeError("and this one")))
    assert same_bits(step(watcher, noisy(2), denoised), step(guard("damp", "radial"), noisy(2), denoised))
    names.append(watcher.damper.name)
    assert names == ["reword", "directional", "radial"]
    flagged, other = watcher.report()
    assert (flagged.verdict, flagged.damped, flagged.reason) == ("strong", 2, "error OutOfMemoryError in the reword")
    assert (other.verdict, other.damped) == (STABLE, 0)  # all of its looks took place
    assert len(caplog.records) == 2


def test_an_error_of_the_map_costs_the_map_alone(caplog, monkeypatch):
    watcher = Guard(region(), Options(sensitivity="paper", locate=True))
    monkeypatch.setattr(watcher._judging.locator, "add", raising(RuntimeError("no map")))
    step(watcher, noisy(2), predictions("strong", "ordinary"))
    assert [v.verdict for v in watcher.report()] == ["strong", STABLE] and watcher.maps() == [None, None]
    assert len(caplog.records) == 1


def test_numbers_that_break_after_the_last_look_are_not_stable():
    """The probe alone judges, early; what breaks later is no ordinary picture."""
    watcher = guard(probe=probe(predictions("ordinary", "ordinary")), doubt="another negative prompt")
    for number in range(12):
        denoised = predictions("ordinary", "ordinary")
        if number >= 6:
            denoised[0, 0, 0, 0] = math.nan
        step(watcher, noisy(2), denoised)
    broken, whole = watcher.report()
    assert (broken.verdict, broken.reason) == (NOT_JUDGED, "numbers not finite - 3/12 judged")
    assert whole.verdict == STABLE


@pytest.mark.parametrize("kinds, verdict", [(("ordinary",), NOT_JUDGED), (("strong",), "strong")])
def test_a_pass_that_was_cut_short_is_not_stable(kinds, verdict):
    watcher = guard("report")
    step(watcher, noisy(1), predictions(*kinds))
    watcher.trouble.cut_short, watcher.trouble.planned = "interrupted", 20
    (found,) = watcher.report()
    assert found.verdict == verdict and found.reason == ("interrupted - 1/20 judged" if verdict == NOT_JUDGED else "interrupted")


@pytest.mark.parametrize("score", ["smaller", "late rate"])
@pytest.mark.parametrize("kinds, judged", [(("ordinary",), NOT_JUDGED), (("strong",), "strong")])
def test_a_pass_that_ends_before_the_probes_last_look_is_not_stable(score, kinds, judged):
    """Fewer evaluations than were announced, and nobody says why."""
    judging = copy(region())
    judging.score = score
    asked = Probe(judging, lambda x, sigma: predictions(*kinds), expected=20)
    watcher = guard("report", probe=asked, doubt=UNKNOWN_NEGATIVE)
    for _ in range(asked.looks[-1]):
        step(watcher, noisy(1), predictions("ordinary"))
    (early,) = watcher.report()
    looks = len(asked.looks) - 1
    assert (early.verdict, early.reason) == (judged, f"ended before the last look - {looks}/{asked.looks[-1]} judged" if judged == NOT_JUDGED else "")
    step(watcher, noisy(1), predictions("ordinary"))
    assert watcher.report()[0].verdict == (STABLE if judged == NOT_JUDGED else judged)


def test_a_look_that_the_watch_makes_needless_is_not_waited_for():
    for policy, verdict in (("auto", STABLE), ("never", STABLE), ("always", NOT_JUDGED)):
        watcher = guard("report", probe=probe(predictions("ordinary"), policy=policy, expected=20))
        for _ in range(3):
            step(watcher, noisy(1), predictions("ordinary"))
        assert watcher.report()[0].verdict == verdict


def test_who_hands_over_to_another_guard_waits_for_no_look():
    """A refiner's own detectors see the rest."""
    watcher, after = guard("report", probe=probe(predictions("ordinary"), policy="always", expected=20)), guard("report")
    step(watcher, noisy(1), predictions("ordinary"))
    assert watcher.report()[0].verdict == NOT_JUDGED
    after.succeed(watcher)
    assert watcher.report()[0].verdict == STABLE


def test_evaluations_that_were_never_shown_are_missed():
    watcher = guard("report")
    for _ in range(3):
        watcher.miss(RuntimeError("the hook failed"))
    for _ in range(3):
        step(watcher, noisy(1), predictions("ordinary"))
    (found,) = watcher.report()
    assert (found.verdict, found.evaluations, found.reason) == (NOT_JUDGED, 6, "error RuntimeError - 3/6 judged")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_interruptions_pass_through(error, caplog):
    asked = probe(policy="always")
    object.__setattr__(asked, "predict", raising(error))
    watcher = guard(probe=asked)
    with pytest.raises(type(error)):
        step(watcher, noisy(1), predictions("strong"))
    assert watcher.error is None and not caplog.records


@pytest.mark.parametrize("mode, policy", VARIANTS)
@pytest.mark.parametrize("sizes", [(2, 3), (3, 2), (1, 3), (3, 1), (2, 0), (0, 2)])
def test_a_batch_that_changes_its_size_is_an_error_not_a_crash(mode, policy, sizes, caplog):
    watcher = guard(mode, policy)
    for size in sizes:
        denoised = predictions(*["strong"] * 4)[:size]
        out = step(watcher, noisy(4)[:size], denoised)
    assert out is denoised
    found = watcher.report()
    assert len(found) == max(sizes) and all("error ValueError" in v.reason and v.verdict != STABLE for v in found)
    assert [v.verdict for v in found[: sizes[0]]] == ["strong"] * sizes[0]  # what was flagged before stays flagged
    assert len(caplog.records) == 1


@pytest.mark.parametrize("sizes", [(2, 3), (3, 1), (2, 0)])
def test_a_batch_that_changes_its_size_while_stopping_is_no_crash(sizes, caplog):
    watcher = guard("stop")
    for size in sizes:
        denoised = predictions(*["strong"] * 4)[:size]
        out = step(watcher, noisy(4)[:size], denoised)
    assert out is denoised and watcher.stopped.tolist() == [True] * sizes[0]
    assert [v.stopped_at for v in watcher.report()[: sizes[0]]] == [1] * sizes[0]


@pytest.mark.parametrize("mode, policy", VARIANTS)
def test_an_empty_batch_is_harmless(mode, policy):
    watcher, nothing = guard(mode, policy), torch.empty(0, 4, 16, 16)
    for _ in range(2):
        assert step(watcher, nothing, nothing).shape == nothing.shape
    assert watcher.report() == []


@pytest.mark.parametrize("level", [torch.tensor(1.0), torch.ones(1), torch.ones(3), torch.ones(2, 1)])
def test_noise_levels_of_the_wrong_shape_are_an_error(level, caplog):
    watcher, denoised = guard(), predictions("strong", "ordinary")
    assert watcher.step(noisy(2), denoised, level, GUIDANCE) is denoised
    assert [v.reason for v in watcher.report()] == ["error ValueError"] * 2


@pytest.mark.parametrize("scale", [torch.tensor(GUIDANCE), torch.full((3,), GUIDANCE), "7.5", None])
def test_guidance_of_the_wrong_kind_is_an_error(scale, caplog):
    watcher, denoised = guard(), predictions("strong", "ordinary")
    assert watcher.step(noisy(2), denoised, torch.ones(2), scale) is denoised
    assert {v.reason for v in watcher.report()} <= {"error ValueError", "error TypeError"} and len(watcher.report()) == 2


# -- memory --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode, policy", VARIANTS)
def test_memory_is_scalars_and_at_most_three_latents(mode, policy):
    batch, evaluations, size = 3, 150, 64
    watcher = guard(mode, policy)
    x, denoised = noisy(batch, size=size), predictions("ordinary", "strong", "mild", size=size)
    for sigma in torch.logspace(1.1, -1.5, evaluations):
        step(watcher, x, denoised, float(sigma))
    assert watcher.error is None
    # What is taken out, what the images were flagged for, and what was handed on last.
    latent = 3 * x.numel() * 4 if (mode, policy) == ("damp", "directional") else 0
    scalars = kept_bytes(watcher) - latent
    assert 0 < scalars <= evaluations * batch * 48
    if latent:
        assert kept_bytes(watcher) >= latent


def test_bits_helper_tells_signed_zeros_and_payloads_apart():
    assert set(BITS) == set(DTYPES)
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert same_bits(torch.tensor([math.nan]), torch.tensor([math.nan]))
    assert not same_bits(torch.tensor([math.nan]), torch.tensor([0x7FC00001], dtype=torch.int32).view(torch.float32))


def test_an_evaluation_at_another_size_in_between():
    """Samplers such as Euler SMEA Dy look at a smaller latent now and then; images flagged there are damped by their own direction."""
    watcher = guard("damp")
    for size, kind in ((16, "strong"), (8, "strong"), (16, "ordinary"), (8, "ordinary"), (16, "strong")):
        denoised = predictions(kind, "ordinary", size=size)
        out = step(watcher, noisy(2, size=size), denoised)
        assert out.shape == denoised.shape and same_bits(out[1], denoised[1])
        assert same_bits(out[0], denoised[0]) is False
    flagged, ordinary = watcher.report()
    assert flagged.flagged and flagged.damped == 5 and ordinary.damped == 0 and watcher.error is None
