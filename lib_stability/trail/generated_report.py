"""Pictures that were made for the worst captions of a scan, beside the training picture: as part of its page, and as cells of its table."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

#: Of this part alone.
STYLE = """
.mg-made figure { display: inline-block; margin: 0 .6em .6em 0; text-align: center; vertical-align: top; font-size: 12px; max-width: 11em; }
.mg-made figcaption { overflow-wrap: anywhere; }
.mg-made img { display: block; max-width: 11em; max-height: 11em; border: 3px solid transparent; }
.mg-made .copy img { border-color: #cc3311; }
.mg-made .copy figcaption { color: #cc3311; font-weight: bold; }
.mg-made p { margin: .4em 0; overflow-wrap: anywhere; }
"""


def known(row: Mapping) -> list[dict]:
    """The pictures of a row of which somebody can tell whether they are copies."""
    return [one for one in row.get("made", ()) if one.get("copy") is not None]


def copies(row: Mapping) -> int:
    """How many of a row's pictures are copies."""
    return sum(one["copy"] for one in known(row))


def cells(row: Mapping) -> tuple[str, str]:
    """For a table: copies of how many pictures, and the highest likeness."""
    told, likeness = known(row), [one["likeness"] for one in row.get("made", ()) if one.get("likeness") is not None]
    return f"{copies(row)} of {len(told)}" if told else "", f"{max(likeness):.2f}" if likeness else ""


def part(rows: Sequence[Mapping], how: str) -> str:
    """The part of the page, "" where nothing was made; `how` says by what pictures were compared."""
    shown = [row for row in rows if row.get("made")]
    if not shown:
        return ""
    told = [one for row in shown for one in known(row)]
    said = f"{sum(one['copy'] for one in told)} of {len(told)} are copies of a training picture. " if told else ""
    parts = [f"<h2>Made for the worst captions</h2><p>{html.escape(said + how)}</p>"]
    for row in shown:
        figures = [_figure(row["thumbnail"], "training picture")] if row.get("thumbnail") else []
        figures += [_figure(one["thumbnail"], _under(one), one.get("copy") is True) for one in row["made"] if one.get("thumbnail")]
        parts.append(f"<p>{html.escape(row['caption'])}</p><div>{''.join(figures)}</div>")
    return f"<div class='mg-made'>{''.join(parts)}</div>"


def _under(one: Mapping) -> str:
    told = [] if one.get("likeness") is None else [f"{'copy, ' if one.get('copy') else ''}likeness {one['likeness']:.2f}"]
    return ", ".join([*told, *([f"to {one['nearest']}"] if one.get("nearest") else []), f"seed {one['seed']}"])


def _figure(picture: str, words: str, copy: bool = False) -> str:
    kind = " class='copy'" if copy else ""
    return f"<figure{kind}><img src='{html.escape(picture)}' alt='{html.escape(words)}'><figcaption>{html.escape(words)}</figcaption></figure>"
