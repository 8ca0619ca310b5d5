"""How long a calibration would take, told from the passes that were seen."""

from __future__ import annotations

import pytest

from lib_stability.webui.job import pace


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(pace, "_known", {})
    now = [100.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    return now


def passed(clock, evaluations: int, seconds: float, pixels: int, checkpoint: str = "dev") -> None:
    watch = pace.Stopwatch()
    for _ in range(evaluations):
        watch.tick()
        clock[0] += seconds
    clock[0] += 1000  # decoding and saving are none of it
    watch.note(checkpoint, pixels)


def test_minutes_are_in_proportion_to_the_work(clock):
    passed(clock, 20, 0.3, 512 * 512)
    assert pace.minutes("dev", 200, 20, 512 * 512) == 40
    assert pace.minutes("dev", 100, 20, 1024 * 1024) == 80
    assert pace.minutes("dev", 20, 4, 64 * 64) == 1
    assert pace.minutes("another", 200, 20, 512 * 512) is None
    passed(clock, 20, 0.6, 2 * 512 * 512)
    assert pace.minutes("dev", 200, 20, 512 * 512) == 40, "the same for each image of a batch"


def test_a_few_evaluations_tell_nothing(clock):
    for count in (0, 1, 3):
        passed(clock, count, 0.3, 512 * 512)
    passed(clock, 20, 0.3, 0)
    assert pace.minutes("dev", 200, 20, 512 * 512) is None
