from __future__ import annotations

import json

import pytest

from lib_stability.testbed.evidence import written

RESULT = {
    "name": "x",
    "rows": [{"a": 1, "b": {"c": [1, 2]}}, {"a": None}],
    "nested": {"rows": [{"d": 0.1}], "numbers": [1.5, 2.5]},
    "none": [],
    "empty": {},
}


def test_what_is_written_is_read_again_with_an_entry_a_line(tmp_path):
    path = tmp_path / "some.json"
    written.write(path, RESULT)
    text = path.read_text("utf-8")
    assert json.loads(text) == RESULT and [one.name for one in tmp_path.iterdir()] == ["some.json"]
    lines = text.splitlines()
    assert '  {"a":1,"b":{"c":[1,2]}},' in lines and '   {"d":0.1}' in lines and '  "numbers": [1.5,2.5]' in lines


def test_no_more_digits_than_tables_show():
    assert written.text({"a": 0.123456789, "b": [1 / 3], "c": 12345678}) == '{\n "a": 0.1234568,\n "b": [0.3333333],\n "c": 12345678\n}'


@pytest.mark.parametrize("result", [{}, [], [{}], {"a": {}}, [[1], [2]], "x", None, [{"a": 1}, 2]])
def test_odd_ones_are_json_too(result):
    assert json.loads(written.text(result)) == result


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path):
    path = tmp_path / "some.json"
    written.write(path, RESULT)
    with pytest.raises(TypeError):
        written.write(path, {"rows": [{"a": object()}]})
    assert json.loads(path.read_text("utf-8")) == RESULT
