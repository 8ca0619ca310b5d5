"""Several networks beside each other: ranked, charted, and from which on they copy."""

from __future__ import annotations

import csv
import io

import pytest

from lib_stability.trail import sweep_report


def scan(flagged: int, count: int = 20, unjudged: int = 0) -> list[dict]:
    verdicts = ["strong"] * flagged + ["stable"] * (count - flagged)
    rows = [{"caption": f"caption {i}", "median": float(v == "strong"), "max": 1.0, "verdict": v} for i, v in enumerate(verdicts)]
    return rows + [{"caption": "x", "median": None, "max": None, "verdict": "not judged", "reason": "noise"}] * unjudged


def swept(*counts: int | None) -> list[dict]:
    return [sweep_report.summed(f"mine-{i}", [] if n is None else scan(n), reason="" if n is not None else "unknown") for i, n in enumerate(counts)]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((12, 6, 3), "Captions flagged: 12 of 20 with mine-0, 3 of 20 with mine-2; fewer flags of a later epoch may mean"),
        ((0, 9), "Captions flagged: 0 of 20 with mine-0, 9 of 20 with mine-1; fewer"),
        ((None, 9), "Captions flagged: 9 of 20 with mine-1; fewer"),
        ((0, 1, 1), "Captions flagged: 0 of 20 with mine-0, 1 of 20 with mine-2, with none more than chance would flag; fewer"),
        ((None, None), "None could be judged"),
    ],
)
def test_without_pictures_it_says_what_was_counted_and_what_that_does_not_tell(counts, said):
    found = sweep_report.summary(swept(*counts), "medium")
    assert found.startswith(said) and "it copies:" not in found
    assert "fewer" not in said or ("has collapsed onto its pictures" in found and "--generate 4 tells by pictures" in found)


def test_without_pictures_nothing_is_ranked():
    found = swept(7, 6, None, 0)
    rows = list(csv.DictReader(io.StringIO(sweep_report.to_csv(found))))
    assert [(row["rank"], row["network"]) for row in rows] == [("", f"mine-{number}") for number in range(4)]
    assert all(row["ranked_by"].startswith("not ranked: fewer flags of a later epoch") for row in rows)
    page = sweep_report.page(found, "medium")
    assert "<h1>Captions flagged by network</h1>" in page and "aria-label='Share of captions flagged, no ranking: " in page
    assert page.index("collapsed onto its pictures") < page.index("<svg") and "mine-0: 7 of 20 captions flagged" in page
    chart = sweep_report.chart(found, "medium")
    assert not any(colour in chart for colour in sweep_report.scan_report.COLOURS.values()), "no bar looks clean"


def test_what_chance_would_flag_depends_on_the_level():
    (one,) = swept(4)
    assert sweep_report.copies(one, "medium") and not sweep_report.copies(one, "high")
    assert not sweep_report.copies(swept(0)[0], "medium") and not sweep_report.copies(swept(None)[0], "medium")


def test_table_and_page():
    found = [*swept(8, None, 2), sweep_report.summed("<b>", scan(1, 10, 3), "b")]
    rows = list(csv.DictReader(io.StringIO(sweep_report.to_csv(found))))
    assert [row["network"] for row in rows] == ["mine-0", "mine-1", "mine-2", "<b>"] and rows[3]["judged"] == "10" and rows[3]["captions"] == "13"
    page = sweep_report.page(found, "medium")
    assert page.count("<rect") == 4 and "<b>" not in page and "not judged: unknown" in page and "href='b/scan.html'" in page
    assert "http" not in page and "<script" not in page and "prefers-color-scheme: dark" in page


def with_pictures(copies: int, known: int = 24) -> list[dict]:
    rows = scan(0)
    rows[0]["made"] = [{"seed": i, "copy": i < copies, "likeness": 0.5} for i in range(known)] + [{"seed": 99, "copy": None, "likeness": 0.5}]
    return rows


def test_where_pictures_were_made_with_all_they_tell():
    found = [sweep_report.summed(name, with_pictures(count)) for name, count in (("a", 9), ("b", 1), ("c", 20))]
    assert [(one["copies"], one["made"]) for one in found] == [(9, 24), (1, 24), (20, 24)]
    assert [one["network"] for one in sweep_report.ranked(found)] == ["b", "a", "c"]
    assert sweep_report.summary([*found, found[1]], "medium") == "It copies with a, c"
    assert sweep_report.summary(found, "medium") == "From c on it copies: 20 of 24 pictures are copies there"
    assert "unrelated pictures" in sweep_report.summary(found[1:2], "medium")
    page = sweep_report.page(found, "medium")
    assert "<td>20 of 24</td>" in page and "a: 9 of 24 are copies" in page and "collapsed" not in page and "aria-label='Share of copies'" in page
    (first, *_) = csv.DictReader(io.StringIO(sweep_report.to_csv(found)))
    assert (first["rank"], first["network"], first["ranked_by"]) == ("1", "b", "pictures")
    without = [sweep_report.summed("refused", [], reason="refused: too weak"), *found]
    assert sweep_report.summary(without, "medium") == sweep_report.summary(found, "medium"), "one of which nothing is known takes no ranking away"
    assert [one["network"] for one in sweep_report.ranked(without)] == ["b", "a", "c", "refused"]
    mixed = [*found, sweep_report.summed("d", scan(0))]
    assert sweep_report.ranked(mixed)[0]["network"] == "a" and "collapsed" in sweep_report.page(mixed, "medium")
    assert next(csv.DictReader(io.StringIO(sweep_report.to_csv(found))))["copies"] == "1"


def test_trial_profiles_are_named_once_with_what_to_do():
    found = swept(3, 4, 5, None)
    assert sweep_report.trials(found) == "" and "trial profiles" not in sweep_report.page(found, "medium")
    for one in (*found[:2], found[3]):
        one["trial"] = "only 20 reference runs" if one["judged"] else "nothing judged"
    said = sweep_report.trials(found)
    assert "trial profiles (only 20 reference runs)" in said and "--calibrate 200" in said
    assert sweep_report.page(found, "medium").count(said) == 1
    assert [row["trial"] for row in csv.DictReader(io.StringIO(sweep_report.to_csv(found)))][:3] == ["only 20 reference runs"] * 2 + [""]
