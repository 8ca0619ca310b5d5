"""The nearest training pictures as cards: small, with their likeness, and whether the picture asked about is a copy."""

from __future__ import annotations

import html
from collections.abc import Sequence

from ...match.finding import Near
from ...trail.audit import plain
from ...trail.thumbnails import thumbnails
from ..tasks import folders

_BEST = {
    True: "This is a copy of a training picture",
    False: "No training picture is near enough for a copy",
    None: "The nearest training pictures; whether it is a copy nobody can tell: this index has no threshold",
}
_SAID = {True: "copy", False: "no copy"}


def cards(index: str, near: Sequence[Near], named: bool) -> str:
    """Cards of the nearest; names and pictures only where they may be `named`, pictures only of what may be looked into by now."""
    if not near:
        return "<p class='memorization-guard-progress'>There is one colour all over, or no picture to compare with.</p>"
    roots = folders.opened()
    wanted = [one.source.path for one in near if named and folders.is_open(one.source.path, roots)]
    seen = dict(zip(wanted, thumbnails(wanted)))
    best = near[0]
    head = f"<p class='memorization-guard-progress'>{_BEST[best.copy]} (index {html.escape(index)}).{'' if named else _HIDDEN}</p>"
    return f"{head}<div class='memorization-guard-audit'>{''.join(_card(one, seen.get(one.source.path), named) for one in near)}</div>"


_HIDDEN = " Which one only this web UI's administrator sees."


def _card(one: Near, seen: str | None, named: bool) -> str:
    picture = f"<img src='{seen}' alt=''>" if seen else "<div class='memorization-guard-no-preview'>no preview</div>"
    name = html.escape(plain(one.source.name if named else "a training picture"), quote=True)
    word = "strong" if one.copy else "stable"
    badge = "" if one.copy is None else f"<span class='memorization-guard-badge memorization-guard-is-{word}'>{_SAID[one.copy]}</span>"
    told = f"<ul><li>likeness {one.likeness:.2f}{', mirrored' if one.mirrored else ''}</li></ul>"
    return f"<figure title='{name}'>{picture}<figcaption>{badge}<b>{name.rpartition('/')[2]}</b>{told}</figcaption></figure>"
