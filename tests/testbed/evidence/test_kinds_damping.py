"""The table of damping per kind: what counts as a carrier, and one small run of it."""

import json

import pytest

from lib_stability.profile import storage
from lib_stability.testbed.evidence import kinds_damping
from lib_stability.testbed.network.model import Testbed
from lib_stability.testbed.network.setting import Setting
from lib_stability.testbed.network.variants import MAIN
from lib_stability.testbed.world import kinds


def first(kind):
    return kinds.memorized(kind)[0]


def test_carriers_are_held_against_what_the_world_says():
    trigger, template = first("trigger"), first("template")
    assert kinds_damping.words_that_carry(template) == {template.name, "poster"} <= set(template.caption.split())
    right = kinds_damping.carriers([trigger, template], [trigger.name, f"{template.name} + poster"])
    assert right == {"carriers_precision": 1.0, "carriers_recall": 1.0}
    wrong = kinds_damping.carriers([trigger, template], [f"large {trigger.name} + red", template.name])
    assert wrong == {"carriers_precision": pytest.approx(2 / 3), "carriers_recall": pytest.approx(2 / 3)}
    assert kinds_damping.carriers([first("duplicated")], ["red"]) == {}, "nothing is known of which words carry a duplicate"


def test_a_trigger_word_is_found_and_its_copies_are_steered_away(tmp_path, monkeypatch):
    monkeypatch.setattr(kinds, "KINDS", ("trigger",))
    bed, profile = Testbed.load(MAIN.weights), storage.read(MAIN.profile)
    result = kinds_damping.damp(bed, profile, tmp_path, 1, ("reword",), (Setting(steps=10),))
    (row,) = result["rows"]
    assert row["copies_before"] > 0.8 and row["copies_after"] == 0
    assert row["carriers_precision"] > 0.8 and row["carriers_recall"] == 1.0
    assert row["attributes_after"] > 0.7 and 1 < row["rows_ratio"] < 3
    assert json.loads((tmp_path / "damping.json").read_text()) == result
    assert "| trigger | reword |" in (tmp_path / "damping.md").read_text()
