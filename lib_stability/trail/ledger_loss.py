"""Lines that a ledger lacks because they could not be written: kept until the next line says so.

They are kept in a file beside the ledger, so that they outlive the process; what that cannot take either (a full disk, a folder that may only be
read) is kept in memory, and goes with the process.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..sentences import Sentence

NAME = "ledger.lost"
#: Of that file nobody reads more: some ten thousand losses.
_MOST = 1 << 20
#: Per folder, what only this process knows.
_lost: dict[Path, Loss] = {}
TEXTS = {"one": "1 line could not be written ({reason})", "many": "{count} lines could not be written ({reason})"}


class Loss(NamedTuple):
    """Lines that could not be written, and why the last of them could not."""

    count: int
    why: str

    @property
    def sentence(self) -> Sentence:
        """For people."""
        return Sentence(TEXTS["one" if self.count == 1 else "many"], count=self.count, reason=self.why)

    def __str__(self) -> str:
        return str(self.sentence)

    def after(self, before: Loss | None) -> Loss:
        """Both together."""
        return self._replace(count=self.count + before.count) if before else self


def lost(folder: Path) -> Loss | None:
    """What could not be written to a ledger since its last line, by any process as far as that is known."""
    folder, found = Path(folder), None
    for loss in [*_kept(folder), *([_lost[folder]] if folder in _lost else [])]:
        found = loss.after(found)
    return found


def miss(folder: Path, count: int, error: Exception) -> None:
    """So many lines could not be written for `error`: the next line will say so."""
    why = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    _add(Path(folder), Loss(count, (why or type(error).__name__)[:200]))


def said(folder: Path) -> None:
    """A line has said what was lost. To be called by whoever holds the ledger's lock."""
    _lost.pop(Path(folder), None)
    with suppress(OSError):
        os.unlink(Path(folder) / NAME)


def move(before: Path, now: Path) -> None:
    """The ledger goes on in another folder: what was lost to the one before is said there."""
    found = lost(before)
    if found is not None:
        said(before)
        _add(Path(now), found)


def _add(folder: Path, loss: Loss) -> None:
    line = json.dumps(loss._asdict()).encode() + b"\n"
    with suppress(OSError):
        # Whatever else lies there is not waited for, and no link is followed.
        odd = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
        handle = os.open(folder / NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT | odd, 0o644)
        try:
            if os.write(handle, line) == len(line):
                return
        finally:
            os.close(handle)
    _lost[folder] = loss.after(_lost.get(folder))


def _kept(folder: Path) -> list[Loss]:
    found = []
    with suppress(OSError):
        handle = os.open(folder / NAME, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
        with open(handle, "rb") as file:
            for line in file.read(_MOST).splitlines():
                with suppress(ValueError, RecursionError, AttributeError):  # torn, or somebody else's
                    count, why = (json.loads(line).get(name) for name in Loss._fields)
                    if type(count) is int and 0 < count < 10**9 and isinstance(why, str):
                        found.append(Loss(count, why[:200]))
    return found
