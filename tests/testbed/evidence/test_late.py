"""Images that are flagged too late are sampled again from their own noise, their batch mates keep every bit, and the table says what came of it."""

from __future__ import annotations

import json

import pytest
import torch

from lib_stability.guard.options import Options
from lib_stability.profile import storage
from lib_stability.testbed.evidence import late, written
from lib_stability.testbed.evidence.damping import generate
from lib_stability.testbed.network.model import Testbed
from lib_stability.testbed.network.setting import Setting
from lib_stability.testbed.network.variants import MAIN
from lib_stability.testbed.world import judge
from lib_stability.testbed.world.kinds import memorized

ITEM = memorized("conjunction")[0]
CAPTIONS, SETTING, SEED = [ITEM.caption, "small blue square"], Setting(steps=12), 41


@pytest.fixture(scope="module")
def bed() -> Testbed:
    return Testbed.load()


@pytest.fixture(scope="module")
def profile():
    return storage.read(MAIN.profile)


def made(bed, profile, quiet: int, **more):
    make = type("From", (late.Late,), {"quiet": quiet})
    return generate(bed, CAPTIONS, SETTING, SEED, profile, Options("damp"), make=make, **more)


def test_a_late_flag_is_sampled_again_and_its_batch_mate_keeps_every_bit(bed, profile):
    plain = generate(bed, CAPTIONS, SETTING, SEED)
    once, twice = made(bed, profile, 9, once=True), made(bed, profile, 9)
    assert judge.own_copies(plain.pixels[:1], [ITEM]).all() and once.verdicts[0].flagged_at == 10 and once.verdicts[0].flag == "late"
    assert once.verdicts[0].failed and not once.verdicts[0].again
    assert (twice.verdicts[0].again and twice.verdicts[0].steered) or twice.verdicts[0].outcome.endswith("uncertain")
    # What it ended with is the second picture's.
    assert twice.verdicts[0].score_after != once.verdicts[0].score_after
    assert twice.verdicts[0].flagged_at == 10 and twice.verdicts[0].damped >= 2
    assert not judge.own_copies(twice.pixels[:1], [ITEM]).any()
    assert judge.likeness(twice.pixels[:1], [ITEM]) < judge.likeness(once.pixels[:1], [ITEM]) - 0.1 or once.verdicts[0].outcome == "too late"
    assert torch.equal(twice.latents[1], plain.latents[1]) and not twice.verdicts[1].flagged
    assert twice.rows > once.rows > plain.rows


def test_what_was_flagged_in_time_is_sampled_once(bed, profile):
    once, twice = made(bed, profile, 0, once=True), made(bed, profile, 0)
    assert once.verdicts == twice.verdicts and once.rows == twice.rows and torch.equal(once.latents, twice.latents)


def test_the_table_holds_what_was_measured(bed, profile, tmp_path, monkeypatch):
    monkeypatch.setattr(late, "SETTING", SETTING)
    monkeypatch.setattr(late, "memorized_captions", lambda kind, *a: ([], [ITEM] if kind == "conjunction" else []))
    result = late.measure(bed, profile, tmp_path, (9,))
    (row,) = result["rows"]
    assert row["runs"] == 1 and row["flagged"] == row["too_late"] == 1.0 and row["again"]["copies"] == 0
    assert row["again"]["rows_ratio"] > row["once"]["rows_ratio"] > 1
    assert json.loads((tmp_path / "late.json").read_text()) == json.loads(written.text(result))
    assert "| 10 of 12 " in (tmp_path / "late.md").read_text()
