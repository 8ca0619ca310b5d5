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
    passed(clock, 20, 0.6, 2 * 512 * 512)
    assert pace.minutes("dev", 4000, 2 * 512 * 512) == 40
    assert pace.minutes("dev", 2000, 2 * 1024 * 1024) == 80
    assert pace.minutes("dev", 1000, 8 * 512 * 512) == 40, "the same for each image of a batch"
    assert pace.minutes("dev", 80, 64 * 64) == 1
    assert pace.minutes("another", 4000, 512 * 512) is None


def test_what_was_nearest_in_size_tells(clock):
    """A small picture takes longer for each of its pixels, on a fast device nearly as long as a large one."""
    passed(clock, 20, 0.3, 128 * 128)
    assert pace.minutes("dev", 200, 512 * 512) == 16
    passed(clock, 20, 0.6, 512 * 512)
    passed(clock, 20, 0.3, 128 * 128)
    assert pace.minutes("dev", 200, 512 * 512) == 2
    assert pace.minutes("dev", 200, 128 * 128) == 1
    passed(clock, 20, 1.2, 512 * 512)
    assert pace.minutes("dev", 200, 512 * 512) == 4, "the latest of that size counts"


def test_few_sizes_are_kept(clock):
    for side in range(8, 40):
        passed(clock, 20, 0.3, side * side)
    assert len(pace._known["dev"]) == pace._MOST


def test_a_few_evaluations_tell_nothing(clock):
    for count in (0, 1, 3):
        passed(clock, count, 0.3, 512 * 512)
    passed(clock, 20, 0.3, 0)
    assert pace.minutes("dev", 200, 512 * 512) is None
