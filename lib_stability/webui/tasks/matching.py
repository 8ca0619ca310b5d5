"""Indexes of training pictures: made of a folder that is open, asked about a picture, deleted; and who may see which picture it was."""

from __future__ import annotations

import base64
import binascii
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ...match import building, describing, opening, store
from ...match.finding import Near
from ...sentences import Sentence, reason
from ...validation import Field, ValidationError
from ..host import encoding, sampling, texts
from ..job import indexes
from . import folders, json_options
from .background import Task

#: Ways in which the web UI can describe.
BY = (describing.VAE, describing.SSCD)
#: Pictures that one request may have described, and the letters of a picture (base64).
MOST_PICTURES, MOST_LETTERS = 64, 24 * 1024 * 1024
COUNT, GRIDS = (1, 50), (4, 32)


@dataclass(frozen=True)
class Options:
    """An index to be made or brought up to date: its name, and a folder that is open, or "" for the folders that it was made of."""

    index: str = ""
    folder: str = ""
    by: str = describing.VAE
    tops: tuple[Path, ...] = ()
    roots: tuple[folders.Root, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, body: object) -> Options:
        """From a JSON body, which may hold `index`, `folder` and `by`.

        Raises
        ------
        ValidationError
            Naming the field.
        """
        found = json_options.fields(body, ("index", "folder", "by"))
        name = found.get("index", Field(None, "index")).name()
        by = json_options.chosen(found, by=lambda one: one.choice(BY)).get("by", describing.VAE)
        text = json_options.text(found, "folder", folders.MOST)
        if text:
            top, roots = folders.resolve(text)
            return cls(name, text, by, (top,), tuple(roots))
        about = store.read(indexes.folder(name))
        roots = tuple(folders.opened())
        closed = [top for top in about.tops if not folders.is_open(top, roots)]
        if closed:
            raise ValidationError(Sentence(texts.FOLDERS["no longer"]))
        return cls(name, "", about.kind if about.kind in BY else by, (), roots)

    def admits(self, path: str) -> bool:
        """Whether a folder or file may be looked into."""
        return folders.is_open(path, self.roots)


def task(options: Options) -> Task:
    """The work, not started yet."""
    return Task("index", lambda running: run(options, running))


def run(options: Options, running: Task) -> dict:
    """Make or bring up to date; returns what the API shows."""
    began = time.monotonic()
    if options.by == describing.VAE:
        sampling.loaded()
    how = indexes.by_detector() if options.by == describing.SSCD else indexes.same_throughout(indexes.by_checkpoint, lambda: _alive(running))
    built = building.build(indexes.folder(options.index), options.tops, how, running.progress, options.admits)
    seconds = time.monotonic() - began
    told = {"new": built.new, "gone": built.gone, "seconds": round(seconds, 2), "pictures_per_second": round(built.new / max(seconds, 1e-6), 1)}
    return {"index": options.index, **described(built.about), **told}


def _alive(running: Task) -> None:
    """Ends the work where that is wished."""
    running.progress(running.done, running.total, running.note)


def described(about: store.About) -> dict:
    """What an index says of itself, without its folders."""
    names = ("kind", "made_with", "rows", "problems", "limit", "why", "complete", "updated")
    return {**{name: getattr(about, name) for name in names}, "said": about.describe()}


def listed() -> list[dict]:
    """All indexes."""
    return [{"index": name, **(described(one) if isinstance(one, store.About) else {"problem": one})} for name, one in indexes.known().items()]


def picture(text: Field) -> Image.Image:
    """A picture that somebody sent, base64; also as a data URI."""
    try:
        return opening.whole(base64.b64decode(text.text(MOST_LETTERS).rpartition(",")[2], validate=True))
    except (opening.Unreadable, binascii.Error, ValueError) as error:
        if isinstance(error, ValidationError):
            raise
        text.fail(Sentence(texts.INDEXES["picture"], reason=reason(error)))


def find(image: Image.Image, name: str = "", count: int = 5) -> tuple[str, list[Near]]:
    """See :func:`.indexes.nearest`; waits for the host's queue."""
    sampling.loaded()
    with encoding.alone():
        return indexes.nearest(image, name, count)


def told(near: Near, named: bool) -> dict:
    """One of the nearest as JSON; which picture it is only where it may be `named`."""
    found = {"likeness": near.likeness, "mirrored": near.mirrored, "copy": near.copy}
    return {**({"file": near.source.name} if named else {}), **found}


def describe(pictures: list[Image.Image], grid: int = describing.GRID) -> dict:
    """Pictures described by the loaded autoencoder, for a program that keeps an index of its own: rows as float16, base64, and the print."""
    sampling.loaded()
    squares = np.stack([*(opening.square(one, describing.SIDE) for one in pictures), describing.pattern(describing.SIDE)])
    with encoding.alone():
        how = indexes.by_checkpoint(grid)
        rows = how.rows(squares)
    return {"kind": how.kind, "name": how.name, "size": rows.shape[1], "rows": base64.b64encode(rows.astype("<f2").tobytes()).decode()}


def delete(name: str) -> None:
    """Delete an index, and no picture; ValidationError where there is none of this name, ValueError where it is being written."""
    place = indexes.folder(name)
    if not (place / store.NAME).is_file():
        raise ValidationError(Sentence(texts.INDEXES["none"]))
    with store.locked(place):
        (place / store.NAME).unlink()
    shutil.rmtree(place, ignore_errors=True)
