"""A trial as a page: its tables, and its pictures, flagged first. The page links to the folder's own pictures and to nothing else."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Sequence

from ..guard.verdict import MILD, NOT_JUDGED, STABLE, STRONG
from .plan import BEFORE, DAMP, OFF, REPORT, Plan
from .store import picture_of

#: Cards that the page shows; the rows have all.
SHOWN = 1500
_ORDER = (STRONG, MILD, NOT_JUDGED, STABLE, None)
_STYLE = """
:root { color-scheme: light dark; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 90em; padding: 0 1em; background: #fff; color: #222; }
@media (prefers-color-scheme: dark) { body { background: #17191c; color: #ddd; } }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
td, th { border-bottom: 1px solid #8884; padding: .25em .6em; text-align: left; white-space: nowrap; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(22em, 1fr)); gap: 1em; }
figure { margin: 0; border: 1px solid #8884; border-radius: .4em; padding: .5em; }
figure div { display: flex; gap: .4em; }
figure span { flex: 1; font-size: 12px; }
img { width: 100%; border-radius: .2em; display: block; }
figcaption { overflow-wrap: anywhere; margin-top: .4em; }
b.strong { color: #cc3311; } b.mild { color: #c0711a; } b.stable { color: #4477aa; }
"""


def page(plan: Plan, rows: Sequence[dict], report: str) -> str:
    """The whole page; `report` is the Markdown of :mod:`.report`."""
    cards = [_card(plan, pair) for pair in _pairs(rows)]
    rest = f"<p>{len(cards) - SHOWN} more are not shown.</p>" if len(cards) > SHOWN else ""
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>Field trial</title><style>{_STYLE}</style></head>\n<body>{_of_markdown(report)}\n<h2>Pictures</h2>"
        f"<div class='cards'>{''.join(cards[:SHOWN])}</div>{rest}</body></html>\n"
    )


def _pairs(rows: Sequence[dict]) -> list[dict[str, dict]]:
    """Images by prompt and seed with their modes side by side, the gravest and highest first."""
    found: dict[tuple, dict[str, dict]] = defaultdict(dict)
    for row in rows:
        if row["mode"] == OFF:
            continue
        found[row["phase"], row["setting"], row["set"], row["prompt"], row["seed"]][row["mode"]] = row

    def order(pair: dict[str, dict]) -> tuple:
        row = pair.get(REPORT) or next(iter(pair.values()))
        return _ORDER.index(row["verdict"]) if row["verdict"] in _ORDER else len(_ORDER), -(row["score"] or 0.0), row["phase"] != BEFORE

    return sorted(found.values(), key=order)


def _card(plan: Plan, pair: dict[str, dict]) -> str:
    row = pair.get(REPORT) or next(iter(pair.values()))
    texts = plan.sets[row["set"]]
    prompt = texts[row["prompt"]] if row["prompt"] < len(texts) else ""
    shown = "".join(_picture(mode, pair[mode]) for mode in (REPORT, DAMP) if mode in pair)
    setting = plan.settings[row["setting"]].describe() if row["setting"] < len(plan.settings) else ""
    told = f"{row['set']}, seed {row['seed']}, {setting}{', calibrated' if row['phase'] != BEFORE else ''}"
    return f"<figure><div>{shown}</div><figcaption>{html.escape(prompt)}<br><small>{html.escape(told)}</small></figcaption></figure>"


def _picture(mode: str, row: dict) -> str:
    word = html.escape(str(row["verdict"]))
    score = "" if row["score"] is None else f" {row['score']:.1f}"
    after = "" if row.get("score_after") is None else f" ({row['score_after']:.1f} at the end)"
    copy = {True: ", a copy", False: ""}.get(row.get("copy"), "")
    alike = "" if row.get("likeness") is None else f", likeness {row['likeness']:.2f}"
    outcome = f", {html.escape(row['outcome'])}" if row.get("outcome") else ""
    return (
        f"<span><img loading='lazy' src='{html.escape(picture_of(row), quote=True)}' alt=''>{html.escape(mode)}: "
        f"<b class='{word.replace(' ', '-')}'>{word}{score}</b>{after}{outcome}{alike}{copy}</span>"
    )


def _of_markdown(text: str) -> str:
    """The few things that a report uses: headings, tables, paragraphs, stars."""
    out = []
    for block in html.escape(text).strip().split("\n\n"):
        if block.startswith("#"):
            level = len(block) - len(block.lstrip("#"))
            out.append(f"<h{level}>{block.lstrip('# ')}</h{level}>")
        elif block.startswith("|"):
            head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.split("\n")]
            body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
            out.append(f"<div class='wide'><table><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>{body}</table></div>")
        else:
            out.append(f"<p>{block.replace('**', '').replace('*', '')}</p>")
    return "\n".join(out)
