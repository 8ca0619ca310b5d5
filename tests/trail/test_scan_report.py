"""Ranking, CSV and page of a scan."""

from __future__ import annotations

import csv
import io

from lib_stability.trail import scan_report

ABOUT = {"profile": "P <1>", "checkpoint": "c", "sensitivity": "medium", "threshold": 2.5, "seeds": 2}
ROWS = [
    {"caption": "plain, with comma", "scores": [0.5, -0.25], "median": 0.125, "max": 0.5, "above": 0, "verdict": "stable"},
    {"caption": "unknown", "scores": [None, None], "median": None, "max": None, "above": 0, "verdict": "not judged"},
    {"caption": "<script>alert('x')</script> \"&", "scores": [20.0, 30.0], "median": 25.0, "max": 30.0, "above": 2, "verdict": "strong"},
    {"caption": "=HYPERLINK(1)", "scores": [3.0, None], "median": 3.0, "max": 3.0, "above": 1, "verdict": "mild"},
]


def test_ranking_by_median_with_the_unjudged_last():
    assert [row["verdict"] for row in scan_report.ranked(ROWS)] == ["strong", "mild", "stable", "not judged"]


def test_csv_keeps_captions_and_disarms_formulas():
    rows = list(csv.DictReader(io.StringIO(scan_report.to_csv(ROWS))))
    assert [row["caption"] for row in rows] == [ROWS[2]["caption"], "'=HYPERLINK(1)", "plain, with comma", "unknown"]
    assert rows[0]["median"] == "25" and rows[3]["median"] == "" and rows[1]["above"] == "1"


def test_the_page_escapes_and_needs_nothing_else():
    page = scan_report.page(ROWS, ABOUT)
    assert "<script" not in page and "&lt;script&gt;alert" in page and "P &lt;1&gt;" in page
    assert "2 of 4 captions flagged" in page and page.count("<svg") == 4
    assert "//" not in page and "color-scheme: light dark" in page and "@media (prefers-color-scheme: dark)" in page


def test_long_rankings_are_cut_on_the_page_only():
    many = [{**ROWS[0], "caption": f"caption {number}"} for number in range(scan_report.SHOWN + 5)]
    assert "5 more are not shown" in scan_report.page(many, ABOUT)
    assert len(scan_report.to_csv(many).splitlines()) == len(many) + 1


def test_no_field_of_a_row_is_taken_for_markup_or_a_formula():
    bad = "<script>alert(1)</script>"
    page = scan_report.page(
        [{**ROWS[0], "above": bad, "verdict": bad}], {**ABOUT, "profile": bad, "checkpoint": bad, "sensitivity": bad, "seeds": bad}
    )
    assert "<script" not in page and page.count("&lt;script&gt;") >= 5
    (row,) = csv.DictReader(io.StringIO(scan_report.to_csv([{**ROWS[0], "above": "=1+1", "verdict": "@x", "caption": "\t=1"}])))
    assert (row["above"], row["verdict"], row["caption"]) == ("'=1+1", "'@x", "'\t=1")


def test_pictures_that_were_made_stand_first():
    bad, image = "<script>", "data:image/jpeg;base64,AAAA"
    made = [{"seed": 0, "thumbnail": image, "likeness": 0.913, "copy": True, "nearest": f"{bad}.png"}]
    made += [{"seed": 1, "thumbnail": image, "likeness": 0.2, "copy": False}, {"seed": 2, "thumbnail": image, "likeness": 0.4, "copy": None}]
    rows = [ROWS[0], {**ROWS[3], "thumbnail": image, "made": made}, {**ROWS[2], "made": [{"seed": 0, "thumbnail": None}]}]
    page = scan_report.page(rows, ABOUT, "by <b>this</b>")
    assert page.index("Made for the worst captions") < page.index("captions flagged") and "<script" not in page and "by &lt;b&gt;this" in page
    assert "1 of 2 are copies of a training picture" in page and "copy, likeness 0.91, to &lt;script&gt;.png, seed 0" in page
    assert page.count("<figure>") == 3 and page.count("<figure class='copy'>") == 1
    by_caption = {row["caption"]: row for row in csv.DictReader(io.StringIO(scan_report.to_csv(rows)))}
    assert (by_caption["'=HYPERLINK(1)"]["copies"], by_caption["'=HYPERLINK(1)"]["likeness"]) == ("1 of 2", "0.91")
    assert by_caption[ROWS[0]["caption"]]["copies"] == ""


def test_a_page_of_captions_that_nothing_judges():
    rows = [{**ROWS[1], "reason": "networks that no profile knows (mine 1)"}]
    page = scan_report.page(rows, None)
    assert "None of 1 captions could be judged: networks that no profile knows (mine 1)" in page
    assert "<td class='verdict'>not judged</td>" in page
