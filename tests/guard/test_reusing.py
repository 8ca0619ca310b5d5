"""Where judging costs an evaluation a flagged image's version is evaluated every second time, and what it made of guidance serves in between."""

from __future__ import annotations

import pytest
import torch
from guard_fixtures import GUIDANCE, guard, noisy, picture, predictions, probe, same_bits
from test_rewording import Versions, rewording_guard

from lib_stability.guard.dampers.reusing import Guided, Reused
from lib_stability.guard.evaluation import Evaluation
from lib_stability.guard.guard import UNKNOWN_NEGATIVE

VERSION, NEGATIVE = picture(seed=5), 0.2 * picture(seed=11)


def blind(versions: Versions, **more):
    """A guard whose watch cannot judge, and whose probe flags every image; what else there is is for the rewording."""
    count = len(versions.batches[0])
    return guard(
        "damp", "reword", rewording=versions.rewording(1, **more), probe=probe(predictions(*["strong"] * count, seed=8)), doubt=UNKNOWN_NEGATIVE
    )


def negative_at(number: int) -> torch.Tensor:
    return NEGATIVE * (1 + number)


def evaluate(watcher, number: int, sigma: float = 2.0, guidance: float | torch.Tensor = GUIDANCE, both: bool = True, count: int = 1):
    """One evaluation with a negative prompt whose prediction changes from one to the next."""
    conditional = predictions(*["ordinary"] * count, seed=3)
    negative = torch.zeros_like(conditional) + negative_at(number)
    difference = conditional - negative
    return watcher.step(noisy(count), negative + GUIDANCE * difference, torch.full((count,), sigma), guidance, (lambda: difference) if both else None)


def run(watcher, evaluations: int, **more) -> list[torch.Tensor]:
    return [evaluate(watcher, number, **more) for number in range(evaluations)]


def versions(count: int = 1) -> Versions:
    one = VERSION.expand(count, -1, -1, -1)
    return Versions(one, virtual=predictions(*["ordinary"] * count, seed=7))


def test_every_second_evaluation_does_without_a_version_of_its_own():
    asked = versions()
    found = run(blind(asked), 9)
    assert len(asked.asked) == 5
    for number, result in enumerate(found):
        expected = VERSION if number % 2 == 0 else negative_at(number) + (VERSION - negative_at(number - 1))
        torch.testing.assert_close(result, expected, msg=f"evaluation {number}")


@pytest.mark.parametrize("more", [{"both": False}, {"guidance": torch.tensor([GUIDANCE])}, {"sigma": 0.1}])
def test_else_each_evaluation_has_its_own(more):
    """Without both predictions, at guidance that a tensor holds, and where details alone are open."""
    asked = versions()
    found = run(blind(asked), 6, **more)
    assert len(asked.asked) == 6 and all(same_bits(one, VERSION) for one in found)


def test_where_the_watch_judges_each_evaluation_has_its_own():
    asked = versions()
    watcher = rewording_guard(asked, each=1)
    difference = predictions("strong") - NEGATIVE
    for _ in range(6):
        watcher.step(noisy(1), predictions("strong"), torch.full((1,), 2.0), GUIDANCE, lambda: difference)
    assert len(asked.asked) == 6


def at(number: int, size: int = 16, guidance: float = GUIDANCE, both: bool = True) -> Evaluation:
    x = torch.zeros(1, 4, size, size)
    return Evaluation(number, x, x + 3, torch.ones(1), guidance, "sigma", (lambda: x + 1) if both else None)


def test_what_was_kept_serves_every_second_evaluation_of_the_same_scale_and_shape():
    reused = Reused()
    assert reused.at(at(1)) is None, "nothing is kept yet: a version of its own is evaluated"
    reused.keep(at(0), Guided(torch.full((1, 4, 16, 16), 9.0), torch.tensor([True])))
    served = reused.at(at(1))
    assert served.found.tolist() == [True] and same_bits(served.mean, torch.full((1, 4, 16, 16), 9.0))
    assert all(reused.at(one) is None for one in (at(2), at(1, size=8), at(1, guidance=2 * GUIDANCE), at(1, both=False)))
    assert reused.at(at(3)).found.tolist() == [False], "what is older than the evaluation before is of no use"
    reused.keep(at(2, both=False), served)
    assert reused.at(at(3)).found.tolist() == [False], "without both predictions there is nothing to keep"


