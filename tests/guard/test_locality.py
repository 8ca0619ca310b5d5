"""Where in the picture: the map alone, inside the guard, and drawn."""

from __future__ import annotations

import base64
import io
import json
import math
import re

import numpy as np
import pytest
import torch
from guard_fixtures import GUIDANCE, clean_norm, noisy, picture, predictions, probe, region, same_bits, step
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from lib_stability.guard.guard import UNKNOWN_NEGATIVE, Guard
from lib_stability.guard.locality import BEGUN, KEPT_SIDE, THRESHOLD, LocalMap, Locator, smooth, window
from lib_stability.guard.options import Options
from lib_stability.pictures import overlay
from lib_stability.shell.bench import kept_bytes
from lib_stability.shell.counting import Dispatched

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
KINDS = st.lists(st.sampled_from(["ordinary", "mild", "strong"]), min_size=1, max_size=4)


def located(mode: str = "report", **more) -> Guard:
    return Guard(region(), Options(mode=mode, sensitivity="paper", locate=True), **more)


def half_inflated(batch: int = 1, size: int = 16, factor: float = 4.0) -> torch.Tensor:
    """Predictions whose left half alone is inflated."""
    denoised = predictions(*["ordinary"] * batch, size=size)
    denoised[..., : size // 2] *= factor
    return denoised


def one_map(rows) -> LocalMap:
    return LocalMap.of(np.array(rows, dtype=np.float32))


# -- the sums ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_map_is_the_local_norm_over_the_mean(dtype):
    denoised = (torch.arange(1.0, 5.0).view(1, 1, 2, 2) * torch.ones(3, 4, 1, 1)).to(dtype)
    held = Locator()
    held.add(denoised, torch.tensor([1.0, 2.0, 4.0]), torch.tensor([True, True, False]))
    first, second, none = held.maps()
    assert first == pytest.approx(np.array([[1.0, 2.0], [3.0, 4.0]])) and second == pytest.approx(first / 2) and none is None


def test_float16_does_not_overflow():
    held = Locator()
    held.add(torch.full((1, 4, 2, 2), 60000.0, dtype=torch.float16), torch.tensor([60000.0]), torch.tensor([True]))
    assert held.maps()[0] == pytest.approx(np.ones((2, 2)), rel=1e-3)


def test_only_the_evaluation_that_flags_counts():
    held, mean = Locator(), torch.ones(2)
    for level, unstable in ((5.0, [False, False]), (2.0, [True, False]), (7.0, [True, True]), (9.0, [True, True])):
        held.add(torch.full((2, 4, 3, 3), level), mean, torch.tensor(unstable))
    assert [one.max() for one in held.maps()] == pytest.approx([2.0, 7.0])


def test_of_a_pass_that_begins_in_noise_the_first_evaluation_counts():
    begins = torch.tensor([BEGUN, BEGUN / 2, math.inf, BEGUN, 0.0])
    held, mean = Locator(), torch.ones(5)
    for number, level in enumerate((5.0, 2.0, 7.0)):
        prediction = torch.full((5, 4, 3, 3), level)
        if number == 0:
            prediction[3, 0, 0, 0] = math.nan  # of that image the evaluation that flags is shown all the same
        held.add(prediction, mean, torch.tensor([number > 0] * 5), begins if number == 0 else None)
        if number == 0:  # another detector's, for whom the first does not judge
            held.add(torch.full((5, 4, 3, 3), 9.0), mean, torch.zeros(5, dtype=torch.bool), torch.full((5,), BEGUN))
    assert [one.max() for one in held.maps()] == pytest.approx([5.0, 9.0, 5.0, 2.0, 9.0])


def test_sizes_in_between_meet_in_the_largest():
    held, mean = Locator(), torch.ones(2)
    held.add(torch.full((2, 4, 4, 6), 2.0), mean, torch.tensor([True, False]))
    held.add(torch.full((2, 4, 8, 12), 3.0), mean, torch.tensor([True, True]))
    first, second = held.maps()
    assert first.shape == second.shape == (8, 12)
    assert first == pytest.approx(np.full((8, 12), 2.0)) and second == pytest.approx(np.full((8, 12), 3.0))


def test_latents_without_a_plane_have_no_map_and_those_of_videos_do():
    held = Locator()
    held.add(torch.ones(2, 4, 7), torch.ones(2), torch.tensor([True, True]))
    assert held.maps() == []
    held.add(torch.ones(1, 4, 3, 5, 6), torch.ones(1), torch.tensor([True]))
    assert held.maps()[0] == pytest.approx(np.ones((5, 6)))


@given(st.integers(1, 200), st.integers(1, 200))
def test_windows_are_odd_and_small(height, width):
    side = window((height, width))
    assert side % 2 == 1 and 1 <= side <= max(1, min(height, width) / 16 + 2)


@given(arrays.arrays(np.float32, st.tuples(st.just(1), st.integers(1, 70), st.integers(1, 70)), elements=st.floats(0, 100, width=16)))
def test_smoothing_stays_within_its_values(values):
    smoothed = smooth(torch.from_numpy(values))
    assert smoothed.shape == values.shape
    assert smoothed.min() >= values.min() - 1e-3 and smoothed.max() <= values.max() * (1 + 1e-4) + 1e-3


# -- in the guard --------------------------------------------------------------------------------------------------------------------


def test_the_inflated_half_is_found():
    watcher = located()
    step(watcher, noisy(3), torch.cat([half_inflated(), predictions("ordinary"), predictions("strong")]))
    half, ordinary, whole = watcher.maps()
    assert ordinary is None
    half, whole = LocalMap.of(half), LocalMap.of(whole)
    # Four channels of noise scatter a lot; the halves differ by a factor of four.
    assert half.array[:, :8].mean() > 3 * half.array[:, 8:].mean() and half.place() == "left"
    assert whole.place() == "everywhere" and whole.share > 0.85


@pytest.mark.parametrize(("sigma", "begins"), [(14.0, True), (3.0, False)])
def test_a_flag_that_comes_late_shows_what_the_prompt_inflated_at_first(sigma, begins):
    """Where the pass began in noise; else what was there when the flag came."""
    watcher = located()
    step(watcher, noisy(1), half_inflated(factor=1.2), sigma)
    assert not watcher.report()[0].flagged
    step(watcher, noisy(1), half_inflated().flip(-1), sigma / 2)
    assert watcher.report()[0].flagged
    shown = watcher.maps()[0]
    assert (shown[:, :8].mean() > shown[:, 8:].mean()) == begins


@pytest.mark.parametrize(
    "more",
    [
        {"guidance": GUIDANCE, "plain": torch.tensor([False])},  # others have a hand in guidance
        {"guidance": torch.tensor([1.0]), "plain": None},  # there is none
    ],
)
def test_what_a_detector_cannot_judge_is_not_mapped_by_it(more):
    """At a first evaluation at which the watch does not know the norms the map is the probe's."""
    watcher = located(probe=probe(half_inflated(), policy="always"))
    for sigma in (14.0, 7.0):
        watcher.step(noisy(1), 5 * picture(seed=4), torch.full((1,), sigma), **more)
    shown = watcher.maps()[0]
    assert shown[:, :8].mean() > 2 * shown[:, 8:].mean()


def test_where_the_first_evaluation_lies_outside_the_region_the_one_that_flags_is_mapped():
    watcher = located()
    step(watcher, noisy(1), 0.1 * picture(seed=4), 4518.0)
    step(watcher, noisy(1), half_inflated(), 14.0)
    shown = watcher.maps()[0]
    assert shown[:, :8].mean() > 2 * shown[:, 8:].mean()


@pytest.mark.parametrize("mode", ["report", "damp", "stop"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_mapping_never_waits(mode, dtype):
    watcher = located(mode, probe=probe(predictions("strong", "ordinary", "mild").to(dtype), policy="always"))
    denoised = predictions("ordinary", "strong", "mild").to(dtype)
    with Dispatched() as counted:
        for sigma in (8.0, 2.0, 0.5, 1e6, math.nan):
            step(watcher, noisy(3).to(dtype), denoised, sigma)
    assert watcher.error is None and counted.synchronisations == 0, counted.waits
    assert [one is not None for one in watcher.maps()] == [True, True, True]


@given(KINDS, st.sampled_from(["report", "damp", "stop"]), st.integers(0, 1000))
def test_mapping_changes_no_bit(kinds, mode, seed):
    x, denoised = noisy(len(kinds), seed=seed), predictions(*kinds, seed=seed)
    kept = denoised.clone()
    plain, mapped = Guard(region(), Options(mode=mode, sensitivity="paper")), located(mode)
    for sigma in (8.0, 1.0):
        assert same_bits(step(plain, x, denoised, sigma), step(mapped, x, denoised, sigma))
    assert same_bits(denoised, kept) and plain.report() == mapped.report()
    assert plain.maps() == [None] * len(kinds)
    assert [one is not None for one in mapped.maps()] == [verdict.flagged for verdict in mapped.report()]


@given(KINDS, st.integers(0, 1000))
def test_an_image_has_the_same_map_alone_and_in_a_batch(kinds, seed):
    together = located()
    x, denoised = noisy(len(kinds), seed=seed), predictions(*kinds, seed=seed)
    for sigma in (8.0, 1.0):
        step(together, x, denoised, sigma)
    for number, found in enumerate(together.maps()):
        alone = located()
        for sigma in (8.0, 1.0):
            step(alone, x[number : number + 1], denoised[number : number + 1], sigma)
        assert (found is None) == (alone.maps()[0] is None)
        assert found is None or found == pytest.approx(alone.maps()[0], rel=1e-5)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_broken_numbers_stay_in_their_image(value):
    x, denoised = noisy(3), predictions("strong", "strong", "ordinary")
    whole = located()
    step(whole, x, denoised)
    denoised = denoised.clone()
    denoised[1, 0, 3, 3] = value
    watcher = located()
    for sigma in (1.0, 0.5):
        step(watcher, x, denoised, sigma)
    first, broken, ordinary = watcher.maps()
    assert broken is None and ordinary is None and first == pytest.approx(whole.maps()[0])


def test_the_probes_map_is_of_the_virtual_prediction():
    watcher = located(probe=probe(half_inflated(2), policy="auto"), doubt=UNKNOWN_NEGATIVE)
    for _ in range(3):
        step(watcher, noisy(2), predictions("ordinary", "ordinary"))
    assert [verdict.detector for verdict in watcher.report()] == ["probe", "probe"]
    assert all(LocalMap.of(one).place() == "left" for one in watcher.maps())


def test_an_evaluation_at_another_size_in_between():
    watcher = located("damp")
    step(watcher, noisy(1), half_inflated())
    step(watcher, noisy(1, size=8), predictions("strong", size=8))
    step(watcher, noisy(1), predictions("strong"))
    assert watcher.error is None and LocalMap.of(watcher.maps()[0]).place() == "left"


def test_who_takes_over_goes_on_with_the_map():
    before, after = located(), located()
    step(before, noisy(1), half_inflated())
    after.succeed(before)
    step(after, noisy(1), predictions("strong"))
    assert LocalMap.of(after.maps()[0]).place() == "left"


def test_without_a_profile_or_after_an_error_there_is_no_map(monkeypatch):
    blind = Guard(None, Options(locate=True))
    step(blind, noisy(2), predictions("strong", "strong"))
    assert blind.maps() == [None, None]
    watcher = located()
    step(watcher, noisy(1), predictions("strong"))
    monkeypatch.setattr(Locator, "add", lambda *arguments: 1 / 0)
    step(watcher, noisy(1), predictions("strong"))
    assert watcher.error is None and watcher.maps() == [None]


def test_memory_is_two_planes_an_image():
    plain, mapped = Guard(region(), Options(sensitivity="paper")), located()
    for watcher in (plain, mapped):
        for _ in range(50):
            step(watcher, noisy(2), predictions("strong", "ordinary"))
    assert kept_bytes(mapped) - kept_bytes(plain) == 2 * 2 * 16 * 16 * 4 + 4


# -- plain values --------------------------------------------------------------------------------------------------------------------


def test_large_maps_are_made_smaller_by_area():
    values = np.ones((128, 96), dtype=np.float32)
    values[:64] = 3.0
    small = LocalMap.of(values)
    assert small.array.shape == (32, 24) and max(small.array.shape) <= KEPT_SIDE
    assert small.array[:16] == pytest.approx(3.0) and small.array[16:] == pytest.approx(1.0)
    assert (small.place(), small.share) == ("top", 0.5)


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 80), st.integers(1, 80)), elements=st.floats(0, 50, width=16)))
def test_json_and_back(values):
    found = LocalMap.of(values)
    assert LocalMap.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert 0 <= found.share <= 1 and found.describe() and max(found.array.shape) <= KEPT_SIDE


