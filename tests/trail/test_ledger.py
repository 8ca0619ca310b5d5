"""The ledger: written by many at once, and every way of tampering that a chain can show."""

import errno
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_stability.guard.verdict import Verdict
from lib_stability.trail import ledger, ledger_check, ledger_lock, ledger_loss
from lib_stability.trail.image_row import describe, prompt_hash
from lib_stability.trail.ledger import append, files, last_hash, read
from lib_stability.trail.ledger_check import check, verify


class Clock(datetime):
    """A clock that tests set."""

    today_is = datetime(2031, 5, 1, 12, tzinfo=timezone.utc)

    @classmethod
    def now(cls, tz=None):
        return cls.today_is


@pytest.fixture
def day(monkeypatch):
    """``day(3)`` makes it the third of May."""
    for module in (ledger, ledger_check):
        monkeypatch.setattr(module, "datetime", Clock)

    def turn(number):
        Clock.today_is = datetime(2031, 5, number, 12, tzinfo=timezone.utc)

    turn(1)
    return turn


@pytest.fixture
def three_days(tmp_path, day):
    """Days 1, 2 and 4 of four lines each."""
    for number in (1, 2, 4):
        day(number)
        append(tmp_path, [{"image": number * 10 + image} for image in range(4)])
    return tmp_path


def name(number):
    return f"ledger-2031-05-{number:02}.jsonl"


def edit(path, change):
    """Rewrite a file as ``change(lines)``, whole lines with their newlines."""
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


# -- writing ----------------------------------------------------------------------------------------------------------------------------


def test_what_is_written_can_be_read(tmp_path):
    records = [{"verdict": "strong", "score": 18.2, "file": "愛/ü.png", "seed": None}, {"time": "2020-01-01T00:00:00+00:00", "number": 99}]
    append(tmp_path / "new" / "folder", records)
    first, second = read(tmp_path / "new" / "folder")
    assert {key: first[key] for key in records[0]} == records[0]
    assert datetime.fromisoformat(first["time"]).utcoffset().total_seconds() == 0
    assert (first["number"], second["number"], second["time"]) == (1, 2, records[1]["time"])
    assert first["previous"] == ledger.GENESIS and verify(tmp_path / "new" / "folder") == []


def test_the_chain_goes_over_days(three_days):
    assert [path.name for path in files(three_days)] == [name(1), name(2), name(4)]
    assert verify(three_days) == []
    found = list(read(three_days))
    assert [one["number"] for one in found] == list(range(1, 13))
    assert [one["after"] for one in found if "after" in one] == [name(1), name(2)]


def test_nothing_to_add_makes_no_file(tmp_path):
    append(tmp_path / "none", [])
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("record", [{"score": float("nan")}, {"x": object()}, {"x": "a" * ledger.MAX_LINE}])
def test_a_record_that_cannot_be_held_adds_nothing(tmp_path, record):
    append(tmp_path, [{"a": 1}])
    with pytest.raises((ValueError, TypeError)):
        append(tmp_path, [{"b": 2}, record])
    assert len(list(read(tmp_path))) == 1 and verify(tmp_path) == []


def test_a_failing_disk_leaves_no_half(tmp_path, monkeypatch):
    append(tmp_path, [{"a": 1}])
    before = files(tmp_path)[0].read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("no space")))
        with pytest.raises(OSError, match="no space"):
            append(tmp_path, [{"b": 2}])
    assert files(tmp_path)[0].read_bytes() == before
    append(tmp_path, [{"b": 2}])
    assert verify(tmp_path) == []


def test_looking_for_a_ledger_leaves_nothing_behind(tmp_path):
    assert verify(tmp_path) == [f"{tmp_path} holds no ledger"]
    assert list(tmp_path.iterdir()) == []


def test_a_clock_put_back_keeps_the_order(tmp_path, day):
    day(5)
    append(tmp_path, [{}])
    day(3)
    append(tmp_path, [{}])
    assert [path.name for path in files(tmp_path)] == [name(5)] and verify(tmp_path) == []


