"""An audit as HTML: counts, and cards with thumbnails, gravest first. Every text from a file is escaped and printable."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Sequence

from ..guard.verdict import MILD, REGIONS, STABLE, STRONG
from ..sentences import Figure, Sentence, joined, spoken
from .audit import plain
from .audit_table import GROUPS, Table
from .image_row import NO_VERDICT, PASSES, UNREADABLE, became, is_picture
from .infotext import REPLACED_KEY, replaced
from .thumbnails import thumbnails

#: Cards of one page.
SHOWN = 48
#: Groups as people read them; any other is called what it is.
LABELS = {NO_VERDICT: "without a verdict", UNREADABLE: "broken", "again": "sampled again", "copy": "near a copy"}
#: Likewise what a picture became that the guard has changed.
CHANGED = ("Steered", "Damped", "Blanked", "Sampled again", "Near a copy", "Replaced")
#: What is said of an audit, and on its cards.
TEXTS = {
    "read": "{count} files read",
    "one read": "1 file read",
    "took": "{read} in {seconds} s",
    "at once": "{read} in less than a second",
    "grids": "{read}, {count} of them grids beside their images: not counted",
    "nothing": "No file here.",
    "position": "{first} to {last} of {count}",
    "no preview": "no preview",
    "text": "text file",
    "first": "first pass: {said}",
    "hires": "hires pass: {said}",
    "inner": "inner: {said}",
    "score": "score {score}",
    "end": "{score} at the end",
    "flagged": "flagged at {at} by the {detector}",
    "damped": "damped in {count}",
    "blanked": "blanked from {count}",
    "watch": "watch {judged} - {reason}",
    "off": "watch off - {reason}",
    "replaced": "replaced: {said}",
    "profile": "profile {name}",
}
#: What a badge says more: parts of the picture that nobody has looked at alone.
PARTS_UNSEEN = "regions not looked at"


def label(group: str) -> str:
    """A group's name on the page."""
    return LABELS.get(group, group).capitalize()


