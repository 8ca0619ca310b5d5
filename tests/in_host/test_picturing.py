"""Pictures of a scan's worst captions: made by the host, over the task and from the command line, and held against the training pictures."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_calibrating import folder  # noqa: F401
from test_networks import known  # noqa: F401
from test_scanning import UNSEEN, run
from torch import nn

from lib_stability.pictures import figures
from lib_stability.testbed.world import judge
from lib_stability.testbed.world.kinds import memorized, ordinary_samples
from lib_stability.testbed.world.scenes import render
from lib_stability.validation import ValidationError
from lib_stability.webui.tasks import api_jobs, calibrating, picturing

SIZE = {"width": 128, "height": 128}
#: Four captions that the testbed has memorized, and eight ordinary ones, all with a picture.
COPIED = [(one.caption, one.scene) for one in memorized("conjunction")][:4]
OTHERS = ordinary_samples(8, 99, "evaluation")


def made(**body) -> dict:
    task = picturing.task(picturing.Options.parse({**SIZE, **body})).start()
    assert task.wait(300) and task.state == "done", task.to_json()
    return task.result


def opened(text: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def training_set(root: Path) -> Path:
    (root / "set").mkdir()
    for number, (caption, scene) in enumerate([*COPIED, *OTHERS]):
        figures.to_image(judge.to_pixels(render(scene))).save(root / "set" / f"{number:02}.png")
        (root / "set" / f"{number:02}.txt").write_text(caption, encoding="utf-8")
    return root / "set"


# -- task --------------------------------------------------------------------------------------------------------------------------------


def test_it_makes_what_the_host_makes(folder, host, generate):  # noqa: F811
    result = made(captions=UNSEEN[:2], count=2, first_seed=5, steps=8)
    assert [row["caption"] for row in result["rows"]] == UNSEEN[:2] and [one["seed"] for one in result["rows"][0]["pictures"]] == [5, 6]
    theirs = generate(None, prompt=UNSEEN[1], seed=6, steps=8, cfg_scale=7.0, sampler_name="Euler", **SIZE).images[0]
    found = [opened(one["picture"]) for row in result["rows"] for one in row["pictures"]]
    apart = [np.abs(one - np.asarray(theirs.convert("RGB")).astype(int)).mean() for one in found]
    assert apart[3] < 4 < min(apart[:3])  # it went through JPEG


def test_nothing_is_saved_or_judged(folder, host, options, tmp_path):  # noqa: F811
    from lib_stability.webui.job import last_job

    before = last_job.last()
    options.set("return_grid", True)
    assert len(made(captions=UNSEEN[:1], count=3, steps=4)["rows"][0]["pictures"]) == 3
    assert last_job.last() == before and not list(tmp_path.rglob("*.png"))


def test_networks_of_all_captions_and_of_one(folder, host, lora):  # noqa: F811
    mine = lora("mine")
    bare, own = made(captions=[UNSEEN[0], f"{UNSEEN[0]} {mine}"], count=1, steps=4)["rows"]
    assert (bare["networks"], own["networks"]) == ("", "mine 0.8")
    (all_of_them,) = made(captions=[UNSEEN[0]], count=1, steps=4, networks=mine)["rows"]
    first, second, third = (opened(one["pictures"][0]["picture"]) for one in (bare, own, all_of_them))
    assert np.abs(second - third).max() == 0 and np.abs(first - second).mean() > 5


@pytest.mark.parametrize("networks, said", [("<lora:nowhere:1>", "finds no network called 'nowhere'"), ("mine", "is not the tag of a network")])
def test_what_is_not_there_is_named(folder, host, lora, logged, networks, said):  # noqa: F811
    task = picturing.task(picturing.Options.parse({"captions": ["a"], "networks": networks, **SIZE})).start()
    assert task.wait(60) and task.state == "failed" and said in task.error
    logged.clear()


def test_it_ends_where_that_is_wished(folder, host):  # noqa: F811
    task = picturing.task(picturing.Options.parse({"captions": UNSEEN[:8], "count": 2, "steps": 150, "batch_size": 16, **SIZE})).start()
    evaluations = host.shared.sd_model.evaluations
    while host.shared.sd_model.evaluations < evaluations + 2:
        assert not task.wait(0.05)
    task.cancel()
    assert task.wait(30) and task.state == "cancelled" and host.shared.sd_model.evaluations < evaluations + 100


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "captions"),
        ({"captions": []}, "captions"),
        ({"captions": ["a"], "count": 17}, "count"),
        ({"captions": [str(number) for number in range(64)], "count": 3}, "captions"),
        ({"captions": ["a"], "steps": 1}, "steps"),
        ({"captions": ["a"], "guidance": 99}, "guidance"),
        ({"captions": ["a"], "width": 100}, "width"),
        ({"captions": ["a"], "seeds": 2}, "seeds"),
    ],
)
def test_bad_options_name_their_field(body, field):
    with pytest.raises(ValidationError, match=f"^{field}: "):
        picturing.Options.parse(body)


# -- command line ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(folder, server, tmp_path) -> list[str]:  # noqa: F811
    where = [str(training_set(tmp_path)), "--out", str(tmp_path / "out"), "--profile", "Testbed"]
    return ["scan", "--webui-url", server, *where, "--seeds", "1", "--width", "128", "--height", "128", "--generate", "2"]


def table(out: Path) -> dict[str, dict]:
    return {row["caption"]: row for row in csv.DictReader((out / "scan.csv").open(encoding="utf-8"))}


def test_a_scan_shows_what_it_makes_of_the_worst_beside_the_training_picture(asked, tmp_path, capsys):
    status, said, shown = run(capsys, *asked)
    assert status == 0, shown
    rows = table(tmp_path / "out")
    assert [rows[caption]["copies"] for caption, _ in COPIED] == ["2 of 2"] * 4
    assert sum(rows[caption]["copies"] == "0 of 2" for caption, _ in OTHERS) >= 7
    assert min(float(rows[caption]["likeness"]) for caption, _ in COPIED) > 0.9 and "copies: 2 of 2" in said
    page = (tmp_path / "out" / "scan.html").read_text(encoding="utf-8")
    # Twelve captions: a training picture and two that were made; the training pictures once more in the ranking.
    assert page.count("<figure") == 36 and page.count("<figure class='copy'") in (8, 9, 10) and page.count("<img") == 48
    assert "of 12 training pictures, by the autoencoder of testbed" in page and "one in a hundred unrelated" in page and "http" not in page
    # It goes on there: nothing is made twice, what is broken is made again.
    before = api_jobs.latest("pictures")
    assert run(capsys, *asked)[0] == 0 and api_jobs.latest("pictures") is before
    broken = sorted((tmp_path / "out" / "generated").iterdir())[0]
    whole = broken.read_bytes()
    broken.write_bytes(whole[:300])
    assert run(capsys, *asked)[0] == 0 and api_jobs.latest("pictures") is not before and broken.read_bytes() == whole
    assert len(api_jobs.latest("pictures").result["rows"]) == 1


def test_compared_by_sscd_where_its_file_is_given(asked, tmp_path, capsys):
    class Tiny(nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            small = nn.functional.adaptive_avg_pool2d(pictures, 8)
            return (small - small.mean((2, 3), keepdim=True)).flatten(1)

    torch.jit.script(Tiny()).save(str(tmp_path / "sscd_tiny.pt"))
    status, _, shown = run(capsys, *asked, "--sscd", str(tmp_path / "sscd_tiny.pt"))
    assert status == 0, shown
    assert "by sscd_tiny.pt" in (tmp_path / "out" / "scan.html").read_text(encoding="utf-8")
    assert [table(tmp_path / "out")[caption]["copies"] for caption, _ in COPIED] == ["2 of 2"] * 4
    status, _, shown = run(capsys, *asked, "--sscd", str(tmp_path / "nowhere.pt"))
    assert status == 2 and "nowhere.pt is no file" in shown


def test_captions_without_pictures_are_shown_without_likeness(asked, tmp_path, capsys):
    (tmp_path / "list.txt").write_text(f"{UNSEEN[0]}\n{COPIED[0][0]}", encoding="utf-8")
    asked[asked.index(str(tmp_path / "set"))] = str(tmp_path / "list.txt")
    assert run(capsys, *asked)[0] == 0
    page = (tmp_path / "out" / "scan.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 4 and "Nothing to compare them with" in page and "likeness" not in page
    assert {row["copies"] for row in table(tmp_path / "out").values()} == {""}


def test_networks_that_no_profile_knows_are_told_by_their_pictures(asked, tmp_path, capsys, lora):
    status, said, shown = run(capsys, *asked, "--networks", lora("mine", strength=0.001))
    assert status == 0, shown
    assert "None of 12 captions could be judged: networks that no profile knows (mine 0.8)" in said
    rows = table(tmp_path / "out")
    assert {row["verdict"] for row in rows.values()} == {"not judged"} and rows[COPIED[0][0]]["copies"] == "2 of 2"


def test_a_sweep_ranks_by_pictures(asked, tmp_path, capsys, lora):
    lora("mine-1", strength=50.0)  # what it paints resembles nothing
    lora("mine-2", strength=0.001)
    status, said, shown = run(capsys, *asked, "--each", str(tmp_path / "Lora" / "mine-*.safetensors"))
    assert status == 0, shown
    assert "From mine-2 on it copies: " in said and "of 24 pictures are copies there" in said
    rows = list(csv.DictReader((tmp_path / "out" / "sweep.csv").open(encoding="utf-8")))
    assert [row["network"] for row in rows] == ["mine-1", "mine-2"] and int(rows[0]["copies"]) <= 1 and 8 <= int(rows[1]["copies"]) <= 10
    assert "Copies among its pictures" in (tmp_path / "out" / "sweep.html").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "mine-2" / "scan.html").exists()


def test_a_calibration_that_fails_leaves_the_pictures(asked, tmp_path, capsys, lora, monkeypatch, logged):
    def weak(*_, **__):
        raise ValueError("refused: too weak")

    monkeypatch.setattr(calibrating, "fit_profile", weak)
    lora("mine-1", strength=0.001)
    status, said, shown = run(capsys, *asked, "--each", str(tmp_path / "Lora" / "mine-*.safetensors"), "--calibrate", "20")
    assert status == 1 and "mine-1: not judged, refused: too weak; " in said and "From mine-1 on it copies: " in said, shown
    assert "href='mine-1/scan.html'" in (tmp_path / "out" / "sweep.html").read_text(encoding="utf-8")
    logged.clear()


def test_another_checkpoint_meanwhile_is_said(asked, tmp_path, capsys, checkpoint):
    assert run(capsys, *asked[:-2])[0] == 0
    checkpoint("other", "sd1")
    lines = (tmp_path / "out" / "scan.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0])["about"]["checkpoint"] != "other"
    status, _, shown = run(capsys, *asked)
    assert status == 2 and "has loaded other meanwhile" in shown
