"""Other scores are compared on the same runs, and the rule that chooses one is kept to."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lib_stability.profile import storage
from lib_stability.testbed.evidence import scores, tapes, written
from lib_stability.testbed.network.setting import Setting
from lib_stability.testbed.network.variants import MAIN

LEVELS = np.geomspace(14, 0.05, 12).astype(np.float32)


def runs(count: int, seed: int, copies: int = 0, shift: float = 3.0) -> tapes.Tape:
    """Made-up runs of norms near one; the difference of predictions tells the copies, nothing else does."""
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(1, 0.1, (count, len(LEVELS))).astype(np.float32) for name in tapes.COLUMNS}
    columns |= {"sigma": np.tile(LEVELS, (count, 1)), "guidance": np.full((count, len(LEVELS)), 7.5, np.float32)}
    columns["difference"][:copies] *= shift
    columns["turn"][:, 0] = np.nan
    kinds = np.array(["long"] * copies + [tapes.ORDINARY] * (count - copies))
    return tapes.Tape(columns, kinds, kinds == "long")


@pytest.fixture(scope="module")
def profile():
    return storage.read(MAIN.profile)


def test_what_tells_copies_is_found_and_chosen(profile, tmp_path, monkeypatch):
    monkeypatch.setattr(scores, "reference", lambda bed, setting, number, tick: runs(60, 10 + number))
    settings = []
    for number, setting in enumerate((Setting(), Setting(negative="words", probe=True))):
        path = tmp_path / f"{number}.npz"
        runs(80, number, 20).save(path, {})
        settings.append((setting, path))
    result = scores.measure(None, profile, settings, tmp_path / "out", tmp_path)
    by = {(one["detector"], one["statistic"]): one for one in result["summary"]}
    for detector in ("watch", "probe"):
        assert by[detector, "difference of predictions"]["auc_worst"] == 1.0 and by[detector, "difference of predictions"]["met"] == 1.0
        assert by[detector, "clean norm"]["auc_worst"] < 0.9, "it knows nothing of these copies"
        assert result["chosen"][detector].startswith("difference")
    assert json.loads((tmp_path / "out/scores.json").read_text()) == json.loads(written.text(result))
    assert (
        "difference of predictions **(chosen)**" in (tmp_path / "out/scores.md").read_text()
        or "evaluation **(chosen)**" in (tmp_path / "out/scores.md").read_text()
    )
    assert len(list(tmp_path.glob("reference-*.npz"))) == len(scores.SAMPLERS), "what it sampled is kept"


def test_looks_are_where_their_names_say(profile):
    found = scores.statistics(profile, scores.further([runs(60, 5)]), Setting(), runs(4, 1))
    looked = {name: np.flatnonzero(np.isfinite(each).any(0)).tolist() for name, each in found.items()}
    assert looked["rate, last evaluation"] == [11] and looked["rate, first evaluation"] == [0] and looked["rate at three looks"] == [0, 1, 11]
    assert looked["change of the difference"] == list(range(1, 12)) and looked[scores.GUARD] == list(range(12))
    probed = scores.statistics(profile, scores.further([runs(60, 5)]), Setting(negative="words", probe=True), runs(4, 1))
    assert np.flatnonzero(np.isfinite(probed[scores.GUARD]).any(0)).tolist() == [0, 1, 11]


def test_the_rule_of_choice():
    def one(name, tpr, worst):
        return {"statistic": name, "tpr_mean": tpr, "auc_worst": worst}

    assert scores.chosen([one("a", 0.990, 0.98), one("b", 0.987, 0.99), one("c", 0.98, 1.0)]) == "b", "within half a point the steadier one"
