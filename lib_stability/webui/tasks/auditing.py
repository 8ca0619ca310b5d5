"""Audit of the host's output folders in the background: what page and API start, and the tables that they turn over afterwards."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ...sentences import Sentence
from ...trail import audit
from ...trail.audit_table import Table
from ...trail.image_row import Item, examine_all
from ...validation import ValidationError
from ..host import texts
from . import folders, json_options
from .background import FILES, Task

#: Threads, since a host that holds a GPU must not be forked; they gain nothing in Python, and wait for a slow disk together.
THREADS, CHUNK = 4, 50
#: While the host generates, reading rests so many times as long as it works, for at most so many seconds.
REST, LONGEST_REST = 8, 2.0
#: Tables that are kept: several people may turn over the pages of theirs.
KEPT = 3
_tables: OrderedDict[str, Audit] = OrderedDict()


@dataclass(frozen=True)
class Options:
    """What is audited: a folder that is open, or with "" all output folders of the host."""

    folder: str = ""
    tops: tuple[Path, ...] = ()
    roots: tuple[folders.Root, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, body: object) -> Options:
        """From a JSON body, which may hold `folder` alone.

        Raises
        ------
        ValidationError
            Naming the field.
        """
        text = json_options.text(json_options.fields(body, ("folder",)), "folder", folders.MOST)
        if text:
            top, roots = folders.resolve(text)
            return cls(text, (top,), tuple(roots))
        tops = tuple(Path(root.path) for root in folders.offered())
        if not tops:
            raise ValidationError(Sentence(texts.FOLDERS["nothing"]))
        return cls("", tops, tuple(folders.opened()))

    def admits(self, path: str) -> bool:
        """Whether a folder or file may be looked into."""
        return folders.is_open(path, self.roots)


@dataclass(frozen=True)
class Audit:
    """A finished audit: its table, and what it may look into."""

    table: Table
    options: Options


def task(options: Options) -> Task:
    """The work of an audit, not started yet."""
    return Task("audit", lambda running: run(options, running), FILES)


def kept(ident: str) -> Audit | None:
    """The audit of the task `ident`, unless newer ones have pushed it out."""
    return _tables.get(ident)


def run(options: Options, running: Task) -> dict:
    """Find, read, keep the table; returns what the API shows."""
    began = time.monotonic()
    items = list(_found(options, running))
    top = os.path.commonpath(options.tops) if len({os.path.splitdrive(one)[0] for one in options.tops}) == 1 else ""
    table = Table(top)
    running.progress(0, len(items), "files")
    for number, part in _read(items, lambda: running.stop.is_set()):
        for row in part:
            table.add(row)
        running.progress(number, len(items), "files")
    _tables[running.id] = Audit(table, options)
    while len(_tables) > KEPT:
        _tables.popitem(last=False)
    seconds = time.monotonic() - began
    return {
        "folder": options.folder,
        "files": len(table),
        "counts": table.counts(),
        "seconds": round(seconds, 2),
        "files_per_second": round(len(items) / max(seconds, 1e-6), 1),
    }


def _found(options: Options, running: Task) -> Iterator[Item]:
    for number, item in enumerate(audit.find(options.tops, options.admits), 1):
        if number % 500 == 0:
            running.progress(number, 0, "files found")
        yield item


def _read(items: list[Item], stopped: Callable[[], bool]) -> Iterator[tuple[int, list[dict]]]:
    """Rows in order, and how many files they come from, a chunk at a time."""
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]

    def work(part: list[Item]) -> list[dict | None]:
        if stopped():
            return []
        began = time.monotonic()
        found = examine_all(part)
        if _generates():
            time.sleep(min(REST * (time.monotonic() - began), LONGEST_REST))
        return found

    pool, done = ThreadPoolExecutor(THREADS), 0
    try:
        for part, found in zip(chunks, pool.map(work, chunks)):
            done += len(part)
            yield done, [row for row in found if row is not None]
    finally:
        pool.shutdown(cancel_futures=True)


def _generates() -> bool:
    """Whether a job of the host's runs: its Python needs the interpreter more than an audit does."""
    from modules import shared

    return bool(getattr(shared.state, "job", ""))
