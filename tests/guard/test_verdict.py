from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from guard_fixtures import GUIDANCE, guard, noisy, predictions, probe, step
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_stability.guard.deviation import ZScores
from lib_stability.guard.guard import UNKNOWN_NEGATIVE
from lib_stability.guard.norms import Norms
from lib_stability.guard.outcome import STEERED, STILL, UNCERTAIN
from lib_stability.guard.readings import Acted, Judged, Pass, Reading
from lib_stability.guard.sensitivity import Thresholds
from lib_stability.guard.verdict import MILD, NOT_JUDGED, REGIONS, STABLE, STRONG, Verdict, merge, verdicts

LIMITS = {"watch": Thresholds(3.0, 14.0, 0.01, True), "probe": Thresholds(2.0, 9.0, 0.01, True)}


def judged(rows: np.ndarray, limits: Thresholds) -> Judged:
    """From rows of (rate, clean, inside, finite), one an image."""
    rate, clean = (torch.tensor(rows[:, i], dtype=torch.float32) for i in (0, 1))
    inside, finite = (torch.tensor(rows[:, i] > 0) for i in (2, 3))
    unstable = inside & finite & (torch.minimum(rate, clean) > limits.mild)
    norms = Norms(torch.where(finite, rate, float("nan")), clean)
    return Judged(norms, ZScores(torch.stack([rate, clean], 1), inside, rule="smaller"), unstable, limits)


def damped(mask: list) -> Acted:
    """A damping that changed the images of `mask`."""
    return Acted(1 - 0.5 * torch.tensor(mask).float())


def passed(watched: list, probed: list, acted: list | None = None, guidance: float = GUIDANCE, doubt: str = "") -> Pass:
    """A guard's pass; each evaluation is an array of rows for :func:`judged`, or None."""
    batch = next((len(rows) for rows in [*watched, *probed] if rows is not None), 1)
    readings = []
    for number, (one, other) in enumerate(zip(watched, probed)):
        pair = (None if rows is None else judged(rows, limits) for rows, limits in ((one, LIMITS["watch"]), (other, LIMITS["probe"])))
        named = {name: one for name, one in zip(LIMITS, pair) if one is not None}
        readings.append(Reading(torch.full((batch,), 0.5**number), guidance, named, None if acted is None else damped(acted[number])))
    return Pass(readings, len(readings), batch, SimpleNamespace(parameterisation="sigma"), doubt, (2.0, 30.0))


def rows(*z: tuple) -> np.ndarray:
    return np.array([(*one, 1, 1)[:4] if len(one) == 2 else one for one in z], dtype=float)


def expected(watched: list, probed: list, image: int, evaluations: int) -> Verdict:
    """The verdict by plain loops."""
    best, first, strong, seen, trouble = {}, {}, False, set(), ""
    for name, looks in (("watch", watched), ("probe", probed)):
        for number, one in enumerate(looks):
            if one is None:
                continue
            rate, clean, inside, finite = one[image]
            if not finite:
                trouble = "numbers not finite"
                continue
            if not inside:
                trouble = trouble or "noise level outside the region"
                continue
            seen.add(number)
            score = min(np.float32(rate), np.float32(clean))
            best[name] = max(best.get(name, -math.inf), float(score))
            if score > LIMITS[name].mild:
                first.setdefault(name, number)
                strong = strong or score > LIMITS[name].strong
    if not best:
        return Verdict(NOT_JUDGED, evaluations=evaluations, reason=trouble)
    if first:
        name = min(sorted(first, reverse=True), key=first.get)
        verdict = STRONG if strong else MILD
        return Verdict(verdict, best[name], LIMITS[name].mild, first[name] + 1, evaluations, detector=name, reason=trouble)
    if trouble:
        return Verdict(NOT_JUDGED, evaluations=evaluations, reason=f"{trouble} - {len(seen)}/{evaluations} judged")
    name = max(sorted(best, reverse=True), key=lambda one: best[one] / LIMITS[one].mild)
    return Verdict(STABLE, best[name], LIMITS[name].mild, evaluations=evaluations, detector=name)


DEVIATION = st.floats(-20, 40, width=32)
ROW = st.tuples(DEVIATION, DEVIATION, st.sampled_from([1, 1, 1, 0]), st.sampled_from([1] * 12 + [0]))


@st.composite
def passes(draw):
    batch, evaluations = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    one = st.lists(ROW, min_size=batch, max_size=batch).map(lambda r: np.array(r, dtype=float))
    watched = draw(st.lists(st.one_of(one, one, st.none()), min_size=evaluations, max_size=evaluations))
    probed = draw(st.lists(st.one_of(st.none(), one), min_size=evaluations, max_size=evaluations))
    if all(rows is None for rows in [*watched, *probed]):
        watched[0] = draw(one)
    return watched, probed


