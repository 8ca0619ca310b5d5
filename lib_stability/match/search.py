"""Looking into an index: a glance at all of it, and the best of that exactly.

Of each row there are :data:`COARSE` numbers more, its projection on the directions in which the index's rows differ most: a product with all of those
takes a fraction of the time and memory of one with the rows. The :data:`CANDIDATES` that are best by it are compared in full.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..sentences import Sentence
from ..validation import ValidationError
from . import store

COARSE, CANDIDATES = 64, 1500
#: Rows that are projected at a time, and of which the directions are taken.
CHUNK, SAMPLED = 16384, 8192
#: Attempts to open a generation that a writer may have replaced meanwhile.
_ATTEMPTS = 5


class Hit(NamedTuple):
    """A picture of the index, its likeness, and whether it is nearest to the mirror image."""

    source: store.Source
    likeness: float
    mirrored: bool


class Index:
    """An index as its files were when it was opened; several may be open, in any number of processes.

    Raises
    ------
    ValidationError
        It is none, or is damaged.
    """

    def __init__(self, folder: Path) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                self._open(Path(folder))
                return
            except (FileNotFoundError, ValueError) as error:
                if isinstance(error, ValidationError):
                    raise
                if attempt == _ATTEMPTS - 1:
                    raise ValidationError(Sentence(store.TEXTS["damaged"], name=Path(folder).name)) from None

    def _open(self, folder: Path) -> None:
        self.folder, self.about = folder, store.read(folder)
        about = self.about

        def of(name: str, kind: type, width: int) -> np.ndarray:
            return store.mapped(store.part(folder, about, name), kind, width)

        self.rows, self.basis = of("rows", np.float16, about.size), of("basis", np.float32, about.size)
        self.coarse, self.lines = of("coarse", np.float32, len(self.basis)), of("lines", np.int64, 1)[:, 0]
        if not len(self.rows) == len(self.coarse) == len(self.lines) == about.rows:
            raise ValueError("sizes differ")
        self._files = open(store.part(folder, about, "files"), "rb")  # noqa: SIM115 - as long as the maps

    def close(self) -> None:
        self._files.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def source(self, row: int) -> store.Source:
        """The file of a row."""
        self._files.seek(int(self.lines[row]))
        return store.Source.of(self._files.readline())

    def search(self, views: np.ndarray, count: int = 5) -> list[Hit]:
        """The nearest pictures, the nearest first; `views` are the rows of a picture and of its mirror image."""
        found = self.nearest(views, count)
        return [Hit(self.source(row), round(likeness, 4), view % 2 == 1) for row, likeness, view in found]

    def nearest(self, views: np.ndarray, count: int = 5, but: int = -1) -> list[tuple[int, float, int]]:
        """Row, likeness and view of the nearest; the row `but` is left out."""
        if not len(self.rows):
            return []
        best = candidates(self.coarse, views @ self.basis.T)
        best = best[best != but]
        exact = np.asarray(self.rows[np.sort(best)], np.float32) @ views.T
        best, view = np.sort(best), exact.argmax(1)
        likeness = exact.max(1)
        order = np.argsort(-likeness, kind="stable")[:count]
        return [(int(best[n]), float(min(max(likeness[n], -1), 1)), int(view[n])) for n in order]


def candidates(coarse: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The rows that are best at a glance, for any of the `asked` projections."""
    if len(coarse) <= CANDIDATES:
        return np.arange(len(coarse))
    best = coarse @ asked[0]
    for one in asked[1:]:
        np.maximum(best, coarse @ one, out=best)
    # Most are far below the best: a bound from some of them leaves few to be ordered.
    step = max(len(best) // 65536, 1)
    some = best[::step]
    bound = np.partition(some, len(some) - min(max(2 * CANDIDATES // step, 64), len(some)))[
        len(some) - min(max(2 * CANDIDATES // step, 64), len(some))
    ]
    kept = np.flatnonzero(best >= bound)
    if len(kept) < CANDIDATES:
        kept = np.arange(len(best))
    return kept[np.argpartition(best[kept], len(kept) - CANDIDATES)[len(kept) - CANDIDATES :]]


def directions(rows: np.ndarray) -> np.ndarray:
    """The directions in which rows differ most, from a sample of them: float32 ``(at most COARSE, size)``."""
    size = rows.shape[1]
    sample = np.asarray(rows[sampled(len(rows), SAMPLED)], np.float32)
    sample = sample - sample.mean(0) if len(sample) else sample
    _, vectors = np.linalg.eigh(sample.T @ sample + 1e-9 * np.eye(size, dtype=np.float32))
    return np.ascontiguousarray(vectors[:, ::-1].T[: min(COARSE, size)], np.float32)


def sampled(total: int, most: int) -> np.ndarray:
    """Numbers of rows spread over all of them by chance, the same every time, in order."""
    if total <= most:
        return np.arange(total)
    return np.sort(np.random.default_rng(total).choice(total, most, replace=False))


def projected(rows: np.ndarray, basis: np.ndarray) -> Iterator[np.ndarray]:
    """The coarse rows, a part at a time. Not centred: what all rows share shifts every product with the same picture alike."""
    for first in range(0, len(rows), CHUNK):
        yield np.asarray(rows[first : first + CHUNK], np.float32) @ basis.T
