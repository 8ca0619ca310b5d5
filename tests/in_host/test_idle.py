"""Work that waits until nobody generates, and the time left that people are told."""

from __future__ import annotations

import threading
import time

import pytest

from lib_stability.validation import ValidationError
from lib_stability.webui.host.sampling import Cancelled
from lib_stability.webui.tasks import api_jobs, background, calibrating, idle
from lib_stability.webui.tasks.background import Task


@pytest.fixture
def soon(monkeypatch, host):
    """Idle is what lasts a fifth of a second."""
    monkeypatch.setattr(idle, "MINUTES", 0.2 / 60)
    monkeypatch.setattr(idle, "_PAUSE", 0.02)
    monkeypatch.setattr(api_jobs, "_latest", {})
    yield host.shared.state
    host.shared.state.job = ""


def test_it_begins_once_nobody_generates(soon):
    soon.job = "a generation"
    began = threading.Event()
    task = Task("calibration", lambda running: idle.wait(running) or began.set() or {}).start()
    assert not began.wait(0.6) and "waits until the web UI has been idle" in task.line() and task.to_json()["seconds_left"] is None
    soon.job = ""
    assert began.wait(5) and task.wait(5) and task.state == "done"


def test_others_may_run_meanwhile_and_no_second_calibration(soon, monkeypatch):
    soon.job = "a generation"
    task = Task("calibration", lambda running: idle.wait(running) or {}).start()
    monkeypatch.setitem(api_jobs._latest, "calibrate", task)
    deadline = time.monotonic() + 5
    while not task.waits and time.monotonic() < deadline:
        time.sleep(0.01)
    other = Task("scan", lambda running: {}).start()
    assert other.wait(5) and other.state == "done"
    with pytest.raises(background.Busy):
        api_jobs.start("calibrate", {"runs": 20})
    task.cancel()
    assert task.wait(5) and task.state == "cancelled"
    # Nobody holds the lane any more.
    assert Task("scan", lambda running: {}).start().wait(5)


def test_it_steps_back_for_a_generation(soon, monkeypatch):
    waited = []
    monkeypatch.setattr(idle, "wait", lambda running: waited.append(running.done))
    monkeypatch.setattr(idle, "busy", lambda: len(waited) == 1)
    monkeypatch.setattr(calibrating.sampling, "sample", lambda *arguments: (_ for _ in ()).throw(Cancelled("enough")))
    for when_idle, times in ((False, 0), (True, 2)):
        waited.clear()
        task = calibrating.task(calibrating.Options(runs=20, steps=4, width=64, height=64, when_idle=when_idle)).start()
        assert task.wait(30) and task.state == "cancelled" and len(waited) == times


@pytest.mark.parametrize("value", [1, "yes", None])
def test_the_option_is_true_or_false(host, value):
    with pytest.raises(ValidationError, match="when_idle"):
        calibrating.Options.parse({"when_idle": value})
    assert calibrating.Options.parse({"when_idle": True}).when_idle


# -- time left ----------------------------------------------------------------------------------------------------------------------------


def told(task: Task, clock: list[float], seconds: float, *progress) -> float | None:
    clock[0] += seconds
    task.progress(*progress)
    return task.to_json()["seconds_left"]


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(background.time, "monotonic", lambda: now[0])
    return now


def test_time_left_counts_down_where_parts_cost_differently(clock):
    """Every other batch takes twice as long."""
    task, left, costs = Task("calibration", lambda running: {}), [], [1, 2] * 6
    for number, cost in enumerate(costs):
        done = sum(costs[: number + 1]) * 48 / sum(costs)
        left.append(told(task, clock, 5.0 * cost, 4 * (number + 1), 48, "", done))
    known = [one for one in left if one is not None]
    assert len(known) > 9 and known == sorted(known, reverse=True) and known[-1] == 0
    assert known[0] == pytest.approx(5.0 * sum(costs[2:]), rel=0.6)


def test_between_two_reports_it_counts_down_as_well(clock):
    task = Task("calibration", lambda running: {})
    told(task, clock, 1, 1, 24)
    before = told(task, clock, 5, 2, 24)
    clock[0] += 3
    assert task.to_json()["seconds_left"] == pytest.approx(before - 3)
    # A small delay does not turn it back, a real one does.
    assert told(task, clock, 3, 3, 24) <= before - 3
    assert told(task, clock, 300, 4, 24) > before


def test_nobody_waits_for_the_first_batch_to_be_told_anything(host, monkeypatch):
    """The steps of a batch count: "0 of 24" does not stand for minutes."""
    seen = []

    def sample(recording, *arguments):
        for number in range(1, 21):
            recording._tick(number)
            seen.append(running.done)
        raise Cancelled("enough")

    monkeypatch.setattr(calibrating.sampling, "sample", sample)
    running = calibrating.task(calibrating.Options(runs=24, steps=20, width=64, height=64, batch_size=4))
    running.start()
    assert running.wait(30) and seen[9] == 1 and seen[-1] >= 2 and seen == sorted(seen)
