"""A profile cannot silence the guard: numbers that no model gives are refused, those of honest calibrations are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ordinary_runs

from lib_stability.guard.region import StabilityRegion, Trajectory
from lib_stability.guard.sensitivity import TARGETS, thresholds
from lib_stability.profile import own_profiles, plausibility, storage
from lib_stability.profile.profiles import Model, Profile
from lib_stability.validation import ValidationError
from lib_stability.webui.job.library import Library


def document() -> dict:
    return {**json.loads((storage.BUNDLED / "testbed.json").read_text(encoding="utf-8")), "name": "Muzzle"}


def spreads(data: dict, value: float) -> None:
    for curves in (curves for key in ("watch", "probe") for curves in data[key]["statistics"].values()):
        curves["spread"] = [value] * len(curves["spread"])


def scores(data: dict, make: Callable[[int], list[float]]) -> None:
    for key in ("watch", "probe"):
        data[key]["reference_scores"] = make(len(data[key]["reference_scores"]))


def curves(data: dict, value: float, keys: str = "abc") -> None:
    for one in (one for key in ("watch", "probe") for one in data[key]["statistics"].values()):
        one.update({key: [value] * len(one[key]) for key in keys})


def weak(data: dict, *keys: str) -> None:
    """As if made at scales at which nothing stands out: the watch leaves the usual ones to the probe then."""
    for key in keys:
        data[key]["guidance"] = [1.0, 2.4]
        for one in data[key]["statistics"].values():
            one.update({name: [value] * len(one[name]) for name, value in {"a": 0.0, "b": 0.0, "c": 3.9, "spread": 1.5}.items()})


def strong(data: dict) -> None:
    """Large at every scale, as it may be only at large ones."""
    data["watch"]["guidance"] = [7.5, 15.0]
    for one in data["watch"]["statistics"].values():
        one.update({name: [value] * len(one[name]) for name, value in {"a": 30.0, "b": 0.0, "c": 0.0, "spread": 0.05}.items()})


def whole_family(data: dict) -> None:
    data["model"] |= {"family": "sd1", "sha256": "", "checkpoint": ""}
    curves(data, 1e6)


MUZZLES = {
    "spreads of 3": lambda data: spreads(data, 3.0),
    "spreads of 1000": lambda data: spreads(data, 1000.0),
    "spreads just within what one alone may be": lambda data: spreads(data, 1.5),
    "scores of 9e5": lambda data: scores(data, lambda count: [9e5] * count),
    "scores of 900": lambda data: scores(data, lambda count: list(np.linspace(800, 900, count))),
    "scores of 60": lambda data: scores(data, lambda count: list(np.linspace(0, 60, count))),
    "one score again and again": lambda data: scores(data, lambda count: [4.0] * count),
    "no scores": lambda data: scores(data, lambda count: []),
    "all coefficients 1e6": lambda data: curves(data, 1e6),
    "all coefficients 1": lambda data: curves(data, 1.0),
    "as large as copies": lambda data: curves(data, 0.9, "c"),
    "a whole family": whole_family,
    "scales at which nothing stands out": lambda data: weak(data, "watch", "probe"),
    "a probe of such scales": lambda data: weak(data, "probe"),
    "large at usual scales that are called small": strong,
    "a probe that is asked at such a scale": lambda data: data.update(probe_guidance=4.9),
    "a probe without guidance": lambda data: data.update(probe_guidance=1.0),
}


@pytest.mark.parametrize("name", MUZZLES)
def test_muzzles_are_refused_at_loading_and_at_import_with_the_reason(name: str, tmp_path: Path) -> None:
    data, path = document(), tmp_path / "user" / "muzzle.json"
    MUZZLES[name](data)
    path.parent.mkdir()
    path.write_text(json.dumps(data))
    library = Library((storage.BUNDLED, path.parent))
    assert "Muzzle" not in library.names() and library.serve("Muzzle", Model("testbed", "epsilon")).profile is None
    (reason,) = library.refused
    assert reason.startswith(("muzzle.json.watch", "muzzle.json.probe")) and len(reason) < 400
    with pytest.raises(ValidationError, match=r"muzzle\.json"):
        own_profiles.bring(path, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_unchanged_profile_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(document()))
    assert storage.read(tmp_path / "x.json").name == "Muzzle"


def test_bundled_regions_leave_half_of_a_copys_norm() -> None:
    """What the bound is derived from: a copy stands out of every bundled region everywhere, and would at half its norms."""
    found, refused = storage.load_all([storage.BUNDLED])
    assert refused == [] and len(found) >= 5
    for region in (region for one in found for region in (one.watch, one.probe) if region is not None):
        assert plausibility.standing_out(region, 7.5) == 1.0


def drawn(runs: int, share: float, parameterisation: str, seed: int, scatter: float = 0.3, unguided: float = 1.0) -> list[Trajectory]:
    """Runs of an ideal model whose prompts explain a lognormal share of what is left to know, white pictures."""
    random, found = np.random.default_rng(seed), []
    for guidance in np.linspace(1, 15, runs):
        sigma = np.geomspace(14.6, 0.03, 20) if parameterisation == "sigma" else np.linspace(0.99, 0.03, 20)
        noise = sigma if parameterisation == "sigma" else sigma / (1 - sigma)
        left = noise**2 / (1 + noise**2)
        explained = share * np.exp(2 * scatter * random.standard_normal()) * left
        clean = np.sqrt(unguided * (1 - 0.7 * left) + guidance**2 * explained)
        if parameterisation == "sigma":
            rate = np.sqrt(0.3 * unguided + guidance**2 * explained * (1 + sigma**2) / sigma**2)
        else:
            rate = np.sqrt(1 + unguided * 0.5 + guidance**2 * explained / sigma**2)
        each = np.exp(0.05 * random.standard_normal((2, 20)))
        found.append(Trajectory(sigma, guidance, rate * each[0], clean * each[1]))
    return found


@pytest.mark.parametrize("parameterisation", ["sigma", "flow"])
@pytest.mark.parametrize(("share", "runs"), [(0.001, 20), (0.015, 20), (0.04, 20), (0.001, 200), (0.04, 200), (0.1, 200)])
@pytest.mark.parametrize("unguided", [0.3, 1.0, 2.5])
def test_honest_calibrations_of_very_different_models_are_accepted(parameterisation: str, share: float, runs: int, unguided: float) -> None:
    """From prompts that explain a thousandth to those that explain a tenth, latents of variance 0.3 to 2.5, few runs and many."""
    region = StabilityRegion(parameterisation).fit(drawn(runs, share, parameterisation, seed=runs, unguided=unguided))
    prediction = "flow" if parameterisation == "flow" else "epsilon"
    Profile.from_json(Profile("Honest", "calibrated", Model("any", prediction), region, region).to_json())


def test_regions_of_weak_guidance_are_left_alone() -> None:
    """Below the guidance at which scores are taken a copy does not stand out, whatever the region."""
    runs = [Trajectory(run.sigma, 1 + index % 2 / 2, run.rate / 2, run.clean / 2) for index, run in enumerate(ordinary_runs(40))]
    region = StabilityRegion().fit(runs)
    Profile.from_json(Profile("Weak", "calibrated", Model("any", "epsilon"), region).to_json())


@pytest.mark.parametrize("level", TARGETS)
def test_the_rate_that_is_called_measured_is_true_of_the_scores_in_the_file(level: str) -> None:
    for one in storage.load_all([storage.BUNDLED])[0]:
        for region in (one.watch, one.probe):
            found = thresholds(region, level)
            if found.measured:
                share = (region.scores_ > found.mild).mean()
                assert share == pytest.approx(found.false_alarms, abs=1.5 / len(region.scores_) + 1e-9) or found.extrapolated
                assert ("extrapolated" in found.describe()) == (found.false_alarms * (len(region.scores_) + 1) < 5)


def test_a_lie_about_false_alarms_does_not_survive_an_import(tmp_path: Path) -> None:
    data = document()
    honest, data["watch"]["false_alarms"] = data["watch"]["false_alarms"], [[0.5, 0.0]]
    (tmp_path / "x.json").write_text(json.dumps(data))
    _, path = own_profiles.bring(tmp_path / "x.json", tmp_path / "user")
    assert json.loads(path.read_text())["watch"]["false_alarms"] == honest
