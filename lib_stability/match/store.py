"""The files of an index: what it says of itself, and generations of rows that are written anew and put in place at once.

``index.json`` names a generation, whose files never change: ``rows`` (float16), ``coarse`` and ``basis`` (float32, see :mod:`.search`), ``files`` (a
line of JSON for each picture, broken ones too) and ``lines`` (where the line of each row begins). A reader goes on with the generation that it has
opened while a writer makes the next; what is made meanwhile lies in the journal, so that a writer that dies loses nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..sentences import Figure, Sentence, joined, recognised
from ..validation import Field, ValidationError
from .describing import KINDS, same

NAME, VERSION, LOCK = "index.json", 1, "index.lock"
FORMAT = "Memorization Guard match index"
JOURNAL_ROWS, JOURNAL_FILES = "journal.rows", "journal.files"
PARTS = ("rows", "coarse", "basis", "files", "lines")
#: What people are told of an index, of one without a threshold too, and why it cannot be read or written.
TEXTS = {
    "rows": "{count} pictures by {name}",
    "problems": "{count} files could not be read",
    "part": "not complete",
    "limit": "copies are those above {likeness}",
    "no limit": "no threshold for copies: {reason}",
    "few": "{count} pictures are too few to tell, {least} are wanted",
    "alike": "its pictures are too much alike to tell copies from others",
    "none": "index: {name} is no index; make one with: {command}",
    "damaged": "index: {name} is damaged; delete it and make it again",
    "written": "another program is writing the index {name}",
    "died": "another program is writing the index {name}, or has died: then delete {file} there",
}
#: Numbers of a row at most, and rows.
MOST_NUMBERS, MOST_ROWS = 8192, 100_000_000


class Source(NamedTuple):
    """A picture's file: the folder it was found below, its name there, when it was changed (ns) and its bytes; why there is no row of it, if so."""

    top: str
    name: str
    changed: int
    size: int
    problem: str = ""

    @property
    def path(self) -> str:
        return os.path.join(self.top, self.name)

    def line(self) -> bytes:
        # ASCII, so that names in no encoding at all survive.
        return json.dumps(list(self) if self.problem else list(self[:4])).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> Source:
        """ValueError where a line makes no sense."""
        found = json.loads(line)
        if not isinstance(found, list) or not 4 <= len(found) <= 5 or not all(isinstance(one, str) for one in (*found[:2], *found[4:])):
            raise ValueError("no line of an index")
        return cls(found[0], found[1], int(found[2]), int(found[3]), *found[4:])


@dataclass(frozen=True)
class About:
    """What an index says of itself.

    Attributes
    ----------
    kind, side, print, made_with
        Of the :class:`.describing.Describer` that made it.
    tops : folders that it is of
    generation, rows, problems : the files that are in force, pictures in them, and files that could not be read
    limit : the likeness from which a picture counts as a copy, None where nobody can tell, with the reason
    complete : whether all of the folder's pictures are in it
    """

    kind: str
    side: int
    print: tuple[float, ...]
    made_with: str = ""
    tops: tuple[str, ...] = ()
    generation: str = ""
    rows: int = 0
    problems: int = 0
    limit: float | None = None
    why: str = ""
    complete: bool = False
    updated: str = ""

    @property
    def size(self) -> int:
        return len(self.print)

    def describe(self) -> str:
        """One line for people."""
        facts = [Sentence(TEXTS["rows"], count=Figure(f"{self.rows:,}"), name=self.made_with or self.kind)]
        facts += [Sentence(TEXTS["problems"], count=Figure(f"{self.problems:,}"))] if self.problems else []
        facts += [] if self.complete else [Sentence(TEXTS["part"])]
        why = recognised(self.why, (TEXTS["few"], TEXTS["alike"])) or self.why
        known = Sentence(TEXTS["no limit"], reason=why) if self.limit is None else Sentence(TEXTS["limit"], likeness=Figure(f"{self.limit:.2f}"))
        return joined("; ", [joined(", ", facts), known])


