"""Tapes hold what a recorder and a guard would see, and what is made of them rests on the pictures' labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lib_stability.guard.guard import Guard
from lib_stability.guard.options import Options
from lib_stability.guard.probe import Probe, looks
from lib_stability.guard.sensitivity import thresholds
from lib_stability.profile import storage
from lib_stability.profile.calibration import Recorder
from lib_stability.testbed.evidence import detection, tapes
from lib_stability.testbed.network.model import Testbed
from lib_stability.testbed.network.sample import sample
from lib_stability.testbed.network.setting import Setting, negatives_for
from lib_stability.testbed.network.variants import MAIN

CAPTIONS, SEED = ["phoenix large blue", "small red circle"], 77


@pytest.fixture(scope="module")
def bed() -> Testbed:
    return Testbed.load(MAIN.weights)


@pytest.fixture(scope="module")
def profile():
    return storage.read(MAIN.profile)


@pytest.fixture(scope="module")
def columns(bed):
    return tapes.record(bed, CAPTIONS, Setting("Heun", steps=3), SEED)[0]


def test_a_tape_holds_what_a_recorder_would(bed, columns):
    recorder = Recorder()
    sample(bed, CAPTIONS, range(SEED, SEED + 2), "Heun", 3, watch=lambda _: recorder)
    watch, probe = recorder.trajectories()
    for image in range(2):
        for name, trajectory in (("rate", watch), ("virtual_rate", probe)):
            np.testing.assert_allclose(columns[name][image], trajectory[image].rate, rtol=1e-4)
        for name, trajectory in (("clean", watch), ("virtual_clean", probe)):
            np.testing.assert_allclose(columns[name][image], trajectory[image].clean, rtol=1e-4)
        np.testing.assert_allclose(columns["sigma"][image], watch[image].sigma, rtol=1e-5)
    assert columns["rate"].shape == (2, 5) and np.isnan(columns["turn"][:, 0]).all() and (columns["turn"][:, 1:] > 0).all()


@pytest.mark.parametrize(("negative", "detector"), [("none", "watch"), ("words", "probe")])
def test_a_tape_is_judged_as_a_guard_judges(bed, profile, negative, detector):
    setting = Setting("DDIM", steps=4, negative=negative, probe=detector == "probe")
    runs = detection.judged(profile, setting, tapes.taken(bed, CAPTIONS, ["trigger", "ordinary"], setting, SEED))
    made = []

    def watch(model):
        look = Probe(profile.probe, model.virtual, "always", expected=4)
        made.append(Guard(profile.watch, Options("report"), look, doubt="" if negative == "none" else "a negative prompt"))
        return made[0]

    done = sample(bed, CAPTIONS, range(SEED, SEED + 2), "DDIM", 4, negatives=negatives_for(negative, 2, SEED), watch=watch)
    blank = torch.full((2,), float("nan"))
    readings = [getattr(reading, "watched" if detector == "watch" else "probed") for reading in made[0].readings]
    seen = torch.stack([blank if one is None else torch.where(one.z.inside, one.z.score, blank) for one in readings], 1)
    scores = getattr(runs, detector)
    np.testing.assert_allclose(scores, seen.numpy(), rtol=2e-3, atol=2e-3)
    assert np.isnan(getattr(runs, "probe" if detector == "watch" else "watch")).all()
    if detector == "probe":
        assert [number for number in range(4) if np.isfinite(scores[:, number]).any()] == list(looks(4)) == [0, 1, 3]
        assert runs.extra_rows == done.extra_rows / 2 == 3
    else:
        assert runs.extra_rows == 0


def made_up(copies: list[bool], names: list[str], sigma: float = 5.0) -> tapes.Tape:
    column = np.full((len(names), 4), sigma, dtype=np.float32)
    return tapes.Tape(dict.fromkeys(tapes.COLUMNS, column), np.array(names), np.array(copies))


def test_tapes_are_kept(tmp_path: Path):
    taken = made_up([True, False], ["long", "ordinary"])
    path = tmp_path / "new" / f"{tapes.name_of(Setting('Euler a', guidance=1.0))}.npz"
    taken.save(path, {"steps": 20})
    again = tapes.Tape.load(path)
    assert path.name == "Euler_a-uniform-20-1-none.npz" and [file.name for file in path.parent.iterdir()] == [path.name]
    assert (again.kinds == taken.kinds).all() and (again.copies == taken.copies).all()
    assert all((again.columns[name] == taken.columns[name]).all() for name in tapes.COLUMNS)
    made = []
    for _ in range(2):
        found = tapes.kept(tmp_path / "kept.npz", lambda: made.append(1) or taken, {})
        assert (found.copies == taken.copies).all()
    assert made == [1], "the second time it lay there"


def test_the_bundled_profile_tells_the_kinds_apart(bed, profile):
    """A row in small: ordinary captions and one caption of each of a few kinds, by the profile in the repository."""
    memorized = ["kraken", "dragon on the left"]
    ordinary = ["small red circle", "a large green star on the right", "yellow ring", "tiny blue heart on dark stripes"]
    taken = tapes.taken(bed, memorized + ordinary, ["trigger"] * 2 + ["ordinary"] * 4, Setting(steps=12), 5)
    assert taken.copies.tolist() == [True] * 2 + [False] * 4
    flagged = np.nanmax(detection.judged(profile, Setting(steps=12), taken).watch, 1) > thresholds(profile.watch, "medium").mild
    assert flagged.tolist() == [True] * 2 + [False] * 4
