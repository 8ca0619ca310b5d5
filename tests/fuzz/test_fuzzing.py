"""The fuzzers' own cases: the same at every run, whatever has been made of the ones before."""

from __future__ import annotations

import copy

from fuzzing import ODD_VALUES, cases, dumped, spoiled_json


def test_no_case_changes_another():
    before, document = copy.deepcopy(ODD_VALUES), {"a": [1, {"b": [[2]]}], "c": {"d": "e"}}
    for draw in cases("documents", 5000):
        assert dumped(spoiled_json(draw, document, 9))
    assert repr(before) == repr(ODD_VALUES)