def test_a_line_torn_by_a_crash_is_healed_and_the_next_line_says_so(tmp_path):
    append(tmp_path, [{"a": 1}, {"b": 2}])
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    assert verify(tmp_path) == [f"{path.name} line 2 is incomplete"]
    append(tmp_path, [{"c": 3}, {"d": 4}])
    found = check(tmp_path)
    assert found.trouble == [] and [one["number"] for one in read(tmp_path)] == [1, 2, 3]
    (note,) = found.notes
    assert note.startswith(f"before {path.name} line 2, the end was mended") and "bytes of a torn line" in note


@pytest.mark.parametrize("torn", [b"x", bytes(5000), b'{"a": ' + b"9" * 300_000, b"\xff" * ledger.MAX_LINE * 3])
def test_whatever_a_crash_leaves_at_the_end_is_healed(tmp_path, torn):
    append(tmp_path, [{"a": 1}])
    (path,) = files(tmp_path)
    with open(path, "ab") as file:
        file.write(torn)
    append(tmp_path, [{"b": 2}])
    assert verify(tmp_path) == [] and [one.get("b") for one in read(tmp_path)] == [None, 2]
    assert f"{len(torn)} bytes" in check(tmp_path).notes[0]


def test_a_missing_newline_alone_costs_no_line(tmp_path, day):
    append(tmp_path, [{"a": 1}])
    path = tmp_path / name(1)
    path.write_bytes(path.read_bytes()[:-1])
    append(tmp_path, [{"b": 2}])
    path.write_bytes(path.read_bytes()[:-1])
    day(2)
    append(tmp_path, [{"c": 3}])
    assert verify(tmp_path) == [] and [one["number"] for one in read(tmp_path)] == [1, 2, 3] and len(check(tmp_path).notes) == 2


def test_a_torn_line_before_midnight(tmp_path, day):
    append(tmp_path, [{"a": 1}, {"b": 2}])
    path = tmp_path / name(1)
    path.write_bytes(path.read_bytes()[:-20])
    day(2)
    append(tmp_path, [{"c": 3}])
    assert verify(tmp_path) == [] and len(check(tmp_path).notes) == 1
    (tmp_path / name(2)).write_bytes(b"torn")  # nothing whole in it
    day(3)
    append(tmp_path, [{"d": 4}])
    assert verify(tmp_path) == [] and [one["number"] for one in read(tmp_path)] == [1, 2]
    assert (tmp_path / (name(2) + ".torn")).read_bytes() == b"torn"


def test_a_torn_line_outlives_a_failing_disk(tmp_path, monkeypatch):
    append(tmp_path, [{"a": 1}])
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes() + b"torn")
    before = path.read_bytes()
    fail_to_append(monkeypatch, tmp_path, [{"b": 2}])
    assert path.read_bytes() == before


# -- what could not be written ----------------------------------------------------------------------------------------------------------


def fail_to_append(monkeypatch, folder, records) -> None:
    """On a full disk."""
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        append(folder, records)


def test_the_next_line_says_how_many_could_not_be_written(tmp_path, monkeypatch):
    assert ledger_loss.lost(tmp_path) is None
    for records in ([{"a": 1}], [{"b": 2}, {"c": 3}]):
        fail_to_append(monkeypatch, tmp_path, records)
    assert str(ledger_loss.lost(tmp_path)) == "3 lines could not be written (No space left on device)"
    assert files(tmp_path) == []  # not even an empty one
    append(tmp_path, [{"d": 4, "lost": "made up"}, {"e": 5}])
    assert ledger_loss.lost(tmp_path) is None and verify(tmp_path) == []
    assert [one.get("lost") for one in read(tmp_path)] == [3, None]
    assert check(tmp_path).notes == [f"before {files(tmp_path)[0].name} line 1, 3 line(s) could not be written: No space left on device"]


def test_a_loss_outlives_its_process(tmp_path):
    """It dies before another line could be written; the next process's first line says so, and a check until then."""
    append(tmp_path, [{}])
    dies = "import sys; from pathlib import Path; from lib_stability.trail import ledger_loss; ledger_loss.miss(Path(sys.argv[1]), 2, OSError('no'))"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", dies, str(tmp_path)], check=True)
    found = check(tmp_path)
    assert found.trouble == [] and found.notes == ["since the last line, 4 lines could not be written (no)"]
    append(tmp_path, [{}])
    append(tmp_path, [{}])
    assert [one.get("lost") for one in read(tmp_path)] == [None, 4, None] and verify(tmp_path) == []
    assert not (tmp_path / ledger_loss.NAME).exists()


