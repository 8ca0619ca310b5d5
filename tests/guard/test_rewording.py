"""Guidance by the prompt with a part left out: the mean of the stable versions, for flagged images only."""

import pytest
import torch
from guard_fixtures import guard, noisy, picture, predictions, probe, same_bits, step

from lib_stability.guard.guard import UNKNOWN_NEGATIVE
from lib_stability.guard.rewording import Rewording, Version
from lib_stability.webui.host.stopping import Poll
from lib_stability.wording import MOST


class Versions:
    """Made-up versions: a batch of predictions each; remembers which were asked for."""

    def __init__(self, *batches: torch.Tensor, virtual: torch.Tensor | None = None):
        self.batches, self.virtual, self.asked = batches, virtual, []

    def __call__(self, x, sigma, numbers, with_virtual):
        self.asked.append(numbers)
        guided = torch.stack([self.batches[number or 0][image] for image, number in enumerate(numbers)])
        return Version(guided, self.virtual if with_virtual else None)

    def rewording(self, each: int = 4, counts: list | None = None, **more) -> Rewording:
        return Rewording(counts or [len(self.batches)] * len(self.batches[0]), self, each=each, **more)


def rewording_guard(versions: Versions, each: int = 4, counts: list | None = None, **more):
    return guard("damp", "reword", rewording=versions.rewording(each, counts), **more)


def test_a_flagged_image_gets_the_mean_of_the_versions_and_others_keep_their_bits():
    denoised = predictions("strong", "ordinary")
    versions = Versions(predictions("ordinary", "ordinary", seed=5), predictions("ordinary", "ordinary", seed=9))
    watcher = rewording_guard(versions)
    result = step(watcher, noisy(2), denoised)
    torch.testing.assert_close(result[:1], (picture(seed=5) + picture(seed=9)) / 2)
    assert same_bits(result[1:], denoised[1:])
    assert versions.asked == [[0, None], [1, None]]
    first, second = watcher.report()
    assert (first.damped, first.flagged, second.damped, second.flagged) == (1, True, 0, False)


def test_nothing_is_evaluated_before_an_image_is_flagged():
    versions = Versions(predictions("ordinary", seed=5))
    watcher = rewording_guard(versions)
    kept = predictions("ordinary", seed=6)
    assert same_bits(step(watcher, noisy(1), kept), kept) and versions.asked == []
    step(watcher, noisy(1), predictions("strong"))
    assert versions.asked == [[0]]
    # From then on every evaluation is replaced, whether it would be flagged or not: the whole prompt pulls back.
    result = step(watcher, noisy(1), kept)
    assert versions.asked == [[0], [0]] and same_bits(result, picture(seed=5))


def test_a_version_near_the_memorized_picture_is_turned_away_from_it():
    towards = picture(seed=0)  # the flagged prediction's own direction, at an ordinary norm
    x, denoised = noisy(1), predictions("strong", seed=0)
    result = step(rewording_guard(Versions(towards)), x, denoised)
    assert (result * towards).mean() < 0 < (denoised * towards).mean()


def test_all_versions_are_tried_at_the_flag_and_take_turns_from_then_on():
    versions = Versions(*(predictions("ordinary", seed=n) for n in range(1, 5)))
    watcher = rewording_guard(versions, each=2)
    mean = torch.stack([picture(seed=n) for n in range(1, 5)]).mean(0)
    torch.testing.assert_close(step(watcher, noisy(1), predictions("strong")), mean)
    for _ in range(8):
        step(watcher, noisy(1), predictions("strong"))
    asked = [number for (number,) in versions.asked]
    assert asked[:12] == [0, 1, 2, 3, 2, 3, 1, 2, 3, 0, 2, 3] and sorted(asked[4:]) == sorted([0, 1, 2, 3] * 4)


@pytest.mark.parametrize("count", range(2, MOST + 1))
@pytest.mark.parametrize("first", [0, 1])
def test_every_second_evaluation_sees_all_versions_equally_often(count, first):
    versions = Versions(*(predictions("ordinary", seed=n + 1) for n in range(count)))
    watcher = rewording_guard(versions, each=2)
    for _ in range(41):
        step(watcher, noisy(1), predictions("strong"))
    del versions.asked[:count]
    pairs = [(versions.asked[2 * n][0], versions.asked[2 * n + 1][0]) for n in range(first, 40, 2)]
    seen = [sum(pair.count(number) for pair in pairs) for number in range(count)]
    assert all(one != other for one, other in pairs) and sum(seen) == 40
    assert min(seen) >= 2 and max(seen) - min(seen) <= 3, seen  # the window begins within a period


