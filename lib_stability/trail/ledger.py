"""A ledger of verdicts: a JSON-lines file per day, each line chained to the one before by its hash.

Every line holds the SHA-256 of the previous line (its bytes without the newline) and a number that counts through; the first line of a day continues
from the last line of the day before, and names that file and its own. Several processes may append at once. The files are named after days in UTC.

Nothing is lost unsaid: how many lines could not be written stands in the next one that could ("lost", see :mod:`.ledger_loss`), and a line that a
crash has torn is taken out, and that it was stands in the line in its place ("healed"). :mod:`.ledger_check` tells what a chain shows and what it
cannot show.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, timezone
from pathlib import Path
from typing import NamedTuple

from . import ledger_loss
from .ledger_lock import locked

GENESIS = "0" * 64
MAX_LINE = 1 << 16
#: What a line says for the chain rather than about an image.
CHAIN = ("number", "previous", "after", "opens", "lost", "lost_why", "healed")
NAME = re.compile(r"ledger-\d{4}-\d{2}-\d{2}\.jsonl", re.ASCII)


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


def files(folder: Path) -> list[Path]:
    """The day files of a ledger, oldest first."""
    return sorted(path for path in Path(folder).glob("ledger-*.jsonl") if day(path.name) and path.is_file())


def day(name: str) -> date | None:
    """The day of a file's name; None where it is none's, also where the calendar has no such day."""
    with suppress(ValueError):
        return date.fromisoformat(name[7:17]) if NAME.fullmatch(name) else None
    return None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _parse(line: bytes) -> dict | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


# -- writing ----------------------------------------------------------------------------------------------------------------------------


class _End(NamedTuple):
    """Where a ledger ends: its last line and number, the file that holds it, and what was torn behind it in the file to be written."""

    line: bytes
    number: int
    newest: Path | None
    size: int
    torn: bytes
    healed: list[str]


def append(folder: Path, records: list[dict]) -> list[int]:
    """Add one line per record, all or none, and wait until the disk has them.

    Parameters
    ----------
    folder : Path
        Made if missing.
    records : list of dict
        Plain JSON values. "time" is added where missing; the names in :data:`CHAIN` belong to the chain.

    Returns
    -------
    list of int
        The numbers of the new lines.

    Raises
    ------
    ValueError, TypeError
        For a record that JSON cannot hold, or of more than 64 KiB.
    OSError
        The disk is full, the folder may only be read, or another process holds the lock for too long. In every case the next line will say so.
    """
    folder = Path(folder)
    if not records:
        return []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            numbers = _append(folder, records, ledger_loss.lost(folder))
            ledger_loss.said(folder)
    except Exception as error:
        ledger_loss.miss(folder, len(records), error)
        raise
    return numbers


def _append(folder: Path, records: list[dict], missed: ledger_loss.Loss | None) -> list[int]:
    now = datetime.now(timezone.utc)
    # A clock that was put back must not start a file before the newest: the chain goes by name.
    known = files(folder)
    target = max([folder / f"ledger-{now:%Y-%m-%d}.jsonl", *known[-1:]], key=lambda path: path.name)
    if os.path.lexists(target) and target not in known:
        raise OSError(f"{target.name} is not a file")
    end = _end(known, target)
    previous, number = _sha256(end.line) if end.newest else GENESIS, end.number
    out = []
    for position, record in enumerate(records):
        number += 1
        chain: dict[str, object] = {"number": number, "previous": previous}
        if position == 0:
            if end.newest != target:
                chain |= {"opens": target.name, **({"after": end.newest.name} if end.newest else {})}
            chain |= {"lost": missed.count, "lost_why": missed.why} if missed else {}
            chain |= {"healed": "; ".join(end.healed)} if end.healed else {}
        own = {key: value for key, value in record.items() if key not in CHAIN}
        line = json.dumps({"time": now.isoformat(timespec="seconds"), **own, **chain}, allow_nan=False).encode()
        if len(line) > MAX_LINE:
            raise ValueError(f"a record of {len(line)} bytes is too long for the ledger")
        out.append(line)
        previous = _sha256(line)
    _write(target, end.size, end.torn, b"\n".join([*out, b""]))
    return list(range(number - len(records) + 1, number + 1))


def _end(known: list[Path], target: Path) -> _End:
    """The end of a ledger, its older files healed; the file to be written is healed by writing over what is torn."""
    size, torn, healed = 0, b"", []
    for path in reversed(known):
        lines, kept, rest = _tail(path)
        if rest:
            said = "the newline was missing" if rest == b"\n" else f"{len(rest)} bytes of a torn line were taken out"
            healed.append(f"{said} at the end of {path.name}")
        if path == target:
            size, torn = kept, rest if rest != b"\n" else b""
        elif rest == b"\n":
            with open(path, "ab") as file:
                file.write(rest)
        elif rest and kept:
            os.truncate(path, kept)
        elif rest:  # nothing else is in it
            os.replace(path, path.with_name(path.name + ".torn"))
        if lines:
            return _End(lines[-1], _number(lines), path, size, torn, healed)
    return _End(b"", 0, None, size, torn, healed)


def _tail(path: Path) -> tuple[list[bytes], int, bytes]:
    """The last whole lines of a file, the size up to their end, and what is torn behind it; the newline itself where that alone is missing."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        start = max(end - 2 * MAX_LINE, 0)
        while True:
            file.seek(start)
            data = file.read(end - start)
            if b"\n" in data or not start:
                break
            start = max(start - 16 * MAX_LINE, 0)
    whole, newline, rest = data.rpartition(b"\n")
    kept = start + len(whole) + len(newline)
    lines = whole.split(b"\n") if newline else []
    if rest and _parse(rest) is not None:
        return [*lines, rest], end, b"\n"
    return lines, kept, rest


