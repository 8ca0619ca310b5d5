"""What one guard has found out serves another, under which the same noise is sampled again; and which images are to be."""

from __future__ import annotations

import pytest
import torch
from guard_fixtures import GUIDANCE, guard, noisy, options, picture, predictions, region, same_bits, step
from test_rewording import Versions

from lib_stability.guard.guard import Guard
from lib_stability.guard.outcome import DECIDED_BELOW, LATE, OUTCOMES, STEERED, STILL, UNCERTAIN
from lib_stability.guard.recalling import Recalled, Tried
from lib_stability.guard.verdict import Verdict

#: Noise levels of a pass, and the latent's elements of the fixtures.
LEVELS, ELEMENTS = (14.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.1), 4 * 16 * 16


def run(watcher, kinds: list[tuple[str, ...]], levels=LEVELS) -> list[torch.Tensor]:
    """The predictions handed on, where those of each evaluation are of these kinds."""
    return [step(watcher, noisy(len(kind), level), predictions(*kind), level) for kind, level in zip(kinds, levels)]


def late(*images: bool, at: int = 6) -> list[tuple[str, ...]]:
    """Images that are strong from one evaluation on, or never."""
    return [tuple("strong" if one and number >= at else "ordinary" for one in images) for number in range(len(LEVELS))]


def test_what_is_recalled_acts_from_the_first_evaluation_on():
    first = guard()
    run(first, late(True, False))
    recalled = first.recalled()
    assert recalled[1] is None and not recalled[0].versions
    second = guard(recalled=recalled[:1])
    handed = run(second, late(True))
    # The prediction is the very direction: it is turned away from at once, long before it is unstable.
    assert (handed[0] * picture()).mean() < 0
    assert (first.report()[0].damped, second.report()[0].damped) == (1, len(LEVELS))


def test_an_image_of_which_nothing_is_known_keeps_every_bit():
    first = guard()
    run(first, late(True))
    second = guard(recalled=[None, first.recalled()[0]])
    plain = predictions("ordinary", "ordinary")
    assert same_bits(step(second, noisy(2, 14.0), plain, 14.0)[:1], plain[:1])


@pytest.mark.parametrize("policy", ["radial", "directional"])
def test_nothing_is_recalled_of_a_damper_that_remembers_nothing(policy):
    first = guard(policy=policy)
    run(first, late(True))
    assert (first.recalled()[0] is None) == (policy == "radial")
    assert guard("report").recalled() == []


def test_versions_that_broke_the_copy_are_not_tried_again():
    breaks, stays = predictions("ordinary", seed=5), predictions("strong", seed=0)
    first = Versions(stays, breaks)
    watcher = guard("damp", "reword", rewording=first.rewording())
    run(watcher, late(True))
    (known,) = watcher.recalled()
    assert known.versions == Tried(1, (1,), (1,))
    # With other neighbours the versions have other places.
    again = Versions(*[torch.cat([one, one]) for one in (stays, breaks, stays)])
    other = guard("damp", "reword", rewording=again.rewording(counts=[3, 2]), recalled=[None, known])
    result = step(other, noisy(2, 14.0), predictions("ordinary", "ordinary"), 14.0)
    assert again.asked == [[None, 1]] and same_bits(result[1:], breaks)


def test_versions_that_were_tried_in_vain_are_tried_again():
    breaks = predictions("ordinary", seed=5)
    versions = Versions(breaks)
    watcher = guard("damp", "reword", rewording=versions.rewording(), recalled=[Recalled({}, Tried(1, (), ()))])
    step(watcher, noisy(1, 14.0), predictions("ordinary"), 14.0)
    assert versions.asked == [[0]]


def test_directions_of_another_size_are_left_out():
    first = guard()
    run(first, late(True))
    second = guard(recalled=first.recalled())
    wide = predictions("ordinary", size=24)
    out = second.step(noisy(1, 14.0, size=24), wide, torch.full((1,), 14.0), GUIDANCE)
    assert torch.isfinite(out).all() and second.error is None


# -- which images are sampled again ------------------------------------------------------------------------------------------------------


def test_a_flag_where_only_details_are_open_is_too_late():
    watcher = guard()
    run(watcher, late(True, True, False))
    assert [one.outcome for one in watcher.report()] == [LATE, LATE, ""] and watcher.report()[0].failed
    assert [one.flag for one in watcher.report()] == ["late", "late", ""]
    # Damped from the first evaluation on nothing is too late.
    second = guard(recalled=watcher.recalled()[:1])
    run(second, late(True))
    assert second.report()[0].outcome != LATE


@pytest.mark.parametrize(("share", "too_late"), [(0.5, True), (2.0, False)])
def test_the_bound_grows_with_the_root_of_the_size(share, too_late):
    for size in (16, 48):
        bound = DECIDED_BELOW * (4 * size * size) ** 0.5
        watcher = guard()
        for level, kind in ((14.0, "ordinary"), (share * bound, "strong"), (0.02, "ordinary")):
            other = 100 if kind == "strong" else 0
            watcher.step(noisy(1, level, size=size), predictions(kind, seed=other, size=size), torch.full((1,), level), GUIDANCE)
        (verdict,) = watcher.report()
        assert (verdict.outcome == LATE) == too_late, size
        assert verdict.flag == ("late" if too_late else "early"), size


def test_a_last_prediction_that_points_at_the_flag_is_near_the_copy():
    """Whatever it was turned away from in between."""
    watcher = Guard(region(), options(strength=0.0))
    run(watcher, late(True, at=0))
    assert watcher.report()[0].outcome == STILL and watcher.report()[0].failed


def test_what_an_outcome_means():
    meant = {outcome: (one.steered, one.failed, one.again) for outcome in OUTCOMES for one in [Verdict("strong", outcome=outcome)]}
    assert meant[STEERED] == (True, False, False) and meant[UNCERTAIN] == (False, False, False)
    assert meant[STILL] == meant[LATE] == (False, True, False)
    assert meant[f"sampled again - {STEERED}"] == (True, False, True) and meant[f"sampled again - {STILL}"] == (False, True, True)