def test_an_image_is_the_same_alone_and_beside_mates_with_other_prompts_that_are_flagged_earlier():
    kinds, strong, ordinary = [picture(seed=n) for n in range(20, 25)], predictions("strong"), predictions("ordinary", seed=6)

    def results(counts: list[int], late: int) -> list[torch.Tensor]:
        """Of the last image of a batch, which is flagged `late` evaluations after the others."""
        count = len(counts)
        versions = Versions(*(kind.expand(count, -1, -1, -1) for kind in kinds[: max(counts)]))
        watcher = rewording_guard(versions, each=2, counts=counts)
        return [step(watcher, noisy(count), torch.cat([strong] * (count - 1) + [ordinary if n < late else strong]))[-1] for n in range(8)]

    alone = results([2], 3)
    for mates in ([4], [3], [5], [0], [5, 3]):
        assert all(same_bits(one, other) for one, other in zip(alone, results([*mates, 2], 3))), mates


def test_an_image_without_versions_beside_one_that_has_some_is_damped_directionally():
    x, denoised = noisy(2), predictions("strong", "strong")
    result = step(rewording_guard(Versions(predictions("ordinary", "ordinary", seed=5)), counts=[1, 0]), x, denoised)
    assert same_bits(result[1], step(guard("damp", "directional"), x, denoised)[1]) and same_bits(result[0], picture(seed=5)[0])


def test_a_version_that_is_unstable_itself_is_out_for_good():
    versions = Versions(predictions("strong", seed=1), predictions("ordinary", seed=2))
    watcher = rewording_guard(versions)
    assert same_bits(step(watcher, noisy(1), predictions("strong")), picture(seed=2))
    versions.batches = (predictions("ordinary", seed=3), versions.batches[1])
    assert same_bits(step(watcher, noisy(1), predictions("strong")), picture(seed=2))
    assert versions.asked == [[0], [1], [1]]


def test_a_version_that_becomes_unstable_is_dropped():
    versions = Versions(predictions("ordinary", seed=1), predictions("ordinary", seed=2))
    watcher = rewording_guard(versions)
    step(watcher, noisy(1), predictions("strong"))
    versions.batches = (predictions("strong", seed=1), versions.batches[1])
    for _ in range(2):
        assert same_bits(step(watcher, noisy(1), predictions("strong")), picture(seed=2))
    assert versions.asked[2:] in ([[0], [1], [1]], [[1], [0], [1]])


def test_an_ordinary_norm_that_points_at_the_flagged_picture_does_not_count_as_stable():
    """The words without which the copy breaks are those whose absence leads somewhere else."""
    towards, elsewhere = predictions("ordinary", seed=0), predictions("ordinary", seed=2)
    versions = Versions(towards, elsewhere)
    watcher = guard("damp", "reword", rewording=versions.rewording(words=[["red", "dragon"]]))
    assert same_bits(step(watcher, noisy(1), predictions("strong", seed=0)), elsewhere)
    assert watcher.report()[0].carriers == "dragon"


def test_where_no_part_alone_breaks_it_more_is_left_out():
    bad, good = predictions("strong", seed=0), predictions("ordinary", seed=2)
    versions = Versions(*[bad] * 6, good)
    words = [["a", "b", "c", "d", "a b", "b c", "c d"]]
    watcher = guard("damp", "reword", rewording=versions.rewording(2, [(4, 3)], words=words))
    assert same_bits(step(watcher, noisy(1), predictions("strong")), picture(seed=2))
    assert versions.asked == [[number] for number in range(7)] and watcher.report()[0].carriers == "c d"
    assert same_bits(step(watcher, noisy(1), predictions("strong")), picture(seed=2))
    assert versions.asked[7:] == [[6]], "one row an evaluation where one version is stable"


