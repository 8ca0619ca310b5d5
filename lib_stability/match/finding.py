"""The training pictures that are nearest to a picture, and whether that is a copy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..sentences import Sentence
from ..validation import ValidationError
from . import opening
from .describing import Describer, asked, same
from .search import Index
from .store import Source

OTHERS = "index: {name} was made with {made}; what is loaded now, {loaded}, describes pictures in another way"


class Near(NamedTuple):
    """A picture of an index: its file, likeness, whether it is mirrored, and whether what was asked for is a copy of it (None: nobody can tell)."""

    source: Source
    likeness: float
    mirrored: bool
    copy: bool | None

    @property
    def file(self) -> str:
        """The file's name alone: folders are nobody's business."""
        return os.path.basename(self.source.name)

    def describe(self) -> str:
        """For people."""
        kind = {True: "a copy", False: "no copy", None: "not told whether a copy"}[self.copy]
        return f"{self.file}, likeness {self.likeness:.2f}{', mirrored' if self.mirrored else ''}: {kind}"


def fitting(index: Index, describer: Describer) -> None:
    """ValidationError where an index was made with other weights than those at hand."""
    if index.about.kind != describer.kind or not same(np.float32(index.about.print), describer.print):
        made, have = index.about.made_with or index.about.kind, describer.name or describer.kind
        raise ValidationError(Sentence(OTHERS, name=index.folder.name, made=made, loaded=have))


def near(index: Index, describer: Describer, squares: Sequence[np.ndarray], count: int = 5) -> list[list[Near]]:
    """The nearest of each picture, given as the square that the describer wants."""
    fitting(index, describer)
    limit = index.about.limit
    found = []
    for square, views in zip(squares, asked(squares, describer)):
        hits = [] if opening.is_blank(square) or not views.any() else index.search(views, count)
        found.append([Near(*hit, None if limit is None else hit.likeness > limit) for hit in hits])
    return found


def opened(folder: Path, describer: Describer) -> Index:
    """An index that fits what describes; ValidationError where it does not."""
    index = Index(folder)
    fitting(index, describer)
    return index
