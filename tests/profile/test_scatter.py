"""A level of false alarms holds for samplers that scatter more, and what they are divided by was measured."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lib_stability.guard.norms import Norms
from lib_stability.guard.region import StabilityRegion
from lib_stability.guard.sensitivity import thresholds
from lib_stability.guard.trajectory import Trajectory
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
    assert scatter.family(name) == "DPM2 a" and scatter.known(profile, name) is scatter.WIDTHS["DPM2 a"] and scatter.WIDTHS["DPM2 a"].watch > 2
    assert scatter.watch(profile, name, 23) is profile.watch.widened(scatter.WIDTHS["DPM2 a"].watch, late=False)


def test_a_width_falls_with_the_number_of_steps():
    found = [scatter.width(2.5, 2, evaluations) for evaluations in (0, 1, 24, 48, 240)]
    assert found == [2.5, 2.5, 2.5, pytest.approx(1 + 1.5 / 2), pytest.approx(1 + 1.5 / 10)]
    assert scatter.width(2.5, 1, 24) == pytest.approx(1 + 1.5 / 2) and scatter.width(1.0, 1, 12) == 1


def test_a_width_grows_with_guidance_and_is_never_below_1():
    found = [scatter.width(2.0, 1, 12, guidance) for guidance in (0.0, 1.0, 3.75, 7.5, 15.0)]
    assert found == [1, 1, pytest.approx(2 / 2**0.4, abs=0.01), 2.0, pytest.approx(2 * 2**0.4, abs=0.01)]
    assert scatter.width(1.0, 1, 12, 30.0) == 1, "what needs no width needs none at any scale"


def test_where_ordinary_runs_are_highest_at_the_end_no_rate_counts_alone(profile):
    sigma, norms = torch.tensor([0.05, 0.05]), Norms(torch.tensor([9.0, 9.0]), torch.tensor([0.5, 99.0]))
    told = {name: scatter.watch(profile, name, 24).z_scores(norms, sigma, 7.5) for name in ("Euler", "DPM2 a")}
    assert told["Euler"].score.tolist() == told["Euler"].rate.tolist()
    assert told["DPM2 a"].score.tolist() == told["DPM2 a"].both.amin(1).tolist() != told["DPM2 a"].rate.tolist()
    older = StabilityRegion(score="smaller")
    older.curves_ = profile.watch.curves_
    assert older.widened(1.0, late=False) is older is older.widened(1.0), "what never counts alone is as it was"


@pytest.mark.parametrize("name", ["Euler", "DDIM", "", "Karras", "one that nobody knows"])
def test_other_samplers_are_judged_as_the_calibration_says(profile, name):
    assert scatter.watch(profile, name, 20, 15.0) is profile.watch and scatter.probe(profile, name, 20) is profile.probe


def test_whose_own_runs_made_the_threshold_needs_no_width(profile):
    def made_by(told):
        return replace(profile, provenance=profile.provenance | {"samplers": told})

    def plain(one):
        return scatter.watch(one, "DPM2 a", 23) is one.watch and scatter.probe(one, "DPM2 a", 23) is one.probe

    assert plain(made_by(["DPM2 a", "DPM2 a Karras"])) and not plain(made_by(["DPM2 a", "Euler"]))
    for odd in (None, [], 7, "DPM2 a", {"a": 1}, [3, None]):
        assert plain(made_by(odd)), odd
    assert plain(storage.read(storage.BUNDLED / "sd1-prior.json")), "a prior's thresholds are assumed"


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


@pytest.mark.parametrize("detector", measuring.DETECTORS)
def test_the_widths_are_those_that_were_measured(detector):
    measured = json.loads((DOCS / "scatter.json").read_text())
    for one in measured[detector]:
        taken = measuring.taken(one["sampler"], detector)
        assert one["needed"] == max(one["high"], one["medium"] or 0) and (one["medium"] is None) == (one["runs"] < measuring.LEAST)
        assert taken == 1 if one["needed"] < 1.15 else math.isclose(taken, one["needed"], abs_tol=0.06), one
    assert {one["sampler"] for one in measured[detector]} == {row["sampler"] for row in measured["rows"]} >= {*scatter.WIDTHS} - {"PLMS"}
    for row in measured["rows"]:
        known = scatter.WIDTHS.get(row["sampler"])
        order = {one: each for one, (_, each) in SAMPLERS.items()}.get(row["sampler"], 1)
        assert known is None or known.order == order
        assert row["width"] == (
            1.0
            if known is None
            else pytest.approx(1 + (known.watch - 1) * min(1, 12 * order / evaluations_of(row["sampler"], row["steps"])), abs=0.01)
        )


def test_the_rule_at_the_end_is_the_one_that_asks_for_less():
    for one in json.loads((DOCS / "scatter.json").read_text())["watch"]:
        known, rules = scatter.WIDTHS.get(one["sampler"]), one["by_rule"]
        gain = rules["late rate"]["medium"] - rules["smaller"]["medium"]
        assert gain < 0.1 if known is None or known.late else gain > 0.1, one


def test_widths_grow_as_weak_and_strong_guidance_ask():
    ratios = {float(power): ratio for power, ratio in json.loads((DOCS / "scatter.json").read_text())["growth"].items()}
    assert tuple(ratios) == measuring.POWERS and min(ratios, key=lambda power: abs(ratios[power] - 1)) == scatter.GROWTH
    assert ratios[0.0] < 0.7, "without it weak guidance has room that strong guidance lacks"


def test_the_probe_is_judged_by_its_own_width_at_its_looks(profile):
    assert scatter.probe(profile, "Euler", 20) is profile.probe
    wide = scatter.probe(profile, "PNDM", 12)
    assert wide is profile.probe.widened(scatter.WIDTHS["PNDM"].probe) and wide.scores_ is profile.probe.scores_
    levels = np.geomspace(14.6, 0.03, 20)
    expected = profile.probe.look_up(torch.tensor(levels, dtype=torch.float32), 7.5)
    high = expected.mean.numpy() * (1 + np.where(np.arange(20) == 8, 9.0, 0.5)[:, None] * expected.spread.numpy())
    one = measuring.Ordinary("PNDM", 20, False, *[Trajectory(levels, 7.5, high[:, 0], high[:, 1])] * 2)
    assert measuring.deviation(profile, one, "watch") > 5 > 1 > measuring.deviation(profile, one, "probe"), (
        "what it does not look at counts for nothing"
    )


def test_a_width_is_what_the_level_that_asks_for_more_asks_for(profile):
    """Half as many steps count for half of what is above 1; few runs do not show Medium."""
    region, limits = profile.watch, {level: thresholds(profile.watch, level).mild for level in ("medium", "high")}

    def runs(count, steps, *heights):
        """So many ordinary runs, the last of which lie as many times as far out as the level asks."""
        found = [run(region, 0.1, number) for number in range(count - len(heights))] + [lying(region, height) for height in heights]
        return [measuring.Ordinary("DPM2 a", steps, False, one, one) for one in found]

    def needed(made):
        return measuring.needed(profile, made, "watch")

    few = needed(runs(100, 12, *[2 * limits["high"]] * 8))[0]
    assert few["medium"] is None and few["needed"] == few["high"] == pytest.approx(2.0, rel=0.02)
    many = needed(runs(400, 12, *[3 * limits["medium"]] * 6))[0]
    assert many["needed"] == many["medium"] == pytest.approx(3.0, rel=0.02) and many["high"] < 1
    long = needed(runs(400, 24, *[2 * limits["medium"]] * 6))[0]
    assert long["needed"] == pytest.approx(3.0, rel=0.02)


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


def lying(region, height: float):
    """A run of which one evaluation scores so much, and the others hardly anything."""
    one = run(region, 0.1, 0)
    expected = region.look_up(torch.tensor(one.sigma, dtype=torch.float32), 7.5)
    for number, norms in enumerate((one.rate, one.clean)):
        norms[1] = float(expected.mean[1, number] * (1 + height * expected.spread[1, number]))
    return one


def run(region, factor: float, number: int):
    levels = region.levels[::3]
    expected = region.look_up(torch.tensor(levels, dtype=torch.float32), 7.5)
    high = 1 + factor * (0.5 + number / 30) * expected.spread.numpy()
    norms = expected.mean.numpy() * high
    return Trajectory(levels, 7.5, norms[:, 0], norms[:, 1])
