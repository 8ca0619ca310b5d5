"""The nearest training picture of a flagged image in its infotext, where the setting asks for it: the file's name and the likeness, no folder."""

from __future__ import annotations

import logging
import weakref

from ...trail.infotext import MATCH_KEY, clean
from ..host import visitors
from . import indexes, job, saved_files, settings

log = logging.getLogger(__name__)
#: Per job, what was found, by batch and position.
_found: weakref.WeakKeyDictionary[job.Job, dict[tuple[int, int], str]] = weakref.WeakKeyDictionary()


def wanted() -> bool:
    """Whether it is to be said; never where strangers read the infotexts: names of training pictures are their owner's."""
    return settings.option("match", False) is True and not visitors.strangers()


class Value(str):
    """The key's value: called with the locals of the host's ``create_infotext``, as those of :mod:`.infotexts` are."""

    def __call__(self, p=None, index=0, all_prompts=None, use_main_prompt=False, **_: object) -> str | None:
        found = job.of(p)
        if found is None or use_main_prompt or found.over:
            return None
        everything = getattr(p, "all_prompts", None)
        local = all_prompts is not None and everything is not None and all_prompts is not everything and len(all_prompts) != len(everything)
        where = (p.iteration, index or 0) if local else divmod(index or 0, max(p.batch_size, 1))
        return _found.get(found, {}).get(where)


def attach(p: object) -> None:
    """Let the host ask for it."""
    if wanted():
        p.extra_generation_params[MATCH_KEY] = Value()
    else:
        p.extra_generation_params.pop(MATCH_KEY, None)


def look(found: object, p: object, image: object) -> None:
    """A picture of the job is finished: find the nearest training picture if it is flagged. An error is logged and disturbs nothing."""
    picture = saved_files.picture_of(image)
    if not isinstance(found, job.Job) or picture is None or not wanted():
        return
    where = getattr(p, "iteration", 0), getattr(p, "batch_index", 0)
    if not any(one is not None and one.flagged for one in (found.verdict(*where), found.verdict(*where, hires=True))):
        return
    try:
        _, near = indexes.nearest(picture, str(settings.option("match_index", "") or ""), 1)
    except ValueError as error:
        log.warning("Memorization Guard: %s", error)
        return
    if near:
        _found.setdefault(found, {})[where] = f"{clean(near[0].file)} {near[0].likeness:.2f}"
