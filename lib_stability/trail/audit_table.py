"""All rows of one audit, kept small: counts per verdict, gravest first, a page at a time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..guard.verdict import MILD, NOT_JUDGED, STABLE, STRONG
from . import audit
from .image_row import COLUMNS, NO_VERDICT, PASSES, UNREADABLE, shown_beside

#: What a row is counted and filtered as, gravest first: a pass that was not judged may be anything.
GROUPS = (STRONG, MILD, NOT_JUDGED, STABLE, NO_VERDICT, UNREADABLE)
#: Columns whose values are hardly ever said twice.
_OWN = {"file", *(prefix + name for prefix in PASSES for name in ("score", "score_after")), "seed", "prompt_hash"}
_AT = {name: number for number, name in enumerate(COLUMNS)}


class Table:
    """Rows as tuples that share their texts.

    Parameters
    ----------
    top : str
        The folder that file names are shown relative to; "" to show them whole.
    """

    def __init__(self, top: str = "") -> None:
        self.top = top
        self._rows: list[tuple] = []
        self._groups: list[int] = []
        self._texts: dict[object, object] = {}
        self._orders: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: dict) -> None:
        """Take in one row of :func:`.image_row.examine`."""
        self._rows.append(tuple(row[name] if name in _OWN else self._texts.setdefault(row[name], row[name]) for name in COLUMNS))
        self._groups.append(min(GROUPS.index(row[prefix + "verdict"]) for prefix in PASSES if row[prefix + "verdict"]))
        self._orders.clear()

    def counts(self) -> dict[str, int]:
        """How many rows are in each group, by the gravest verdict of all passes; grids beside their images count no second time."""
        found = Counter(group for group, grid in zip(self._groups, self._grids()) if not grid)
        return {group: found[number] for number, group in enumerate(GROUPS)}

    def count(self, group: str = "") -> int:
        """Rows of one group, of all for ""."""
        return sum(GROUPS[number] == group for number in self._groups) if group else len(self)

    def grids(self) -> int:
        """Rows that :meth:`counts` leaves out."""
        return sum(self._grids())

    def _grids(self) -> list[bool]:
        names = ("grid", "seed", "prompt_hash")
        return shown_beside([{name: row[_AT[name]] for name in names} for row in self._rows])

    def rows(self, group: str = "", start: int = 0, most: int | None = None) -> Iterator[dict]:
        """Rows as dicts with "group" and "name" (the file's, relative to `top`), gravest first, then the highest score, then by name."""
        order = self._order(group)
        for index in order[start : None if most is None else start + most]:
            row = dict(zip(COLUMNS, self._rows[index]))
            yield {**row, "group": GROUPS[self._groups[index]], "name": self._name(row["file"])}

    def _name(self, path: str) -> str:
        start = os.path.join(self.top, "")
        return path[len(start) :] if self.top and path.startswith(start) else path

    def write(self, path: Path, group: str = "") -> None:
        """Write the rows as CSV or JSON lines, as the command ``audit`` does, with names relative to `top`."""
        audit.write(({**row, "file": row["name"]} for row in self.rows(group)), path)

    def _order(self, group: str) -> list[int]:
        if group not in self._orders:
            chosen = range(len(self)) if not group else [i for i, one in enumerate(self._groups) if GROUPS[one] == group]
            self._orders[group] = sorted(chosen, key=self._gravity)
        return self._orders[group]

    def _gravity(self, index: int) -> tuple:
        row = self._rows[index]
        scores = [score for score in (row[_AT[prefix + "score"]] for prefix in PASSES) if score is not None]
        return self._groups[index], -max(scores, default=float("-inf")), row[_AT["file"]]
