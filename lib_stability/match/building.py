"""Making an index and keeping it up to date: what is new or changed is described, what is gone goes, and a work that is broken off goes on there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np

from ..sentences import Sentence, listed
from ..trail import audit
from . import opening, search, store, threshold
from .describing import Describer, same
from .store import About, Source

#: Why an index cannot be made.
TEXTS = {
    "others": "{name} was made with {made}, not with {loaded}: load that, or choose another index",
    "missing": "{folder} is no folder",
    "none": "name a folder of pictures",
    "empty": "{folders} holds no picture",
}

#: Pictures that are described at a time, and threads that decode them.
BATCH, THREADS = 16, 4
#: Batches that are decoded ahead.
_AHEAD = 2
#: Told: how many are done, of how many (0 while nobody knows), and what.
Tick = Callable[[int, int, str], None]


class Built(NamedTuple):
    """What came out: the index as it is now, pictures that are new or changed, and those that are gone."""

    about: About
    new: int
    gone: int


def build(
    folder: Path,
    tops: Sequence[Path],
    describer: Describer,
    tick: Tick = lambda done, total, note: None,
    admits: Callable[[str], bool] = lambda path: True,
    batch: int = BATCH,
) -> Built:
    """Bring the index in `folder` up to date with the pictures below `tops`; without any these are those that it was made of.

    An exception of `tick` or of the describer ends it: what is done by then is in force, and the same call goes on there.

    Raises
    ------
    ValueError
        A folder is not there, or holds no picture any more; the index was made with other weights; somebody else writes it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with store.locked(folder):
        before = store.read(folder) if (folder / store.NAME).exists() else None
        if before is not None and not (before.kind == describer.kind and same(np.float32(before.print), describer.print)):
            made, have = before.made_with or before.kind, describer.name or describer.kind
            raise ValueError(Sentence(TEXTS["others"], name=folder.name, made=made, loaded=have))
        named = tuple(os.path.abspath(one) for one in tops) or (before.tops if before else ())
        missing = [one for one in named if not os.path.isdir(one)]
        if missing or not named:
            raise ValueError(Sentence(TEXTS["missing"], folder=missing[0]) if missing else Sentence(TEXTS["none"]))
        return _Building(folder, named, describer, before, tick, admits).run(batch)


