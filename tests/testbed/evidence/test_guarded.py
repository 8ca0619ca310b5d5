"""The guard on the trained testbed: it has memorized, the guard sees it, damping prevents the copy and leaves the rest alone."""

from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from lib_stability.guard.damping import Damping
from lib_stability.guard.options import Options
from lib_stability.guard.sensitivity import thresholds
from lib_stability.profile import storage
from lib_stability.shell import cli
from lib_stability.testbed import demo
from lib_stability.testbed.evidence import damping, detection, tapes
from lib_stability.testbed.network import model
from lib_stability.testbed.network.setting import EVALUATION_SEED, Setting, memorized_captions
from lib_stability.testbed.world import judge
from lib_stability.testbed.world.kinds import memorized, ordinary_samples
from lib_stability.trail import infotext

SEED = EVALUATION_SEED + 50_000_000
#: Kinds of which nearly every run is a copy.
SURE = ("conjunction", "trigger", "long", "captions", "template")
CAPTIONS = [text for number, kind in enumerate(SURE) for text in memorized_captions(kind, 1, SEED + number)[0][:4]]


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
    return damping.truly_ordinary(bed(), [caption for caption, _ in ordinary_samples(36, SEED + 2, "evaluation")], SEED + 4)


def test_how_damped_runs_ended_is_counted_with_their_copies():
    found = damping.outcomes(guarded(), memorized())
    assert sum(runs for runs, _ in found.values()) == sum(verdict.damped > 0 for verdict in guarded().verdicts) > 0
    assert all(copies <= runs for runs, copies in found.values())
    nobody = damping.Pictures(guarded().latents, unguarded().pixels, guarded().verdicts)
    assert sum(copies for _, copies in damping.outcomes(nobody, memorized()).values()) >= 0.8 * len(CAPTIONS)


def test_an_ordinary_caption_that_hands_out_a_memorized_picture_is_not_an_ordinary_run():
    kept, dropped = truly_ordinary()
    assert len(kept) + len(dropped) == 36 and len(dropped) <= 7


def test_memorized_captions_reproduce_their_picture():
    assert copied(unguarded()).float().mean() >= 0.95


def test_copies_are_flagged_early_and_by_the_watch():
    verdicts = [verdict for verdict, copy in zip(guarded().verdicts, copied(unguarded())) if copy]
    assert np.mean([verdict.flagged for verdict in verdicts]) >= 0.95
    assert np.median([verdict.flagged_at for verdict in verdicts if verdict.flagged]) <= 3
    assert {verdict.detector for verdict in verdicts if verdict.flagged} == {"watch"}


def test_damping_prevents_the_copies():
    assert copied(guarded()).float().mean() <= 0.05


def test_radial_damping_alone_does_not():
    assert copied(damping.generate(bed(), CAPTIONS, Setting(), SEED, profile(), Options("damp", damping=Damping("radial")))).float().mean() > 0.5


def test_ordinary_images_pass_bit_identical():
    captions = [caption for caption, _ in ordinary_samples(24, SEED, "evaluation")]
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


@pytest.mark.parametrize(
    "setting", [Setting(), Setting(steps=12, guidance=1.0, negative="words", probe=True), Setting("DPM++ 2M", "karras", 12, 6.0)]
)
def test_memorized_and_ordinary_captions_are_told_apart(setting):
    ordinary, _ = truly_ordinary()
    captions, ordinary = CAPTIONS[::2], ordinary[:24]
    names = ["memorized"] * len(captions) + [tapes.ORDINARY] * len(ordinary)
    first, last = judged(setting, [*captions, *ordinary], names, SEED + 3)
    assert first["copies"] > 0.8 and last["copies"] < 0.1 and first["ordinary_runs"] + first["ordinary_that_copy"] == len(ordinary)
    assert first["auc"] >= 0.99 and first["auc_after_3"] >= 0.98
    assert first["levels"]["medium"]["caught"] >= 0.95 and first["levels"]["medium"]["false_alarms"] <= 0.06
    assert first["extra_evaluations"] <= 3


def test_the_demo_writes_pictures_with_infotext_and_a_montage(tmp_path, capsys, monkeypatch):
    caption, mapped, save = CAPTIONS[0], [], demo._save_map
    monkeypatch.setattr(demo, "_save_map", lambda path, pixels, found: mapped.append(found) or save(path, pixels, found))
    arguments = ["demo", "--out", str(tmp_path), "--steps", "12", "--prompt", caption, "--prompt", "small green heart"]
    assert cli.main(arguments) == 0
    table = capsys.readouterr().out
    assert caption in table and any(word in table for word in ("strong", "mild"))
    assert thresholds(profile().watch).describe() in table, "judged by another profile"
    assert Image.open(tmp_path / "montage.png").size[0] > 300
    assert mapped[0].share > 0.9, "the map is of the unguarded picture that it is drawn over, and all of that is copied"
    pictures = sorted(tmp_path.glob("00-*.png"))
    assert [path.name.split("-")[-1] for path in pictures] == ["guarded.png", "map.png", "unguarded.png"]
    texts = [infotext.parse_text(Image.open(path).text["parameters"]) for path in pictures if not path.name.endswith("map.png")]
    settings, verdict, _ = infotext.read(texts[0][2])
    assert texts[0][0] == caption and settings.enabled and settings.mode == "damp"
    assert verdict.flagged and verdict.damped > 0 and verdict.evaluations == 12
    assert not any(key.startswith("MG") for key in texts[1][2]), "without the guard there is no key"
