"""A scan for each of several networks (the epochs of a training): ranked by their pictures, else counted, as a chart, a table and CSV."""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Sequence

from ..guard.sensitivity import TARGETS
from . import generated_report, scan_report

#: So rarely chance alone flags as many captions as are called copied.
CHANCE = 0.001
#: Share of unrelated pictures that pass for copies at most, see :mod:`..match.threshold`.
ALIKE = 0.04
COLUMNS = ("rank", "network", "flagged", "judged", "captions", "worst", "reason", "made", "copies", "ranked_by", "trial")
_WIDTH, _HEIGHT, _FOOT = 640, 200, 34
#: What flagged captions cannot tell: a region that was calibrated with a network on has seen that network's copies as ordinary.
_COLLAPSED = "fewer flags of a later epoch may mean that it has collapsed onto its pictures, not that it copies less; --generate 4 tells by pictures"
_CAVEAT = "Scores come from the first model evaluation alone. The networks stand in the order given: flagged captions are no ranking."
#: Of bars that say nothing of better or worse.
_COUNTED = "#8877aa"


def summed(network: str, rows: Sequence[dict], folder: str = "", reason: str = "", profile: str = "") -> dict:
    """What the rows of one scan by a `profile` come to; `reason` says why it judged none, "trial" is filled in by whoever knows. Of pictures
    that were made those count that can be told."""
    judged = [row for row in rows if row["median"] is not None]
    flagged = sum(row["verdict"] in ("mild", "strong") for row in judged)
    worst = scan_report.ranked(judged)[0]["caption"] if judged else ""
    reasons = reason or next((row["reason"] for row in rows if row.get("reason") and row["median"] is None), "")
    found = {"network": network, "flagged": flagged, "judged": len(judged), "captions": len(rows), "worst": worst}
    made = sum(len(generated_report.known(row)) for row in rows)
    copied = sum(map(generated_report.copies, rows))
    return found | {"reason": reasons, "folder": folder, "made": made, "copies": copied, "profile": profile, "trial": ""}


def by_pictures(found: Sequence[dict]) -> bool:
    """Whether pictures tell what copies: where some were made with each network that anything is known of. Flagged captions are but counted."""
    scanned = [one for one in found if one["captions"]]
    return bool(scanned) and all(one["made"] for one in scanned)


def count(one: dict, pictures: bool) -> tuple[int, int]:
    """How many pictures are copies, of how many; or how many captions are flagged, of those that were judged."""
    return (one["copies"], one["made"]) if pictures else (one["flagged"], one["judged"])


def share(one: dict, pictures: bool = False) -> float | None:
    """The same as a share."""
    hits, of = count(one, pictures)
    return hits / of if of else None


def ranked(found: Sequence[dict]) -> list[dict]:
    """Those that copy least first, by their pictures, and those without any last; without pictures in the order given, as nothing ranks them."""
    if not by_pictures(found):
        return list(found)
    return sorted(found, key=lambda one: (share(one, True) is None, share(one, True) or 0.0, share(one) or 0.0))


def copies(one: dict, sensitivity: str, pictures: bool = False) -> bool:
    """Whether there are more than by chance."""
    rate = ALIKE if pictures else TARGETS.get(sensitivity, max(TARGETS.values()))
    hits, of = count(one, pictures)
    less = sum(math.comb(of, number) * rate**number * (1 - rate) ** (of - number) for number in range(hits))
    return hits > 0 and 1 - less < CHANCE


def summary(found: Sequence[dict], sensitivity: str) -> str:
    """One line: from which network on it copies, by pictures, in the order that they were given in; without them how many captions are flagged."""
    pictures = by_pictures(found)
    judged = [one for one in found if count(one, pictures)[1]]
    if not judged:
        return "None could be judged"
    late = [copies(one, sensitivity, pictures) for one in judged]
    if not pictures:
        return _counted(judged, any(late))
    if not any(late):
        return f"None of {len(judged)} makes more copies than unrelated pictures would be"
    if not late[-1]:
        return f"It copies with {', '.join(one['network'] for one, bad in zip(judged, late) if bad)}"
    first = judged[next(number for number in range(len(late)) if all(late[number:]))]
    return f"From {first['network']} on it copies: {first['copies']} of {first['made']} pictures are copies there"


