"""Rows of a prompt scan as a ranking: CSV for programs, and a page without scripts or outside links for people."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Sequence

from ..sentences import Figure, Sentence, spoken
from . import generated_report, shares_report

#: Rows that the page shows; the CSV has all.
SHOWN = 1000
COLUMNS = ("rank", "verdict", "median", "max", "above", "seeds", "caption", "count", "picture", "networks", "reason")
COLUMNS += ("shares", "rewording", "copies", "likeness")
_STYLE = """
:root { color-scheme: light dark; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; background: #fff; color: #222; }
@media (prefers-color-scheme: dark) { body { background: #17191c; color: #ddd; } }
"""
#: Of the table alone, where it stands in another page.
STYLE = (
    """
.mg-scan { overflow-x: auto; }
.mg-scan table { border-collapse: collapse; width: 100%; }
/* Three times, over the grid that gradio draws. */
.mg-scan.mg-scan.mg-scan :is(table, tr, td, th) { border: 0; }
.mg-scan.mg-scan.mg-scan :is(td, th) { border-bottom: 1px solid #8884; padding: .25em .5em; text-align: left; vertical-align: top; }
.mg-scan.mg-scan.mg-scan td.number { text-align: right; font-variant-numeric: tabular-nums; }
.mg-scan td.caption { min-width: 12em; overflow-wrap: anywhere; }
.mg-scan td.verdict { white-space: nowrap; }
.mg-scan svg { display: block; }
.mg-scan img { display: block; max-width: 6em; max-height: 6em; }
"""
    + shares_report.STYLE
    + generated_report.STYLE
)
COLOURS = {"stable": "#4477aa", "mild": "#ee9933", "strong": "#cc3311"}
_WIDTH = 160
#: What people are told of a ranking, and its heads.
TEXTS = {
    "none": "None of {count} captions could be judged: {reason}",
    "flagged": (
        "{count} of {of} captions flagged: the median score over {seeds} seed(s) is above {threshold} ({sensitivity}) "
        "by the profile {profile}, checkpoint {checkpoint}"
    ),
    "end": "{said}.",
    "more": "{count} more are not shown.",
    "with": "with {networks}",
    "above": "{verdict}, {count}/{of}",
    "median": "median {score}",
    "no profile": "no profile",
}
LEVELS = ("low", "medium", "high", "paper", "custom")
HEADS = {"picture": "Picture", "caption": "Caption", "times": "Times", "score": "Score", "median": "Median", "most": "Max"}
#: Stands for what rows were judged by where no profile did.
_NOTHING = {"threshold": 1.0}


def ranked(rows: Sequence[dict]) -> list[dict]:
    """Highest median score first, then highest maximum; captions that could not be judged last."""
    return sorted(rows, key=lambda row: (row["median"] is None, -(row["median"] or 0.0), -(row["max"] or 0.0), row["caption"]))


def to_csv(rows: Sequence[dict]) -> str:
    """The ranking with a header line; texts that a spreadsheet would take for a formula are led by an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rank, row in enumerate(ranked(rows), start=1):
        numbers = ["" if row[name] is None else f"{row[name]:g}" for name in ("median", "max")]
        writer.writerow([rank, cell(row["verdict"]), *numbers, cell(row["above"]), len(row["scores"]), *_told(row)])
    return out.getvalue()


def _told(row: dict) -> list:
    """What is known of a caption beside its scores: how often training shows it, its first picture, the networks, why nothing judged it, and where
    that was asked for which words carry it, the smallest rewording that is stable, and how many of the pictures made for it are copies."""
    told, found = row.get("explained"), ("", "")
    if told:
        found = shares_report.shares(told), (told["suggestion"] or {"text": ""})["text"]
    known = [row.get(name, blank) for name, blank in (("caption", ""), ("count", 1), ("picture", ""), ("networks", ""), ("reason", ""))]
    return [cell(one) for one in (*known, *found, *generated_report.cells(row))]


def cell(value: object) -> object:
    """A value as a cell of CSV that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def summary(rows: Sequence[dict], about: dict | None) -> str:
    """One line: how many captions are flagged, and by what; `about` is None where no profile judged any."""
    if about is None:
        why = next((row["reason"] for row in rows if row.get("reason")), Sentence(TEXTS["no profile"]))
        return Sentence(TEXTS["none"], count=len(rows), reason=why)
    return Sentence(
        TEXTS["flagged"],
        count=sum(row["verdict"] in ("mild", "strong") for row in rows),
        of=len(rows),
        seeds=about["seeds"],
        threshold=Figure(f"{about['threshold']:.3g}"),
        sensitivity=Sentence(about["sensitivity"]),
        profile=about["profile"],
        checkpoint=about["checkpoint"],
    )


def _tenth(value: float) -> str:
    """A score with one digit, without the sign that rounding leaves to a nothing."""
    return f"{round(value, 1) + 0.0:.1f}"


def table(rows: Sequence[dict], about: dict | None, say: Callable[..., str] = spoken) -> str:
    """The ranking as an HTML table with a bar for each caption: median, a dot for every seed, and a line at the threshold; beside it the training
    picture and how often training shows it, where that is known. `say` finds the page's words."""
    ordered = ranked(rows)
    limit = _limits(about)
    most = max([(about or _NOTHING)["threshold"], *map(limit, rows), *(row["max"] for row in rows if row["max"] is not None)]) * 1.05
    pictured, counted = any(row.get("thumbnail") for row in rows), any(row.get("count", 1) > 1 for row in rows)
    named = {name: html.escape(say(text)) for name, text in HEADS.items()}
    heads = [
        "",
        *[named["picture"]] * pictured,
        named["caption"],
        *[named["times"]] * counted,
        *(named[one] for one in ("score", "median", "most")),
        "",
    ]
    told = html.escape(say(TEXTS["end"], said=summary(rows, about)))
    lines = [f"<p>{told}</p><table><tr>{''.join(f'<th>{text}</th>' for text in heads)}</tr>"]
    for rank, row in enumerate(ordered[:SHOWN], start=1):
        cells = [f"<td class='number'>{rank}</td>", f"<td>{_picture(row)}</td>" * pictured, f"<td class='caption'>{_caption(row, say)}</td>"]
        cells += [f"<td class='number'>{html.escape(str(row.get('count', 1)))}</td>" * counted, f"<td>{_bar(row, limit(row), most, say)}</td>"]
        cells += [
            f"<td class='number'>{'–' if row[name] is None else say('{score}', score=Figure(_tenth(row[name])))}</td>" for name in ("median", "max")
        ]
        told = say(Sentence(row["verdict"]))
        if row["median"] is not None:
            told = say(TEXTS["above"], verdict=Sentence(row["verdict"]), count=row["above"], of=len(row["scores"]))
        cells.append(f"<td class='verdict'>{html.escape(told)}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    lines.append("</table>")
    if len(ordered) > SHOWN:
        lines.append(f"<p>{html.escape(say(TEXTS['more'], count=len(ordered) - SHOWN))}</p>")
    return f"<div class='mg-scan'>{''.join(lines)}</div>"


def _limits(about: dict | None) -> Callable[[dict], float]:
    """The threshold of each row: captions with other networks are judged by another profile."""
    return lambda row: row.get("threshold") or (about or _NOTHING)["threshold"]


def _picture(row: dict) -> str:
    shown = row.get("thumbnail")
    return f"<img src='{html.escape(shown)}' alt='{html.escape(row.get('picture', ''))}'>" if shown else ""


def _caption(row: dict, say: Callable[..., str]) -> str:
    beside = [Sentence(TEXTS["with"], networks=row["networks"]) if row.get("networks") else "", row.get("reason") or "", row.get("picture") or ""]
    told = row.get("explained")
    beside += [shares_report.said(told)] if told else []
    small = "".join(f"<br><small>{html.escape(say(one))}</small>" for one in beside if one)
    return (shares_report.shaded(told, say) if told else html.escape(row["caption"])) + small


def _bar(row: dict, threshold: float, most: float, say: Callable[..., str]) -> str:
    def place(score: float) -> float:
        return round(max(score, 0.0) / most * _WIDTH, 1)

    colour = COLOURS.get(row["verdict"], "#888888")
    parts = [f"<rect width='{place(row['median'] or 0.0)}' y='3' height='8' fill='{colour}'/>"]
    parts += [f"<circle cx='{place(score)}' cy='7' r='1.8' fill='currentColor'/>" for score in row["scores"] if score is not None]
    parts.append(f"<path d='M{place(threshold)} 0v14' stroke='currentColor' stroke-dasharray='2'/>")
    label = say("not judged") if row["median"] is None else say(TEXTS["median"], score=Figure(f"{row['median']:.1f}"))
    return f"<svg width='{_WIDTH}' height='14' role='img' aria-label='{html.escape(label)}'>{''.join(parts)}</svg>"


def page(rows: Sequence[dict], about: dict | None, how: str = "") -> str:
    """The whole page; `how` says by what pictures that were made were compared."""
    said = "<p>Scores come from the first model evaluation alone; a stable caption may still be memorized.</p>"
    return whole("Memorization scan", f"{generated_report.part(ranked(rows), how)}{table(rows, about)}\n{said}")


def whole(title: str, body: str) -> str:
    """A page that needs nothing else, of a title and what is in it."""
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>{title}</title><style>{_STYLE}{STYLE}</style></head>\n<body><h1>{title}</h1>\n{body}</body></html>\n"
    )
