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
from lib_stability.testbed.evidence import damping, detection, evaluate, evaluation_rows, tables, tapes
from lib_stability.testbed.network import model
from lib_stability.testbed.network.setting import EVALUATION_SEED, Setting, memorized_captions
from lib_stability.testbed.world import judge
from lib_stability.testbed.world.kinds import KINDS, memorized, ordinary_samples
from lib_stability.trail import infotext

SEED = EVALUATION_SEED + 50_000_000
#: Kinds of which nearly every run is a copy.
SURE = ("conjunction", "trigger", "long", "captions", "template")
CAPTIONS = [text for number, kind in enumerate(SURE) for text in memorized_captions(kind, 1, SEED + number)[0]]


@cache
def bed():
    return model.Testbed.load()


@cache
def profile():
    return storage.read(cli.TESTBED_PROFILE)


def copied(pictures):
    return judge.any_copies(pictures.pixels, memorized())


@cache
def unguarded():
    return damping.generate(bed(), CAPTIONS, Setting(), SEED)


@cache
def guarded():
    return damping.generate(bed(), CAPTIONS, Setting(), SEED, profile(), Options("damp"))


@cache
def truly_ordinary():
    return damping.truly_ordinary(bed(), [caption for caption, _ in ordinary_samples(72, SEED + 2, "evaluation")], SEED + 4)


def test_an_ordinary_caption_that_hands_out_a_memorized_picture_is_not_an_ordinary_run():
    kept, dropped = truly_ordinary()
    assert len(kept) + len(dropped) == 72 and len(dropped) <= 12


def test_memorized_captions_reproduce_their_picture():
    assert copied(unguarded()).float().mean() > 0.95


def test_copies_are_flagged_early_and_by_the_watch():
    verdicts = [verdict for verdict, copy in zip(guarded().verdicts, copied(unguarded())) if copy]
    assert np.mean([verdict.flagged for verdict in verdicts]) >= 0.97
    assert np.median([verdict.flagged_at for verdict in verdicts if verdict.flagged]) <= 3
    assert {verdict.detector for verdict in verdicts if verdict.flagged} == {"watch"}


def test_damping_prevents_the_copies():
    assert copied(guarded()).float().mean() <= 0.05


def test_radial_damping_alone_does_not():
    assert copied(damping.generate(bed(), CAPTIONS, Setting(), SEED, profile(), Options("damp", damping=Damping("radial")))).float().mean() > 0.5


def test_ordinary_images_pass_bit_identical():
    captions = [caption for caption, _ in ordinary_samples(48, SEED, "evaluation")]
    plain = damping.generate(bed(), captions, Setting(), SEED + 1)
    watched = damping.generate(bed(), captions, Setting(), SEED + 1, profile(), Options("damp"))
    kept = torch.tensor([not verdict.flagged for verdict in watched.verdicts])
    assert (kept | copied(plain)).float().mean() >= 0.95
    assert torch.equal(plain.latents[kept], watched.latents[kept])


def judged(setting, captions, names, seed):
    taken = tapes.taken(bed(), captions, names, setting, seed)
    return list(detection.rows(setting, profile(), taken.kinds, detection.judged(profile(), setting, taken)))


@pytest.mark.parametrize("setting", [Setting(guidance=1.0), Setting(negative="words")])
def test_what_the_watch_cannot_judge_is_not_called_stable(setting):
    (row,) = judged(setting, CAPTIONS[:4], ["conjunction"] * 4, SEED)
    assert row["not_judged"] == 1.0 and row["auc"] is None and row["detector"] == "" and row["levels"] == {}
    guard = damping.generate(bed(), CAPTIONS[:1], setting, SEED, profile(), Options("report"))
    assert guard.verdicts[0].flagged, "the probe steps in on its own"


@pytest.mark.parametrize("setting", [Setting(), Setting(guidance=1.0, negative="words", probe=True), Setting("DPM++ 2M", "karras", 20, 6.0)])
def test_memorized_and_ordinary_captions_are_told_apart(setting):
    ordinary, _ = truly_ordinary()
    names = ["memorized"] * len(CAPTIONS) + [tapes.ORDINARY] * len(ordinary)
    first, last = judged(setting, [*CAPTIONS, *ordinary], names, SEED + 3)
    assert first["copies"] > 0.8 and last["copies"] < 0.1 and first["ordinary_runs"] + first["ordinary_that_copy"] == len(ordinary)
    assert first["auc"] >= 0.99 and first["auc_after_3"] >= 0.98
    assert first["levels"]["medium"]["caught"] >= 0.95 and first["levels"]["medium"]["false_alarms"] <= 0.06
    assert first["extra_evaluations"] <= 3


def made_up(profile, copies):
    """Six runs, scores in the watch's own units: two memorized ones flagged early, one late, one not; two ordinary ones."""
    limit = thresholds(profile.watch, "medium").mild
    watch = np.zeros((6, 8))
    watch[:2, 0], watch[2, 7], watch[5, 3] = 2 * limit, 2 * limit, 3 * limit
    return detection.Runs(watch, np.full((6, 8), np.nan), np.array(copies))


def test_pictures_say_what_a_copy_is():
    """An ordinary run that hands out a memorized picture is no false alarm, a memorized caption's run that does not is none that was missed."""
    names = np.array(["long"] * 4 + [tapes.ORDINARY] * 2)
    first, last = detection.rows(Setting(), profile(), names, made_up(profile(), [True, True, True, False, False, True]))
    assert (first["kind"], first["runs"], first["copies"], first["ordinary_runs"], first["ordinary_that_copy"]) == ("long", 4, 0.75, 1, 1)
    assert first["auc"] == 1.0 and first["levels"]["medium"] == {"false_alarms": 0.0, "caught": 1.0}
    assert first["caught_early"] == pytest.approx(2 / 3), "one was flagged at the last evaluation only"
    assert last["copies"] == 0.5 and last["auc"] is None, "one copy says nothing"
    (first, _) = detection.rows(Setting(), profile(), names, made_up(profile(), [True, True, True, False, False, False]))
    assert first["levels"]["medium"] == {"false_alarms": 0.5, "caught": 1.0}


