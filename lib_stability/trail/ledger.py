"""A ledger of verdicts: a JSON-lines file per day, each line chained to the one before by its hash.

Every line holds the SHA-256 of the previous line (its bytes without the newline) and a number that counts through; the first line of a day continues
from the last line of the day before and names that file. Several processes may append at once. The files are named after days in UTC.

What a chain shows, see :func:`verify`: lines edited, removed, added or moved, files cut short or missing. What it cannot show: the newest line edited
and the newest end cut off, because nothing follows them, and everything rewritten from some line to the end by somebody who computes the hashes anew.
Against both, keep :func:`last_hash` elsewhere now and then and hand it to :func:`verify`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

GENESIS = "0" * 64
MAX_LINE = 1 << 16
_NAME = re.compile(r"ledger-\d{4}-\d{2}-\d{2}\.jsonl", re.ASCII)
_LOCK = "ledger.lock"


class Line(NamedTuple):
    """One line of a ledger: `data` is None where it is not a JSON object."""

    file: str
    at: int
    hash: str
    data: dict | None

    def __str__(self) -> str:
        return f"{self.file} line {self.at}"

    def number(self) -> int:
        """Its number in the chain, 0 where it states none."""
        number = (self.data or {}).get("number")
        return number if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 10**15 else 0


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# -- writing ----------------------------------------------------------------------------------------------------------------------------


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system takes it from a process that dies."""
    with open(folder / _LOCK, "ab") as file:
        if os.name == "nt":
            import msvcrt

            while True:
                file.seek(0)
                with suppress(OSError):  # it gives up after ten seconds by itself
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if os.name == "nt":
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)


def files(folder: Path) -> list[Path]:
    """The day files of a ledger, oldest first."""
    return sorted(path for path in Path(folder).glob("ledger-*.jsonl") if _NAME.fullmatch(path.name))


