"""Pictures that were made without the guard get a verdict afterwards, from the host that made them."""

from __future__ import annotations

import csv
import json

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lib_stability.shell import cli
from lib_stability.testbed.world.kinds import memorized

MEMORIZED = [item.caption for item in memorized() if item.kind in ("conjunction", "trigger", "long", "captions")]
FULL = {"width": 128, "height": 128, "steps": 12, "do_not_save_samples": False}
BIG_SEED = 4_000_000_011


@pytest.fixture
def pictures(generate, tmp_path):
    """Made with the guard off: a copy and an ordinary one, the latter with a seed as the host draws them."""
    generate(None, prompt=MEMORIZED[0], seed=3, **FULL)
    generate(None, prompt="small blue square", seed=BIG_SEED, **FULL)
    generate({}, prompt=MEMORIZED[1], seed=5, **FULL)
    return tmp_path


def judged(server, pictures, out, *more) -> tuple[int, dict[str, dict]]:
    status = cli.main(["scan", "--webui-url", server, "--pictures", str(pictures), "--out", str(out), *more])
    path = out / "pictures.csv"
    rows = list(csv.DictReader(path.open(encoding="utf-8"))) if path.exists() else []
    return status, {row["prompt"]: row for row in rows}


def test_what_was_made_without_the_guard_is_judged(server, options, pictures, tmp_path_factory, generate, capsys):
    out = tmp_path_factory.mktemp("out")
    status, rows = judged(server, pictures, out)
    assert status == 0 and len(rows) == 3
    copy, ordinary, known = (rows[prompt] for prompt in (MEMORIZED[0], "small blue square", MEMORIZED[1]))
    assert copy["verdict"] in ("mild", "strong") and copy["said"] == "no verdict"
    assert ordinary["verdict"] == "stable" and known["said"] in ("mild", "strong")
    assert "1 of the flagged had no flag before" in capsys.readouterr().out
    # It is the noise that the picture was made from: the probe's first look at a generation sees the same.
    for prompt, seed in ((MEMORIZED[0], 3), ("small blue square", BIG_SEED)):
        generate({"probe": "always"}, prompt=prompt, seed=seed, **FULL | {"do_not_save_samples": True})
        first = generate.last()["images"][0]["first"]["trajectory"][0]["probe"]
        assert float(rows[prompt]["score"]) == pytest.approx(first, rel=0.02, abs=0.02)
    page = (out / "pictures.html").read_text()
    assert page.count("data:image/jpeg") == 3 and page.index(MEMORIZED[0]) < page.index("small blue square")
    lines = (out / "pictures.jsonl").read_text().splitlines()
    assert judged(server, pictures, out)[1] == rows and (out / "pictures.jsonl").read_text().splitlines() == lines
    (out / "pictures.jsonl").write_text("\n".join(lines[:2]) + "\n" + lines[2][:30] + "\n")
    assert judged(server, pictures, out)[1] == rows and len((out / "pictures.jsonl").read_text().splitlines()) == 4


def test_pictures_of_other_checkpoints_are_left_alone_unless_wanted(server, options, pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    assert judged(server, pictures, out)[0] == 0
    entries = [json.loads(line) for line in (out / "pictures.jsonl").read_text().splitlines()]
    for entry in entries:
        entry["about"]["checkpoint"] = "another"
    (out / "pictures.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    _, rows = judged(server, pictures, out)
    named = [row for row in rows.values() if "made with another checkpoint" in row["note"]]
    assert len(named) == 3 and all(row["verdict"] == "not judged" for row in named)
    assert not any("another checkpoint" in row["note"] for row in judged(server, pictures, out, "--any-checkpoint")[1].values())


def test_networks_that_are_not_here_keep_only_their_own_picture_from_a_verdict(server, options, generate, tmp_path, tmp_path_factory):
    generate(None, prompt="small blue square", seed=4, **FULL)
    info = PngInfo()
    info.add_text("parameters", "big red circle <lora:nowhere:1>\nSteps: 4, Sampler: Euler, Seed: 4, Size: 128x128, Model: testbed")
    Image.new("RGB", (8, 8)).save(tmp_path / "00.png", pnginfo=info)
    status, rows = judged(server, tmp_path, tmp_path_factory.mktemp("out"))
    assert status == 0 and rows["small blue square"]["verdict"] == "stable"
    missing = rows["big red circle <lora:nowhere:1>"]
    assert missing["verdict"] == "not judged" and "nowhere" in missing["note"]


@pytest.mark.parametrize("more", [["--pictures", "/nowhere"], ["captions.txt", "--pictures", "."], []])
def test_bad_use_in_one_line(server, tmp_path, capsys, more):
    assert cli.main(["scan", "--webui-url", server, "--out", str(tmp_path), *more]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