@pytest.mark.parametrize(
    ("span", "place"),
    [
        ((slice(0, 8), slice(0, 8)), "top left"),
        ((slice(8, 16), slice(8, 16)), "bottom right"),
        ((slice(0, 16), slice(8, 16)), "right"),
        ((slice(12, 16), slice(0, 16)), "bottom"),
        ((slice(5, 11), slice(5, 11)), "middle"),
        ((slice(0, 16), slice(0, 16)), "everywhere"),
        ((slice(0, 0), slice(0, 0)), "nowhere"),
    ],
)
def test_places(span, place):
    rows = np.ones((16, 16), dtype=np.float32)
    rows[span] = 2 * THRESHOLD
    assert one_map(rows).place() == place
    assert ("nothing stands out" in one_map(rows).describe()) == (place == "nowhere")


# -- drawn ---------------------------------------------------------------------------------------------------------------------------


def test_the_drawing_reddens_and_outlines_what_is_above():
    rows = np.ones((16, 16), dtype=np.float32)
    rows[:, :8] = 3.0
    drawn = np.asarray(overlay.draw(one_map(rows), Image.new("RGB", (256, 160), (90, 90, 90)))).astype(int)
    assert drawn.shape == (160, 256, 3)
    red = drawn[..., 0] - drawn[..., 2]
    assert red[:, :100].min() > 60 and abs(red[:, 160:]).max() == 0 and (drawn[:, 160:] == 90).all()
    assert (drawn.min(-1) > 240).any(0)[110:150].any() and not (drawn.min(-1) > 240).any(0)[160:].any()