def _tail(path: Path) -> tuple[list[bytes], bool]:
    """The last lines of a file, and whether the very last one is complete."""
    with open(path, "rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - 2 * MAX_LINE, 0))
        data = file.read()
    return data.removesuffix(b"\n").split(b"\n") if data else [], data.endswith(b"\n") or not data


def _number(lines: list[bytes]) -> int:
    """The number of the last line. One that a crash has torn holds none: counted on from one that does."""
    numbers = (Line("", 0, "", _parse(line)).number() for line in reversed(lines))
    return next((number + back for back, number in enumerate(numbers) if number), 0)


def _parse(line: bytes) -> dict | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def append(folder: Path, records: list[dict]) -> None:
    """Add one line per record, all or none, and wait until the disk has them.

    Parameters
    ----------
    folder : Path
        Made if missing.
    records : list of dict
        Plain JSON values. "time" is added where missing; "number", "previous" and "after" belong to the chain.

    Raises
    ------
    ValueError, TypeError
        For a record that JSON cannot hold, or of more than 64 KiB.
    """
    if not records:
        return
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        now = datetime.now(timezone.utc)
        # A clock that was put back must not start a file before the newest: the chain goes by name.
        known = files(folder)
        target = max([folder / f"ledger-{now:%Y-%m-%d}.jsonl", *known[-1:]], key=lambda path: path.name)
        newest = next((path for path in reversed(known) if path.stat().st_size), None)
        lines, complete = _tail(newest) if newest else ([], True)
        previous = _sha256(lines[-1]) if lines else GENESIS
        number = _number(lines)
        out = [] if complete or newest != target else [b""]
        for position, record in enumerate(records):
            number += 1
            first = position == 0 and newest is not None and newest != target
            chain = {"number": number, "previous": previous, **({"after": newest.name} if first else {})}
            own = {key: value for key, value in record.items() if key not in ("number", "previous", "after")}
            line = json.dumps({"time": now.isoformat(timespec="seconds"), **own, **chain}, allow_nan=False).encode()
            if len(line) > MAX_LINE:
                raise ValueError(f"a record of {len(line)} bytes is too long for the ledger")
            out.append(line)
            previous = _sha256(line)
        _write(target, b"\n".join([*out, b""]))


def _write(path: Path, data: bytes) -> None:
    size = path.stat().st_size if path.exists() else None
    try:
        with open(path, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:  # a full disk: no half of it may stay
        with suppress(OSError):
            os.truncate(path, size or 0)
        raise
    if size is None and os.name != "nt":  # the new name has to survive a power cut, too
        handle = os.open(path.parent, os.O_RDONLY)
        with suppress(OSError):
            os.fsync(handle)
        os.close(handle)


# -- reading ----------------------------------------------------------------------------------------------------------------------------


def _lines(folder: Path, trouble: list[str]) -> Iterator[Line]:
    """Every line as it stands at this moment; what is no line goes to `trouble`."""
    folder, sizes = Path(folder), {}
    with suppress(OSError), _locked(folder):  # a folder that may only be read is read all the same
        sizes = {path: path.stat().st_size for path in files(folder)}
    for path in sizes or files(folder):
        left = sizes.get(path, path.stat().st_size)
        if not left:
            trouble.append(f"{path.name} is empty")
        with open(path, "rb") as file:
            at = 0
            while left > 0:
                at += 1
                raw = file.readline(min(left, MAX_LINE + 2))
                left = left - len(raw) if raw else 0
                line = raw.removesuffix(b"\n")
                data = _parse(line) if len(line) <= MAX_LINE else None
                one = Line(path.name, at, _sha256(line), data)
                if line == raw or data is None:
                    trouble.append(f"{one} is {'incomplete' if line == raw else 'not a line of a ledger'}")
                yield one
                if len(line) > MAX_LINE:
                    break


def read(folder: Path) -> Iterator[dict]:
    """All records in order, unverified; lines that are not JSON are passed over."""
    return (line.data for line in _lines(folder, []) if line.data is not None)


def last_hash(folder: Path) -> str:
    """The hash of the newest line: kept elsewhere, it proves later that nothing up to here was cut off."""
    newest = next((path for path in reversed(files(folder)) if path.stat().st_size), None)
    return _sha256(_tail(newest)[0][-1]) if newest else GENESIS


def verify(folder: Path, expect: str = "") -> list[str]:
    """What is wrong with a ledger, one message per place; empty for a sound one. The module's docstring says what no chain can show.

    Parameters
    ----------
    folder : Path
    expect : str
        A hash that :func:`last_hash` gave before; some line has to have it still.
    """
    trouble: list[str] = []
    lines = list(_lines(folder, trouble))
    known = {line.hash: line for line in reversed(lines)}
    present = {path.name for path in files(folder)}
    if not lines:
        trouble.append(f"{folder} holds no ledger")
    before, count = None, 0
    for line in lines:
        if line.data is not None:
            trouble += _compare(before, line, count, known, present)
        before, count = line, line.number() or count + 1
    if expect and expect != GENESIS and expect.lower() not in known:
        trouble.append(f"no line has the hash {expect}: the newest end was cut off or changed since it was noted")
    return trouble


def _compare(before: Line | None, line: Line, count: int, known: dict[str, Line], present: set[str]) -> Iterator[str]:
    previous, number, after = line.data.get("previous"), line.number(), line.data.get("after")
    missing = number - count - 1
    if previous == (before.hash if before else GENESIS):
        if missing:
            yield f"{line} was edited: its number should be {count + 1}"
        elif before and after not in (None, before.file):
            yield f"{line} was edited: it does not continue from {after}"
    elif isinstance(previous, str) and previous in known:
        yield f"{line} should come straight after {known[previous]}: lines were moved or put in between"
    elif previous == GENESIS:
        yield f"{line} should be the first of the ledger: lines were put before it"
    elif isinstance(after, str) and after not in present:
        yield f"{after[:40]} is missing: {line} continues from it ({max(missing, 0)} lines are gone)"
    elif missing > 0:
        cut = before is not None and before.file != line.file and after == before.file
        yield f"{missing} line(s) are missing {f'at the end of {before.file}' if cut else f'before {line}'}"
    elif before is not None and missing == 0:
        yield f"{before} was edited, or {line}: the one is not what the other was chained to"
    else:
        yield f"{line} does not continue from what stands before it"
