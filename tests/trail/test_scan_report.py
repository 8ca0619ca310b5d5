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
