"""The audit as a page: rows kept small, counts, filters, pages, cards and thumbnails."""

from __future__ import annotations

import base64
import csv
import io
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from PIL import Image

from lib_stability.guard.verdict import Verdict
from lib_stability.trail import audit, audit_page, thumbnails
from lib_stability.trail.audit_table import GROUPS, Table
from lib_stability.trail.image_row import COLUMNS, examine
from lib_stability.trail.infotext import Settings, format_text, write

EVIL = "<script>alert(2)</script>"
HOST = {"Steps": "20", "Seed": "7"}


def text(verdict: Verdict, hires: Verdict | None = None, region: str = "sd1 prior (prior)", **chosen) -> str:
    return format_text("a fox", "", {**HOST, **write(Settings(enabled=True, **chosen), verdict, hires, region)})


def save(path, said: str | None = None, colour: object = "red", size=(300, 200), mode: str = "RGB") -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    if said is not None:
        info.add_text("parameters", said)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, pnginfo=info)


def table_of(folder) -> Table:
    table = Table(str(folder))
    for item in audit.find([folder]):
        row = examine(item)
        if row is not None:
            table.add(row)
    return table


@pytest.fixture
def folder(tmp_path):
    top = tmp_path / "out"
    save(top / "day 1" / "a strong.png", text(Verdict("strong", 18.2, flagged_at=2, evaluations=20, damped=6, detector="watch")), "white")
    save(top / "day 1" / "b stronger.png", text(Verdict("strong", 40.0, flagged_at=1, evaluations=20, detector="probe")))
    late = Verdict("mild", 4.0, flagged_at=3, evaluations=10, detector="watch")
    save(top / "hires.png", text(Verdict("stable", 0.4, evaluations=20, detector="watch"), late))
    save(top / "stable.png", text(Verdict("stable", 0.5, evaluations=20, detector="watch")))
    save(top / "not judged.png", text(Verdict("not judged", reason="no profile")))
    save(top / "plain.png", format_text("no guard", "", HOST))
    (top / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (top / "alone.txt").write_text(text(Verdict("mild", 3.3, flagged_at=2, evaluations=9, detector="watch")), encoding="utf-8")
    return top


def names(shown: str) -> list[str]:
    return re.findall(r"<figure title='([^']*)'", shown)


def test_the_gravest_come_first_by_the_graver_pass(folder):
    table = table_of(folder)
    assert table.counts() == {"strong": 2, "mild": 2, "stable": 1, "not judged": 1, "no verdict": 1, "unreadable": 1}
    shown = audit_page.page(table)
    HTMLParser().feed(shown)
    expected = ["day 1/b stronger.png", "day 1/a strong.png", "hires.png", "alone.txt", "not judged.png", "stable.png", "plain.png", "broken.png"]
    assert [name.replace(os.sep, "/") for name in names(shown)] == expected
    for group, count in table.counts().items():
        assert len(names(audit_page.page(table, group))) == count == table.count(group)
    said = audit_page.summary(table, 0.3)
    assert "8 files read in less than a second" in said and "Strong</span> 2" in said and "Without a verdict</span> 1" in said


def test_a_card_says_what_was_found(folder):
    cards = audit_page.page(table_of(folder)).split("</figure>")
    assert "score 40, flagged at 1/20 by the probe" in cards[0] and "profile sd1 prior (prior)" in cards[0]
    assert "damped in 6" in cards[1] and "memorization-guard-is-damped'>Damped</span>" in cards[1]
    assert "first pass: stable, score 0.4" in cards[2] and "hires pass: mild, score 4, flagged at 3/10 by the watch" in cards[2]
    assert "text file" in cards[3] and "<li>no profile</li>" in cards[4]
    assert "no preview" in cards[7] and "memorization-guard-is-unreadable'>Broken</span>" in cards[7] and "ends early" in cards[7]
    assert [("data:image/jpeg" in card) for card in cards[:8]] == [True, True, True, False, True, True, True, False]


def test_a_card_tells_the_score_before_from_the_one_after(tmp_path):
    steered = Verdict("strong", 18.2, flagged_at=2, evaluations=20, damped=6, detector="watch", outcome="steered away", score_after=-0.75)
    save(tmp_path / "a.png", text(steered))
    assert "score 18.2, -0.75 at the end, flagged at 2/20" in audit_page.page(table_of(tmp_path))


def test_a_pass_that_was_not_judged_outweighs_a_stable_one(tmp_path):
    save(tmp_path / "half.png", text(Verdict("not judged", reason="error RuntimeError"), Verdict("stable", 0.4)))
    save(tmp_path / "flagged.png", text(Verdict("not judged", reason="error RuntimeError"), Verdict("mild", 4.0, flagged_at=3, evaluations=10)))
    counts = table_of(tmp_path).counts()
    assert (counts["not judged"], counts["stable"], counts["mild"]) == (1, 0, 1)


def test_nothing_of_a_file_gets_out_of_its_text(tmp_path):
    nasty = "<img src=x onerror=alert(1)>' \"&\u202egnp.png"
    save(
        tmp_path / "x" / nasty,
        text(Verdict("not judged", reason="REASON"), region="REGION").replace("REASON", EVIL).replace("REGION", "'><b onload=x>"),
    )
    shown = audit_page.page(table_of(tmp_path))
    tags = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attributes):
            tags.append(tag)
            assert not {name for name, _ in attributes} - {"class", "title", "src", "alt"}

    Tags().feed(shown)
    assert set(tags) <= {"div", "figure", "img", "figcaption", "span", "b", "ul", "li"} and tags.count("img") == 1
    assert "&lt;img src=x" in shown and "&lt;b onload=x&gt;" in shown and "\u202e" not in shown


