"""Where in the finished picture: differences of the last evaluations against what ordinary runs have, alone and inside the guard."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from guard_fixtures import GUIDANCE, noisy, predictions, region

from lib_stability.guard.finished import LATE, Finishing, joined, ordinary_difference
from lib_stability.guard.guard import Guard
from lib_stability.guard.options import Options
from lib_stability.guard.region import StabilityRegion, Trajectory
from lib_stability.shell.counting import Dispatched

LEVELS = np.geomspace(14.6, 0.03, 30)


def made(parameterisation: str = "sigma", unguided: float = 0.8, difference: float = 0.05) -> StabilityRegion:
    """Of runs whose prompt and negative prompt are `difference` apart, in noise (of flow: in velocity), at every level."""
    levels = LEVELS if parameterisation == "sigma" else np.linspace(0.999, 0.02, 30)
    grown = 1 + levels**2 if parameterisation == "sigma" else np.ones_like(levels)
    runs = []
    for number, scale in enumerate(np.linspace(1, 15, 40)):
        scatter = 1 + 0.02 * np.sin(number)
        runs.append(Trajectory(levels, scale, scatter * np.sqrt(unguided + grown * (scale * difference) ** 2), np.full_like(levels, 0.9 * scatter)))
    return StabilityRegion(parameterisation).fit(runs)


def apart(left: float, right: float, sigma: float, batch: int = 1, size: int = 16) -> torch.Tensor:
    """A difference of predictions whose halves are so far apart in noise."""
    noise = torch.randn(batch, 4, size, size, generator=torch.Generator().manual_seed(3))
    noise /= noise.square().mean(1, keepdim=True).sqrt()
    return sigma * torch.cat([left * noise[..., : size // 2], right * noise[..., size // 2 :]], -1)


@pytest.mark.parametrize("parameterisation", ["sigma", "flow"])
def test_a_region_knows_how_far_apart_ordinary_predictions_are(parameterisation):
    found = ordinary_difference(made(parameterisation), np.array([0.9, 0.3, 0.05]))
    assert found == pytest.approx(np.full(3, 0.05), rel=0.1)


@pytest.mark.parametrize("parameterisation", ["sigma", "flow"])
def test_ordinary_parts_are_one_and_memorized_ones_so_many_times_that(parameterisation):
    held = Finishing(made(parameterisation))
    for sigma in (0.5, 0.2, 0.04):
        held.add(apart(0.25, 0.05, sigma), torch.tensor([sigma]))
    (found,) = held.maps()
    assert found[:, :7].mean() == pytest.approx(5, rel=0.15) and found[:, 9:].mean() == pytest.approx(1, rel=0.15)


def test_the_last_evaluations_alone_count():
    held = Finishing(made())
    for number, sigma in enumerate((5.0, 2.0, 0.9, 0.5, 0.2, 0.04)):
        held.add(apart(*((9.0, 9.0) if number < 6 - LATE else (0.05, 0.05)), sigma), torch.tensor([sigma]))
    assert held.maps()[0].max() < 1.5


def test_no_map_of_what_was_not_finished_or_not_seen_to_its_end():
    held = Finishing(made())
    assert held.maps() == []
    held.add(apart(1, 1, 1.0, 2), torch.tensor([5.0, 0.5]))
    assert [one is None for one in held.maps()] == [True, False]
    held.add(None, torch.tensor([0.04]))
    assert held.maps() == []
    held.add(torch.ones(2, 4), torch.tensor([0.04, 0.04]))  # no picture
    assert held.maps() == []


def test_a_region_of_one_guidance_scale_cannot_say():
    narrow = made()
    narrow.guidance_ = (7.5, 7.5)
    held = Finishing(narrow)
    held.add(apart(1, 1, 0.1), torch.tensor([0.1]))
    assert held.maps() == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_other_sizes_begin_anew_and_no_dtype_overflows(dtype):
    held = Finishing(made())
    held.add(apart(1, 1, 0.5).to(dtype), torch.tensor([0.5]))
    held.add(torch.full((1, 4, 8, 8), 60000.0).to(dtype), torch.tensor([0.04]))
    (found,) = held.maps()
    assert found.shape == (8, 8) and np.isfinite(found).all() and found.min() > 1e4


def test_joined_maps():
    flagged, finished = np.full((2, 2), 4.0, np.float32), np.full((2, 2), 9.0, np.float32)
    assert joined(flagged, finished, steered=False).tolist() == [[6.0] * 2] * 2
    assert joined(flagged, finished, steered=True) is finished
    assert joined(None, finished, False) is None and joined(flagged, None, True) is flagged
    assert joined(flagged, np.ones((4, 4)), False) is flagged


# -- in the guard --------------------------------------------------------------------------------------------------------------------


def sampled(mode: str, *kinds: str, difference=lambda sigma: None, size: int = 16) -> Guard:
    watcher = Guard(region(), Options(mode=mode, sensitivity="paper", locate=True))
    for sigma in (8.0, 2.0, 0.5, 0.1, 0.04):
        x, denoised = noisy(len(kinds), sigma, size=size), predictions(*kinds, size=size)
        watcher.step(x, denoised, torch.full((len(x),), sigma), GUIDANCE, lambda sigma=sigma: difference(sigma))
    return watcher


def test_the_guards_map_is_of_both_and_of_a_damped_image_of_the_end():
    def half(sigma: float) -> torch.Tensor:
        return apart(0.5, 1e-6, sigma, batch=2)

    report, damp, stop, alone = (sampled(mode, "strong", "ordinary", difference=half) for mode in ("report", "damp", "stop", "report"))
    alone._judging.finishing = None
    for watcher in (report, damp):
        found, none = watcher.maps()
        assert none is None and found[:, :6].mean() > 20 * found[:, 10:].mean()
    assert not np.allclose(report.maps()[0], damp.maps()[0])
    assert stop.maps()[0] == pytest.approx(alone.maps()[0])  # a blanked image has no end


def test_nothing_is_asked_where_there_is_no_map():
    asked = []
    watcher = Guard(region(), Options())
    watcher.step(noisy(1), predictions("strong"), torch.ones(1), GUIDANCE, lambda: asked.append(1))
    assert asked == [] and watcher.report()[0].flagged


def test_an_error_costs_the_end_alone(caplog):
    def fails(sigma: float):
        raise RuntimeError("no difference")

    found, plain = sampled("report", "strong", difference=fails), sampled("report", "strong")
    assert found.maps()[0] == pytest.approx(plain.maps()[0]) and found.error is None and found.report() == plain.report()
    assert len(caplog.records) == 1


def test_it_never_waits():
    with Dispatched() as counted:
        watcher = sampled("report", "strong", "ordinary", difference=lambda sigma: apart(0.5, 0.5, sigma, batch=2))
    assert watcher.error is None and counted.synchronisations == 0, counted.waits