def _number(lines: list[bytes]) -> int:
    """The number of the last line. One that makes no sense holds none: counted on from one that does."""
    numbers = (Line("", 0, "", _parse(line)).number() for line in reversed(lines))
    return next((number + back for back, number in enumerate(numbers) if number), 0)


def _write(path: Path, size: int, torn: bytes, data: bytes) -> None:
    """Write behind the first `size` bytes of a file, over what is `torn` there; as it was if that fails."""
    new = not path.exists()
    try:
        with open(path, "xb" if new else "r+b") as file:
            file.seek(size)
            if size and not torn:
                file.seek(size - 1)
                data = (b"" if file.read(1) == b"\n" else b"\n") + data
                file.seek(size)
            file.write(data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
    except BaseException:  # a full disk: no half of it may stay
        with suppress(OSError):
            if new:
                path.unlink()
            else:
                with open(path, "r+b") as file:
                    file.seek(size)
                    file.write(torn)
                    file.truncate()
        raise
    if new and os.name != "nt":  # the new name has to survive a power cut, too
        handle = os.open(path.parent, os.O_RDONLY)
        with suppress(OSError):
            os.fsync(handle)
        os.close(handle)


# -- reading ----------------------------------------------------------------------------------------------------------------------------


def lines(folder: Path, trouble: list[str]) -> Iterator[Line]:
    """Every line as it stands at this moment; what is no line goes to `trouble`."""
    folder, sizes = Path(folder), {}
    if files(folder):  # nothing is left behind in a folder that holds no ledger
        with suppress(OSError), locked(folder):  # a folder that may only be read is read all the same
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
    return (line.data for line in lines(folder, []) if line.data is not None)


def last_hash(folder: Path) -> str:
    """The hash of the newest line: kept elsewhere, it proves later that nothing up to here was cut off."""
    for path in reversed(files(folder)):
        found = _tail(path)[0]
        if found:
            return _sha256(found[-1])
    return GENESIS