def test_names_that_are_no_text_are_shown_all_the_same(tmp_path):
    try:
        save(tmp_path / os.fsdecode(b"\xff\xfe.png"), text(Verdict("stable", 0.1)))
    except OSError:
        pytest.skip("this file system knows no such names")
    table = table_of(tmp_path)
    audit_page.page(table).encode("utf-8")
    table.write(tmp_path / "rows.csv")
    assert len((tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()) == 2


def rows(count: int, verdict=lambda number: "stable", score=lambda number: 0.5) -> Table:
    table = Table("/out")
    for number in range(count):
        found = {"file": f"/out/{number:06}.txt", "verdict": verdict(number), "score": score(number), "model": "m"}
        table.add({**dict.fromkeys(COLUMNS), **found})
    return table


def test_pages_follow_one_another_without_gaps():
    table = rows(101, lambda number: "strong" if number % 20 == 0 else "stable", float)
    assert (audit_page.pages(table), audit_page.pages(table, "strong"), audit_page.pages(table, "mild")) == (3, 1, 1)
    seen = [name for number in range(3) for name in names(audit_page.page(table, "", number))]
    assert seen[:6] == [f"{number:06}.txt" for number in (100, 80, 60, 40, 20, 0)] and len(set(seen)) == len(seen) == 101
    assert names(audit_page.page(table, "", 99)) == names(audit_page.page(table, "", 2)) and len(names(audit_page.page(table, "", -5))) == 48
    assert audit_page.position(table, "", 2) == "97 to 101 of 101" and audit_page.position(table, "mild") == ""
    assert "No file here" in audit_page.page(table, "mild", 3)


def test_rows_are_kept_as_they_were():
    table = rows(3, lambda number: GROUPS[number])
    (row,) = table.rows("mild")
    assert row["file"] == "/out/000001.txt" and row["name"] == "000001.txt" and row["group"] == "mild" and set(row) >= set(COLUMNS)
    table.add({**dict.fromkeys(COLUMNS), "file": "/out/x.txt", "verdict": "strong", "score": 9.0})
    assert next(table.rows())["file"] == "/out/x.txt"


def test_the_csv_is_the_commands_with_relative_names(folder, tmp_path):
    table = table_of(folder)
    table.write(tmp_path / "all.csv")
    table.write(tmp_path / "strong.csv", "strong")
    found = list(csv.DictReader((tmp_path / "all.csv").open(encoding="utf-8")))
    assert tuple(found[0]) == COLUMNS and len(found) == 8 and str(folder) not in (tmp_path / "all.csv").read_text(encoding="utf-8")
    assert [row["score"] for row in csv.DictReader((tmp_path / "strong.csv").open(encoding="utf-8"))] == ["40.0", "18.2"]


def picture(uri: str) -> Image.Image:
    head, data = uri.split(",", 1)
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (10, 200, 30)), ("RGBA", (10, 200, 30, 255)), ("L", 77), ("P", 5), ("I;16", 3000), ("1", 1)])
def test_thumbnails_are_small_jpegs(tmp_path, mode, colour):
    save(tmp_path / "p.png", None, colour, (1000, 500), mode)
    small = picture(thumbnails.thumbnail(str(tmp_path / "p.png")))
    assert small.size == (176, 88) and small.mode == "RGB"
    if mode in ("RGB", "RGBA"):
        assert all(abs(a - b) < 12 for a, b in zip(small.getpixel((80, 40)), colour))


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (10, 200, 30)), ("RGBA", (10, 200, 30, 255)), ("L", 77), ("P", 5), ("I;16", 30000), ("1", 1)])
def test_thumbnails_of_large_pictures(tmp_path, mode, colour):
    save(tmp_path / "p.png", None, colour, (6000, 1500), mode)
    small = picture(thumbnails.thumbnail(str(tmp_path / "p.png")))
    assert small.size == (176, 44) and small.mode == "RGB"
    value = {"L": 77, "I;16": 30000 // 256, "1": 255}.get(mode)
    if mode != "P":
        expected = colour[:3] if value is None else [value] * 3
        assert all(abs(a - b) < 12 for a, b in zip(small.getpixel((80, 20)), expected))


MEASURED = """
import resource, sys
from lib_stability.trail import thumbnails
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = thumbnails.thumbnails(sys.argv[1:])
print(sum(one is not None for one in made), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is counted in other units")
@pytest.mark.parametrize(("mode", "side", "most"), [("I;16", 10_000, 700), ("RGBA", 4000, 250)])
def test_small_files_of_large_pictures_take_no_memory_without_end(tmp_path, mode, side, most):
    save(tmp_path / "0.png", None, 0, (side, side), mode)
    for number in (1, 2, 3):
        (tmp_path / f"{number}.png").write_bytes((tmp_path / "0.png").read_bytes())
    paths = [str(tmp_path / f"{number}.png") for number in range(4)]
    done = subprocess.run([sys.executable, "-c", MEASURED, *paths], capture_output=True, text=True, check=True)
    made, megabytes = map(int, done.stdout.split())
    assert made == 4 and megabytes < most, megabytes


def test_what_is_transparent_is_white(tmp_path):
    save(tmp_path / "p.png", None, (255, 0, 0, 0), (50, 50), "RGBA")
    assert min(picture(thumbnails.thumbnail(str(tmp_path / "p.png"))).getpixel((20, 20))) > 245


def test_a_picture_that_changed_is_made_again(tmp_path):
    path = tmp_path / "p.png"
    save(path, None, "red")
    first = thumbnails.thumbnail(str(path))
    assert thumbnails.thumbnail(str(path)) is first
    save(path, None, "blue", (301, 200))
    assert picture(thumbnails.thumbnail(str(path))).getpixel((9, 9))[2] > 200


def test_no_thumbnail_of_what_is_broken_too_large_or_something_else(tmp_path, monkeypatch):
    save(tmp_path / "good.png")
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    Image.new("RGB", (9, 9)).save(tmp_path / "really.bmp")
    os.rename(tmp_path / "really.bmp", tmp_path / "bitmap.png")
    wanted = [str(tmp_path / name) for name in ("good.png", "cut.png", "page.png", "bitmap.png", "missing.png", "good.png")]
    found = thumbnails.thumbnails(wanted)
    assert [one is not None for one in found] == [True, False, False, False, False, True]
    monkeypatch.setattr(thumbnails, "MOST_PIXELS", 300 * 200)
    save(tmp_path / "large.png", None, "red", (301, 200))
    assert thumbnails.thumbnail(str(tmp_path / "large.png")) is None and thumbnails.thumbnail(wanted[0]) is not None


def test_only_what_is_admitted_is_decoded(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(audit_page, "thumbnails", lambda paths: asked.extend(paths) or [None] * len(paths))
    audit_page.page(table_of(folder), "", 0, lambda path: "day 1" in path)
    assert [os.path.basename(path) for path in asked] == ["b stronger.png", "a strong.png"]


def test_a_walk_asks_before_it_follows(folder, tmp_path):
    secret = tmp_path / "secret"
    save(secret / "mine.png", text(Verdict("strong", 9.0)))
    os.symlink(secret, folder / "link")
    os.symlink(secret / "mine.png", folder / "one.png")
    os.symlink(folder / "stable.png", folder / "same.png")

    def inside(path: str) -> bool:
        return os.path.realpath(path).startswith(str(folder))

    found = {os.path.basename(item.path) for item in audit.find([folder], inside)}
    assert "same.png" in found and not {"mine.png", "one.png"} & found
    assert {"mine.png", "one.png"} <= {os.path.basename(item.path) for item in audit.find([folder])}
    assert list(audit.find([secret], inside)) == []
