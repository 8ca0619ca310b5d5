"""The study of reference prompts: its sets, its measures against known ones, and a small run of all of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from conftest import ordinary_runs

from lib_stability.guard.guard import Guard
from lib_stability.guard.options import Options
from lib_stability.guard.region import StabilityRegion, Trajectory
from lib_stability.guard.sensitivity import thresholds
from lib_stability.shell import cli
from lib_stability.testbed.evidence import study
from lib_stability.testbed.evidence.calibrate import SAMPLERS
from lib_stability.testbed.evidence.study import DETECTORS, Recording, Size, change, scores, sets, summary, table
from lib_stability.testbed.network.model import Testbed
from lib_stability.testbed.world.captions import split_of
from lib_stability.testbed.world.kinds import ordinary_samples

SMALL = Size(pool=32, sizes=(8, 16), prompts=4, seeds=2, held_out=6, copies=1, steps=3)


def scaled(runs: list[Trajectory], factor: float) -> list[Trajectory]:
    return [Trajectory(run.sigma, run.guidance, factor * run.rate, factor * run.clean) for run in runs]


def with_guidance(runs: list[Trajectory]) -> list[Trajectory]:
    """As a recorder gives them: a scale for every evaluation."""
    return [Trajectory(run.sigma, np.full_like(run.sigma, run.guidance), run.rate, run.clean) for run in runs]


@pytest.fixture(scope="module")
def captions() -> list[str]:
    size = Size()
    own = [caption for caption, _ in ordinary_samples(size.pool, study.SEED, "calibration")]
    return own + (size.seeds - 1) * own[: size.prompts * size.repeated_sets]


def test_sets_are_disjoint_and_as_large_as_they_say(captions):
    size, used, repeats = Size(), {}, {}
    for label, prompts, indices in sets(captions, size):
        key = label, len(indices)
        assert len({captions[i] for i in indices}) == prompts
        assert not used.setdefault(key, set()) & set(indices.tolist())
        used[key] |= set(indices.tolist())
        repeats[key] = repeats.get(key, 0) + 1
    assert [repeats["mixed", n] for n in (25, 50, 100, 200, 400)] == [16, 16, 8, 4, 2]
    assert repeats["4 runs per prompt", 100] == 4
    assert max(max(indices) for indices in used.values()) == len(captions) - 1


def test_sets_by_theme_hold_what_their_label_says(captions):
    themes = {"forest", "ocean", "desert", "night", "snow", "woods", "trees", "sea", "water", "sand", "dusk", "winter"}
    found = {label: [captions[i].split() for i in indices] for label, _, indices in sets(captions, Size())}
    assert all(themes & set(words) for words in found["theme word in every prompt"])
    assert not any(themes & set(words) for words in found["no theme word"])


def test_a_region_does_not_differ_from_itself_and_a_known_difference_is_measured():
    runs = ordinary_runs(60)
    full = StabilityRegion().fit(runs)
    assert change(full, full, (3.0, 7.5)) == (0.0, 0.0)
    mean, spread = change(StabilityRegion().fit(scaled(runs, 1.25)), full, (3.0, 7.5, 12.0))
    assert mean == pytest.approx(0.25, rel=1e-4) and spread == pytest.approx(0, abs=1e-4)
    wider = StabilityRegion().fit(ordinary_runs(400, spread=0.2))
    assert change(wider, StabilityRegion().fit(ordinary_runs(400, spread=0.1)), (7.5,))[1] == pytest.approx(1, abs=0.15)


def test_larger_sets_change_less():
    runs = ordinary_runs(300, spread=0.2)
    np.random.default_rng(1).shuffle(runs)
    full = StabilityRegion().fit(runs)
    changes = [np.mean([change(StabilityRegion().fit(runs[i * n : (i + 1) * n]), full, (7.5,)) for i in range(4)], 0) for n in (10, 30, 75)]
    assert (np.diff(changes, axis=0) < 0).all()


@pytest.mark.parametrize("probes", [False, True])
def test_scores_are_those_of_a_guard(probes):
    region = StabilityRegion().fit(ordinary_runs(40))
    generator = torch.Generator().manual_seed(3)
    sigmas, guidance = np.geomspace(14, 0.06, 9), torch.tensor([3.0, 7.0, 11.0])
    guard, recorder = Guard(region, Options(mode="report")), study.Recorder()
    for sigma in sigmas:
        x, denoised = torch.randn(2, 3, 4, 8, 8, generator=generator)
        for watcher in (guard, recorder):
            watcher.step(sigma * x, 3 * denoised, torch.full((3,), sigma, dtype=torch.float32), guidance)
    looks = [0, 1, 8] if probes else list(range(9))  # the first, the second and the last
    expected = torch.stack([reading.watched.z.score for reading in guard.readings])[looks].amax(0)
    assert scores(region, recorder.trajectories()[0], probes) == pytest.approx(expected.numpy(), rel=1e-4)


def test_runs_outside_the_region_count_as_unflagged():
    region = StabilityRegion().fit(ordinary_runs(40))
    beyond = Trajectory(np.array([1e4, 1e5]), np.array([7.0, 7.0]), np.array([9e9, 9e9]), np.array([9e9, 9e9]))
    found = scores(region, [beyond, *with_guidance(scaled(ordinary_runs(2), 5))])
    assert found[0] == -np.inf and (found[1:] > 10).all()


def test_judging_counts_what_is_above_the_threshold():
    runs = with_guidance(ordinary_runs(300, seed=1))
    region = StabilityRegion().fit(ordinary_runs(100))
    known = {"whole": scaled(runs[:50], 4), "template": runs[:10] + scaled(runs[:10], 4)}
    result = study.judge(region, region, runs, known, DETECTORS["watch"])
    assert result["mean_change"] == 0 and result["medium"]["threshold"] == thresholds(region, "medium").mild
    assert result["medium"]["caught_whole"] == 1 and 0.5 <= result["medium"]["caught_template"] <= 0.6
    assert result["medium"]["false_alarms"] < 0.05 and result["paper"]["threshold"] == 3
    assert result["auc_whole"] == 1 and 0.6 < result["auc_template"] < 0.9


def test_a_summary_holds_mean_and_ends():
    def fit(false_alarms, auc):
        level = {"threshold": 3.0, "false_alarms": false_alarms, "caught_whole": 1.0, "caught_template": 0.5}
        common = {"detector": "watch", "set": "mixed", "prompts": 25, "runs": 50, "mean_change": 0.1, "spread_change": 0.2}
        return common | {"auc_whole": auc, "auc_template": auc, "medium": level, "paper": level}

    row = summary([fit(0.01, 1.0), fit(0.03, 0.98)])
    assert row["repeats"] == 2 and row["medium"]["false_alarms"] == pytest.approx({"mean": 0.02, "min": 0.01, "max": 0.03})
    line = table([row], "watch").splitlines()[2]
    for part in ("25 × 2", "2.0 % (3.0 %)", "100.0 % (100.0 %)", "0.9900 (0.9800)", "3.00 (3.00 to 3.00)"):
        assert part in line
    assert len(table([row], "probe").splitlines()) == 2


def test_a_recording_keeps_the_order_of_captions_and_mixes_samplers_and_scales(monkeypatch):
    calls = []

    def fake(bed, captions, seeds, sampler, steps, guidance, watch):
        calls.append((sampler, list(seeds)))
        recorder = watch(None)
        numbers = torch.tensor([float(caption) for caption in captions])
        x = torch.ones(len(captions), 4, 2, 2)
        recorder.step(x, x * numbers.view(-1, 1, 1, 1), torch.ones(len(captions)), guidance, x)

    monkeypatch.setattr(study, "sample", fake)
    scales = study.spread_guidance(100)
    recording = Recording([str(i + 1) for i in range(100)]).record(None, 1000, scales, 20)
    watched = recording.runs["watch"]
    assert [float(run.clean[0]) for run in watched] == pytest.approx(list(range(1, 101)))
    assert [float(run.guidance[0]) for run in watched] == pytest.approx(scales)
    assert {float(run.guidance[0]) for run in recording.runs["probe"]} == {7.5}
    assert sorted(seed for _, seeds in calls for seed in seeds) == list(range(1000, 1100))
    of = {seed - 1000: sampler for sampler, seeds in calls for seed in seeds}
    assert {of[i] for i in range(8)} == set(SAMPLERS), "every stretch holds all samplers"
    for sampler in SAMPLERS:
        own = scales[[i for i in range(100) if of[i] == sampler]]
        assert own.min() < 5 < 10 < own.max(), "no sampler is tied to a part of the guidance scales"


def test_the_whole_study_in_small(tmp_path, capsys, monkeypatch):
    torch.manual_seed(0)
    bed = Testbed.create().eval()  # untrained: what is counted is not looked at here
    monkeypatch.setattr(Testbed, "load", classmethod(lambda cls: bed))
    monkeypatch.setattr(study, "Size", lambda: SMALL)
    monkeypatch.setattr(study, "SAMPLERS", ("Euler", "DPM++ 2M"))
    everything = study.memorized_captions
    monkeypatch.setattr(study, "memorized_captions", lambda *arguments: tuple(part[:3] for part in everything(*arguments)))
    out = tmp_path / "new" / "study.json"
    assert cli.main(["testbed", "study", "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    shown = capsys.readouterr().out
    for detector in DETECTORS:
        rows = {(row["set"], row["runs"]): row for row in result["rows"] if row["detector"] == detector}
        assert rows["all", 32]["mean_change"]["max"] == 0
        assert rows["mixed", 8]["repeats"] == 4 and rows["mixed", 16]["repeats"] == 2 and rows["2 runs per prompt", 8]["prompts"] == 4
        assert rows["mixed", 8]["mean_change"]["mean"] > 0
        assert table(result["rows"], detector) in shown
    assert len(result["fits"]) == sum(row["repeats"] for row in result["rows"])
    assert result["ordinary"] + len(result["ordinary_that_copy"]) == 6 and (result["whole"], result["template"]) == (12, 3)


def test_calibration_and_held_out_captions_have_nothing_in_common():
    pool, held_out = ordinary_samples(50, study.SEED, "calibration"), ordinary_samples(50, study.HELD_OUT_SEED, "evaluation")
    assert {split_of(caption) for caption, _ in pool} == {"calibration"} and {split_of(caption) for caption, _ in held_out} == {"evaluation"}