@settings(deadline=None)
@given(passes())
def test_verdicts_follow_the_readings(drawn):
    watched, probed = drawn
    which = passed(watched, probed)
    got = verdicts(which)
    assert len(got) == which.batch
    for image, verdict in enumerate(got):
        assert replace(verdict, unwatched="") == expected(watched, probed, image, which.evaluations)


@settings(deadline=None)
@given(passes(), st.randoms())
def test_images_do_not_influence_each_other(drawn, random):
    watched, probed = drawn
    whole = verdicts(passed(watched, probed))
    order = random.sample(range(len(whole)), len(whole))
    shuffled = verdicts(passed(*([None if rows is None else rows[order] for rows in one] for one in (watched, probed))))
    assert shuffled == [whole[index] for index in order]


def test_both_norms_have_to_be_large():
    one, other, both = verdicts(passed([rows((20.0, 2.0), (2.0, 20.0), (15.0, 20.0))], [None]))
    assert (one.verdict, one.score) == (STABLE, 2.0)
    assert (other.verdict, other.score) == (STABLE, 2.0)
    assert (both.verdict, both.score) == (STRONG, 15.0)


def test_any_evaluation_can_make_the_flag_a_strong_one():
    late, early, never = verdicts(passed([rows((4.0, 5.0), (15.0, 15.0), (4.0, 30.0)), rows((30.0, 20.0), (3.5, 3.5), (5.0, 5.0))], [None] * 2))
    assert (late.verdict, late.flagged_at, late.score) == (STRONG, 1, 20.0)
    assert (early.verdict, early.flagged_at, early.score) == (STRONG, 1, 15.0)
    assert (never.verdict, never.flagged_at, never.score) == (MILD, 1, 5.0)


def test_the_threshold_itself_is_not_exceeded():
    assert [v.verdict for v in verdicts(passed([rows((3.0, 3.0), (3.001, 3.001), (20.0, 14.0), (20.0, 14.001))], [None]))] == [
        STABLE,
        MILD,
        MILD,
        STRONG,
    ]


def test_the_detector_that_flags_first_is_named():
    calm, loud = rows((0.0, 0.0)), rows((5.0, 5.0))
    assert verdicts(passed([calm, loud], [loud, None]))[0].detector == "probe"
    assert verdicts(passed([loud, loud], [calm, loud]))[0].detector == "watch"
    (probed,) = verdicts(passed([loud, loud], [None, loud]))
    assert (probed.detector, probed.threshold, probed.flagged_at) == ("watch", 3.0, 1)


def test_where_nothing_is_flagged_the_closest_call_is_named():
    (verdict,) = verdicts(passed([rows((2.0, 2.0))], [rows((1.9, 1.9))]))
    assert (verdict.detector, verdict.threshold) == ("probe", 2.0)
    assert verdict.score == pytest.approx(1.9)
    assert verdicts(passed([rows((-1.0, -1.0))], [rows((-5.0, -5.0))]))[0].detector == "watch"


def test_numbers_outside_the_region_flag_nothing_and_leave_a_gap():
    (verdict,) = verdicts(passed([rows((90.0, 90.0, 0, 1)), rows((1.0, 1.5))], [None] * 2))
    assert (verdict.verdict, verdict.reason) == (NOT_JUDGED, "noise level outside the region - 1/2 judged")


def test_scales_that_the_watch_cannot_judge_leave_no_gap():
    """An unguided evaluation (the hosts skip some, where asked to) is none of the watch's looks."""
    which = passed([rows((9.0, 9.0, 0, 1)), rows((1.0, 1.5))], [None] * 2)
    unwanted = which.readings[0].watched._replace(wanted=torch.zeros(1, dtype=torch.bool))
    which.readings[0] = which.readings[0]._replace(judged={"watch": unwanted})
    (verdict,) = verdicts(which)
    assert (verdict.verdict, verdict.score) == (STABLE, 1.0)


def test_damped_evaluations_are_counted_per_image():
    acted = [[False, True], [True, True], [False, True]]
    assert [v.damped for v in verdicts(passed([rows((0, 0), (9, 9))] * 3, [None] * 3, acted))] == [1, 3]
    mixed = passed([rows((0, 0), (9, 9))] * 3, [None] * 3, acted)
    mixed.readings[0] = mixed.readings[0]._replace(acted=None)
    assert [v.damped for v in verdicts(mixed)] == [1, 2]


@pytest.mark.parametrize(
    "guidance, known, reason",
    [
        (1.0, True, "no guidance and no probe"),
        (torch.ones(1), True, "no guidance and no probe"),
        (99.0, True, "guidance above the region"),
        (99.0, False, "no probe and a negative prompt that the region does not know"),
    ],
)
def test_reasons(guidance, known, reason):
    (verdict,) = verdicts(passed([None] * 2, [None] * 2, guidance=guidance, doubt="" if known else UNKNOWN_NEGATIVE))
    assert verdict == Verdict(NOT_JUDGED, evaluations=2, reason=reason)