def test_without_half_of_the_prompt_nothing_is_guided_but_the_half_is_named():
    bad, good = predictions("strong", seed=0), predictions("ordinary", seed=2)
    versions = Versions(bad, bad, bad, bad, good)
    watcher = guard("damp", "reword", rewording=versions.rewording(1, [(3, 2)], words=[["a", "b", "c", "a b", "c"]]))
    x, denoised = noisy(1), predictions("strong")
    assert same_bits(step(watcher, x, denoised), step(guard("damp", "directional"), x, denoised))
    assert versions.asked == [[0], [1], [2], [3], [4]] and watcher.report()[0].carriers == "c"
    step(watcher, x, denoised)
    assert len(versions.asked) == 5, "and directional damping costs nothing more"


def test_a_prompt_of_two_words_is_guided_by_either():
    versions = Versions(predictions("ordinary", seed=2), predictions("strong", seed=0))
    assert same_bits(step(rewording_guard(versions, 1, [(2,)]), noisy(1), predictions("strong")), picture(seed=2))


def test_the_next_stage_is_tried_where_every_version_of_one_was_dropped():
    bad, good = predictions("strong", seed=1), predictions("ordinary", seed=2)
    versions = Versions(predictions("ordinary", seed=1), good, bad, bad)
    watcher = guard("damp", "reword", rewording=versions.rewording(2, [(1, 3)]))
    step(watcher, noisy(1), predictions("strong"))
    versions.batches = (bad, good, bad, bad)
    assert same_bits(step(watcher, noisy(1), predictions("strong")), picture(seed=2))
    assert versions.asked == [[0], [0], [1], [2], [3]]


def test_stages_of_different_length_keep_images_apart():
    """Whatever the mates' prompts, an image gets its own versions under its own numbers."""
    kinds = [picture(seed=n).expand(3, -1, -1, -1) for n in range(20, 24)]
    strong = predictions("strong", "strong", "strong")

    def last(counts: list) -> list[torch.Tensor]:
        versions = Versions(*(kind[: len(counts)] for kind in kinds))
        watcher = guard("damp", "reword", rewording=versions.rewording(2, counts))
        return [step(watcher, noisy(len(counts)), strong[: len(counts)])[-1] for _ in range(5)]

    for mates in ([(4,)], [(1, 2)], [(2, 2), ()]):
        assert all(same_bits(one, other) for one, other in zip(last([(2, 1)]), last([*mates, (2, 1)]))), mates


def test_fewer_than_one_version_an_evaluation_is_refused():
    with pytest.raises(ValueError, match="0 versions"):
        Versions(predictions("ordinary")).rewording(0)


def test_without_a_stable_version_damping_is_directional():
    x, denoised = noisy(1), predictions("strong")
    for bad in (predictions("strong", seed=1), torch.full((1, 4, 16, 16), float("nan"))):
        assert same_bits(step(rewording_guard(Versions(bad)), x, denoised), step(guard("damp", "directional"), x, denoised))
    assert same_bits(step(guard("damp", "reword"), x, denoised), step(guard("damp", "directional"), x, denoised)), "nor without any version"


def test_an_image_is_the_same_alone_and_in_a_batch_with_a_broken_neighbour():
    version = predictions("ordinary", seed=4)
    alone = step(rewording_guard(Versions(version)), noisy(1), predictions("strong"))
    broken = torch.full((1, 4, 16, 16), float("nan"))
    both = step(rewording_guard(Versions(torch.cat([version, broken]))), noisy(2), torch.cat([predictions("strong"), broken]))
    assert same_bits(both[:1], alone)


def test_where_the_watch_is_blind_versions_are_judged_by_their_virtual_prediction():
    denoised, version = predictions("ordinary"), predictions("strong", seed=3)
    for virtual, used in ((predictions("ordinary", seed=7), True), (predictions("strong", seed=7), False)):
        versions = Versions(version, virtual=virtual)
        watcher = rewording_guard(versions, probe=probe(predictions("strong", seed=8)), doubt=UNKNOWN_NEGATIVE)
        assert same_bits(step(watcher, noisy(1), denoised), version) is used
        assert watcher.report()[0].detector == "probe"