class _Building:
    def __init__(self, folder: Path, tops: tuple[str, ...], describer: Describer, before: About | None, tick: Tick, admits: Callable) -> None:
        self.folder, self.tops, self.describer, self.before, self.tick, self.admits = folder, tops, describer, before, tick, admits
        self.size = len(describer.print)
        self.journal = store.Journal(folder, describer.print)

    def run(self, batch: int) -> Built:
        present = self._present()
        if not present:
            raise ValueError(Sentence(TEXTS["empty"], folders=listed(self.tops)))
        done = self._known()
        todo = [one for path, one in present.items() if done.get(path, (None,))[0] != one]
        gone = sum(path not in present for path in done)
        try:
            self._describe(todo, len(present) - len(todo), len(present), batch)
        except BaseException:
            if self.journal.known:
                self._publish(present, complete=False)
            raise
        if not todo and not gone and not self.journal.known and self.before is not None and self.before.complete and self.before.tops == self.tops:
            self.journal.clear()
            return Built(self.before, 0, 0)
        return Built(self._publish(present, complete=True), len(todo), gone)

    def _present(self) -> dict[str, Source]:
        """The pictures that are there now, each once; their own row is not looked for."""
        found: dict[str, Source] = {}
        for item in audit.find([Path(one) for one in self.tops], self.admits):
            if not opening.is_supported(item.path):
                continue
            try:
                stat = os.stat(item.path)
            except OSError:
                continue
            top = next(one for one in self.tops if os.path.join(item.path, "").startswith(os.path.join(one, "")))
            found[item.path] = Source(top, os.path.relpath(item.path, top), stat.st_mtime_ns, stat.st_size)
            if len(found) % 500 == 0:
                self.tick(len(found), 0, "pictures found")
        return found

    def _known(self) -> dict[str, tuple[Source, int]]:
        """By path, what was described already: the file as it was then, and its row (-1 for none), those of the journal behind all others."""
        found: dict[str, tuple[Source, int]] = {}
        row = 0
        for one in [*self._old(), *self.journal.known]:
            found[one.path] = one._replace(problem=""), -1 if one.problem else row
            row += not one.problem
        return found

    def _old(self) -> Iterator[Source]:
        return store.sources(store.part(self.folder, self.before, "files")) if self.before is not None else iter(())

    def _describe(self, todo: list[Source], done: int, total: int, batch: int) -> None:
        self.tick(done, total, "pictures")
        chunks = [todo[first : first + batch] for first in range(0, len(todo), batch)]
        with ThreadPoolExecutor(THREADS) as pool:
            waiting = [[pool.submit(self._square, one) for one in chunk] for chunk in chunks[:_AHEAD]]
            try:
                for number, chunk in enumerate(chunks):
                    squares = [one.result() for one in waiting.pop(0)]
                    if number + _AHEAD < len(chunks):
                        waiting.append([pool.submit(self._square, one) for one in chunks[number + _AHEAD]])
                    self._take(chunk, squares)
                    done += len(chunk)
                    self.tick(done, total, "pictures")
            finally:
                for one in (future for part in waiting for future in part):
                    one.cancel()

    def _square(self, source: Source) -> np.ndarray | str:
        """The square of a picture, or why there is none."""
        try:
            square = opening.square(opening.whole(source.path, self.describer.side), self.describer.side)
            return "nothing in it" if opening.is_blank(square) else square
        except opening.Unreadable as error:
            return str(error)
        except OSError as error:
            return error.strerror or type(error).__name__
        except MemoryError:
            return "too large for the memory"

    def _take(self, chunk: list[Source], squares: list[np.ndarray | str]) -> None:
        good = [one for one in squares if isinstance(one, np.ndarray)]
        rows = self.describer.rows(np.stack(good)) if good else np.zeros((0, self.size), np.float32)
        blank = iter(~rows.any(1))
        told = [one if isinstance(one, str) else "cannot be described" if next(blank) else "" for one in squares]
        self.journal.add([one._replace(problem=why) for one, why in zip(chunk, told)], rows[rows.any(1)])

    def _publish(self, present: dict[str, Source], complete: bool) -> About:
        """Write and put in force a generation of everything that is described and still there."""
        about = About(
            self.describer.kind,
            self.describer.side,
            tuple(float(one) for one in self.describer.print),
            self.describer.name[:200],
            self.tops,
            uuid4().hex[:16],
            complete=complete,
            updated=time.strftime("%Y-%m-%d %H:%M"),
        )
        try:
            about = self._write(about, present)
            store.publish(self.folder, about)
        except BaseException:
            store.sweep(self.folder, self.before)
            raise
        self.journal.clear()
        return about

    def _write(self, about: About, present: dict[str, Source]) -> About:
        # Of a picture that has changed the latest row counts, and only as the file is now.
        latest = {path: row for path, (source, row) in self._known().items() if present.get(path) == source}
        problems = offset = row = 0
        chosen: list[int] = []
        lines: list[int] = []
        with open(store.part(self.folder, about, "files"), "wb") as file:
            for one in [*self._old(), *self.journal.known]:
                number = -1 if one.problem else row
                row += not one.problem
                if latest.get(one.path) != number or present[one.path] != one._replace(problem=""):
                    continue
                if number < 0:
                    del latest[one.path]
                    problems += 1
                else:
                    chosen.append(number)
                    lines.append(offset)
                offset += file.write(one.line())
        old = self._rows_before()
        fresh = self.journal.array()
        with open(store.part(self.folder, about, "rows"), "wb") as file:
            for first in range(0, len(chosen), search.CHUNK):
                wanted = np.array(chosen[first : first + search.CHUNK])
                file.write(np.ascontiguousarray(old[wanted[wanted < len(old)]]).tobytes())
                file.write(np.ascontiguousarray(fresh[wanted[wanted >= len(old)] - len(old)]).tobytes())
        return finish(self.folder, about, lines, problems)

    def _rows_before(self) -> np.ndarray:
        if self.before is None:
            return np.zeros((0, self.size), np.float16)
        return store.mapped(store.part(self.folder, self.before, "rows"), np.float16, self.size)


def finish(folder: Path, about: About, lines: Sequence[int], problems: int = 0) -> About:
    """What follows from the rows and lines of a generation that are written already: the glance, the threshold."""
    rows = store.mapped(store.part(folder, about, "rows"), np.float16, about.size)
    basis = search.directions(rows)
    store.part(folder, about, "basis").write_bytes(basis.tobytes())
    with open(store.part(folder, about, "coarse"), "wb") as file:
        for coarse in search.projected(rows, basis):
            file.write(np.ascontiguousarray(coarse, np.float32).tobytes())
    store.part(folder, about, "lines").write_bytes(np.array(lines, np.int64).tobytes())
    limit, why = threshold.calibrate(rows)
    return replace(about, rows=len(rows), problems=problems, limit=limit, why=why)