def pages(table: Table, group: str = "") -> int:
    """Pages of a group, at least one."""
    return max(-(-table.count(group) // SHOWN), 1)


def summary(table: Table, seconds: float | None = None, say: Callable[..., str] = spoken) -> str:
    """Counts per group, each with its badge; `say` finds the page's words."""
    counts = [f"{_badge(group, say)} {_counted(number, say)}" for group, number in table.counts().items()]
    told = Sentence(TEXTS["one read"]) if len(table) == 1 else Sentence(TEXTS["read"], count=_count(len(table)))
    if seconds is not None:
        told = Sentence(TEXTS["took"], read=told, seconds=f"{seconds:.0f}") if seconds >= 1 else Sentence(TEXTS["at once"], read=told)
    if table.grids():
        told = Sentence(TEXTS["grids"], read=told, count=_count(table.grids()))
    said = html.escape(say(told))
    return f"<div class='memorization-guard-audit-counts'><b>{said}</b>{''.join(f'<span>{one}</span>' for one in counts)}</div>"


def _count(number: int) -> Figure:
    return Figure(f"{number:,}")


def _counted(number: int, say: Callable[..., str]) -> str:
    return say("{count}", count=_count(number))


def page(table: Table, group: str = "", number: int = 0, admits: Callable[[str], bool] = lambda path: True, say: Callable[..., str] = spoken) -> str:
    """The cards of one page, counted from 0; a page beyond the last is the last. `say` finds the page's words.

    Only the pictures of this page are decoded, and of those only what `admits` allows.
    """
    total, last = table.count(group), pages(table, group) - 1
    if not total:
        return f"<p class='memorization-guard-progress'>{html.escape(say(TEXTS['nothing']))}</p>"
    number = min(max(number, 0), last)
    rows = list(table.rows(group, number * SHOWN, SHOWN))
    wanted = [row["file"] for row in rows if is_picture(row["file"]) and admits(row["file"])]
    seen = dict(zip(wanted, thumbnails(wanted)))
    cards = "".join(_card(row, seen.get(row["file"]), say) for row in rows)
    return f"<div class='memorization-guard-audit'>{cards}</div>"


def position(table: Table, group: str = "", number: int = 0) -> str:
    """Which files a page shows, for people."""
    total = table.count(group)
    first = min(max(number, 0), pages(table, group) - 1) * SHOWN
    last = min(first + SHOWN, total)
    return Sentence(TEXTS["position"], first=_count(first + 1), last=_count(last), count=_count(total)) if total else ""


def _badge(group: str, say: Callable[..., str]) -> str:
    return f"<span class='memorization-guard-badge memorization-guard-is-{group.replace(' ', '-')}'>{html.escape(say(label(group)))}</span>"


def _became(row: dict) -> str:
    """The group of a row; of a picture that the guard has changed what it became, so that nobody takes it for the copy that it is not."""
    prefix = next((one for one in PASSES if row[one + "verdict"] == row["group"]), "")
    if row["group"] not in (MILD, STRONG):
        return "replaced" if row["group"] == STABLE and replaced({REPLACED_KEY: row["replaced"]}) else row["group"]
    if row[prefix + "stopped_at"]:
        return "blanked"
    return became(row[prefix + "damped"], row[prefix + "outcome"]) or row["group"]


def _partly(row: dict, say: Callable[..., str]) -> str:
    """A mark beside the badge where parts of the picture were not looked at alone, so that a copy may be missed."""
    unseen = any((row[prefix + "watch"] or "").endswith(REGIONS) for prefix in PASSES)
    return f"<span class='memorization-guard-badge memorization-guard-is-partly'>{html.escape(say(PARTS_UNSEEN))}</span>" if unseen else ""


def _card(row: dict, picture: str | None, say: Callable[..., str]) -> str:
    shown = html.escape(plain(row["name"]), quote=True)
    told = "".join(f"<li>{html.escape(plain(say(line)))}</li>" for line in _lines(row, say))
    nothing = html.escape(say(TEXTS["no preview" if is_picture(row["file"]) else "text"]))
    seen = f"<img src='{picture}' alt=''>" if picture else f"<div class='memorization-guard-no-preview'>{nothing}</div>"
    base = html.escape(plain(os.path.basename(row["file"])), quote=True)
    return (
        f"<figure title='{shown}'>{seen}<figcaption>{_badge(_became(row), say)}{_partly(row, say)}<b>{base}</b><ul>{told}</ul></figcaption></figure>"
    )


def _lines(row: dict, say: Callable[..., str]) -> Sequence[str]:
    """What a card says under the file's name: both passes where there are two, the profile, and what is wrong with the file. What the file has
    written down in English is `say`'s to recognise."""
    lines: list[str] = []
    two = any(row[prefix + "verdict"] is not None for prefix in PASSES[1:])
    for prefix, which in zip(PASSES, ("first", "hires", "inner")):
        found = {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}
        if found["verdict"] not in GROUPS[:4]:
            continue
        said: list[str] = [Sentence(found["verdict"])] if two else []
        if found["score"] is not None:
            said.append(Sentence(TEXTS["score"], score=Figure(f"{found['score']:g}")))
        if found["score_after"] is not None:
            said.append(Sentence(TEXTS["end"], score=Figure(f"{found['score_after']:g}")))
        if found["flagged_at"]:
            at = f"{found['flagged_at']}/{found['evaluations'] or '?'}"
            said.append(Sentence(TEXTS["flagged"], at=at, detector=say(found["flagged_by"] or "watch")))
        said += [Sentence(TEXTS[word], count=found[key]) for word, key in (("damped", "damped"), ("blanked", "stopped_at")) if found[key]]
        said += [say(found[key]) for key in ("outcome", "reason") if found[key]]
        if found["watch"]:
            judged, _, why = found["watch"].partition(" - ")
            said.append(Sentence(TEXTS["off" if judged == "off" else "watch"], judged=judged, reason=say(why)))
        if said:
            lines.append(Sentence(TEXTS[which], said=joined(", ", said)) if two else joined(", ", said))
    lines += [Sentence(TEXTS["replaced"], said=say(row["replaced"]))] if row["replaced"] else []
    # What the job was to choose by itself tells nothing of what was chosen.
    profile = row["region"] or ("" if (row["profile"] or "").lower() == "auto" else row["profile"])
    lines += [Sentence(TEXTS["profile"], name=say(profile))] if profile and row["group"] in GROUPS[:4] else []
    return [*lines, *([say(row["problem"])] if row["problem"] else [])]
