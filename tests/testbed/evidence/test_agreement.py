"""Agreement between seeds held against the truth: measured in small, and what reports say of it."""

import json
from pathlib import Path

import pytest

from lib_stability.profile import storage
from lib_stability.testbed.evidence import agreement
from lib_stability.testbed.network.model import Testbed
from lib_stability.testbed.world.kinds import memorized
from lib_stability.trial import report

DOCS = Path(__file__).parents[3] / "docs" / "evaluation"


def test_what_reports_say_is_what_was_measured():
    result = json.loads((DOCS / "agreement.json").read_text())
    assert agreement.worth(result) == report.MEASURED
    assert (DOCS / "agreement.md").read_text() == agreement.report(result)
    rows = [row for row in result["rows"] if row["kind"] in ("conjunction", "trigger", "long", "captions") and row["mode"] == "report"]
    assert len(rows) == 12 and all(row["copies"] >= 16 and row["found"] >= 0.9 for row in rows)


def test_copies_of_the_testbed_agree_and_ordinary_pictures_do_not(tmp_path, monkeypatch):
    monkeypatch.setattr(agreement, "memorized", lambda: memorized()[:3])
    monkeypatch.setattr(agreement, "SEEDS", 2)
    monkeypatch.setattr(agreement, "KINDS", ("conjunction",))
    result = agreement.measure(Testbed.load(), storage.read(storage.BUNDLED / "testbed.json"), tmp_path, ordinary=12)
    rows = {(row["told by"], row["kind"], row["mode"]): row for row in result["rows"]}
    for told in ("agreement of 2 seeds", "likeness to originals"):
        reporting, damping = rows[told, "conjunction", "report"], rows[told, "conjunction", "damp"]
        assert (reporting["copies"], reporting["found"]) == (6, 1.0) and damping["copies"] == 0
        assert rows[told, "ordinary", "report"]["wrong"] == pytest.approx(0, abs=0.05)
    assert (tmp_path / "agreement.md").read_text() == agreement.report(result)