def test_a_loss_that_no_disk_takes_is_kept_by_the_process(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        ledger_loss.miss(tmp_path, 2, OSError("full"))
    ledger_loss.miss(tmp_path, 1, OSError("held"))
    assert str(ledger_loss.lost(tmp_path)).startswith("3 lines")
    append(tmp_path, [{}])
    assert next(read(tmp_path))["lost"] == 3 and ledger_loss.lost(tmp_path) is None


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(path), lambda path: path.symlink_to("gone"), Path.mkdir])
def test_what_is_no_file_in_the_place_of_the_losses_holds_nobody_up(tmp_path, make):
    make(tmp_path / ledger_loss.NAME)
    ledger_loss.miss(tmp_path, 1, OSError("held"))
    append(tmp_path, [{}])
    assert next(read(tmp_path))["lost"] == 1 and ledger_loss.lost(tmp_path) is None


@pytest.mark.parametrize("odd", [b"torn", b"[]\n", b'{"count": true, "why": ""}\n', b'{"count": -1, "why": "x"}\n', b"[" * 5000 + b"\n", b"\xff\n"])
def test_nonsense_among_the_losses_is_passed_over(tmp_path, odd):
    (tmp_path / ledger_loss.NAME).write_bytes(odd)
    assert ledger_loss.lost(tmp_path) is None
    append(tmp_path, [{}])
    assert "lost" not in next(read(tmp_path))


def test_what_a_record_cannot_hold_counts_as_lost(tmp_path):
    with pytest.raises(ValueError):
        append(tmp_path, [{"score": float("nan")}])
    append(tmp_path, [{}])
    assert next(read(tmp_path))["lost"] == 1


