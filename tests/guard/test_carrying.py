"""Between two evaluations of the versions what they add is carried over."""

import pytest
import torch
from guard_fixtures import GUIDANCE, guard, noisy, picture, predictions, same_bits, step
from test_rewording import Late, Versions, rewording_guard

from lib_stability.guard.carrying import EARLY, NEW, PERIOD, Carried, turn_at
from lib_stability.guard.evaluation import Evaluation


def evaluation(number: int, sigma: float, unguided: torch.Tensor, guidance=GUIDANCE, **more) -> Evaluation:
    """One whose guided prediction is three above the one without guidance."""
    scale = guidance.view(-1, 1, 1, 1) if isinstance(guidance, torch.Tensor) else guidance
    sigmas = torch.full((len(unguided),), sigma)
    return Evaluation(number, unguided, unguided + 3, sigmas, guidance, "sigma", lambda: torch.full_like(unguided, 3.0) / scale, **more)


def flat(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 4, 2, 2).clone()


def test_versions_are_due_at_each_early_evaluation_and_then_at_every_second():
    found = [turn_at(number) for number in range(EARLY + 3 * PERIOD)]
    assert found == [*range(EARLY), None, EARLY, None, EARLY + 1, None, EARLY + 2]


@pytest.mark.parametrize("guidance", [GUIDANCE, torch.tensor([GUIDANCE, 3.0])])
def test_what_was_added_is_carried_in_proportion_to_the_noise(guidance):
    carried = Carried()
    assert carried.predict(evaluation(0, 4.0, flat(1.0, 1.0), guidance)) is None
    assert torch.equal(carried.mix(evaluation(0, 4.0, flat(1.0, 1.0), guidance), flat(9.0, 5.0), torch.tensor([True, False])), flat(9.0, 5.0))
    prediction, mask = carried.predict(evaluation(1, 2.0, flat(2.0, 2.0), guidance))
    assert mask.tolist() == [True, False]
    torch.testing.assert_close(prediction[:1], flat(2.0 + 8.0 / 2))


def test_versions_that_take_turns_are_mixed():
    carried = Carried()
    carried.mix(evaluation(0, 1.0, flat(0.0, 0.0)), flat(4.0, 4.0), torch.tensor([True, False]))
    found = carried.mix(evaluation(1, 1.0, flat(0.0, 0.0)), flat(8.0, 8.0), torch.tensor([True, True]))
    torch.testing.assert_close(found, flat(4 + NEW * 4, 8.0))
    torch.testing.assert_close(carried.predict(evaluation(2, 1.0, flat(0.0, 0.0)))[0], found)


def test_a_latent_of_another_size_has_its_own():
    carried = Carried()
    carried.mix(evaluation(0, 1.0, flat(0.0)), flat(4.0), torch.tensor([True]))
    other = torch.zeros(1, 4, 3, 3)
    assert carried.predict(evaluation(1, 1.0, other)) is None
    carried.mix(evaluation(1, 1.0, other), other + 1, torch.tensor([True]))
    torch.testing.assert_close(carried.predict(evaluation(2, 1.0, flat(0.0)))[0], flat(4.0))


@pytest.mark.parametrize("how", ["nothing at hand", "guidance changed"])
def test_without_the_negative_prompts_prediction_nothing_is_carried(how):
    carried, at = Carried(), evaluation(0, 1.0, flat(0.0), plain=torch.tensor([True]) if how == "guidance changed" else None)
    if how == "nothing at hand":
        at = Evaluation(0, flat(0.0), flat(3.0), torch.ones(1), GUIDANCE, "sigma")
    assert torch.equal(carried.mix(at, flat(4.0), torch.tensor([True])), flat(4.0)) and carried.predict(at) is None


def shown(watcher, count: int, sigma: float = 1.0, rows: int = 1, kind: str = "strong") -> list[torch.Tensor]:
    """So many evaluations of memorized pictures, whose prediction without guidance is `unguided`."""
    denoised, unguided = predictions(*[kind] * rows), predictions(*["small"] * rows, seed=60)
    difference = (denoised - unguided) / GUIDANCE
    return [watcher.step(noisy(rows), denoised, torch.full((rows,), sigma), GUIDANCE, lambda: difference) for _ in range(count)]


def test_rows_are_saved_and_the_prediction_stays():
    versions = Versions(predictions("ordinary", seed=5))
    found = shown(rewording_guard(versions, 1), EARLY + 2 * PERIOD)
    assert len(versions.asked) == EARLY + 2
    for one in found:
        torch.testing.assert_close(one, picture(seed=5), rtol=1e-4, atol=1e-5)


def test_an_image_without_a_stable_version_left_is_not_guided_by_what_one_added():
    versions = Versions(predictions("ordinary", seed=5))
    watcher = rewording_guard(versions, 1)
    shown(watcher, EARLY)
    versions.batches = (predictions("strong", seed=5),)
    assert not same_bits(*shown(watcher, 1), picture(seed=5)) and versions.asked[EARLY:] == []  # still carried
    later = shown(watcher, 2)
    directional = step(guard("damp", "directional"), noisy(1), predictions("strong"))
    assert len(versions.asked) == EARLY + 1
    for one in later:
        torch.testing.assert_close(one, directional, rtol=1e-3, atol=1e-4)


def test_mates_make_no_difference():
    kinds = [picture(seed=n) for n in range(20, 23)]

    def last(rows: int) -> list[torch.Tensor]:
        versions = Versions(*(kind.expand(rows, -1, -1, -1) for kind in kinds))
        watcher = rewording_guard(versions, 1, counts=[2, 3][:rows])
        found = []
        for number in range(9):  # the first image is flagged from the beginning, its mate later
            denoised, unguided = predictions("strong", seed=0), predictions("small", seed=60)
            mate = predictions("strong" if number > 4 else "ordinary", seed=3)
            denoised, unguided = torch.cat([denoised, mate])[:rows], torch.cat([unguided, unguided])[:rows]
            difference = (denoised - unguided) / GUIDANCE
            found.append(watcher.step(noisy(rows), denoised, torch.full((rows,), 1.0), GUIDANCE, lambda one=difference: one)[:1])
        return found

    assert all(same_bits(*pair) for pair in zip(last(1), last(2)))


def test_where_answers_come_late_it_is_carried_too():
    versions = Versions(predictions("ordinary", seed=5))
    found = shown(guard("damp", "reword", rewording=versions.rewording(1, reader=Late)), 10)
    assert len(versions.asked) < 9
    for one in found[1:]:
        torch.testing.assert_close(one, picture(seed=5), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_its_dtype(dtype):
    versions = Versions(predictions("ordinary", seed=5).to(dtype))
    watcher = rewording_guard(versions, 1)
    denoised = predictions("strong").to(dtype)
    difference = denoised / (2 * GUIDANCE)
    found = [watcher.step(noisy(1).to(dtype), denoised, torch.ones(1), GUIDANCE, lambda: difference) for _ in range(EARLY + 1)]
    assert all(one.dtype == dtype for one in found)
    torch.testing.assert_close(found[-1].float(), picture(seed=5), rtol=5e-2, atol=5e-2)
