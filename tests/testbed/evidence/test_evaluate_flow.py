"""The evaluation of the flow models: it runs on both, and what the documents say of it is in its files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lib_stability.profile import storage
from lib_stability.testbed.evidence import calibrate, evaluate, evaluate_flow, tables, written
from lib_stability.testbed.evidence.evaluation_rows import Size, parts, tape_name
from lib_stability.testbed.evidence.tapes import COLUMNS, Tape
from lib_stability.testbed.network import flow
from lib_stability.testbed.network.model import Testbed
from lib_stability.testbed.network.setting import Setting, usual
from lib_stability.testbed.network.variants import DISTILLED, FEW, FLOW, MAIN

ROOT = Path(__file__).resolve().parents[3]
BOTH = pytest.mark.parametrize("variant", [FLOW, DISTILLED], ids=lambda one: one.name)


@BOTH
def test_it_runs_and_says_what_it_found(variant, tmp_path):
    size = Size(
        1, 8, 1, [Setting("DPM++ 2M", "beta", 4, 3.0)], [Setting("Euler", "simple", 3, 1.0, probe=True)], [Setting("Euler", "simple", 4, 3.5)], 1
    )
    result = evaluate.evaluate(size, tmp_path, storage.read(variant.profile), Testbed.load(variant.weights))
    assert json.loads((tmp_path / "evaluate.json").read_text()) == json.loads(written.text(result))
    assert [row["kind"] for row in result["detection"]] == [*variant.kinds, "ordinary"] * 2 and len(result["damping"]) == 7
    watched, probed = result["detection"][0], result["detection"][8]
    assert (watched["detector"], watched["not_judged"], watched["extra_evaluations"]) == ("watch", 0.0, 0.0)
    assert probed["detector"] == "probe" and probed["not_judged"] == 0 and probed["extra_evaluations"] == 3
    assert all(row["unflagged_changed"] == 0 for row in result["damping"])
    assert (tmp_path / "trajectories.png").exists() and "Euler simple 3" in evaluate_flow.report(result)


@BOTH
def test_profiles_say_what_they_are_of(variant):
    profile = storage.read(variant.profile)
    assert (profile.model.prediction, profile.model.distilled, profile.model.family) == ("flow", variant.distilled, "testbed")
    assert profile.watch.parameterisation == profile.probe.parameterisation == "flow" and profile.probe_guidance == (
        5.0 if variant.distilled else 7.5
    )
    assert profile.watch.guidance_[0] == pytest.approx(1, abs=0.05) and profile.watch.guidance_[1] == pytest.approx(8, abs=0.05)
    assert profile.provenance["schedulers"] == ["simple", "beta"]


def test_a_calibration_fits_both_regions():
    bed = Testbed.load(DISTILLED.weights)
    profile = calibrate.calibrate(bed, 24, steps=(3,), seed=77)
    assert profile.watch.parameterisation == "flow" and profile.probe_guidance == 5.0 and profile.model.distilled
    assert profile.provenance["guidance"] == [1.0, 8.0] and profile.provenance["distilled_scale"] == 5.0


def test_the_student_of_few_steps_is_calibrated_and_judged_without_guidance(tmp_path):
    """Its weights are made by command: here a network that is as it was drawn."""
    torch.manual_seed(2)
    bed = Testbed.create(FEW)
    bed.scale = 1.0
    profile = calibrate.calibrate(bed.eval(), 24, seed=77)
    assert profile.provenance["guidance"] == [1.0, 1.0] and profile.provenance["steps"] == [4, 2] and profile.provenance["schedulers"] == ["linear"]
    assert profile.probe_guidance == 7.5 and not profile.model.distilled and profile.model.prediction == "flow"
    size = replace(evaluate_flow.size_of(FEW, True), copies=1, ordinary=4, damped=1)
    result = evaluate.evaluate(size, tmp_path, profile, bed)
    assert {(row["detector"], row["not_judged"], row["guidance"], row["steps"]) for row in result["detection"]} == {("probe", 0.0, 1.0, 4)}
    assert len(result["damping"]) == 7 and "Euler linear 4" in evaluate_flow.report(result)


def test_settings_are_those_that_bars_are_set_for():
    for name, low, high in (("flow", 2, 7), ("distilled", 2, 6)):
        size = evaluate_flow.SIZES[name]
        assert {low, high} <= {one.guidance for one in size.watch} and all(low <= one.guidance <= high for one in size.watch)
        assert {one.schedule for one in size.watch} == set(flow.SCHEDULES) and {one.steps for one in size.watch} >= {4, 20, 30}
    assert all(one.negative == "none" for one in (*evaluate_flow.SIZES["distilled"].watch, *evaluate_flow.SIZES["distilled"].probe))
    assert evaluate_flow.size_of(MAIN) is evaluate.FULL and evaluate_flow.size_of(MAIN, True) is evaluate.QUICK
    assert evaluate_flow.size_of(FLOW, True).ordinary < 60 and usual(FLOW) == replace(Setting(), schedule="simple", guidance=3.5)
    few = evaluate_flow.SIZES["few"]
    assert not few.watch and all(one.guidance == 1 and one.probe and one.schedule == "linear" for one in few.probe)
    assert {one.steps for one in few.probe} == {2, 3, 4, 8} and usual(FEW).steps == 4


@pytest.mark.parametrize("variant", [FLOW, DISTILLED, FEW], ids=lambda one: one.name)
def test_tables_say_what_the_file_holds_and_documents_show_them(variant):
    folder = ROOT / "docs/evaluation" / variant.name
    result = json.loads((folder / "evaluate.json").read_text("utf-8"))
    told = f"{tables.detection(result['detection'])}\n\n{tables.damping(result['damping'])}\n"
    assert (folder / "tables.md").read_text("utf-8") == told
    assert (folder / "report.md").read_text("utf-8").startswith(evaluate_flow.report(result))
    asked = (ROOT / "docs/evidence.md").read_text("utf-8")
    assert all(f"<!-- evaluation/{variant.name}/report.md {number} -->" in asked for number in ((1, 2, 3) if variant.few else (1, 2, 3, 4)))


def _cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]


def test_where_on_the_path_the_signal_is_comes_from_the_tapes(tmp_path):
    """A made-up tape whose copies stand out at the first evaluation alone."""
    profile, size = storage.read(FLOW.profile), replace(evaluate_flow.SIZES["flow"], watch=[Setting("Euler", "simple", 20, 3.5), Setting("Heun")])
    part, sigma = parts(size, "detection", ())[0], flow.sigmas("simple", 20)[:-1].numpy()
    columns = {name: np.tile(sigma, (8, 1)) if name == "sigma" else np.full((8, 20), 3.5, np.float32) for name in COLUMNS}
    columns["rate"] = 1 + 0.01 * np.random.default_rng(0).random((8, 20), np.float32)
    columns["rate"][:4, 0] = 9
    Tape(columns, np.array(["long"] * 4 + ["ordinary"] * 4), np.array([True] * 4 + [False] * 4)).save(tmp_path / tape_name(part, size), {})
    rows = _cells(evaluate_flow.along(profile, tmp_path, size))
    assert rows[0] == ["σ", "scale 3.5"] and [row[0] for row in rows[1:]] == ["1.00", "0.94", "0.88", "0.79", "0.67", "0.50", "0.25", "0.14"]
    assert rows[1][1] == "1.000" and any(row[1] != "1.000" for row in rows[2:])
