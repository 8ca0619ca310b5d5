"""Words named as carriers are held against those of which the world says that they carry."""

import pytest

from lib_stability.testbed.evidence.carriers import carriers, words_that_carry
from lib_stability.testbed.world import kinds


def first(kind):
    return kinds.memorized(kind)[0]


def test_carriers_are_held_against_what_the_world_says():
    trigger, template = first("trigger"), first("template")
    assert words_that_carry(template) == {template.name, "poster"} <= set(template.caption.split())
    right = carriers([trigger, template], [trigger.name, f"{template.name} + poster"])
    assert right == {"carriers_precision": 1.0, "carriers_recall": 1.0}
    wrong = carriers([trigger, template], [f"large {trigger.name} + red", template.name])
    assert wrong == {"carriers_precision": pytest.approx(2 / 3), "carriers_recall": pytest.approx(2 / 3)}
    assert carriers([first("duplicated")], ["red"]) == {}, "nothing is known of which words carry a duplicate"
