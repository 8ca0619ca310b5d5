"""Letting go of a reworded image once it is safe, and acting again where it is not."""

import pytest
import torch
from guard_fixtures import GUIDANCE, guard, noisy, picture, predictions, probe, same_bits, step
from test_rewording import Late, Versions, rewording_guard

from lib_stability.guard.damping import Marks
from lib_stability.guard.guard import UNKNOWN_NEGATIVE
from lib_stability.guard.release import APART, CALM, QUIET
from lib_stability.shell.counting import Dispatched

MEMORIZED, VERSION, ELSEWHERE = (lambda: picture("strong")), (lambda: picture(seed=5)), (lambda: picture(seed=40))


def run(watcher, *shown: torch.Tensor) -> list[torch.Tensor]:
    return [step(watcher, noisy(len(one)), one) for one in shown]


def leaning(share: float) -> torch.Tensor:
    """A prediction of ordinary norm whose cosine with the memorized one is `share`."""
    towards, other = picture(), picture(seed=40)
    other = other - (other * towards).mean() / towards.square().mean() * towards
    length = towards.square().mean().sqrt()
    return share * towards + (1 - share**2) ** 0.5 * other / other.square().mean().sqrt() * length


def test_an_image_that_stays_quiet_is_let_go_and_costs_nothing_from_then_on():
    versions = Versions(VERSION())
    watcher = rewording_guard(versions)
    *before, last, after = run(watcher, MEMORIZED(), *[ELSEWHERE()] * (CALM + 1))
    assert all(same_bits(one, VERSION()) for one in before) and len(versions.asked) == CALM
    assert same_bits(last, ELSEWHERE()) and same_bits(after, ELSEWHERE())
    assert watcher.report()[0].damped == CALM


def test_it_has_to_be_quiet_for_evaluations_one_after_the_other():
    versions = Versions(VERSION())
    found = run(rewording_guard(versions), *[MEMORIZED(), ELSEWHERE()] * 4)
    assert all(same_bits(one, VERSION()) for one in found) and len(versions.asked) == 8


@pytest.mark.parametrize("rising", [1.12, 3.0])
def test_what_is_caught_again_is_acted_upon_at_once_even_below_the_threshold(rising):
    versions = Versions(VERSION())
    watcher = rewording_guard(versions)
    run(watcher, MEMORIZED(), *[ELSEWHERE()] * (CALM + 1))
    assert same_bits(*run(watcher, rising * ELSEWHERE()), VERSION())
    last = watcher.readings[-1].watched
    assert last.z.rate > QUIET and bool(last.unstable) is (rising > 2)
    # And let go once more, where it does not point at what caught it.
    assert same_bits(run(watcher, *[picture(seed=41)] * CALM)[-1], picture(seed=41))


def test_an_ordinary_norm_that_points_at_the_memorized_picture_is_not_quiet():
    for share, quiet in ((APART - 0.1, True), (APART + 0.1, False)):
        last = run(rewording_guard(Versions(VERSION())), MEMORIZED(), *[leaning(share)] * CALM)[-1]
        assert same_bits(last, leaning(share)) is quiet, share


def test_where_nobody_knows_the_norms_nothing_is_let_go():
    versions = Versions(VERSION(), virtual=VERSION())
    watcher = rewording_guard(versions, probe=probe(MEMORIZED(), evaluations=1), doubt=UNKNOWN_NEGATIVE)
    assert all(same_bits(one, VERSION()) for one in run(watcher, MEMORIZED(), *[ELSEWHERE()] * (CALM + 3)))


def test_mates_are_let_go_each_in_its_time():
    calm, restless = [MEMORIZED(), *[ELSEWHERE()] * 4], [MEMORIZED()] * 5
    versions = Versions(predictions("ordinary", "ordinary", "ordinary", seed=5))
    mates = [torch.cat([one, other, picture(seed=8)]) for one, other in zip(calm, restless)]
    both = run(rewording_guard(versions), *mates)
    assert versions.asked == [[0, 0, None]] * CALM + [[None, 0, None]] * (5 - CALM)
    for row, own in enumerate((calm, restless)):
        alone = run(rewording_guard(Versions(predictions("ordinary", seed=5 + row))), *own)
        assert all(same_bits(one[row : row + 1], other) for one, other in zip(both, alone)), row
    assert all(same_bits(one[2], picture(seed=8)[0]) for one in both)


def test_numbers_that_are_none_let_nothing_go():
    versions = Versions(VERSION())
    found = run(rewording_guard(versions), MEMORIZED(), *[torch.full((1, 4, 16, 16), float("nan"))] * 3)
    assert all(same_bits(one, VERSION()) for one in found)


def test_an_image_that_was_calm_before_its_flag_is_not_let_go_at_it():
    found = run(rewording_guard(Versions(VERSION())), *[ELSEWHERE()] * 3, MEMORIZED())
    assert same_bits(found[-1], VERSION())


def test_a_late_answer_costs_one_evaluation_more(monkeypatch):
    monkeypatch.setattr(Marks, "surely_empty", False)
    versions = Versions(VERSION())
    watcher = guard("damp", "reword", rewording=versions.rewording(reader=Late))
    run(watcher, *[MEMORIZED()] * 4)
    before = len(versions.asked)
    found = run(watcher, *[ELSEWHERE()] * (CALM + 2))
    asked = len(versions.asked)
    assert all(same_bits(one, ELSEWHERE()) for one in found[CALM - 1 :]) and asked == before + CALM
    assert same_bits(*run(watcher, ELSEWHERE()), ELSEWHERE()) and len(versions.asked) == asked
    run(watcher, MEMORIZED())  # nobody has heard of it yet
    assert same_bits(*run(watcher, MEMORIZED()), VERSION()) and len(versions.asked) == asked + 1


@pytest.mark.parametrize("accelerator", [False, True])
def test_nothing_of_it_waits_for_the_device(accelerator, monkeypatch):
    if accelerator:
        monkeypatch.setattr(Marks, "surely_empty", False)
    versions = Versions(predictions("ordinary", "ordinary", seed=5), predictions("ordinary", "ordinary", seed=7))
    known = {torch.bool: [True, True]}
    watcher = guard(
        "damp",
        "reword",
        rewording=versions.rewording(1, reader=lambda: lambda value: known[value.dtype] if value.ndim == 1 else [known[value.dtype]] * 2),
    )
    x, difference = noisy(2), predictions("ordinary", "ordinary", seed=9) / GUIDANCE
    shown = [predictions("strong", "strong"), *[predictions("ordinary", "mild", seed=40)] * 8]
    with Dispatched() as counted:
        for denoised in shown:
            watcher.step(x, denoised, torch.full((2,), 2.0), GUIDANCE, lambda: difference)
    assert watcher.error is None and counted.operations > 0 and counted.synchronisations == 0, counted.waits
