"""A field trial of the web UI in small from beginning to end, as somebody with a checkpoint runs it."""

from __future__ import annotations

import csv
import json

import pytest

from lib_stability.shell import cli
from lib_stability.testbed.world import wording
from lib_stability.testbed.world.captions import NAMES
from lib_stability.testbed.world.kinds import TRIGGERS, memorized, ordinary_samples
from lib_stability.trail.infotext import parse_text, read
from lib_stability.webui.job.library import LIBRARY

WHOLE = [item.caption for item in memorized() if item.kind in ("conjunction", "trigger", "long", "captions")]
#: Objects that a memorized picture shows: ordinary captions of these may hand it out.
SHOWN = {(scene.colour, scene.shape) for item in memorized() if item.kind != "template" for scene in item.pictures}
SIZE = ("--width", "128", "--height", "128", "--steps", "10")


def is_far(caption: str) -> bool:
    """Whether a caption seldom hands out a memorized picture: it names an object that none shows, and nobody."""
    asked, words = wording.asked(caption), set(caption.split())
    return {"colour", "shape"} <= set(asked) and (asked["colour"], asked["shape"]) not in SHOWN and not words & {*NAMES, *TRIGGERS}


@pytest.fixture
def files(tmp_path):
    with (tmp_path / "memorized.jsonl").open("w") as file:
        file.writelines(json.dumps({"caption": caption, "index": 7, "url": "http://x.example/"}) + "\n" for caption in WHOLE)
    with (tmp_path / "ordinary.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["id", "Prompt"], *enumerate([caption for caption, _ in ordinary_samples(99, 7, "evaluation") if is_far(caption)][:12])]
        )
    return "--memorized", str(tmp_path / "memorized.jsonl"), "--ordinary", str(tmp_path / "ordinary.csv")


def trial(server, files, out, *more) -> int:
    return cli.main(["trial", "--webui-url", server, *files, "--out", str(out), *SIZE, *more])


def test_a_trial_of_this_host(server, options, files, tmp_path, capsys):
    out, shared = tmp_path / "out", tmp_path / "shared.json"
    assert (
        trial(
            server, files, out, "--prompts", "2", "--seeds", "2", "--guidance", "7.5", "--negative", "", "--negative", "fog", "--share", str(shared)
        )
        == 0
    )
    said = capsys.readouterr()
    assert "about" in said.err and "AUC" in said.out
    found = json.loads((out / "trial.json").read_text())
    assert found["images"]["done"] == found["images"]["asked"] == 2 * (4 * 2 * 2 + 2 * 2)
    plain, negative = found["table"]
    for entry in (plain, negative):
        assert entry["auc"] == 1.0 and entry["flagged"]["memorized"] == 1.0 and entry["flagged"]["ordinary"] == 0.0 and entry["not_judged"] == 0.0
        assert entry["cost"]["damped"]["memorized"] > 0 and entry["cost"]["damped"]["ordinary"] == 0
    assert plain["cost"]["looks"] == 0 and negative["cost"]["looks"] >= 2  # a negative prompt leaves it to the probe
    assert found["profiles"] == {"before": ["bundled calibration, 1535 runs"]}
    page = (out / "trial.html").read_text()
    assert page.index(WHOLE[0]) < page.index("class='stable'") and page.count("<img") == 32
    assert WHOLE[0] not in shared.read_text() and "fog" not in shared.read_text()
    assert cli.main(["trial", "--merge", str(shared), str(shared), "--out", str(tmp_path)]) == 0
    assert "2 trials, 1 checkpoints" in (tmp_path / "trials.md").read_text()


def test_its_rows_are_what_a_job_of_the_host_says(server, options, files, tmp_path, generate):
    assert trial(server, files, tmp_path / "out", "--prompts", "1", "--seeds", "2", "--mode", "report") == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text().splitlines()]
    (row,) = [row for row in rows if row["set"] == "memorized" and row["seed"] == 2]
    done = generate({"sensitivity": "medium"}, prompt=WHOLE[0], seed=1, batch_size=2, width=128, height=128, steps=10, cfg_scale=7.5)
    verdict = read(parse_text(done.infotexts[done.index_of_first_image + 1])[2])[1]
    assert (row["verdict"], row["score"], row["flagged_at"]) == (verdict.verdict, verdict.score, verdict.flagged_at)
    image = generate.last()["images"][1]["first"]
    assert row["levels"]["medium"] == pytest.approx(max(one["watch"] for one in image["trajectory"]) / image["threshold"], rel=1e-3)
    assert row["evaluations"] == len(image["trajectory"]) == 10


def test_before_and_after_a_calibration_by_a_command(server, options, files, tmp_path, monkeypatch):
    monkeypatch.setattr(LIBRARY, "folders", (*LIBRARY.folders, tmp_path / "profiles"))
    options.set("memorization_guard_profile", "Auto")
    assert trial(server, files, tmp_path / "out", "--prompts", "1", "--seeds", "1", "--mode", "report", "--calibrate", "20", "--batch-size", "8") == 0
    found = json.loads((tmp_path / "out" / "trial.json").read_text())
    assert [entry["phase"] for entry in found["table"]] == ["before", "after"]
    assert found["profiles"]["after"][0].startswith("own trial, ") and found["profiles"]["before"] != found["profiles"]["after"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--sampler", "Magic"], "no sampler 'Magic'"),
        (["--originals", "/nowhere"], "holds no picture"),
        (["--memorized", "/nowhere.txt"], "nowhere.txt"),
        (["--ordinary", "{memorized}"], "stand in both files"),
        (["--calibrate", "20", "--calibration-prompts", "{memorized}"], "1 of its prompts are tried as well"),
    ],
)
def test_bad_use_in_one_line(server, options, files, tmp_path, capsys, more, said):
    assert (
        trial(
            server, files, tmp_path / "out", "--prompts", "1", "--seeds", "1", "--mode", "report", *(one.format(memorized=files[1]) for one in more)
        )
        == 2
    )
    assert said in capsys.readouterr().err.strip().splitlines()[-1]


def test_an_estimate_makes_nothing(server, options, files, tmp_path, capsys):
    assert trial(server, files, tmp_path / "out", "--estimate") == 0
    assert "images to make" in capsys.readouterr().err and not (tmp_path / "out" / "rows.jsonl").exists()
