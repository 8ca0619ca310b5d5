"""Verdicts that finished pictures get afterwards: CSV for programs, and a page with small pictures, the gravest first, for people."""

from __future__ import annotations

import csv
import html
import io
import os
from collections import Counter
from collections.abc import Sequence

from .audit import cell, plain
from .thumbnails import thumbnails

#: Pictures that the page shows; the CSV has all.
SHOWN = 500
COLUMNS = ("verdict", "score", "said", "file", "seed", "size", "note", "prompt")
ORDER = ("strong", "mild", "not judged", "stable")
_STYLE = """
:root { color-scheme: light dark; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 80em; padding: 0 1em; background: #fff; color: #222; }
@media (prefers-color-scheme: dark) { body { background: #17191c; color: #ddd; } }
div { display: grid; grid-template-columns: repeat(auto-fill, minmax(13em, 1fr)); gap: 1em; }
figure { margin: 0; overflow-wrap: anywhere; }
.strong { color: #cc3311; } .mild { color: #c0711a; } .stable { color: #4477aa; }
"""


def ranked(rows: Sequence[dict]) -> list[dict]:
    """Gravest verdict first, then the highest score."""
    return sorted(rows, key=lambda row: (ORDER.index(row["verdict"]), -(row["score"] or 0.0), row["file"]))


def to_csv(rows: Sequence[dict]) -> str:
    """All rows with a header line; texts that a spreadsheet would take for a formula are led by an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([cell("" if row[name] is None else row[name]) for name in COLUMNS] for row in ranked(rows))
    return out.getvalue()


def summary(rows: Sequence[dict]) -> str:
    """How many of each verdict; of those that nobody had judged before how many are flagged; and why some were not judged."""
    counts = Counter(row["verdict"] for row in rows)
    new = sum(row["verdict"] in ORDER[:2] and row["said"] not in ORDER[:2] for row in rows)
    why = Counter(row["note"] for row in rows if row["verdict"] == "not judged")
    told = [f"{len(rows)} pictures: {', '.join(f'{counts[word]} {word}' for word in ORDER)}", f"{new} of the flagged had no flag before"]
    return "\n".join([*told, *(f"  not judged: {number} times {plain(note)}" for note, number in why.most_common(5))])


def page(rows: Sequence[dict]) -> str:
    """The whole page; it holds its small pictures and links to nothing."""
    shown = ranked(rows)[:SHOWN]
    cards = "".join(_card(row, picture) for row, picture in zip(shown, thumbnails([row["file"] for row in shown])))
    rest = f"<p>{len(rows) - SHOWN} more are not shown.</p>" if len(rows) > SHOWN else ""
    said = "".join(f"<p>{html.escape(line.strip())}</p>" for line in summary(rows).split("\n"))
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>Pictures judged afterwards</title><style>{_STYLE}</style></head>\n<body><h1>Pictures judged afterwards</h1>{said}"
        f"<div>{cards}</div>{rest}<p>Scores come from the first model evaluation alone; a stable picture may still be a copy.</p></body></html>\n"
    )


def _card(row: dict, picture: str | None) -> str:
    seen = f"<img src='{picture}' alt=''>" if picture else ""
    score = "" if row["score"] is None else f" {row['score']:.1f}"
    name, prompt, note = (html.escape(plain(text), quote=True) for text in (os.path.basename(row["file"]), row["prompt"][:300], row["note"]))
    before = f"; when it was made: {html.escape(row['said'])}" if row["said"] in ORDER else ""
    word = row["verdict"].replace(" ", "-")
    told = f"<b class='{word}'>{row['verdict']}{score}</b>{before}<br>{name}<br>{prompt}<br><i>{note}</i>"
    return f"<figure>{seen}<figcaption>{told}</figcaption></figure>"
