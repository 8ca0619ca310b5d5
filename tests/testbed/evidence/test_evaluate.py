"""The evaluation: what a row counts, what is written, and that it goes on where it was, alone or shared among processes."""

import copy
import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image

from lib_stability import ranking
from lib_stability.guard.damping import Damping
from lib_stability.guard.sensitivity import thresholds
from lib_stability.profile import storage
from lib_stability.shell import cli
from lib_stability.testbed.evidence import detection, evaluate, evaluation_rows, tables, tapes, written
from lib_stability.testbed.network import model
from lib_stability.testbed.network.setting import Setting
from lib_stability.testbed.network.variants import FLOW, MAIN
from lib_stability.testbed.world.kinds import KINDS


@cache
def profile():
    return storage.read(cli.TESTBED_PROFILE)


@cache
def forgetful():
    """The testbed with three memories of each kind to be asked for."""
    bed = copy.copy(model.Testbed.load())
    bed.variant = replace(MAIN, conjunctions=3, templates=3)
    return bed


def made_up(profile, copies):
    """Six runs, scores in the watch's own units: two memorized ones flagged early, one late, one not; two ordinary ones."""
    limit = thresholds(profile.watch, "medium").mild
    watch = np.zeros((6, 8))
    watch[:2, 0], watch[2, 7], watch[5, 3] = 2 * limit, 2 * limit, 3 * limit
    return detection.Runs(watch, np.full((6, 8), np.nan), np.array(copies))


def test_pictures_say_what_a_copy_is():
    """An ordinary run that hands out a memorized picture is no false alarm, a memorized caption's run that does not is none that was missed."""
    names = np.array(["long"] * 4 + [tapes.ORDINARY] * 2)
    first, last = detection.rows(Setting(), profile(), names, made_up(profile(), [True, True, True, False, False, True]))
    assert (first["kind"], first["runs"], first["copies"], first["ordinary_runs"], first["ordinary_that_copy"]) == ("long", 4, 0.75, 1, 1)
    assert first["auc"] == 1.0 and first["levels"]["medium"] == {"false_alarms": 0.0, "caught": 1.0}
    assert first["caught_early"] == pytest.approx(2 / 3), "one was flagged at the last evaluation only"
    assert last["copies"] == 0.5 and last["auc"] is None, "one copy says nothing"
    (first, _) = detection.rows(Setting(), profile(), names, made_up(profile(), [True, True, True, False, False, False]))
    assert first["levels"]["medium"] == {"false_alarms": 0.5, "caught": 1.0}


def test_rank_statistics_against_plain_loops():
    rng = np.random.default_rng(0)
    positive, negative = np.round(rng.normal(1, 1, 40), 1), np.round(rng.normal(0, 1, 60), 1)
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert ranking.auc(positive, negative) == pytest.approx(np.mean(pairs))
    best = max((positive > t).mean() for t in np.r_[negative, positive] if (negative > t).mean() <= 0.05)
    assert ranking.tpr_at(positive, negative, 0.05) == pytest.approx(best)


