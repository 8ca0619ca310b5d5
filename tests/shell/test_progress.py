"""The bar of the commands that follow a web UI's work."""

from __future__ import annotations

import sys

import pytest

from lib_stability.shell import progress


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """What time it is, to be set."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_now_and_then_and_the_last_one(capsys, clock):
    bar = progress.Bar("runs")
    for done, moment in ((1, 1000), (2, 1010), (3, 1029), (4, 1031), (9, 1032), (10, 1033)):
        clock[0] = moment
        bar(done, 10, "batch of 4", left=90.0)
    bar.close()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("| ")[1] for line in lines] == [f"{done}/10 runs, 01:30 left, batch of 4" for done in (1, 4, 10)]
    assert lines[-1].startswith("#" * 24 + "|")


def test_a_terminal_gets_one_line_that_is_written_over(capsys, clock, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bar = progress.Bar("captions")
    bar(1, 4)
    bar(4, 4)
    bar.close()
    shown = capsys.readouterr().err
    assert "1/4 captions" in shown and "4/4 captions" in shown
    assert shown.count("\n") == 1 and shown.endswith("\n") and shown.count("\r") >= 2


def test_what_was_done_before_says_nothing_about_the_pace(clock):
    bar = progress.Bar("captions", before=90)
    bar._bar.start_t -= 10.0
    bar(95, 100)
    assert "00:10 left" in str(bar._bar) or "00:09 left" in str(bar._bar)
    bar.close()
    fresh = progress.Bar("captions")
    fresh._bar.start_t -= 10.0
    fresh(95, 100)
    assert "00:00 left" in str(fresh._bar)


def test_before_anything_is_done_nothing_is_promised(capsys):
    bar = progress.Bar("runs")
    bar(0, 20)
    assert "? left" in str(bar._bar)
