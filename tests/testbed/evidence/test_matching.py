"""What an index finds on the testbed: measured in small, and what the evidence says of it."""

import json
from pathlib import Path

import pytest

from lib_stability.testbed.evidence import matching
from lib_stability.testbed.network.model import Testbed
from lib_stability.testbed.world.kinds import memorized

DOCS = Path(__file__).parents[3] / "docs" / "evaluation"


def test_the_table_is_that_of_the_figures_and_copies_are_found():
    result = json.loads((DOCS / "match.json").read_text())
    assert (DOCS / "match.md").read_text() == matching.report(result)
    found = matching.scores(result, "vae")
    assert found["whole"] > 0.95 and found["precision"] > 0.95
    rows = {row["asked"]: row for row in result["rows"] if row["by"] == "vae"}
    assert rows["ordinary runs"]["copies"] + rows["pictures not in the index"]["copies"] <= 0.03 * sum(
        rows[name]["pictures"] for name in ("ordinary runs", "pictures not in the index")
    )


def test_copies_are_found_in_an_index_in_small(tmp_path, monkeypatch):
    few = (*memorized("conjunction")[:3], memorized("template")[-1])
    monkeypatch.setattr(matching, "memorized", lambda: few)
    for name, value in (("ORDINARY", 60), ("RUNS", 4), ("STRANGERS", 8), ("SEEDS", 1), ("ALTERED", {"mirrored": matching.ALTERED["mirrored"]})):
        monkeypatch.setattr(matching, name, value)
    result = matching.measure(Testbed.load(), tmp_path)
    rows = {(row["by"], row["asked"]): row for row in result["rows"]}
    for by in ("vae", "pixels"):
        assert rows[by, "whole copies"]["both"] == rows[by, "whole copies"]["pictures"] == 3
        assert rows[by, "mirrored"]["both"] == 3 and rows[by, "pictures not in the index"]["copies"] == 0
    assert rows["vae", "partial copies"]["nearest"] == rows["vae", "partial copies"]["pictures"]
    assert matching.scores(result, "vae")["precision"] == pytest.approx(1.0)
    assert (tmp_path / "match.md").read_text() == matching.report(result)