def read(folder: Path) -> About:
    """What an index says of itself.

    Raises
    ------
    ValidationError
        It is none, or makes no sense.
    """
    try:
        text = (folder / NAME).read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise ValidationError(Sentence(TEXTS["none"], name=folder.name, command="python -m lib_stability match index")) from None
    try:
        root = Field(json.loads(text), "index").object()
    except (ValueError, RecursionError):
        raise ValidationError(f"index: {NAME} is no JSON") from None
    root.format(FORMAT, VERSION)
    tops = root["tops"]
    if not isinstance(tops.value, list) or not tops.value:
        tops.fail("has to be a list of folders")
    return About(
        root["kind"].choice(KINDS),
        root["side"].integer(16, 1024),
        tuple(root["print"].numbers(-1.01, 1.01, 1, MOST_NUMBERS).tolist()),
        root["made_with"].text(200),
        tuple(Field(one, "tops").text(4096) for one in tops.value),
        root["generation"].name(),
        root["rows"].integer(0, MOST_ROWS),
        root["problems"].integer(0, MOST_ROWS),
        None if root["limit"].value is None else root["limit"].number(-1, 1),
        root["why"].text(300),
        root["complete"].value is True,
        root["updated"].text(40),
    )


def part(folder: Path, about: About, name: str) -> Path:
    """A file of the generation in force."""
    return folder / f"{name}-{about.generation}"


def publish(folder: Path, about: About) -> None:
    """Put a generation in force; files of others go where nobody holds them any more."""
    temporary = folder / f".{NAME}.part"
    plain = {**asdict(about), "print": [round(one, 6) for one in about.print]}
    temporary.write_text(json.dumps({"format": FORMAT, "version": VERSION, **plain}), encoding="utf-8")
    os.replace(temporary, folder / NAME)
    sweep(folder, about)


def sweep(folder: Path, about: About | None) -> None:
    """Delete files of generations that are not in force."""
    kept = {part(folder, about, name).name for name in PARTS} if about is not None else set()
    for path in folder.iterdir():
        if path.name.partition("-")[0] in PARTS and path.name not in kept:
            with suppress(OSError):  # Windows keeps what is mapped; the next time it goes
                path.unlink()


def sources(path: Path) -> Iterator[Source]:
    """The pictures of a file of lines, up to the first line that makes no sense: there a writer has died."""
    if not path.exists():
        return
    with open(path, "rb") as file:
        for line in file:
            try:
                if not line.endswith(b"\n"):
                    return
                yield Source.of(line)
            except (ValueError, TypeError, RecursionError):
                return


class Journal:
    """What was described since the generation in force was made, behind a row of the print of what describes.

    Parameters
    ----------
    folder : Path
    print : array of shape ``(size,)``
        Of what describes; a journal of something else is begun anew.
    """

    def __init__(self, folder: Path, print: np.ndarray) -> None:
        self.rows, self.files, self.size = folder / JOURNAL_ROWS, folder / JOURNAL_FILES, len(print)
        self.known: list[Source] = []
        before = mapped(self.rows, np.float16, self.size) if self.rows.exists() else []
        if len(before) and same(np.float32(before[0]), print):
            left = len(before) - 1
            for one in sources(self.files):
                left -= not one.problem
                if left < 0:
                    break
                self.known.append(one)
        del before
        if not self.known:
            self.rows.write_bytes(np.float16(print).tobytes())
        with open(self.rows, "ab") as file:
            file.truncate((1 + sum(not one.problem for one in self.known)) * 2 * self.size)
        self.files.write_bytes(b"".join(one.line() for one in self.known))

    def add(self, sources: list[Source], rows: np.ndarray) -> None:
        """Pictures in their order; `rows` has one for each without a problem."""
        with open(self.rows, "ab") as file:
            file.write(np.ascontiguousarray(rows, np.float16).tobytes())
        with open(self.files, "ab") as file:
            file.write(b"".join(one.line() for one in sources))
        self.known += sources

    def array(self) -> np.ndarray:
        """All of its rows, mapped into memory."""
        return mapped(self.rows, np.float16, self.size)[1:]

    def clear(self) -> None:
        """Its content is in force."""
        for path in (self.files, self.rows):
            path.unlink(missing_ok=True)


def mapped(path: Path, kind: type, width: int) -> np.ndarray:
    """An array of the whole rows in a file; an empty file has none."""
    count = path.stat().st_size // (width * np.dtype(kind).itemsize)
    return np.memmap(path, kind, "r", shape=(count, width)) if count else np.zeros((0, width), kind)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other writers out.

    Raises
    ------
    ValueError
        Another one is at work.
    """
    from filelock import FileLock, SoftFileLock, Timeout

    try:
        lock = FileLock(str(folder / LOCK), timeout=0)
        lock.acquire()
    except Timeout:
        raise ValueError(Sentence(TEXTS["written"], name=folder.name)) from None
    except (NotImplementedError, OSError):  # a file system without locks
        lock = SoftFileLock(str(folder / f"{LOCK}.soft"), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise ValueError(Sentence(TEXTS["died"], name=folder.name, file=f"{LOCK}.soft")) from None
    try:
        yield
    finally:
        lock.release()