def test_what_is_no_number_is_not_carried_on():
    whole, reused = Guided(torch.full((1, 4, 16, 16), 9.0), torch.tensor([True])), Reused()
    broken = at(0)
    broken.denoised[0, 0, 3, 3] = float("nan")
    reused.keep(broken, whole)
    assert reused.at(at(1)).found.tolist() == [False]
    reused.keep(at(2), whole)
    broken = at(3)
    broken.denoised[0, 0, 3, 3] = float("nan")
    assert reused.at(broken).found.tolist() == [False]


def test_an_error_in_the_hosts_predictions_costs_no_damper():
    def broken():
        raise RuntimeError("the host's")

    asked = versions()
    watcher = blind(asked)
    for number in range(4):
        result = watcher.step(noisy(1), predictions("ordinary", seed=3), torch.full((1,), 2.0), GUIDANCE, broken)
        assert same_bits(result, VERSION), number
    assert len(asked.asked) == 4 and watcher.error is None


def test_guidance_that_is_no_multiple_of_the_difference_is_not_reused():
    """A distilled model's, which is told a scale of its own."""
    asked = versions()
    watcher = blind(asked, linear=False)
    assert all(same_bits(one, VERSION) for one in run(watcher, 6)) and len(asked.asked) == 6


def test_an_image_that_is_flagged_in_between_is_tried_at_once_and_its_mate_goes_on():
    """At an evaluation that does with what was kept; what has no version of its own is damped directionally as ever."""
    count, asked = 2, versions(2)
    looks = torch.cat([predictions("strong", seed=8), predictions("ordinary", seed=8)])
    watcher = rewording_guard(asked, each=1, probe=probe(looks), doubt=UNKNOWN_NEGATIVE)
    evaluate(watcher, 0, count=count)
    assert asked.asked == [[0, None]]
    watcher._acting._flagged.tensor[1] = True
    result = evaluate(watcher, 1, count=count)
    assert asked.asked == [[0, None], [None, 0]]
    torch.testing.assert_close(result, torch.stack([(negative_at(1) + VERSION - negative_at(0))[0], VERSION[0]]))


def test_a_version_that_was_dropped_serves_no_more():
    asked = versions()
    watcher = blind(asked)
    run(watcher, 2)
    asked.virtual = predictions("strong", seed=7)
    evaluate(watcher, 2)  # judged, and unstable
    before = len(asked.asked)
    result = evaluate(watcher, 3)
    assert not torch.allclose(result, negative_at(3) + VERSION - negative_at(2), atol=1e-3) and len(asked.asked) == before


def test_an_image_is_the_same_alone_and_in_a_batch():
    both, alone = run(blind(versions(3)), 8, count=3), run(blind(versions(1)), 8)
    assert all(same_bits(one[:1], other) for one, other in zip(both, alone))


def test_after_one_version_was_dropped_the_other_guides_again_at_the_next_of_its_own():
    good, other = VERSION, picture(seed=6)
    asked = Versions(good, other, virtual=predictions("ordinary", seed=7))
    watcher = blind(asked)
    run(watcher, 6)
    asked.virtual = predictions("strong", seed=7)
    evaluate(watcher, 6)  # judged, unstable, dropped
    asked.virtual = predictions("ordinary", seed=7)
    left = [number for number in (0, 1) if [number] != asked.asked[-1]]
    evaluate(watcher, 7)
    assert same_bits(evaluate(watcher, 8), (good, other)[left[0]])


def test_what_was_missed_in_between_leaves_nothing_to_reuse():
    asked = versions()
    watcher = blind(asked)
    run(watcher, 1)
    watcher.miss("RuntimeError", 1)
    watcher.miss("RuntimeError", 1)
    evaluate(watcher, 3)
    assert not torch.allclose(evaluate(watcher, 3), negative_at(3) + VERSION - negative_at(0), atol=1e-3)