def test_nothing_sampled_gives_no_verdict():
    assert guard().report() == []


def test_flagged():
    assert [Verdict(name).flagged for name in (STABLE, MILD, STRONG, NOT_JUDGED)] == [False, True, True, False]


def test_a_report_can_be_read_at_any_time_and_again():
    watcher, counts = guard(probe=probe(predictions("ordinary", "ordinary"), policy="always")), []
    for kind in ("ordinary", "strong", "ordinary"):
        step(watcher, noisy(2), predictions("ordinary", kind))
        first, again = watcher.report(), watcher.report()
        assert first == again
        counts.append((first[1].verdict, first[1].evaluations, first[1].flagged_at))
    assert counts == [(NOT_JUDGED, 1, None), (STRONG, 2, 2), (STRONG, 3, 2)]  # the probe wants to look again


def test_every_image_says_something():
    watcher = guard()
    step(watcher, noisy(4), predictions("ordinary", "mild", "strong", "small"))
    said = watcher.report()
    assert [v.verdict for v in said] == [STABLE, MILD, STRONG, STABLE]
    for verdict in said:
        assert isinstance(verdict.score, float) and verdict.threshold == 3.0
        assert type(verdict.damped) is int and type(verdict.evaluations) is int
        assert (verdict.flagged_at == 1) is verdict.flagged
        assert verdict.reason == ""


def test_the_outcome_is_what_the_last_evaluation_says_of_a_damped_image():
    first, nobody = rows(*[(20.0, 20.0)] * 4, (0.0, 0.0)), None
    last = rows((-0.6, 5.0), (1.1, -1.0), (0.5, 0.5), (20.0, 20.0), (-1.0, -1.0))  # the rate decides, whatever the rule of the scores
    acted = [[True, True, True, True, False]] * 2
    expected = [STEERED, UNCERTAIN, UNCERTAIN, UNCERTAIN, ""]
    assert [v.outcome for v in verdicts(passed([first, last], [nobody] * 2, acted))] == expected
    # The probe may be the one that looks at the end; where nobody does, nothing is said.
    assert [v.outcome for v in verdicts(passed([nobody] * 2, [first, last], acted))] == expected
    assert [v.outcome for v in verdicts(passed([nobody] * 2, [first, nobody], acted))] == [""] * 5
    # Either detector may see the copy.
    assert [v.outcome for v in verdicts(passed([first, last], [nobody, first], acted))] == [UNCERTAIN] * 4 + [""]
    outside = rows((-0.6, 5.0, 0, 1), (20.0, 20.0, 0, 1), *[(0.0, 0.0)] * 3)
    assert [v.outcome for v in verdicts(passed([first, outside], [nobody] * 2, acted))][:2] == [""] * 2


def test_the_score_of_a_damped_image_is_what_it_was_flagged_by():
    """Judging goes on while an image is steered, and its prompt pulls back to the copy: those numbers are of no picture."""
    watched = [rows((1.0, 1.0), (1.0, 1.0)), rows((5.0, 6.0), (5.0, 6.0)), rows((30.0, 40.0), (30.0, 40.0)), rows((-0.9, 0.0), (30.0, 30.0))]
    acted = [[False, False], [True, False], [True, False], [True, False]]
    damped_one, reported = verdicts(passed(watched, [None] * 4, acted))
    assert (damped_one.score, damped_one.score_after, damped_one.flagged_at) == (5.0, pytest.approx(-0.9), 2)
    assert (reported.score, reported.score_after) == (30.0, None)
    assert damped_one.verdict == reported.verdict == STRONG  # what the prompt is remains what it is


def test_a_flag_says_whether_it_came_in_time():
    """Noise at which half of the runs are decided: a twentieth of the root of the latent's size; of a flow model noise per unit of picture."""
    calm, wild = rows((0.0, 0.0), (0.0, 0.0)), rows((20.0, 20.0), (0.0, 0.0))
    watched = [calm, wild, calm]  # flagged at sigma 0.5
    for elements, flag in ((90, "early"), (110, "late"), (0, "")):
        seen = replace(passed(watched, [None] * 3), elements=elements)
        assert [one.flag for one in verdicts(seen)] == [flag, ""], elements
    flow = replace(passed(watched, [None] * 3), region=SimpleNamespace(parameterisation="flow"))
    assert [verdicts(replace(flow, elements=elements))[0].flag for elements in (390, 410)] == ["early", "late"]
    first, second = (replace(passed(part, [None] * len(part)), elements=110) for part in ([calm], [wild]))
    assert merge([verdicts(first)[0], replace(verdicts(second)[0], flag="late")]).flag == "late"


