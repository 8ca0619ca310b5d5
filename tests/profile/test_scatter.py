"""A level of false alarms holds for samplers that scatter more, and what they are divided by was measured."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lib_stability.guard.norms import Norms
from lib_stability.profile import scatter, storage
from lib_stability.testbed.evidence import scatter as measuring
from lib_stability.testbed.network.sample import SAMPLERS, evaluations_of
from lib_stability.testbed.network.variants import MAIN

DOCS = Path(__file__).parents[2] / "docs" / "evaluation"


@pytest.fixture(scope="module")
def profile():
    return storage.read(MAIN.profile)


@pytest.mark.parametrize("name", ["DPM2 a", "DPM2 a Karras", " DPM2 a ", "DPM2 a Exponential"])
def test_a_sampler_is_known_with_and_without_its_schedule(profile, name):
    assert scatter.family(name) == "DPM2 a" and scatter.width(profile, name, 23) == pytest.approx(1 + 1.4 * 24 / 24)


def test_a_width_falls_with_the_number_of_steps(profile):
    known = scatter.WIDTHS["DPM2 a"]
    found = [scatter.width(profile, "DPM2 a", evaluations) for evaluations in (1, 24, 48, 240)]
    assert found == [known.width, known.width, pytest.approx(1 + (known.width - 1) / 2), pytest.approx(1 + (known.width - 1) / 10)]
    assert scatter.width(profile, "DPM++ 3M SDE", 24) == pytest.approx(1 + (scatter.WIDTHS["DPM++ 3M SDE"].width - 1) / 2)
    assert scatter.width(profile, "DPM2 a", 0) == known.width, "nothing is known of the pass"


@pytest.mark.parametrize("name", ["Euler", "DDIM", "", "Karras", "one that nobody knows"])
def test_other_samplers_are_judged_as_the_calibration_says(profile, name):
    assert scatter.width(profile, name, 20) == 1 and scatter.watch(profile, name, 20) is profile.watch


def test_whose_own_runs_made_the_threshold_needs_no_width(profile):
    def made_by(told):
        return replace(profile, provenance=profile.provenance | {"samplers": told})

    assert scatter.width(made_by(["DPM2 a", "DPM2 a Karras"]), "DPM2 a", 23) == 1
    assert scatter.width(made_by(["DPM2 a", "Euler"]), "DPM2 a", 23) == scatter.WIDTHS["DPM2 a"].width
    for odd in (None, [], 7, "DPM2 a", {"a": 1}, [3, None]):
        assert scatter.width(made_by(odd), "DPM2 a", 23) == 1, odd
    prior = storage.read(storage.BUNDLED / "sd1-prior.json")
    assert scatter.width(prior, "DPM2 a", 23) == 1, "a prior's thresholds are assumed"


def test_a_widened_region_divides_deviations_and_keeps_thresholds(profile):
    wide = profile.watch.widened(2.0)
    sigma, norms = torch.tensor([10.0, 1.0, 0.05]), Norms(torch.tensor([3.0, 2.0, 1.5]), torch.tensor([3.0, 2.0, 1.5]))
    for guidance in (7.5, torch.tensor([2.0, 7.5, 12.0])):
        plain, other = (region.z_scores(norms, sigma, guidance) for region in (profile.watch, wide))
        torch.testing.assert_close(other.both, plain.both / 2)
        torch.testing.assert_close(other.width, 2 * plain.width)
    assert wide is profile.watch.widened(2.0) and wide.scores_ is profile.watch.scores_ and profile.watch.widened(1.0) is profile.watch
    for number in range(100):
        profile.watch.widened(1.5 + number / 100)
    assert len(profile.watch._widened) <= 32, "a server whose passes differ in length keeps no more than it may"
    assert (wide.curves_["rate"].coefficients == profile.watch.curves_["rate"].coefficients).all()


def test_the_widths_are_those_that_were_measured():
    measured = json.loads((DOCS / "scatter.json").read_text())["rows"]
    for sampler in dict.fromkeys(row["sampler"] for row in measured):
        needed, known = measuring.needed(measured, sampler), scatter.WIDTHS.get(sampler)
        assert known is None if needed < 1.1 else known is not None and math.isclose(known.width, needed, abs_tol=0.06), (sampler, needed)
    for row in measured:
        known = scatter.WIDTHS.get(row["sampler"])
        order = {one: each for one, (_, each) in SAMPLERS.items()}.get(row["sampler"], 1)
        assert known is None or known.order == order
        assert row["width"] == (
            1.0
            if known is None
            else pytest.approx(1 + (known.width - 1) * min(1, 12 * order / evaluations_of(row["sampler"], row["steps"])), abs=0.01)
        )


def test_rows_hold_each_sampler_against_the_level(profile):
    bed_runs = [
        measuring.Ordinary(sampler, 20, copy, one, one)
        for sampler, factor, copy in (("Euler", 1.0, False), ("DPM2 a", 3.0, False), ("DPM2 a", 90.0, True))
        for one in [run(profile.watch, factor, number) for number in range(30)]
    ]
    calm, wild = measuring.rows(profile, bed_runs)
    assert (calm["runs"], wild["runs"]) == (30, 30), "copies count for nothing"
    assert wild["ratio"] == pytest.approx(3 * calm["ratio"], rel=0.1)
    assert wild["flagged"]["high"][1] <= wild["flagged"]["high"][0]


def run(region, factor: float, number: int):
    from lib_stability.guard.trajectory import Trajectory

    levels = region.levels[::3]
    expected = region.look_up(torch.tensor(levels, dtype=torch.float32), 7.5)
    high = 1 + factor * (0.5 + number / 30) * expected.spread.numpy()
    norms = expected.mean.numpy() * high
    return Trajectory(levels, 7.5, norms[:, 0], norms[:, 1])
