"""A scan for each of several networks (the epochs of a training): which copies how many of the captions, as a chart, a table and CSV."""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Sequence

from ..guard.sensitivity import TARGETS
from . import scan_report

#: So rarely chance alone flags as many captions as are called copied.
CHANCE = 0.001
COLUMNS = ("rank", "network", "flagged", "judged", "captions", "worst", "reason")
_WIDTH, _HEIGHT, _FOOT = 640, 200, 34
_CAVEAT = (
    "Scores come from the first model evaluation alone. A network that has collapsed onto its pictures, so that any prompt shows them, may look "
    "ordinary here: compare a few of its pictures with the training pictures."
)


def summed(network: str, rows: Sequence[dict], folder: str = "", reason: str = "") -> dict:
    """What the rows of one scan come to; `reason` says why there are none."""
    judged = [row for row in rows if row["median"] is not None]
    flagged = sum(row["verdict"] in ("mild", "strong") for row in judged)
    worst = scan_report.ranked(judged)[0]["caption"] if judged else ""
    reasons = reason or next((row["reason"] for row in rows if row.get("reason") and row["median"] is None), "")
    found = {"network": network, "flagged": flagged, "judged": len(judged), "captions": len(rows), "worst": worst}
    return found | {"reason": reasons, "folder": folder}


def share(one: dict) -> float | None:
    """Share of the judged captions that is flagged."""
    return one["flagged"] / one["judged"] if one["judged"] else None


def ranked(found: Sequence[dict]) -> list[dict]:
    """Those that copy least first, those that could not be judged last."""
    return sorted(found, key=lambda one: (share(one) is None, share(one) or 0.0))


def copies(one: dict, sensitivity: str) -> bool:
    """Whether more is flagged than chance would."""
    rate, count = TARGETS.get(sensitivity, max(TARGETS.values())), one["judged"]
    less = sum(math.comb(count, number) * rate**number * (1 - rate) ** (count - number) for number in range(one["flagged"]))
    return one["flagged"] > 0 and 1 - less < CHANCE


def summary(found: Sequence[dict], sensitivity: str) -> str:
    """One line: from which network on it copies, in the order that they were given in."""
    judged = [one for one in found if one["judged"]]
    if not judged:
        return "None could be judged"
    late = [copies(one, sensitivity) for one in judged]
    if not any(late):
        return f"None of {len(judged)} flags more captions than chance would"
    first = next(number for number in range(len(late)) if all(late[number:])) if late[-1] else None
    if first is not None:
        one = judged[first]
        return f"From {one['network']} on it copies: {one['flagged']} of {one['judged']} captions flagged there"
    return f"It copies with {', '.join(one['network'] for one, bad in zip(judged, late) if bad)}"


def to_csv(found: Sequence[dict]) -> str:
    """The ranking with a header line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rank, one in enumerate(ranked(found), start=1):
        writer.writerow([rank, *(scan_report.cell(one[name]) for name in COLUMNS[1:])])
    return out.getvalue()


def chart(found: Sequence[dict], sensitivity: str) -> str:
    """Share of flagged captions of each network, in the order given, as SVG."""
    wide, tall = _WIDTH / max(len(found), 1), _HEIGHT - _FOOT
    parts = [f"<path d='M0 {tall}h{_WIDTH}' stroke='currentColor'/>"]
    for number, one in enumerate(found):
        left, part = number * wide, share(one)
        said = "not judged" if part is None else f"{one['flagged']} of {one['judged']}"
        label = html.escape(f"{one['network']}: {said}")
        height = tall * (part or 0.0) * 0.88
        colour = scan_report.COLOURS["strong" if copies(one, sensitivity) else "stable"] if part is not None else "#888888"
        parts.append(f"<g><title>{label}</title><rect x='{left + wide * 0.1:.1f}' y='{tall - height:.1f}' width='{wide * 0.8:.1f}' ")
        parts.append(f"height='{max(height, 1):.1f}' fill='{colour}'/><text x='{left + wide / 2:.1f}' y='{tall - height - 4:.1f}' ")
        parts.append(f"text-anchor='middle'>{'–' if part is None else f'{100 * part:.0f} %'}</text>")
        name = html.escape(one["network"][-max(int(wide / 6), 2) :])
        parts.append(f"<text x='{left + wide / 2:.1f}' y='{tall + 16}' text-anchor='middle'>{name}</text></g>")
    return (
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' style='max-width:100%;height:auto' font-family='sans-serif' font-size='11' fill='currentColor' "
        f"role='img' aria-label='Share of flagged captions'>{''.join(parts)}</svg>"
    )


def page(found: Sequence[dict], sensitivity: str) -> str:
    """The whole page; every network leads to its own scan."""
    lines = []
    for rank, one in enumerate(ranked(found), start=1):
        name = html.escape(one["network"])
        link = f"<a href='{html.escape(one['folder'])}/scan.html'>{name}</a>" if one["folder"] else name
        counts = f"{one['flagged']} of {one['judged']}" if one["judged"] else html.escape(f"not judged: {one['reason']}")
        cells = f"<td class='number'>{rank}</td><td>{link}</td><td>{counts}</td><td class='caption'>{html.escape(one['worst'])}</td>"
        lines.append(f"<tr>{cells}</tr>")
    heads = "<tr><th></th><th>Network</th><th>Captions flagged</th><th>Worst caption</th></tr>"
    body = f"<p>{html.escape(summary(found, sensitivity))}.</p>{chart(found, sensitivity)}<table>{heads}{''.join(lines)}</table><p>{_CAVEAT}</p>"
    return scan_report.whole("Memorization by network", f"<div class='mg-scan'>{body}</div>")
