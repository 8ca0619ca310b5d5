"""The guard on the trained testbed: it has memorized, the guard sees it, damping prevents the copy and leaves the rest alone."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from lib_stability import ranking
from lib_stability.guard.damping import Damping
from lib_stability.guard.options import Options
from lib_stability.guard.sensitivity import thresholds
from lib_stability.profile import storage
from lib_stability.shell import cli
from lib_stability.testbed.evidence import damping, detection, evaluate, evaluation_rows, tables
from lib_stability.testbed.network import model
from lib_stability.testbed.network.setting import EVALUATION_SEED, Setting
from lib_stability.testbed.world import attributes, judge
from lib_stability.testbed.world.captions import memorized, ordinary_samples
from lib_stability.trail import infotext

SEED = EVALUATION_SEED + 50_000_000
WHOLE = [item for item in memorized() if item.kind == "whole"]


@cache
def bed():
    return model.Testbed.load()


@cache
def profile():
    return storage.read(cli.TESTBED_PROFILE)


@cache
def unguarded():
    return damping.generate(bed(), [item.caption for item in WHOLE], Setting(), SEED)


@cache
def guarded():
    return damping.generate(bed(), [item.caption for item in WHOLE], Setting(), SEED, profile(), Options("damp"))


@cache
def truly_ordinary():
    return damping.truly_ordinary(bed(), [caption for caption, _ in ordinary_samples(72, SEED + 2, "evaluation")], SEED + 4)


def test_an_ordinary_caption_that_hands_out_a_memorized_picture_is_not_an_ordinary_run():
    kept, dropped = truly_ordinary()
    assert len(kept) + len(dropped) == 72 and len(dropped) <= 3
    for caption in dropped:
        close = [set(caption.split()) & set(item.caption.split()) for item in WHOLE]
        assert max(map(len, close)) >= 2, "it shares words with a memorized caption"


def test_the_weights_are_small_enough_to_be_cloned():
    assert model.WEIGHTS.stat().st_size + attributes.WEIGHTS.stat().st_size < 20_000_000


def test_memorized_captions_reproduce_their_picture():
    assert judge.copies(unguarded().pixels, "whole").float().mean() > 0.95


def test_every_copy_is_flagged_early_and_by_the_watch():
    verdicts = guarded().verdicts
    assert all(verdict.flagged for verdict in verdicts)
    assert np.median([verdict.flagged_at for verdict in verdicts]) <= 3
    assert {verdict.detector for verdict in verdicts} == {"watch"}


def test_damping_prevents_the_copies():
    assert judge.copies(guarded().pixels, "whole").float().mean() <= 0.03


def test_radial_damping_alone_does_not():
    radial = damping.generate(bed(), [item.caption for item in WHOLE], Setting(), SEED, profile(), Options("damp", damping=Damping("radial")))
    assert judge.copies(radial.pixels, "whole").float().mean() > 0.5


def test_ordinary_images_pass_bit_identical():
    captions = [caption for caption, _ in ordinary_samples(48, SEED, "evaluation")]
    plain = damping.generate(bed(), captions, Setting(), SEED + 1)
    watched = damping.generate(bed(), captions, Setting(), SEED + 1, profile(), Options("damp"))
    kept = torch.tensor([not verdict.flagged for verdict in watched.verdicts])
    assert kept.float().mean() >= 0.95
    assert torch.equal(plain.latents[kept], watched.latents[kept])


@pytest.mark.parametrize("setting", [Setting(guidance=1.0), Setting(negative="words")])
def test_what_the_watch_cannot_judge_is_not_called_stable(setting):
    runs = detection.run(bed(), profile(), [item.caption for item in WHOLE[:4]], setting, SEED)
    row = detection.row(setting, "whole", profile(), runs, runs)
    assert row["not_judged"] == 1.0 and row["auc"] is None
    guard = damping.generate(bed(), [WHOLE[0].caption], setting, SEED, profile(), Options("report"))
    assert guard.verdicts[0].flagged, "the probe steps in on its own"


@pytest.mark.parametrize("setting", [Setting(), Setting(guidance=1.0, negative="words", probe=True), Setting("DPM++ 2M", "karras", 20, 6.0)])
def test_memorized_and_ordinary_captions_are_told_apart(setting):
    ordinary, _ = truly_ordinary()
    positive = detection.run(bed(), profile(), [item.caption for item in WHOLE], setting, SEED + 3)
    negative = detection.run(bed(), profile(), ordinary, setting, SEED + 4)
    row = detection.row(setting, "whole", profile(), positive, negative)
    assert row["auc"] >= 0.995 and row["auc_after_3"] >= 0.99
    assert row["levels"]["medium"]["caught"] >= 0.95 and row["levels"]["medium"]["false_alarms"] <= 0.06
    assert row["extra_evaluations"] <= 3


def test_a_later_look_finds_what_the_first_does_not():
    """Two memorized captions in one: it leaves the region at the fourth evaluation only, and a negative prompt leaves it to the probe."""
    setting = Setting(negative="words", probe=True)
    done = damping.generate(
        bed(), ["alice large pink triangle anna large blue triangle"], setting, 1, profile(), Options("damp"), negatives=["forest"]
    )
    (verdict,) = done.verdicts
    assert verdict.flagged and verdict.detector == "probe" and verdict.flagged_at == 4
    assert not judge.copies(done.pixels, "whole").any()


def test_rank_statistics_against_plain_loops():
    rng = np.random.default_rng(0)
    positive, negative = np.round(rng.normal(1, 1, 40), 1), np.round(rng.normal(0, 1, 60), 1)
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert ranking.auc(positive, negative) == pytest.approx(np.mean(pairs))
    best = max((positive > t).mean() for t in np.r_[negative, positive] if (negative > t).mean() <= 0.05)
    assert ranking.tpr_at(positive, negative, 0.05) == pytest.approx(best)


def test_evaluate_writes_what_it_promises(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "POLICIES", [Damping(), Damping("radial")])
    size = evaluation_rows.Size(
        1, 12, 1, [Setting(steps=4), Setting(steps=4, guidance=1.0)], [Setting(steps=4, negative="word", probe=True)], [], [Setting(steps=4)]
    )
    result = evaluate.evaluate(size, tmp_path, profile(), bed())
    assert json.loads((tmp_path / "evaluate.json").read_text()) == json.loads(json.dumps(result))
    for row in result["detection"]:
        assert {
            "kind",
            "sampler",
            "schedule",
            "steps",
            "guidance",
            "negative",
            "probe",
            "runs",
            "auc",
            "tpr_at_1pct_fpr",
            "auc_after_3",
            "levels",
        } <= set(row)
        if row["auc"] is not None:
            assert {"low", "medium", "high"} <= set(row["levels"])
            assert all(0 <= rate <= 1 for level in row["levels"].values() for rate in level.values())
    for row in result["damping"]:
        assert {"policy", "default", "sampler", "guidance", "copies_before", "copies_after", "copies_by_chance", "attributes"} <= set(row)
        assert {"attributes_ordinary", "error", "error_ordinary", "unflagged_changed"} <= set(row) and row["unflagged_changed"] == 0
    assert sum(row["default"] for row in result["damping"]) == 2
    for name in ("trajectories.png", "damping.png"):
        assert Image.open(tmp_path / name).size[0] > 400
    assert "not judged" in tables.detection(result["detection"]) and "reword" in tables.damping(result["damping"])


def test_processes_that_share_the_rows_find_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "draw", lambda *a: None)
    size = evaluation_rows.Size(
        1, 6, 1, [Setting(steps=2)], [Setting(steps=2, negative="word", probe=True)], [Setting(steps=2)], [Setting(steps=2)], 1
    )
    alone, shared = (evaluate.evaluate(size, tmp_path / str(jobs), profile(), bed(), jobs=jobs) for jobs in (1, 2))
    assert [len(shared[part]) for part in evaluate.PARTS] == [3, 2]
    for part in evaluate.PARTS:
        for one, other in zip(alone[part], shared[part]):
            assert list(one) == list(other)
            assert [one[key] for key in ("kind", "sampler")] == [other[key] for key in ("kind", "sampler")]
    # The number of threads may change a sum's last bits.
    for one, other in zip(alone["damping"], shared["damping"]):
        assert one["error"] == pytest.approx(other["error"], rel=0.02) and one["error_ordinary"] == pytest.approx(other["error_ordinary"], rel=0.02)
    for one, other in zip(alone["detection"], shared["detection"]):
        assert one["auc"] == pytest.approx(other["auc"], abs=0.02) and one["extra_evaluations"] == other["extra_evaluations"]


def test_the_demo_writes_pictures_with_infotext_and_a_montage(tmp_path, capsys):
    caption = WHOLE[0].caption
    arguments = ["demo", "--out", str(tmp_path), "--steps", "12", "--prompt", caption, "--prompt", "small green heart"]
    assert cli.main(arguments) == 0
    table = capsys.readouterr().out
    assert caption in table and any(word in table for word in ("strong", "mild"))
    assert thresholds(profile().watch).describe() in table, "judged by another profile"
    assert Image.open(tmp_path / "montage.png").size[0] > 300
    pictures = sorted(tmp_path.glob("00-*.png"))
    assert [path.name.split("-")[-1] for path in pictures] == ["guarded.png", "map.png", "unguarded.png"]
    texts = [infotext.parse_text(Image.open(path).text["parameters"]) for path in pictures if not path.name.endswith("map.png")]
    settings, verdict, _ = infotext.read(texts[0][2])
    assert texts[0][0] == caption and settings.enabled and settings.mode == "damp"
    assert verdict.flagged and verdict.damped > 0 and verdict.evaluations == 12
    assert not any(key.startswith("MG") for key in texts[1][2]), "without the guard there is no key"
