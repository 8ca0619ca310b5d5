"""Which infotext each picture of a job's gallery has: hosts put masks among the pictures, and nothing for them among the texts."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence

from ..host import host

log = logging.getLogger(__name__)
#: The latest jobs whose galleries are known, by their texts: more than anybody has pages open.
_KEPT = 32
_known: OrderedDict[tuple[str, ...], list[str | None]] = OrderedDict()


def remember(p: object, processed: object) -> None:
    """Keep what the gallery of a finished job holds. An error is logged and disturbs nothing."""
    try:
        told = tuple(processed.infotexts)
        _known[told] = _by_pictures(processed.images, told) or _by_order(p, processed.index_of_first_image, told)
        _known.move_to_end(told)
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    except Exception:
        log.exception("Memorization Guard: the gallery could not be read")


def texts(told: Sequence[str]) -> list[str | None]:
    """The infotext of each picture of the gallery that a host shows with these; one for each where the job is not known here."""
    return _known.get(tuple(told)) or list(told)


def _by_pictures(pictures: Sequence[object], told: tuple[str, ...]) -> list[str | None]:
    """What the pictures themselves carry, where that is all of the texts in their order: hosts may be asked to write none."""
    carried = [getattr(picture, "info", {}).get("parameters") for picture in pictures]
    own = [text if text in told else None for text in carried]
    return own if [text for text in own if text is not None] == list(told) else []


def _by_order(p: object, first: int, told: tuple[str, ...]) -> list[str | None]:
    """Grids, then every image with the pictures of its mask behind it."""
    masked = getattr(p, "mask_for_overlay", None) is not None
    behind = [None] * sum(masked and bool(getattr(host.opts(), name, False)) for name in ("return_mask", "return_mask_composite"))
    return [*told[:first], *(one for text in told[first:] for one in (text, *behind))]
