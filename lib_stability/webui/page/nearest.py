"""The nearest training pictures as cards: small, with their likeness, and whether the picture asked about is a copy."""

from __future__ import annotations

import html
from collections.abc import Sequence

from ...match.finding import Near
from ...trail.audit import plain
from ...trail.thumbnails import thumbnails
from ..host import texts
from ..host.language import joined, number, say
from ..tasks import folders
from .tab_parts import line


def cards(index: str, near: Sequence[Near], named: bool) -> str:
    """Cards of the nearest; names and pictures only where they may be `named`, pictures only of what may be looked into by now."""
    if not near:
        return line(say(texts.ONE_COLOUR))
    roots = folders.opened()
    wanted = [one.source.path for one in near if named and folders.is_open(one.source.path, roots)]
    seen = dict(zip(wanted, thumbnails(wanted)))
    told = [say(texts.BEST[near[0].copy], index=index), *([] if named else [say(texts.ONLY_ADMINISTRATOR)])]
    head = line(joined(told))
    return f"{head}<div class='memorization-guard-audit'>{''.join(_card(one, seen.get(one.source.path), named) for one in near)}</div>"


def _card(one: Near, seen: str | None, named: bool) -> str:
    picture = f"<img src='{seen}' alt=''>" if seen else f"<div class='memorization-guard-no-preview'>{html.escape(say(texts.NO_PREVIEW))}</div>"
    name = html.escape(plain(one.source.name if named else say(texts.UNNAMED)), quote=True)
    word = "strong" if one.copy else "stable"
    said = html.escape(say(texts.COPY if one.copy else texts.NO_COPY))
    badge = "" if one.copy is None else f"<span class='memorization-guard-badge memorization-guard-is-{word}'>{said}</span>"
    likeness = say(texts.MIRRORED if one.mirrored else texts.LIKENESS, likeness=number(f"{one.likeness:.2f}"))
    told = f"<ul><li>{html.escape(likeness)}</li></ul>"
    return f"<figure title='{name}'>{picture}<figcaption>{badge}<b>{name.rpartition('/')[2]}</b>{told}</figcaption></figure>"
