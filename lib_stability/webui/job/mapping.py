"""The map of where the memorized content sits: its settings, the pictures that it is drawn over, and the files that it is saved to."""

from __future__ import annotations

import logging
from pathlib import Path

from ...guard.locality import LocalMap
from ...pictures import overlay
from . import job, saved_files, settings

log = logging.getLogger(__name__)
#: Added to the name of a picture's file.
SUFFIX = "-mg-map.png"


def wanted() -> bool:
    """Whether flagged images are mapped."""
    return settings.option("map", True) is True


def to_be_saved() -> bool:
    """Whether maps are saved beside their pictures."""
    return wanted() and settings.option("save_map", False) is True


def register() -> None:
    saved_files.wanted(to_be_saved)


def keep_picture(found: object, p: object, image: object) -> None:
    """A picture of the job is finished but for what the host pastes it into: keep it small (or whole, to be saved) if it has a map."""
    picture = saved_files.picture_of(image)
    if not isinstance(found, job.Job) or picture is None or not found.locate:
        return
    where = getattr(p, "iteration", 0), getattr(p, "batch_index", 0)
    if last_map(found, where):
        kept = picture.copy()
        if not to_be_saved():
            kept.thumbnail((overlay.SIDE, overlay.SIDE))
        found.pictures[where] = kept


def save(found: object, processed: object) -> None:
    """Write the maps of a finished job beside its pictures' files, the hires pass's where there is one. An error is logged and disturbs nothing."""
    if not isinstance(found, job.Job) or not to_be_saved():
        return
    try:
        for where, name in saved_files.names(found, processed).items():
            one = last_map(found, where)
            if one is not None:
                path = Path(name)
                overlay.draw(one, found.pictures.get(where)).save(path.with_name(path.stem + SUFFIX))
    except Exception:
        log.exception("Memorization Guard: a map could not be saved")


def last_map(found: job.Job, where: tuple[int, int]) -> LocalMap | None:
    """The map of the last pass of an image that has one; none where that was damped or blanked: it would be of a picture that nobody sees."""
    for hires in (True, False):
        verdict, one = found.verdict(*where, hires), found.map(*where, hires)
        if one is not None and verdict is not None and not verdict.damped and not verdict.stopped_at:
            return one
    return None