@pytest.mark.skipif(os.name == "nt", reason="no flock there")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK])
def test_where_the_system_has_no_locks(tmp_path, monkeypatch, number):
    import fcntl

    def refused(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    workers = [threading.Thread(target=_append_many, args=(tmp_path, who, 5)) for who in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert verify(tmp_path) == [] and len(list(read(tmp_path))) == 30 and not (tmp_path / ledger_lock.SOFT_NAME).exists()
    left = tmp_path / ledger_lock.SOFT_NAME
    left.touch()  # by a process that died
    os.utime(left, (1, 1))
    append(tmp_path, [{}])
    assert verify(tmp_path) == [] and len(list(read(tmp_path))) == 31


HOLDER = """
import sys, time
from lib_stability.trail.ledger_lock import locked
from pathlib import Path
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_held_by_another_process_is_not_waited_for_without_end(tmp_path, monkeypatch):
    append(tmp_path, [{}])
    monkeypatch.setattr(ledger_lock, "PATIENCE", 0.5)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        for most in (5, 0.45):  # whoever has found it held once is not as patient again
            began = time.monotonic()
            with pytest.raises(TimeoutError, match="another process"):
                append(tmp_path, [{}])
            assert time.monotonic() - began < most
        assert verify(tmp_path) == []
    finally:
        holder.kill()
        holder.wait()
    append(tmp_path, [{}])  # the system has taken it from the dead
    assert [one.get("lost") for one in read(tmp_path)] == [None, 2] and verify(tmp_path) == []


def test_locking_that_is_refused_for_good_ends(tmp_path, monkeypatch):
    """As on Windows, where the file may be kept by something else."""
    import filelock

    monkeypatch.setattr(ledger_lock, "PATIENCE", 0.2)
    monkeypatch.setattr(
        filelock, "FileLock", type("Refused", (filelock.BaseFileLock,), {"_acquire": lambda self: None, "_release": lambda self: None})
    )
    with pytest.raises(TimeoutError):
        append(tmp_path, [{}])
    assert ledger_loss.lost(tmp_path).count == 1


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(path), lambda path: path.symlink_to("gone"), Path.mkdir])
def test_what_is_no_file_in_the_place_of_a_day(tmp_path, day, make):
    append(tmp_path, [{}])
    make(tmp_path / name(3))
    day(3)
    with pytest.raises(OSError, match="not a file"):
        append(tmp_path, [{}])
    assert verify(tmp_path) == [f"{name(3)} is not a file"]


@pytest.mark.parametrize("planted", ["ledger-9999-99-99.jsonl", "ledger-2031-02-30.jsonl", "ledger-0000-01-01.jsonl"])
def test_a_file_of_a_day_that_no_calendar_has_takes_no_line(tmp_path, day, planted):
    append(tmp_path, [{}])
    (tmp_path / planted).touch()
    day(2)
    append(tmp_path, [{}])
    assert [path.name for path in files(tmp_path)] == [name(1), name(2)] and (tmp_path / planted).stat().st_size == 0
    assert verify(tmp_path) == [f"{planted} is named after no day"]


def test_a_file_of_a_day_that_has_not_come_is_said(tmp_path):
    append(tmp_path, [{}])
    (tmp_path / "ledger-9999-12-31.jsonl").touch()
    append(tmp_path, [{}])
    found = check(tmp_path)
    assert found.trouble == [] and found.notes == ["ledger-9999-12-31.jsonl is named after a day that has not come"]


def _append_many(folder, who, times):
    for number in range(times):
        append(Path(folder), [{"who": who, "count": number}, {"who": who, "count": number, "second": True}])


def test_several_processes_at_once(tmp_path):
    context = multiprocessing.get_context("spawn" if sys.platform != "linux" else "fork")
    workers = [context.Process(target=_append_many, args=(str(tmp_path), who, 25)) for who in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * 5
    found = list(read(tmp_path))
    assert verify(tmp_path) == [] and len(found) == 250
    for who in range(5):
        assert [one["count"] for one in found if one["who"] == who] == [number for number in range(25) for _ in range(2)]
    # What one call adds stays together.
    assert all(second.get("second") and first["who"] == second["who"] for first, second in zip(found[::2], found[1::2]))


def test_several_threads_at_once_while_others_verify(tmp_path):
    append(tmp_path, [{}])
    trouble = []
    workers = [threading.Thread(target=_append_many, args=(tmp_path, who, 10)) for who in range(4)]
    workers += [threading.Thread(target=lambda: trouble.extend(verify(tmp_path))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert trouble == [] and verify(tmp_path) == [] and len(list(read(tmp_path))) == 81


# -- tampering --------------------------------------------------------------------------------------------------------------------------


def test_an_edit(three_days):
    edit(three_days / name(2), lambda lines: [lines[0], lines[1].replace(b"21", b"99"), *lines[2:]])
    (message,) = verify(three_days)
    assert f"{name(2)} line 2 was edited" in message


def test_an_edit_of_a_days_last_line(three_days):
    edit(three_days / name(1), lambda lines: [*lines[:3], lines[3].replace(b"13", b"99")])
    (message,) = verify(three_days)
    assert f"{name(1)} line 4 was edited" in message


@pytest.mark.parametrize("field", ["number", "previous", "after"])
def test_an_edit_of_the_chain_itself(three_days, field):
    def change(lines):
        data = json.loads(lines[0])
        data[field] = {"number": 50, "previous": "f" * 64, "after": name(3)}[field]
        return [json.dumps(data).encode() + b"\n", *lines[1:]]

    edit(three_days / name(2), change)
    assert any(f"{name(2)} line 1" in message for message in verify(three_days))


def test_an_edit_into_nonsense(three_days):
    edit(three_days / name(2), lambda lines: [lines[0], b"{}{\n", *lines[2:]])
    assert f"{name(2)} line 2 is not a line of a ledger" in verify(three_days)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (0, f"1 line(s) are missing before {name(2)} line 1"),
        (1, f"1 line(s) are missing before {name(2)} line 2"),
        (3, f"1 line(s) are missing at the end of {name(2)}"),
    ],
)
def test_a_line_removed(three_days, gone, said):
    edit(three_days / name(2), lambda lines: [line for at, line in enumerate(lines) if at != gone])
    assert verify(three_days) == [said]


def test_two_lines_swapped(three_days):
    edit(three_days / name(2), lambda lines: [lines[0], lines[2], lines[1], lines[3]])
    messages = verify(three_days)
    assert f"{name(2)} line 3 should come straight after {name(2)} line 1: lines were moved or put in between" in messages


def test_a_line_put_in(three_days):
    forged = json.dumps({"image": 7, "number": 7, "previous": "0" * 64}).encode() + b"\n"
    edit(three_days / name(2), lambda lines: [*lines[:2], forged, *lines[2:]])
    assert any(f"{name(2)} line 4 should come straight after {name(2)} line 2" in message for message in verify(three_days))


def test_a_line_doubled(three_days):
    edit(three_days / name(2), lambda lines: [lines[0], lines[1], lines[1], *lines[2:]])
    assert any(f"{name(2)} line 3 should come straight after {name(2)} line 1" in message for message in verify(three_days))


def test_a_day_cut_short(three_days):
    edit(three_days / name(2), lambda lines: lines[:2])
    assert verify(three_days) == [f"2 line(s) are missing at the end of {name(2)}"]


def test_a_day_emptied(three_days):
    (three_days / name(2)).write_bytes(b"")
    messages = verify(three_days)
    assert f"{name(2)} is empty" in messages and any("4 line(s) are missing" in message for message in messages)


def test_a_day_missing(three_days):
    (three_days / name(2)).unlink()
    assert verify(three_days) == [f"{name(2)} is missing: {name(4)} line 1 continues from it (4 lines are gone)"]


def test_the_beginning_missing(three_days):
    (three_days / name(1)).unlink()
    (message,) = verify(three_days)
    assert message.startswith(f"{name(1)} is missing")
    edit(three_days / name(2), lambda lines: lines[1:])
    assert any(f"missing before {name(2)} line 1" in message for message in verify(three_days))


def test_a_day_renamed(three_days):
    (three_days / name(4)).rename(three_days / "ledger-2031-04-30.jsonl")
    messages = verify(three_days)
    assert any("should come straight after" in message for message in messages) and any("should be the first" in message for message in messages)


def test_the_newest_day_renamed(three_days):
    (three_days / name(4)).rename(three_days / name(9))
    assert verify(three_days) == [f"{name(9)} was called {name(4)} when it was begun: it was renamed"]


def test_a_day_between_renamed_in_order(three_days):
    (three_days / name(2)).rename(three_days / name(3))
    assert any(f"{name(3)} was called {name(2)}" in message for message in verify(three_days))


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 4)])
def test_two_days_merged(three_days, first, second):
    (three_days / name(second)).write_bytes((three_days / name(first)).read_bytes() + (three_days / name(second)).read_bytes())
    (three_days / name(first)).unlink()
    messages = verify(three_days)
    assert f"{name(second)} line 5 was the first of another file, {name(second)}: files were merged" in messages


def test_a_day_merged_into_the_one_before(three_days):
    with open(three_days / name(2), "ab") as file:
        file.write((three_days / name(4)).read_bytes())
    (three_days / name(4)).unlink()
    assert f"{name(2)} line 5 was the first of another file, {name(4)}: files were merged" in verify(three_days)


@pytest.mark.parametrize(("whole", "new"), [(2, 3), (4, 5)])
def test_a_day_split(three_days, whole, new):
    rows = (three_days / name(whole)).read_bytes().splitlines(keepends=True)
    (three_days / name(whole)).write_bytes(b"".join(rows[:2]))
    (three_days / name(new)).write_bytes(b"".join(rows[2:]))
    assert f"{name(new)} line 1 goes on in the midst of a day: {name(whole)} was split, or lines were moved" in verify(three_days)


def test_a_line_appended_to_a_day_that_was_over(three_days, day):
    """With number and hash as they should be, by somebody who knows how."""
    day(7)
    last = list(read(three_days))[-1]
    forged = {"time": Clock.now().isoformat(), "number": last["number"] + 1, "previous": last_hash(three_days)}
    with open(three_days / name(4), "ab") as file:
        file.write(json.dumps(forged).encode() + b"\n")
    assert verify(three_days) == [f"{name(4)} line 5 was written on 2031-05-07, after the day of its file: it was put there later"]


def old_ledger(folder: Path) -> None:
    """Days 1 to 3 of two lines each, as version 0.1 wrote them."""
    previous, number, after = ledger.GENESIS, 0, None
    for at in (1, 2, 3):
        rows = []
        for first in (True, False):
            number += 1
            chain = {"number": number, "previous": previous, **({"after": after} if first and after else {})}
            rows.append(json.dumps({"time": f"2031-05-{at:02}T12:00:00+00:00", "verdict": "stable", **chain}).encode())
            previous = hashlib.sha256(rows[-1]).hexdigest()
        (folder / name(at)).write_bytes(b"\n".join([*rows, b""]))
        after = name(at)


def test_a_ledger_of_version_0_1_is_read_and_continued(tmp_path, day):
    old_ledger(tmp_path)
    assert verify(tmp_path) == [] and check(tmp_path).describe() == "sound: 6 lines in 3 files"
    day(3)
    append(tmp_path, [{}])
    day(4)
    append(tmp_path, [{}])
    assert verify(tmp_path) == [] and check(tmp_path).lines == 8
    edit(tmp_path / name(2), lambda lines: [lines[0], lines[1].replace(b"stable", b"strong")])
    assert f"{name(2)} line 2 was edited" in verify(tmp_path)[0]


def test_a_ledger_of_version_0_1_merged_or_split(tmp_path):
    old_ledger(tmp_path)
    rows = (tmp_path / name(3)).read_bytes().splitlines(keepends=True)
    (tmp_path / name(3)).write_bytes(rows[0])
    (tmp_path / name(4)).write_bytes(rows[1])
    assert "was split" in verify(tmp_path)[0]
    (tmp_path / name(4)).unlink()
    with open(tmp_path / name(2), "ab") as file:
        file.write(b"".join(rows))
    (tmp_path / name(3)).unlink()
    assert "files were merged" in verify(tmp_path)[0]


def test_the_newest_end_needs_a_hash_kept_elsewhere(three_days):
    noted = last_hash(three_days)
    edit(three_days / name(4), lambda lines: lines[:2])
    assert verify(three_days) == []
    (message,) = verify(three_days, noted)
    assert noted in message and "cut off or changed" in message


def test_everything_deleted(three_days):
    for path in files(three_days):
        path.unlink()
    assert verify(three_days) == [f"{three_days} holds no ledger"]
    assert last_hash(three_days) == ledger.GENESIS


def test_a_kept_hash_outlives_growth(three_days):
    noted = last_hash(three_days)
    append(three_days, [{}])
    assert last_hash(three_days) != noted and verify(three_days, noted) == [] and verify(three_days, noted.upper()) == []


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_change_of_bytes_goes_unnoticed(data):
    """Anything but the newest line, by the hash of which everything is noticed, too."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for _ in range(3):
            append(folder, [{"image": number} for number in range(3)])
        (path,) = files(folder)
        before, noted = path.read_bytes(), last_hash(folder)
        at = data.draw(st.integers(0, len(before) - 1))
        new = data.draw(st.sampled_from(["replace", "delete", "insert"]))
        byte = data.draw(st.binary(min_size=1, max_size=3))
        after = {"replace": before[:at] + byte + before[at + len(byte) :], "delete": before[:at] + before[at + 1 :]}
        after = after.get(new, before[:at] + byte + before[at:])
        path.write_bytes(after)
        sound = verify(folder, noted) == []
    assert not sound or after == before


def test_hostile_files(tmp_path):
    append(tmp_path, [{}])
    (path,) = files(tmp_path)
    with open(path, "ab") as file:
        file.write(b"[" * 60_000 + b"\n" + b'{"number": ' + b"9" * 5000 + b"}\n" + b'{"number": true, "previous": [1]}\n' + b"x" * 200_000 + b"\n")
    (tmp_path / "ledger-evil.jsonl").write_bytes(b"no")
    messages = verify(tmp_path)
    assert len(messages) >= 4 and all(len(message) < 300 for message in messages)
    append(tmp_path, [{}])


def test_a_folder_that_may_only_be_read(three_days, monkeypatch):
    def denied(*arguments):
        raise PermissionError

    monkeypatch.setattr(ledger, "locked", denied)
    assert verify(three_days) == [] and len(list(read(three_days))) == 12


# -- what lines say ---------------------------------------------------------------------------------------------------------------------


def test_prompt_hash_does_not_mind_spacing():
    assert prompt_hash("a  red\nfox ") == prompt_hash("a red fox") != prompt_hash("a red box")
    assert len(prompt_hash("\ud800")) == 64


def test_describe():
    said = describe(Verdict("stable", 0.0, detector="watch", evaluations=20), "hires_")
    assert said["hires_verdict"] == "stable" and said["hires_score"] == 0.0 and said["hires_flagged_at"] is None
    assert set(describe(None).values()) == {None}
