"""The indexes of training pictures that the web UI keeps, what describes pictures for them, and what of them is nearest to a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ...match import describing, finding, opening, store
from ...match.describing import Describer
from ...match.finding import Near
from ...sentences import Sentence, reason
from ...validation import Field, ValidationError
from ..host import encoding, texts
from . import places

#: A copy detector's file that lies beside the indexes describes for those that were made by it.
DETECTORS = "sscd*.pt"
#: Pictures that are described before a generation may come in between.
FEW = 4
_loaded: dict[tuple[str, int], Describer] = {}


def home() -> Path:
    """The folder that holds a folder for each index."""
    return places.home() / "match"


def folder(name: str) -> Path:
    """Where the index of this name is, or will be; ValidationError for what is no name."""
    return home() / Field(name, "index").name()


def names() -> list[str]:
    """All indexes, by name."""
    try:
        return sorted(path.name for path in home().iterdir() if (path / store.NAME).is_file())
    except OSError:
        return []


def known() -> dict[str, store.About | str]:
    """What each index says of itself, or what is wrong with it."""
    found: dict[str, store.About | str] = {}
    for name in names():
        try:
            found[name] = store.read(home() / name)
        except ValidationError as error:
            found[name] = reason(error)
    return found


def detector() -> Path | None:
    """The file of a copy detector, if there is one."""
    return next(iter(sorted(home().glob(DETECTORS))), None)


def by_checkpoint(grid: int = describing.GRID) -> Describer:
    """What describes by the loaded checkpoint's autoencoder; see :func:`.encoding.encode` for when."""
    return describing.by_latents(encoding.encode, encoding.autoencoder(), grid=grid)


def by_detector() -> Describer:
    """What describes by the copy detector; ValidationError where there is none."""
    path = detector()
    if path is None:
        raise ValidationError(Sentence(texts.INDEXES["detector"], files=DETECTORS, folder=home()))
    key = str(path), path.stat().st_mtime_ns
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = describing.by_sscd(path)
    return _loaded[key]


def describer(kind: str) -> Describer:
    """What describes in the way of an index; ValidationError where that cannot be had here."""
    return by_checkpoint() if kind == describing.VAE else by_detector() if kind == describing.SSCD else describing.by_pixels()


def nearest(picture: Image.Image, name: str = "", count: int = 5) -> tuple[str, list[Near]]:
    """The index asked and what of it is nearest; without a name the first that fits what is loaded, see :func:`.encoding.encode` for when.

    Raises
    ------
    ValidationError
        There is no such index, or it was made with another autoencoder.
    """
    trouble = None
    for one in [name] if name else names():
        try:
            return one, _nearest(picture, folder(one), count)
        except ValidationError as error:
            trouble = trouble or error
    raise trouble or ValidationError(Sentence(texts.INDEXES["yet"]))


def _nearest(picture: Image.Image, place: Path, count: int) -> list[Near]:
    how = describer(store.read(place).kind)
    with finding.opened(place, how) as index:
        return finding.near(index, how, [opening.square(picture.convert("RGB"), how.side)], count)[0]


def same_throughout(how: Callable[[], Describer], alive: Callable[[], None] = lambda: None) -> Describer:
    """A describer that is made anew each time under the host's lock, and ends where something else was loaded meanwhile.

    Between a few pictures it lets go of the lock, since on a processor each takes seconds, and asks whether it is still `alive`.
    """
    with encoding.alone():
        first = how()
        print = first.print

    def rows(squares: np.ndarray) -> np.ndarray:
        found, asked = [], np.concatenate([squares, describing.pattern(first.side)[None]])
        for start in range(0, len(asked), FEW):
            alive()
            with encoding.alone():
                found.append(how().rows(asked[start : start + FEW]))
        rows = np.concatenate(found)
        if not describing.same(rows[-1], print):
            raise ValueError(Sentence(texts.INDEXES["another"]))
        return rows[:-1]

    return Describer(first.kind, first.side, rows, first.name)