def test_where_judging_costs_an_evaluation_a_stable_version_is_judged_now_and_then():
    """A version that becomes unstable guides until it is judged again, and no longer."""
    version, good, bad = predictions("ordinary", seed=4), predictions("ordinary", seed=7), predictions("strong", seed=7)
    judged = []

    class Counting(Versions):
        def __call__(self, x, sigma, numbers, with_virtual):
            if with_virtual:
                judged.append(watcher.evaluations)
            return super().__call__(x, sigma, numbers, with_virtual)

    versions = Counting(version, virtual=good)
    watcher = rewording_guard(versions, probe=probe(predictions("strong", seed=8)), doubt=UNKNOWN_NEGATIVE)
    found = [step(watcher, noisy(1), predictions("ordinary")) for _ in range(12)]
    assert (
        watcher.probe.looks == (0, 3, 5) and judged == [0, 2, 3, 5, 6] and len(versions.asked) == 12 and all(same_bits(one, version) for one in found)
    )
    versions.virtual = bad
    later = [step(watcher, noisy(1), predictions("ordinary")) for _ in range(6)]
    assert judged == [0, 2, 3, 5, 6, 14] and [same_bits(one, version) for one in later] == [True] * 2 + [False] * 4


def test_only_the_policy_reword_in_mode_damp_rewords():
    for mode, policy in (("report", "reword"), ("stop", "reword"), ("damp", "directional"), ("damp", "radial")):
        versions = Versions(predictions("ordinary"))
        step(guard(mode, policy, rewording=versions.rewording()), noisy(1), predictions("strong"))
        assert versions.asked == [], (mode, policy)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_comes_back_in_its_own_dtype(dtype):
    versions = Versions(predictions("ordinary", seed=5).to(dtype), predictions("ordinary", seed=9).to(dtype))
    result = step(rewording_guard(versions), noisy(1).to(dtype), predictions("strong").to(dtype))
    assert result.dtype == dtype
    torch.testing.assert_close(result.float(), (picture(seed=5) + picture(seed=9)) / 2, rtol=2e-2, atol=2e-2)


class Late:
    """Hears of a tensor an evaluation after it was asked, as an accelerator that nobody waits for."""

    def __init__(self) -> None:
        self.before: list | None = None

    def __call__(self, value: torch.Tensor) -> list | None:
        heard, self.before = self.before, value.tolist()
        return heard


def test_a_late_answer_costs_an_evaluation_of_directional_damping_and_no_wait():
    versions = Versions(predictions("ordinary", seed=5))
    watcher = guard("damp", "reword", rewording=versions.rewording(reader=Late))
    x, denoised = noisy(1), predictions("strong")
    assert same_bits(step(watcher, x, denoised), step(guard("damp", "directional"), x, denoised))
    assert same_bits(step(watcher, x, denoised), picture(seed=5)) and versions.asked == [[0]]
    for _ in range(3):
        step(watcher, x, denoised)
    assert len(versions.asked) <= 4, "nothing is tried twice for an answer that came late"
    assert same_bits(step(watcher, x, denoised), picture(seed=5))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_rewording_never_waits_for_an_accelerator_and_gives_what_the_cpu_gives():
    counts, kinds = [4, 3, 0, 2], [picture(seed=n) for n in range(20, 24)]
    denoised = predictions("strong", "ordinary", "strong", "strong")

    def results(device: str, reader) -> list[torch.Tensor]:
        versions = Versions(*(kind.expand(4, -1, -1, -1).to(device) for kind in kinds))
        watcher = guard("damp", "reword", rewording=versions.rewording(2, counts, reader=reader))
        x, sigma = noisy(4).to(device), torch.full((4,), 2.0, device=device)
        found = []
        for number in range(8):
            if device == "cuda":
                torch.cuda.set_sync_debug_mode("error" if number else "default")  # a region's tables go there once
            try:
                found.append(watcher.step(x, denoised.to(device, non_blocking=True), sigma, 7.5))
            finally:
                torch.cuda.set_sync_debug_mode("default")
            torch.cuda.synchronize()  # the answer of this evaluation is there for the next
        assert watcher.error is None
        return [one.float().cpu() for one in found]

    # On an accelerator the answer comes an evaluation late.
    for theirs, ours in zip(results("cuda", Poll), results("cpu", Late)):
        torch.testing.assert_close(theirs, ours, rtol=2e-3, atol=2e-3)
        assert torch.equal(theirs[1], denoised[1]), "what is not flagged keeps its bits"
