"""Whether a ledger is as it was written.

What a chain shows: lines edited, removed, added or moved, files cut short, missing, renamed, merged or split, and lines put into the file of a day
that was over. What it cannot show: the newest line edited and the newest end cut off, because nothing follows them, and everything rewritten from
some line to the end by somebody who computes the hashes anew. Against both, keep :func:`.ledger.last_hash` elsewhere now and then and hand it to
:func:`check`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from . import ledger_loss
from .ledger import GENESIS, NAME, Line, day, files, lines


@dataclass
class Found:
    """What was found in a ledger: what is wrong, what it says about itself, and how much it holds."""

    trouble: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lines: int = 0
    files: int = 0
    last_hash: str = GENESIS

    def describe(self) -> str:
        """One line for people."""
        held = f"{self.lines} {'line' if self.lines == 1 else 'lines'} in {self.files} {'file' if self.files == 1 else 'files'}"
        return f"{'NOT sound' if self.trouble else 'sound'}: {held}"


def verify(folder: Path, expect: str = "") -> list[str]:
    """What is wrong with a ledger, see :func:`check`; empty for a sound one."""
    return check(folder, expect).trouble


def check(folder: Path, expect: str = "") -> Found:
    """Read a whole ledger. The module's docstring says what no chain can show.

    Parameters
    ----------
    folder : Path
    expect : str
        A hash that :func:`.ledger.last_hash` gave before; some line has to have it still.
    """
    found = Found()
    every = list(lines(folder, found.trouble))
    known = {line.hash: line for line in reversed(every)}
    present = {path.name for path in files(folder)}
    odd = [path.name for path in sorted(Path(folder).glob("ledger-*.jsonl")) if NAME.fullmatch(path.name) and path.name not in present]
    found.trouble += [f"{name} is {'not a file' if day(name) else 'named after no day'}" for name in odd]
    if not every:
        found.trouble.append(f"{folder} holds no ledger")
    before, count = None, 0
    for line in every:
        if line.data is not None:
            found.lines += 1
            found.trouble += _compare(before, line, count, known, present)
            found.trouble += _placed(before, line)
            found.notes += _notes(line)
        before, count = line, line.number() or count + 1
    # A clock that was ahead has begun it, or somebody has: lines go on in it, because a chain goes by the files' names.
    tomorrow = datetime.now(timezone.utc).date() + timedelta(1)
    found.notes += [f"{name} is named after a day that has not come" for name in sorted(present) if day(name) > tomorrow]
    missed = ledger_loss.lost(folder)
    found.notes += [f"since the last line, {missed}"] if missed else []
    if expect and expect != GENESIS and expect.lower() not in known:
        found.trouble.append(f"no line has the hash {expect}: the newest end was cut off or changed since it was noted")
    found.files, found.last_hash = len(present), before.hash if before else GENESIS
    return found


def _compare(before: Line | None, line: Line, count: int, known: dict[str, Line], present: set[str]) -> Iterator[str]:
    previous, number, after = line.data.get("previous"), line.number(), line.data.get("after")
    missing = number - count - 1
    if previous == (before.hash if before else GENESIS):
        if missing:
            yield f"{line} was edited: its number should be {count + 1}"
        elif before and after not in (None, before.file):
            yield f"{line} was edited, or a file renamed: it does not continue from {str(after)[:40]}"
        elif before and before.file != line.file and after is None:
            yield f"{line} goes on in the midst of a day: {before.file} was split, or lines were moved"
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


def _placed(before: Line | None, line: Line) -> Iterator[str]:
    """Whether a line stands in the file that it was written to. Lines of version 0.1 do not name that; what can be told of them is."""
    opens, time = line.data.get("opens"), line.data.get("time")
    if line.at > 1 and ("after" in line.data or "opens" in line.data) and before and before.file == line.file:
        yield f"{line} was the first of another file{f', {opens[:40]}' if isinstance(opens, str) else ''}: files were merged"
    elif opens is not None and opens != line.file:
        yield f"{line.file} was called {str(opens)[:40]} when it was begun: it was renamed"
    if isinstance(time, str) and time[:10] > line.file[7:17]:
        yield f"{line} was written on {time[:10]}, after the day of its file: it was put there later"


def _notes(line: Line) -> Iterator[str]:
    lost, healed = line.data.get("lost"), line.data.get("healed")
    if lost is not None:
        yield f"before {line}, {lost} line(s) could not be written: {str(line.data.get('lost_why', 'for an unknown reason'))[:200]}"
    if healed is not None:
        yield f"before {line}, the end was mended, as after a crash: {str(healed)[:200]}"
