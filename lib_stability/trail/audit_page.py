"""An audit as HTML: counts, and cards with thumbnails, gravest first. Every text from a file is escaped and printable."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Sequence

from ..guard.verdict import MILD, STABLE, STRONG
from .audit import plain
from .audit_table import GROUPS, Table
from .image_row import NO_VERDICT, PASSES, UNREADABLE, became, is_picture
from .infotext import REPLACED_KEY, replaced
from .thumbnails import thumbnails

#: Cards of one page.
SHOWN = 48
#: Groups as people read them; any other is called what it is.
LABELS = {NO_VERDICT: "without a verdict", UNREADABLE: "broken"}


def label(group: str) -> str:
    """A group's name on the page."""
    return LABELS.get(group, group).capitalize()


def pages(table: Table, group: str = "") -> int:
    """Pages of a group, at least one."""
    return max(-(-table.count(group) // SHOWN), 1)


def summary(table: Table, seconds: float | None = None) -> str:
    """Counts per group, each with its badge."""
    counts = [f"{_badge(group)} {number:,}" for group, number in table.counts().items()]
    took = "" if seconds is None else f" in {seconds:.0f} s" if seconds >= 1 else " in less than a second"
    said = f"{len(table):,} {'file' if len(table) == 1 else 'files'} read{took}"
    if table.grids():
        said += f", {table.grids():,} of them grids beside their images: not counted"
    return f"<div class='memorization-guard-audit-counts'><b>{said}</b>{''.join(f'<span>{one}</span>' for one in counts)}</div>"


def page(table: Table, group: str = "", number: int = 0, admits: Callable[[str], bool] = lambda path: True) -> str:
    """The cards of one page, counted from 0; a page beyond the last is the last.

    Only the pictures of this page are decoded, and of those only what `admits` allows.
    """
    total, last = table.count(group), pages(table, group) - 1
    if not total:
        return "<p class='memorization-guard-progress'>No file here.</p>"
    number = min(max(number, 0), last)
    rows = list(table.rows(group, number * SHOWN, SHOWN))
    wanted = [row["file"] for row in rows if is_picture(row["file"]) and admits(row["file"])]
    seen = dict(zip(wanted, thumbnails(wanted)))
    cards = "".join(_card(row, seen.get(row["file"])) for row in rows)
    return f"<div class='memorization-guard-audit'>{cards}</div>"


def position(table: Table, group: str = "", number: int = 0) -> str:
    """Which files a page shows, for people."""
    total = table.count(group)
    first = min(max(number, 0), pages(table, group) - 1) * SHOWN
    return f"{first + 1:,} to {min(first + SHOWN, total):,} of {total:,}" if total else ""


def _badge(group: str) -> str:
    return f"<span class='memorization-guard-badge memorization-guard-is-{group.replace(' ', '-')}'>{html.escape(label(group))}</span>"


def _became(row: dict) -> str:
    """The group of a row; of a picture that the guard has changed what it became, so that nobody takes it for the copy that it is not."""
    prefix = next((one for one in PASSES if row[one + "verdict"] == row["group"]), "")
    if row["group"] not in (MILD, STRONG):
        return "replaced" if row["group"] == STABLE and replaced({REPLACED_KEY: row["replaced"]}) else row["group"]
    if row[prefix + "stopped_at"]:
        return "blanked"
    return became(row[prefix + "damped"], row[prefix + "outcome"]) or row["group"]


def _card(row: dict, picture: str | None) -> str:
    shown = html.escape(plain(row["name"]), quote=True)
    told = "".join(f"<li>{html.escape(plain(line))}</li>" for line in _lines(row))
    nothing = "no preview" if is_picture(row["file"]) else "text file"
    seen = f"<img src='{picture}' alt=''>" if picture else f"<div class='memorization-guard-no-preview'>{nothing}</div>"
    base = html.escape(plain(os.path.basename(row["file"])), quote=True)
    return f"<figure title='{shown}'>{seen}<figcaption>{_badge(_became(row))}<b>{base}</b><ul>{told}</ul></figcaption></figure>"


def _lines(row: dict) -> Sequence[str]:
    """What a card says under the file's name: both passes where there are two, the profile, and what is wrong with the file."""
    lines = []
    two = any(row[prefix + "verdict"] is not None for prefix in PASSES[1:])
    for prefix, which in zip(PASSES, ("first pass: ", "hires pass: ", "inner: ")):
        verdict = row[prefix + "verdict"]
        if verdict not in GROUPS[:4]:
            continue
        said = [verdict] if two else []
        if row[prefix + "score"] is not None:
            said.append(f"score {row[prefix + 'score']:g}")
        if row[prefix + "score_after"] is not None:
            said.append(f"{row[prefix + 'score_after']:g} at the end")
        if row[prefix + "flagged_at"]:
            at = f"{row[prefix + 'flagged_at']}/{row[prefix + 'evaluations'] or '?'}"
            said.append(f"flagged at {at} by the {row[prefix + 'flagged_by'] or 'watch'}")
        said += [f"{word} {row[prefix + key]}" for word, key in (("damped in", "damped"), ("blanked from", "stopped_at")) if row[prefix + key]]
        said += [row[prefix + "outcome"]] if row[prefix + "outcome"] else []
        said += [row[prefix + "reason"]] if row[prefix + "reason"] else []
        said += [f"watch {row[prefix + 'watch']}"] if row[prefix + "watch"] else []
        if said:
            lines.append((which if two else "") + ", ".join(said))
    lines += [f"replaced: {row['replaced']}"] if row["replaced"] else []
    profile = row["region"] or row["profile"]
    return [*lines, *([f"profile {profile}"] if profile and row["group"] in GROUPS[:4] else []), *([row["problem"]] if row["problem"] else [])]
