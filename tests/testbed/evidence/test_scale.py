"""When a run can be let go of, at another latent size: a tiny measurement, the crossing, the report."""

import json
from dataclasses import replace

import pytest

from lib_stability.testbed.evidence import scale, written
from lib_stability.testbed.network.model import Testbed
from lib_stability.testbed.network.setting import Setting
from lib_stability.testbed.network.variants import LARGE, MAIN, SIZES, SMALL


def test_sizes_double_from_one_to_the_next():
    assert [one.numbers for one in SIZES.values()] == [256, 1024, 4096] and (SMALL.side, MAIN.side, LARGE.side) == (8, 16, 32)


def test_the_crossing_lies_between_two_levels_by_their_logarithm():
    assert scale.crossing([1.0, 4.0], [0.0, 1.0], 0.5) == pytest.approx(2.0)
    assert scale.crossing([1.0, 4.0, 8.0], [0.0, 0.4, 0.8], 0.4) == pytest.approx(4.0)
    assert scale.crossing([1.0, 4.0], [0.6, 1.0], 0.5) is None


def test_a_run_let_go_early_is_a_copy_and_one_let_go_late_is_not():
    bed, items = Testbed.load(), MAIN.memorized("conjunction")[2:6]
    assert not scale.copies_from(bed, items, 0.1).any() and scale.copies_from(bed, items, 14.0).all()


def test_one_size_is_measured_and_written(tmp_path, monkeypatch):
    monkeypatch.setattr(scale, "SETTING", Setting("Euler", "exponential", 12))
    monkeypatch.setattr(scale, "CAPTIONS", 4)
    monkeypatch.setattr(scale, "measure", lambda variant, copies, tick: scale_of(variant, tick))
    result = scale.scale(tmp_path, 1, ["main"])
    assert json.loads((tmp_path / "scale.json").read_text()) == json.loads(written.text(result))
    one = result["sizes"][0]
    assert (
        one["numbers"] == 1024
        and one["runs"] == 4
        and one["copies_from"][0] == one["by_chance"] == 0
        and 0 < one["copies"] <= 1
        and 0.1 < one["half"] < 14
    )
    assert [entry["policy"] for entry in one["damping"]] == ["reword", "directional", "radial"]
    assert one["damping"][0]["copies_after"] < 0.1 and one["damping"][0]["default"]
    text = (tmp_path / "scale.md").read_text()
    assert text.count("| 1024") == 4 and "reword (default)" in text


measured = scale.measure


def scale_of(variant, tick):
    return measured(replace(variant, conjunctions=4, templates=0), 1, tick, (0.1, 14.0))
