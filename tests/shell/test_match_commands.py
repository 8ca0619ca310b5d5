"""``match`` and ``audit --match`` from the shell, by pixels and by a copy detector's file."""

from __future__ import annotations

import base64
import csv

import numpy as np
import pytest
from PIL import Image

from lib_stability.match import store
from lib_stability.shell import cli, match_commands


def picture(seed: int) -> Image.Image:
    small = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (6, 6, 3)).astype(np.uint8))
    return small.resize((96, 96), Image.Resampling.BICUBIC)


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    status = cli.main([str(one) for one in arguments])
    return status, *capsys.readouterr()


@pytest.fixture
def places(tmp_path):
    top, made = tmp_path / "training", tmp_path / "made"
    top.mkdir()
    made.mkdir()
    for seed in range(60):
        picture(seed).save(top / f"{seed:02}.png")
    (top / "broken.png").write_bytes(b"none")
    picture(7).save(made / "copied.jpg", quality=60)
    picture(900).save(made / "new.png")
    (made / "broken.png").write_bytes(b"none")
    return top, made, tmp_path / "index"


def test_an_index_is_made_shown_asked_and_kept_up_to_date(places, capsys):
    top, made, index = places
    status, said, warned = run(capsys, "match", "index", top, "--out", index)
    assert status == 0 and "60 pictures by pixels, 1 files could not be read" in said and "60/61 pictures" not in said and "--sscd" in warned
    assert f"{top}/broken.png: no picture" in run(capsys, "match", "show", index)[1]
    status, said, warned = run(capsys, "match", "find", made, "--index", index, "--count", 1)
    assert status == 0 and f"{top}/07.png: likeness 0.99: a copy" in said.replace("1.00", "0.99") and "1 of 3 pictures are copies" in said
    assert f"{made}/broken.png: no picture" in warned
    (top / "07.png").unlink()
    assert "0 new or changed, 1 gone" in run(capsys, "match", "index", "--out", index)[1]
    assert "0 of 3 pictures are copies" in run(capsys, "match", "find", made, "--index", index)[1]


def test_an_audit_looks_pictures_up_those_without_the_guard_too(places, tmp_path, capsys):
    top, made, index = places
    run(capsys, "match", "index", top, "--out", index)
    status, said, _ = run(capsys, "audit", made, "--match", index, "--out", tmp_path / "rows.csv")
    assert (
        status == 0
        and "1 of 3 pictures looked up, 1 of them without a verdict" in " ".join(said.split())
        and "not compared 1" in " ".join(said.split())
    )
    rows = {row["file"].rpartition("/")[2]: row for row in csv.DictReader((tmp_path / "rows.csv").open())}
    assert (rows["copied.jpg"]["match"], rows["copied.jpg"]["copy"]) == ("07.png", "True") and float(rows["copied.jpg"]["likeness"]) > 0.95
    assert rows["new.png"]["copy"] == "False" and rows["broken.png"]["match"] == ""
    run(capsys, "audit", made, "--out", tmp_path / "plain.csv")
    assert "match" not in next(csv.DictReader((tmp_path / "plain.csv").open()))


def test_a_copy_detector_from_its_file(places, tmp_path, capsys):
    import torch

    class Pooled(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.adaptive_avg_pool2d(x, 8).flatten(1)

    torch.jit.trace(Pooled(), torch.zeros(1, 3, 288, 288)).save(str(tmp_path / "sscd.pt"))
    top, made, index = places
    assert run(capsys, "match", "index", top, "--out", index, "--sscd", tmp_path / "sscd.pt")[0] == 0 and store.read(index).kind == "sscd"
    assert "07.png" in run(capsys, "match", "find", made / "copied.jpg", "--index", index, "--sscd", tmp_path / "sscd.pt")[1]
    status, _, warned = run(capsys, "match", "find", made, "--index", index)
    assert status == 2 and "was made with sscd.pt; what is loaded now, pixels, describes pictures in another way" in warned


def test_what_makes_no_sense_is_one_line(places, tmp_path, capsys):
    top, made, index = places
    for arguments, said in (
        (("match", "index", "--out", index), "name a folder of pictures"),
        (("match", "index", tmp_path / "none", "--out", index), "is no folder"),
        (("match", "find", made, "--index", tmp_path / "none"), "is no index"),
        (("match", "find", tmp_path / "none", "--index", index), "is no file and no folder"),
        (("match", "show", made), "is no index"),
        (("match", "index", top, "--out", index, "--sscd", tmp_path / "none"), "is no file"),
        (("audit", made, "--match", made), "is no index"),
        (("audit", made, "--auth", "a:b"), "go with --match"),
    ):
        status, _, warned = run(capsys, *arguments)
        assert status == 2 and said in warned and len(warned.splitlines()) <= 2


def test_the_bench_says_what_it_costs(capsys, tmp_path):
    status, said, _ = run(capsys, "match", "bench", "--pictures", 5000, "--numbers", 64, 256, "--folder", tmp_path)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in said.splitlines()[-2:]]
    assert status == 0 and [cells[:2] for cells in rows] == [["5000", "64"], ["5000", "256"]]
    assert [cells[-1] for cells in rows] == ["40/40"] * 2 and list(tmp_path.iterdir()) == []


class Slow:
    """A web UI that answers in time about a few pictures only."""

    def __init__(self, most: int) -> None:
        self.most, self.asked = most, []

    def request(self, method, path, body):
        pictures = body["pictures"]
        self.asked.append(len(pictures))
        if len(pictures) > self.most:
            raise ConnectionError("does not answer (nothing whole in 120 seconds)")
        rows = np.ones((len(pictures) + 1, 8), "<f2")
        rows[:-1, 0] = [len(one) % 100 for one in pictures]
        rows[-1] = range(8)  # what is always the same
        return {"name": "slow", "size": 8, "rows": base64.b64encode(rows.tobytes()).decode()}


@pytest.mark.parametrize(("most", "asked"), [(16, [16, 16]), (5, [16, *[4] * 8]), (1, [16, 4, *[1] * 32])])
def test_a_busy_web_ui_is_asked_about_fewer_pictures_at_a_time(most, asked):
    client = Slow(most)
    how = match_commands.by_webui(client)
    squares = np.random.default_rng(3).integers(0, 255, (16, how.side, how.side, 3)).astype(np.uint8)
    client.asked.clear()
    for _ in range(2):  # those who ask hand over as many at a time
        assert how.rows(squares).shape == (16, 8)
    assert client.asked == asked


def test_one_that_does_not_answer_at_all_is_told():
    client = Slow(1)
    how = match_commands.by_webui(client)
    client.most = 0
    with pytest.raises(ConnectionError, match="does not answer"):
        how.rows(np.zeros((3, how.side, how.side, 3), np.uint8))
