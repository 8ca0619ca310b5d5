"""Which file the host has saved each of a job's pictures to, for those who asked to know."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from ..host import callbacks
from . import job

#: Per job, what the host has saved so far: (batch, position), picture, file name. A picture whose job is gone is let go of, too.
_saved: weakref.WeakKeyDictionary[job.Job, list[tuple[tuple[int, int], weakref.ref, str]]] = weakref.WeakKeyDictionary()
#: Each says whether somebody wants to know.
WANTED: list[Callable[[], bool]] = []
#: Each is told at once of a file that is most likely an image of the job, finished: job, its `p`, (batch, position), file name.
TOLD: list[Callable[[job.Job, object, tuple[int, int], str], None]] = []
#: How the names of files end that hosts and extensions save beside an image: earlier states of it, and masks.
_BESIDE = re.compile(r".*-(?:before-[\w-]+|ad-[\w-]+|mask(?:-composite)?|init|grid)", re.DOTALL)


def register() -> None:
    """Hear of every saved picture."""
    callbacks.once("image_saved", image_saved)


def wanted(by: Callable[[], bool]) -> None:
    """Listen while this answers True; said again after "Reload UI" it counts once."""
    if by not in WANTED:
        WANTED.append(by)


def tell(who: Callable[[job.Job, object, tuple[int, int], str], None]) -> None:
    """Call this for every finished picture; said again after "Reload UI" it counts once."""
    if who not in TOLD:
        TOLD.append(who)


def image_saved(params: object) -> None:
    """``on_image_saved``: remember which file a picture went to."""
    p = getattr(params, "p", None)
    found = job.of(p)
    if isinstance(found, job.Job) and any(by() for by in WANTED):
        where = getattr(p, "iteration", 0), getattr(p, "batch_index", 0)
        _saved.setdefault(found, []).append((where, weakref.ref(params.image), str(params.filename)))
        # What is saved before its batch was sampled is a picture from before hires.
        if where[0] in found.sampled and not _BESIDE.fullmatch(Path(str(params.filename)).stem):
            for one in TOLD:
                one(found, p, where, str(params.filename))


def names(found: job.Job, processed: object) -> dict[tuple[int, int], str]:
    """File names of the job's images, by batch and position.

    The host saves grids, masks and pictures from before hires with the same `p`, so a file counts only if its very picture is among the results,
    and of several for one image the one that comes first there: masks follow their image.
    """
    results = {id(picture): order for order, picture in enumerate(processed.images) if order >= processed.index_of_first_image}
    known = [(results[id(picture())], where, name) for where, picture, name in _saved.get(found, []) if id(picture()) in results]
    return {where: name for _, where, name in sorted(known, reverse=True)}


def forget(found: job.Job) -> None:
    """The job is over."""
    _saved.pop(found, None)


def picture_of(image: object) -> Image.Image | None:
    """A picture as the host hands it over, where it is one."""
    return image if isinstance(image, Image.Image) else None