def test_the_score_of_a_blanked_image_is_what_it_was_blanked_for():
    watched = [rows((5.0, 5.0)), rows((20.0, 20.0)), rows((90.0, 90.0))]
    (reported,), (blanked,) = (verdicts(replace(passed(watched, [None] * 3), stopping=stopping)) for stopping in (False, True))
    assert (reported.score, blanked.score, blanked.stopped_at, blanked.score_after) == (90.0, 20.0, 2, None)


@pytest.mark.parametrize(
    ("likeness", "rate", "said"),
    [
        (0.1, 1.5, STEERED),
        (0.1, 3.9, STEERED),
        (0.1, 4.1, UNCERTAIN),
        (0.42, 1.5, UNCERTAIN),
        (0.42, -0.6, STEERED),
        (0.5, -0.6, STILL),
        (None, 1.5, UNCERTAIN),
    ],
)
def test_a_picture_with_little_in_common_with_what_it_was_flagged_for_was_steered_away(likeness, rate, said):
    seen = passed([rows((20.0, 20.0)), rows((rate, 9.0))], [None] * 2, [[True]] * 2)
    assert verdicts(replace(seen, likeness=[] if likeness is None else [likeness]))[0].outcome == said


def test_the_end_has_a_score_only_where_it_has_an_outcome():
    seen = passed([rows((20.0, 20.0)), rows((1.5, 9.0))], [None] * 2, [[True]] * 2)
    assert (verdicts(seen)[0].outcome, verdicts(seen)[0].score_after) == (UNCERTAIN, 1.5)
    assert verdicts(replace(seen, region=SimpleNamespace(parameterisation="flow")))[0].score_after is None


def test_a_detector_that_looked_only_while_the_image_was_steered_has_a_score_all_the_same():
    (verdict,) = verdicts(passed([rows((5.0, 5.0)), rows((1.0, 1.0))], [None, rows((1.5, 1.5))], [[True], [True]]))
    assert (verdict.detector, verdict.score) == ("watch", 5.0)


def test_a_later_part_of_a_pass_has_no_score_of_an_image_that_an_earlier_one_steered():
    parts = [
        Verdict(MILD, 5.0, 3.0, 2, 10, damped=4, detector="watch", outcome=UNCERTAIN, score_after=4.0),
        Verdict(STRONG, 40.0, 2.0, 1, 8, damped=8, detector="probe", outcome=STEERED, score_after=-1.0),
    ]
    assert merge(parts) == Verdict(STRONG, 5.0, 3.0, 2, 18, damped=12, detector="watch", outcome=STEERED, score_after=-1.0)
    # Damped in the second alone: its own score.
    parts[0] = Verdict(STABLE, 1.0, 3.0, evaluations=10, detector="watch")
    assert merge(parts) == Verdict(STRONG, 40.0, 2.0, 11, 18, damped=8, detector="probe", outcome=STEERED, score_after=-1.0)


def test_what_says_nothing_of_regions_says_so():
    stable, partly, off = Verdict(STABLE, 1.0, evaluations=9), Verdict(MILD, unwatched="3/9 - a reason"), Verdict(STABLE, unwatched="off - a reason")
    said = [one.without_regions().unwatched for one in (stable, partly, off)]
    assert said == [f"9/9 - {REGIONS}", f"3/9 - a reason and {REGIONS}", f"off - a reason and {REGIONS}"]
    assert stable.without_regions().without_regions() == stable.without_regions()
    assert Verdict(NOT_JUDGED, reason="x").without_regions() == Verdict(NOT_JUDGED, reason="x")


def test_no_outcome_where_the_end_cannot_tell():
    """Flow models, a schedule that ends in tiny steps, one evaluation."""
    seen = passed([rows((20.0, 20.0)), rows((-2.0, -2.0))], [None] * 2, [[True]] * 2)
    assert verdicts(seen)[0].outcome == STEERED
    assert verdicts(replace(seen, region=SimpleNamespace(parameterisation="flow")))[0].outcome == ""
    close = [seen.readings[0]._replace(sigma=torch.tensor([0.033])), seen.readings[1]._replace(sigma=torch.tensor([0.03]))]
    assert verdicts(replace(seen, readings=close))[0].outcome == ""
    assert verdicts(replace(seen, readings=seen.readings[1:]))[0].outcome == ""


def test_the_last_part_of_a_pass_says_how_it_ended():
    parts = [
        Verdict(STRONG, 20.0, 3.0, 2, 10, damped=4, detector="watch", outcome=UNCERTAIN),
        Verdict(STABLE, 1.0, 3.0, evaluations=8, damped=8, outcome=STEERED),
    ]
    assert merge(parts).outcome == STEERED and merge(parts[::-1]).outcome == UNCERTAIN