def test_the_drawing_of_nothing_is_the_picture_in_grey():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8))
    drawn = overlay.draw(one_map(np.full((8, 6), 0.9)), picture)
    assert np.array_equal(np.asarray(drawn)[..., 1], np.asarray(picture.convert("L")))


def test_without_a_picture_it_is_as_large_as_its_sides_say():
    assert overlay.draw(one_map(np.ones((8, 16)))).size == (256, 128)
    assert "its picture is not at hand" in overlay.svg(one_map(np.ones((8, 16))))


def test_the_svg_says_in_words_what_it_shows():
    rows = np.ones((16, 16), dtype=np.float32)
    rows[:8, 8:] = 4.0
    drawn = overlay.svg(one_map(rows), Image.new("RGB", (512, 512)), "A <map>")
    text = re.sub(r"<[^>]*>", " ", drawn)
    assert "A &lt;map&gt;" in text and "top right" in text and "25 % of the picture" in text and "times an ordinary norm" in text
    assert "currentColor" in drawn and 'fill="black"' not in drawn
    data = base64.b64decode(re.search(r"base64,([^\"]+)", drawn)[1])
    assert Image.open(io.BytesIO(data)).size == (256, 256) and len(data) < 40_000


def test_norms_of_the_fixture_are_what_maps_are_measured_by():
    mean, *_ = region().look_up(torch.tensor([1.0]), GUIDANCE)
    assert float(mean[0, 1]) == pytest.approx(clean_norm(), rel=0.05)
    held = Locator()
    held.add(picture("ordinary"), mean[:, 1], torch.tensor([True]))
    assert float(np.square(held.maps()[0]).mean()) == pytest.approx(1.0, rel=0.1)
