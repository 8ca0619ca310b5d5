"""What tells a LoRA's copies: the parts of the measurement on made-up numbers, and the tables in the documents."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lib_stability.guard.region import StabilityRegion, Trajectory
from lib_stability.guard.sensitivity import thresholds
from lib_stability.profile import storage
from lib_stability.testbed.evidence import lora_detection, lora_regions, lora_runs
from lib_stability.testbed.lora.recipes import MINE
from lib_stability.testbed.lora.train import Recipe, train
from lib_stability.testbed.network.model import Testbed
from lib_stability.testbed.world.kinds import memorized, ordinary_samples

DOCS = Path(__file__).parents[3] / "docs" / "evaluation" / "lora"
LEVELS = np.geomspace(14.6, 0.03, 20)


def runs(count: int, seed: int, factor: float = 1.0, spread: float = 0.1) -> list[Trajectory]:
    rng = np.random.default_rng(seed)
    return [Trajectory(LEVELS, 7.5, *(factor * (1 + spread * rng.standard_normal((2, 20))))) for _ in range(count)]


@pytest.fixture(scope="module")
def region() -> StabilityRegion:
    rng = np.random.default_rng(0)
    return StabilityRegion().fit([Trajectory(LEVELS, w, *rng.normal(1, 0.1, (2, 20))) for w in np.linspace(1, 15, 60)])


def test_a_quick_correction_follows_norms_that_a_network_has_moved(region):
    limit = thresholds(region, "medium").mild
    moved = runs(100, 5, factor=1.6)
    fixed = lora_regions.corrected(region, runs(24, 4, factor=1.6))
    assert (lora_runs.scores(region, moved) > limit).mean() > 0.9
    assert (lora_runs.scores(fixed, moved) > limit).mean() < 0.1
    assert (lora_runs.scores(fixed, runs(20, 6, factor=2.6)) > limit).all()  # what is inflated there still is
    assert (lora_runs.scores(region, moved) > limit).mean() > 0.9  # the base's own is as it was


def test_a_quick_correction_widens_and_never_narrows(region):
    wide, narrow = (lora_regions.corrected(region, runs(24, 4, spread=spread)) for spread in (0.3, 0.01))
    for name in ("rate", "clean"):
        assert (wide.curves_[name].spread > 1.5 * region.curves_[name].spread).all()
        assert (narrow.curves_[name].spread == region.curves_[name].spread).all()
    smaller = lora_regions.corrected(region, runs(24, 4, factor=0.7))
    ordinary = runs(100, 7)
    limit = thresholds(region, "medium").mild
    assert (lora_runs.scores(smaller, ordinary) > limit).mean() <= (lora_runs.scores(region, ordinary) > limit).mean()


def test_agreement_is_that_of_other_seeds_of_one_caption():
    generator = torch.Generator().manual_seed(0)
    picture = torch.randn(4, 8, 8, generator=generator)
    latents = torch.stack([picture + 0.3 * torch.randn(4, 8, 8, generator=generator) for _ in range(4)])
    latents = torch.cat([latents, torch.randn(4, 4, 8, 8, generator=generator)])
    found = lora_runs.agreement(latents, [0] * 4 + [1] * 4)
    assert found[:4].min() > 0.8 and np.abs(found[4:]).max() < 0.3


def test_the_landscape_is_sharper_for_what_was_memorized():
    bed = Testbed.load()
    captions = [one.caption for one in memorized("conjunction")] + [caption for caption, _ in ordinary_samples(8, 3, "evaluation")]
    found = lora_runs.generate(bed, bed, captions, 5)
    told, untold = found.sharpness[:8], found.sharpness[8:]
    assert np.isfinite(found.sharpness).all() and np.median(told) > 3 * np.median(untold) > 0
    assert (found.part(slice(8)).sharpness == told).all()


def test_tolerance_is_of_runs_that_are_no_copies(tmp_path, monkeypatch):
    tiny = Recipe("tiny", 4, 1, (1,), rank=1, batch=1)
    train(tiny, tmp_path)
    monkeypatch.setattr(Recipe, "path", lambda self, step: tmp_path / "tiny.safetensors")
    for name, value in {"WEIGHTS": (0.5, 0.8), "TOLERATED": 4, "OWN": 20}.items():
        monkeypatch.setattr(lora_detection, name, value)
    found = lora_detection.tolerate(tiny, 1, Testbed.load(), lambda n: None)
    assert found["runs"] == 6 and list(found["weights"]) == ["0.5", "0.8"] and found["weights"]["0.5"]["runs"] == 6
    # One step changes next to nothing: nor does its weight.
    assert found["weights"]["0.5"]["median"] == pytest.approx(found["weights"]["0.8"]["median"], abs=1.0)
    result = {"sets": {"a": (1, 1)}, "own": 20, "cases": [], "prompts": [], "cleaning": [], "tolerance": [found]}
    assert "by a region of 20 runs made at 0.8" in lora_detection.report(result)


def test_one_case_is_measured_and_kept(tmp_path, monkeypatch):
    """In small: a network of a few steps at a weight, resumed from what is kept."""
    tiny = Recipe("tiny", 4, 1, (1,), rank=1, batch=1)
    train(tiny, tmp_path)
    monkeypatch.setattr(Recipe, "path", lambda self, step: tmp_path / "tiny.safetensors")
    monkeypatch.setattr(lora_detection, "SETS", {"training": (2, 2), "trigger": (2, 2), "ordinary": (4, 2)})
    monkeypatch.setattr(lora_detection, "QUICK", (4, 6))
    case = lora_detection.Case(tiny, 1, 1.0)
    profile = storage.read(storage.BUNDLED / "testbed.json")
    found = lora_detection.measure(case, Testbed.load(), profile, lambda n: None)
    assert [found[name]["runs"] for name in ("training", "trigger", "ordinary")] == [4, 4, 8]
    assert "sharpness" in found["told"]
    assert set(found["medium"]) == {"base", "corrected by 4 runs", "corrected by 6 runs"}
    assert found["training"]["copies"] == 0 and not any(found["told"].values())  # one step teaches nothing: there is nothing to tell
    monkeypatch.setattr(lora_detection, "cases", lambda: [case])
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "tiny-1.json").write_text(json.dumps(found))
    monkeypatch.setattr(lora_detection, "measure", lambda *_: pytest.fail("made already"))
    result = lora_detection.evaluate(profile, tmp_path / "out", kept, only="tiny")
    assert (tmp_path / "out" / "lora.md").read_text() == lora_detection.report(result)


def test_names_of_cases_are_their_own():
    names = [case.name for case in lora_detection.cases()]
    assert len(set(names)) == len(names) and f"{MINE.name} 0.5" in names
    assert lora_detection.captions_of(replace(lora_detection.cases()[0], recipe=MINE))["training"][0].startswith("texas ")


def test_documents_hold_what_was_measured():
    result = json.loads((DOCS / "lora.json").read_text())
    assert (DOCS / "lora.md").read_text() == lora_detection.report(result)
    assert [one["name"] for one in result["cases"]] == [case.name for case in lora_detection.cases()]
    by_name = {one["name"]: one for one in result["cases"]}
    # What was to be made: one that copies its training pictures, one that does not copy at all.
    assert by_name["mine 1"]["training"]["copies"] > 0.7 and by_name["style 1"]["training"]["copies"] == 0