def test_evaluate_writes_what_it_promises(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "POLICIES", [Damping(), Damping("radial")])
    watch, probe = [Setting(steps=4), Setting(steps=4, guidance=1.0)], [Setting(steps=4, negative="word", probe=True)]
    monkeypatch.setattr(evaluate, "usual", lambda variant: Setting(steps=4))
    size = evaluation_rows.Size(1, 12, 1, watch, probe, [Setting(steps=4)])
    result = evaluate.evaluate(size, tmp_path, profile(), forgetful())
    assert json.loads((tmp_path / "evaluate.json").read_text()) == json.loads(written.text(result))
    assert [row["kind"] for row in result["detection"]] == [*KINDS, "ordinary"] * 3
    for row in result["detection"]:
        assert {"sampler", "schedule", "steps", "guidance", "negative", "probe", "runs", "copies", "ordinary_runs", "ordinary_that_copy"} <= set(row)
        assert {"auc", "tpr_at_1pct_fpr", "auc_after_3", "levels"} <= set(row) and 0 <= row["copies"] <= 1
        assert (row["not_judged"] == 1) == (row["guidance"] == 1.0)
        for level in ("low", "medium", "high") if row["auc"] is not None else ():
            assert all(0 <= rate <= 1 for rate in row["levels"][level].values())
    assert [(row["kind"], row["policy"]) for row in result["damping"]] == [(kind, policy) for kind in KINDS for policy in ("reword", "radial")]
    for row in result["damping"]:
        assert {"policy", "default", "sampler", "guidance", "copies_before", "copies_after", "copies_by_chance", "attributes"} <= set(row)
        assert {"attributes_ordinary", "error", "error_ordinary", "unflagged_changed"} <= set(row) and row["unflagged_changed"] == 0
    for name in ("trajectories.png", "damping.png"):
        assert Image.open(tmp_path / name).size[0] > 400
    assert "not judged" in tables.detection(result["detection"]) and "reword" in tables.damping(result["damping"])


SMALLEST = evaluation_rows.Size(1, 6, 1, [Setting(steps=2)], [Setting(steps=2, negative="word", probe=True)], [Setting(steps=2)], 1)


def test_an_interrupted_evaluation_goes_on_and_other_code_starts_afresh(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "draw", lambda *a: None)
    monkeypatch.setattr(evaluate, "PARTS", ("detection",))
    rows, made = evaluation_rows.Computer.rows, []

    def counted(self, part):
        if len(made) == 1:
            raise KeyboardInterrupt
        made.append(part)
        return rows(self, part)

    monkeypatch.setattr(evaluation_rows.Computer, "rows", counted)
    kept = evaluation_rows.Kept(tmp_path / "kept", "this code")
    with pytest.raises(KeyboardInterrupt):
        evaluate.evaluate(SMALLEST, tmp_path, profile(), forgetful(), kept=kept)
    monkeypatch.setattr(evaluation_rows.Computer, "rows", lambda self, part: made.append(part) or rows(self, part))
    result = evaluate.evaluate(SMALLEST, tmp_path, profile(), forgetful(), kept=kept)
    assert len(made) == len(set(made)) == 2 and len(result["detection"]) == 2 * (len(KINDS) + 1)
    assert evaluate.evaluate(SMALLEST, tmp_path, profile(), forgetful(), kept=kept)["detection"] == json.loads(json.dumps(result["detection"]))
    assert len(made) == 2, "all was there"
    evaluate.evaluate(SMALLEST, tmp_path, profile(), forgetful(), kept=evaluation_rows.Kept(tmp_path / "kept", "other code"))
    assert len(made) == 4


def test_processes_that_share_the_rows_find_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "draw", lambda *a: None)
    bed, judged, setting = model.Testbed.load(FLOW.weights), storage.read(FLOW.profile), Setting("Euler", "simple", 2, 3.5)
    size = evaluation_rows.Size(1, 6, 1, [setting], [replace(setting, negative="word", probe=True)], [setting], 1)
    alone, shared = (evaluate.evaluate(size, tmp_path / str(jobs), judged, bed, jobs=jobs) for jobs in (1, 2))
    assert [len(shared[part]) for part in evaluate.PARTS] == [2 * (len(KINDS) + 1), len(KINDS)]
    for part in evaluate.PARTS:
        for one, other in zip(alone[part], shared[part]):
            assert list(one) == list(other)
            assert [one[key] for key in ("kind", "sampler", "runs")] == [other[key] for key in ("kind", "sampler", "runs")]
    # The number of threads may change a sum's last bits.
    for one, other in zip(alone["damping"], shared["damping"]):
        assert one["error"] == pytest.approx(other["error"], rel=0.02) and one["error_ordinary"] == pytest.approx(other["error_ordinary"], rel=0.02)
    for one, other in zip(alone["detection"], shared["detection"]):
        assert one["extra_evaluations"] == other["extra_evaluations"] and one["copies"] == pytest.approx(other["copies"], abs=0.13)