def test_rank_statistics_against_plain_loops():
    rng = np.random.default_rng(0)
    positive, negative = np.round(rng.normal(1, 1, 40), 1), np.round(rng.normal(0, 1, 60), 1)
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert ranking.auc(positive, negative) == pytest.approx(np.mean(pairs))
    best = max((positive > t).mean() for t in np.r_[negative, positive] if (negative > t).mean() <= 0.05)
    assert ranking.tpr_at(positive, negative, 0.05) == pytest.approx(best)


def test_evaluate_writes_what_it_promises(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "POLICIES", [Damping(), Damping("radial")])
    watch, probe = [Setting(steps=4), Setting(steps=4, guidance=1.0)], [Setting(steps=4, negative="word", probe=True)]
    size = evaluation_rows.Size(1, 12, 1, watch, probe, [Setting(steps=4)])
    result = evaluate.evaluate(size, tmp_path, profile(), bed())
    assert json.loads((tmp_path / "evaluate.json").read_text()) == json.loads(json.dumps(result))
    assert [row["kind"] for row in result["detection"]] == [*KINDS, "ordinary"] * 3
    for row in result["detection"]:
        assert {"sampler", "schedule", "steps", "guidance", "negative", "probe", "runs", "copies", "ordinary_runs", "ordinary_that_copy"} <= set(row)
        assert {"auc", "tpr_at_1pct_fpr", "auc_after_3", "levels"} <= set(row) and 0 <= row["copies"] <= 1
        assert (row["not_judged"] == 1) == (row["guidance"] == 1.0)
        for level in ("low", "medium", "high") if row["auc"] is not None else ():
            assert all(0 <= rate <= 1 for rate in row["levels"][level].values())
    assert [(row["kind"], row["policy"]) for row in result["damping"]] == [(kind, policy) for kind in KINDS for policy in ("reword", "radial")]
    for row in result["damping"]:
        assert {"policy", "default", "sampler", "guidance", "copies_before", "copies_after", "copies_by_chance", "attributes"} <= set(row)
        assert {"attributes_ordinary", "error", "error_ordinary", "unflagged_changed"} <= set(row) and row["unflagged_changed"] == 0
    for name in ("trajectories.png", "damping.png"):
        assert Image.open(tmp_path / name).size[0] > 400
    assert "not judged" in tables.detection(result["detection"]) and "reword" in tables.damping(result["damping"])


SMALLEST = evaluation_rows.Size(1, 6, 1, [Setting(steps=2)], [Setting(steps=2, negative="word", probe=True)], [Setting(steps=2)], 1)


def test_an_interrupted_evaluation_goes_on_and_other_code_starts_afresh(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "draw", lambda *a: None)
    monkeypatch.setattr(evaluate, "PARTS", ("detection",))
    rows, made = evaluation_rows.Computer.rows, []

    def counted(self, part):
        if len(made) == 1:
            raise KeyboardInterrupt
        made.append(part)
        return rows(self, part)

    monkeypatch.setattr(evaluation_rows.Computer, "rows", counted)
    kept = evaluation_rows.Kept(tmp_path / "kept", "this code")
    with pytest.raises(KeyboardInterrupt):
        evaluate.evaluate(SMALLEST, tmp_path, profile(), bed(), kept=kept)
    monkeypatch.setattr(evaluation_rows.Computer, "rows", lambda self, part: made.append(part) or rows(self, part))
    result = evaluate.evaluate(SMALLEST, tmp_path, profile(), bed(), kept=kept)
    assert len(made) == len(set(made)) == 2 and len(result["detection"]) == 2 * (len(KINDS) + 1)
    assert evaluate.evaluate(SMALLEST, tmp_path, profile(), bed(), kept=kept)["detection"] == json.loads(json.dumps(result["detection"]))
    assert len(made) == 2, "all was there"
    evaluate.evaluate(SMALLEST, tmp_path, profile(), bed(), kept=evaluation_rows.Kept(tmp_path / "kept", "other code"))
    assert len(made) == 4


def test_processes_that_share_the_rows_find_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "draw", lambda *a: None)
    alone, shared = (evaluate.evaluate(SMALLEST, tmp_path / str(jobs), profile(), bed(), jobs=jobs) for jobs in (1, 2))
    assert [len(shared[part]) for part in evaluate.PARTS] == [2 * (len(KINDS) + 1), len(KINDS)]
    for part in evaluate.PARTS:
        for one, other in zip(alone[part], shared[part]):
            assert list(one) == list(other)
            assert [one[key] for key in ("kind", "sampler", "runs")] == [other[key] for key in ("kind", "sampler", "runs")]
    # The number of threads may change a sum's last bits.
    for one, other in zip(alone["damping"], shared["damping"]):
        assert one["error"] == pytest.approx(other["error"], rel=0.02) and one["error_ordinary"] == pytest.approx(other["error_ordinary"], rel=0.02)
    for one, other in zip(alone["detection"], shared["detection"]):
        assert one["extra_evaluations"] == other["extra_evaluations"] and one["copies"] == pytest.approx(other["copies"], abs=0.13)


def test_the_demo_writes_pictures_with_infotext_and_a_montage(tmp_path, capsys):
    caption = CAPTIONS[0]
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
