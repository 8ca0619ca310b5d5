"""Finished pictures to be judged afterwards: what their infotext gives, what keeps them from it, and the reports."""

from __future__ import annotations

import csv
import io

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lib_stability.trail import audit, old_pictures, old_pictures_report

PLAIN = "a fox\nNegative prompt: fog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 4294967294, Size: 512x768, Model hash: 0123456789, Model: mine"


def save(path, text: str = "") -> None:
    info = PngInfo()
    if text:
        info.add_text("parameters", text)
    Image.new("RGB", (8, 8), "red").save(path, pnginfo=info)


def one(tmp_path, text: str) -> old_pictures.Picture:
    save(tmp_path / "a.png", text)
    (picture,) = old_pictures.read(audit.find([tmp_path]))
    return picture


def test_a_picture_says_what_it_was_made_of(tmp_path):
    picture = one(tmp_path, PLAIN)
    assert picture.asked == ("a fox", 4294967294, 512, 768) and picture.model == "mine"
    assert (picture.said, picture.note, picture.problem) == ("no verdict", "", "")
    assert one(tmp_path, PLAIN + ", MG verdict: mild, MG score: 4, MG version: 0.1.0").said == "mild"


def test_an_infotext_beside_the_picture_does_as_well(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text(PLAIN)
    (picture,) = old_pictures.read(audit.find([tmp_path]))
    assert picture.asked[1] == 4294967294 and picture.problem == ""


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (PLAIN + ", Denoising strength: 0.5", "made from a picture"),
        (PLAIN + ", Denoising strength: 0.5, Hires upscale: 2", ""),
        (PLAIN + ", Variation seed: 3, Variation seed strength: 0.1", "made with a variation seed"),
        (PLAIN.replace("a fox", "a fox <lora:x:1>"), "made with networks"),
        (PLAIN.replace("a fox", "a <i>fox</i>"), ""),
    ],
)
def test_where_the_look_back_differs_is_said(tmp_path, text, note):
    assert one(tmp_path, text).note == note


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no infotext"),
        ("just a caption", "names no seed and size"),
        (PLAIN.replace("Seed: 4294967294, ", ""), "names no seed and size"),
        (PLAIN.replace("512x768", "513x768"), "513x768, is none"),
        (PLAIN.replace("512x768", "8x8"), "8x8, is none"),
        (PLAIN.replace("4294967294", "99999999999"), "seed is out of range"),
        (PLAIN.replace("a fox", "x" * 2001), "longer than 2000"),
        (PLAIN.removeprefix("a fox\n"), "no prompt"),
    ],
)
def test_what_cannot_be_judged_says_why(tmp_path, text, problem):
    assert problem in one(tmp_path, text).problem


def test_broken_and_foreign_files_are_told_of(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (tmp_path / "b.bmp").write_bytes(b"BM")
    problems = [picture.problem for picture in old_pictures.read(audit.find([tmp_path]))]
    (tmp_path / "params.txt").write_text(PLAIN)
    assert len(old_pictures.read(audit.find([tmp_path]))) == 2
    assert len(problems) == 2 and all(problems) and problems[1] == old_pictures.NOT_READ


def row(verdict: str, score: float | None, **more) -> dict:
    return {
        "verdict": verdict,
        "score": score,
        "said": "no verdict",
        "file": "a.png",
        "seed": 1,
        "size": "64x64",
        "note": "",
        "prompt": "a fox",
        **more,
    }


def test_reports_have_the_gravest_first_and_escape(tmp_path):
    save(tmp_path / "a.png", PLAIN)
    rows = [
        row("stable", 1.0, prompt="=1+1"),
        row("not judged", None, note="no infotext"),
        row("mild", 4.0, said="strong"),
        row("strong", 9.0, prompt="<script>x</script>", file=str(tmp_path / "a.png")),
    ]
    table = list(csv.DictReader(io.StringIO(old_pictures_report.to_csv(rows))))
    assert [one["verdict"] for one in table] == ["strong", "mild", "not judged", "stable"] and table[-1]["prompt"] == "'=1+1"
    said = old_pictures_report.summary(rows)
    assert (
        "4 pictures: 1 strong, 1 mild, 1 not judged, 1 stable" in said
        and "1 of the flagged had no flag before" in said
        and "1 times no infotext" in said
    )
    page = old_pictures_report.page(rows)
    assert "<script>" not in page and page.index("strong 9.0") < page.index("mild 4.0") < page.index("stable 1.0")
    assert page.count("data:image/jpeg") == 1 and "http" not in page
