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
from lib_stability.testbed.network.variants import MAIN

DOCS = Path(__file__).parents[2] / "docs" / "evaluation"


@pytest.fixture(scope="module")
def profile():
    return storage.read(MAIN.profile)


@pytest.mark.parametrize("name", ["DPM2 a", "DPM2 a Karras", " DPM2 a ", "DPM2 a Exponential"])
def test_a_sampler_is_known_with_and_without_its_schedule(profile, name):
    assert scatter.family(name) == "DPM2 a" and scatter.width(profile, name) == scatter.WIDTHS["DPM2 a"] > 1


@pytest.mark.parametrize("name", ["Euler", "DDIM", "", "Karras", "one that nobody knows"])
def test_other_samplers_are_judged_as_the_calibration_says(profile, name):
    assert scatter.width(profile, name) == 1 and scatter.watch(profile, name) is profile.watch


def test_whose_own_runs_made_the_threshold_needs_no_width(profile):
    def made_by(told):
        return replace(profile, provenance=profile.provenance | {"samplers": told})

    assert scatter.width(made_by(["DPM2 a", "DPM2 a Karras"]), "DPM2 a") == 1
    assert scatter.width(made_by(["DPM2 a", "Euler"]), "DPM2 a") == scatter.WIDTHS["DPM2 a"]
    for odd in (None, [], 7, "DPM2 a", {"a": 1}, [3, None]):
        assert scatter.width(made_by(odd), "DPM2 a") == 1, odd
    prior = storage.read(storage.BUNDLED / "sd1-prior.json")
    assert scatter.width(prior, "DPM2 a") == 1, "a prior's thresholds are assumed"


def test_a_widened_region_divides_deviations_and_keeps_thresholds(profile):
    wide = profile.watch.widened(2.0)
    sigma, norms = torch.tensor([10.0, 1.0, 0.05]), Norms(torch.tensor([3.0, 2.0, 1.5]), torch.tensor([3.0, 2.0, 1.5]))
    for guidance in (7.5, torch.tensor([2.0, 7.5, 12.0])):
        plain, other = (region.z_scores(norms, sigma, guidance) for region in (profile.watch, wide))
        torch.testing.assert_close(other.both, plain.both / 2)
        torch.testing.assert_close(other.width, 2 * plain.width)
    assert wide is profile.watch.widened(2.0) and wide.scores_ is profile.watch.scores_ and profile.watch.widened(1.0) is profile.watch
    assert (wide.curves_["rate"].coefficients == profile.watch.curves_["rate"].coefficients).all()


def test_the_widths_are_those_that_were_measured():
    measured = json.loads((DOCS / "scatter.json").read_text())["rows"]
    for row in measured:
        needed = max(1.0, *row["ratio"].values())
        width = scatter.WIDTHS.get(row["sampler"], 1.0)
        assert width == row["width"] and (width == 1.0) == (needed < 1.05), row["sampler"]
        assert width == 1.0 or math.isclose(width, needed, rel_tol=0.06), row["sampler"]
    assert set(scatter.WIDTHS) - {"PLMS"} <= {row["sampler"] for row in measured} and scatter.WIDTHS["PLMS"] == scatter.WIDTHS["PNDM"]
    shown = (DOCS.parent / "evidence.md").read_text()
    assert all(line in shown for line in measuring.report({"rows": measured}).splitlines())


def test_rows_hold_each_sampler_against_the_level(profile):
    bed_runs = [
        measuring.Ordinary(sampler, 20, copy, one, one)
        for sampler, factor, copy in (("Euler", 1.0, False), ("DPM2 a", 3.0, False), ("DPM2 a", 90.0, True))
        for one in [run(profile.watch, factor, number) for number in range(30)]
    ]
    calm, wild = measuring.rows(profile, bed_runs)
    assert (calm["runs"], wild["runs"]) == (30, 30), "copies count for nothing"
    assert wild["ratio"]["high"] == pytest.approx(3 * calm["ratio"]["high"], rel=0.1)
    assert wild["flagged"]["high"][1] <= wild["flagged"]["high"][0]


def run(region, factor: float, number: int):
    from lib_stability.guard.trajectory import Trajectory

    levels = region.levels[::3]
    expected = region.look_up(torch.tensor(levels, dtype=torch.float32), 7.5)
    high = 1 + factor * (0.5 + number / 30) * expected.spread.numpy()
    norms = expected.mean.numpy() * high
    return Trajectory(levels, 7.5, norms[:, 0], norms[:, 1])