def _counted(judged: Sequence[dict], many: bool) -> str:
    """What was counted where only captions were judged, and what that does not tell."""
    ends = [judged[0], judged[-1]] if len(judged) > 1 else judged[:1]
    said = ", ".join(f"{one['flagged']} of {one['judged']} with {one['network']}" for one in ends)
    return f"Captions flagged: {said}{'' if many else ', with none more than chance would flag'}; {_COLLAPSED}"


def trials(found: Sequence[dict]) -> str:
    """What to do where trial profiles have judged; "" where none has."""
    whys = dict.fromkeys(one["trial"] for one in found if one["trial"] and one["judged"])
    if not whys:
        return ""
    return f"Captions are flagged by trial profiles ({', '.join(whys)}), which are too little to rely on; --calibrate 200 makes profiles for keeps"


def to_csv(found: Sequence[dict]) -> str:
    """The ranking with a header line; without pictures there are no ranks, and `ranked_by` says why."""
    out, pictures = io.StringIO(), by_pictures(found)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rank, one in enumerate(ranked(found), start=1):
        row = one | {"ranked_by": "pictures" if pictures else f"not ranked: {_COLLAPSED}"}
        writer.writerow([rank if pictures else "", *(scan_report.cell(row[name]) for name in COLUMNS[1:])])
    return out.getvalue()


def chart(found: Sequence[dict], sensitivity: str) -> str:
    """Share of copies, or of flagged captions, of each network, in the order given, as SVG."""
    pictures = by_pictures(found)
    wide, tall = _WIDTH / max(len(found), 1), _HEIGHT - _FOOT
    parts = [f"<path d='M0 {tall}h{_WIDTH}' stroke='currentColor'/>"]
    for number, one in enumerate(found):
        left, part = number * wide, share(one, pictures)
        said = "not judged" if part is None else "{} of {} {}".format(*count(one, pictures), "are copies" if pictures else "captions flagged")
        label = html.escape(f"{one['network']}: {said}")
        height = tall * (part or 0.0) * 0.88
        judged = scan_report.COLOURS["strong" if copies(one, sensitivity, pictures) else "stable"] if pictures else _COUNTED
        colour = judged if part is not None else "#888888"
        parts.append(f"<g><title>{label}</title><rect x='{left + wide * 0.1:.1f}' y='{tall - height:.1f}' width='{wide * 0.8:.1f}' ")
        parts.append(f"height='{max(height, 1):.1f}' fill='{colour}'/><text x='{left + wide / 2:.1f}' y='{tall - height - 4:.1f}' ")
        parts.append(f"text-anchor='middle'>{'–' if part is None else f'{100 * part:.0f} %'}</text>")
        name = html.escape(one["network"][-max(int(wide / 6), 2) :])
        parts.append(f"<text x='{left + wide / 2:.1f}' y='{tall + 16}' text-anchor='middle'>{name}</text></g>")
    titled = "Share of copies" if pictures else "Share of captions flagged, no ranking: a collapsed network may have fewer"
    return (
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' style='max-width:100%;height:auto' font-family='sans-serif' font-size='11' fill='currentColor' "
        f"role='img' aria-label='{titled}'>{''.join(parts)}</svg>"
    )


def page(found: Sequence[dict], sensitivity: str) -> str:
    """The whole page; every network leads to its own scan."""
    lines, made, pictures = [], any(one["made"] for one in found), by_pictures(found)
    for rank, one in enumerate(ranked(found), start=1):
        name = html.escape(one["network"])
        link = f"<a href='{html.escape(one['folder'])}/scan.html'>{name}</a>" if one["folder"] else name
        counts = f"{one['flagged']} of {one['judged']}" if one["judged"] else html.escape(f"not judged: {one['reason']}")
        counts += f"</td><td>{one['copies']} of {one['made']}" * made
        cells = (
            f"<td class='number'>{rank if pictures else ''}</td><td>{link}</td><td>{counts}</td><td class='caption'>{html.escape(one['worst'])}</td>"
        )
        lines.append(f"<tr>{cells}</tr>")
    heads = f"<tr><th></th><th>Network</th><th>Captions flagged</th>{'<th>Copies among its pictures</th>' * made}<th>Worst caption</th></tr>"
    caveat = "" if pictures else f"<p>{_CAVEAT}</p>"
    said = "".join(f"<p>{html.escape(line)}.</p>" for line in (summary(found, sensitivity), trials(found)) if line)
    body = f"{said}{chart(found, sensitivity)}<table>{heads}{''.join(lines)}</table>{caveat}"
    return scan_report.whole("Memorization by network" if pictures else "Captions flagged by network", f"<div class='mg-scan'>{body}</div>")
