"""A trial's result as plain values, and as Markdown."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date

from ..trail.infotext import clean
from ..version import __version__
from . import figures
from .plan import AFTER, BEFORE, DAMP, MEMORIZED, ORDINARY, REPORT, SETS, Plan
from .prompts import digest

FORMAT, VERSION = "memorization-guard-trial", 1
#: What agreement between seeds was worth on the testbed, where pictures can be held against the truth; see docs/evaluation/agreement.md.
PROXY = "On the testbed, agreement between four seeds found {found} of the copies of whole pictures, and called {wrong} of the others copies."


def result(plan: Plan, rows: Sequence[dict], how: dict, done: int) -> dict:
    """All figures; nothing in it is a prompt, a picture or a name of a file."""
    first = rows[0] if rows else {}
    return {
        "format": FORMAT,
        "version": VERSION,
        "date": date.today().isoformat(),
        "software": first.get("guard") or __version__,
        "webui": clean(first.get("webui", ""), 60),
        "checkpoint": first.get("model", ""),
        "size": f"{plan.width}x{plan.height}",
        "seeds": plan.seeds,
        "sensitivity": plan.sensitivity,
        "images": {"done": done, "asked": plan.images()},
        "prompts": {name: {"count": len(plan.sets[name]), "sha256": digest(plan.sets[name])} for name in SETS},
        "profiles": {phase: _standings(rows, phase) for phase in plan.phases},
        "copies": how,
        "table": [_told(one) for one in figures.table(plan, rows)],
    }


def _standings(rows: Sequence[dict], phase: str) -> list[str]:
    return sorted({row["standing"] for row in rows if row["phase"] == phase and row.get("standing")})


def _told(entry: dict) -> dict:
    """With the negative prompt by its digest, since it is a prompt."""
    return entry | {"negative": hashlib.sha256(entry["negative"].encode()).hexdigest()[:12] if entry["negative"] else ""}


def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def markdown(found: dict) -> str:
    """The report: what was tried, detection, copies, time."""
    entries = found["table"]
    detection = [
        "what judged",
        "setting",
        "images",
        "not judged",
        "AUC",
        "TPR at 1 % FPR",
        "of copies",
        *(f"{level}: false / caught" for level in figures.LEVELS),
    ]
    copies = ["setting", "copies, reporting", "damping", "ordinary, reporting", "damping", "ordinary flagged"]
    costs = ["setting", "off", "reporting", "damping", "evaluations", "looks of the probe", "damped evaluations"]
    first = [one for one in entries if one["phase"] == BEFORE]
    parts = [
        "# Field trial",
        _about(found),
        "## Detection",
        lines(detection, [_detection(one, found) for one in entries]),
        "AUC and TPR count the highest score of an image in thresholds of the level Medium; *of copies* leaves out pictures of memorized prompts "
        f"that are none. {_resolution(found)}",
        "## Copies",
        _copies(found["copies"]),
        lines(copies, [_copied(one) for one in (entries if len(first) == len(entries) else [*first, *(x for x in entries if x["phase"] == AFTER)])]),
        "## Time",
        lines(costs, [_cost(one) for one in first]),
        "Seconds an image, the median over the same ordinary prompts. A look of the probe costs a row of the U-Net where there is a negative "
        "prompt or no guidance, else none.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _about(found: dict) -> str:
    sets = ", ".join(f"{one['count']} {name} prompts" for name, one in found["prompts"].items())
    several = len(found["profiles"]) > 1
    judged = "; ".join(f"{f'{phase} calibrating: ' * several}{', '.join(names) or 'nothing'}" for phase, names in found["profiles"].items())
    done, asked = found["images"]["done"], found["images"]["asked"]
    checkpoint, webui = (found[name] or "unknown" for name in ("checkpoint", "webui"))
    parts = [
        f"Checkpoint {checkpoint}, web UI {webui}, Memorization Guard {found['software']}, {found['date']}.",
        f"{sets}, {found['seeds']} seeds each, {found['size']}, sensitivity {found['sensitivity']}.",
        f"Judged by {judged}.",
        f"**Unfinished: {done} of {asked} images.**" if done < asked else "",
    ]
    return " ".join(part for part in parts if part)


def _resolution(found: dict) -> str:
    """How fine the shares are."""
    least = min((one["ordinary"] for one in found["table"]), default=0)
    return f"With {least} ordinary images one false alarm is {percent(1 / least)}." if least else "There are no ordinary images."


def named(entry: dict) -> str:
    """A setting for people, its negative prompt not told."""
    name = f"{entry['sampler']} {entry['schedule']}".strip()
    return f"{name} {entry['steps']}, w {entry['guidance']:g}{', negative' if entry['negative'] else ''}"


def _detection(one: dict, found: dict) -> list[str]:
    told = ", ".join(found["profiles"].get(one["phase"], [])) or "nothing"
    levels = [f"{percent(level['false_alarms'])} / {percent(level['caught'])}" for level in one["levels"].values()]
    of_copies = number(one["of_copies"]["auc"])
    return [
        told,
        named(one),
        f"{one['memorized']} + {one['ordinary']}",
        percent(one["not_judged"]),
        number(one["auc"]),
        percent(one["tpr_at_1pct_fpr"]),
        of_copies,
        *levels,
    ]


def _copied(one: dict) -> list[str]:
    told = [percent(one["copies"][mode][name]) for name in SETS for mode in (REPORT, DAMP)]
    return [named(one) + (", calibrated" if one["phase"] == AFTER else ""), *told, percent(one["flagged"][ORDINARY])]


def _cost(one: dict) -> list[str]:
    cost = one["cost"]
    damped = " / ".join(number(cost["damped"][name], 1) for name in (MEMORIZED, ORDINARY))
    return [named(one), *(number(value, 3) for value in cost["seconds"].values()), number(cost["evaluations"], 1), number(cost["looks"], 1), damped]


def _copies(how: dict) -> str:
    if how["limit"] is None:
        return f"Not told: {how['why']}."
    against = f"any of {how['originals']} pictures" if how["against"] == "originals" else "the pictures that other seeds of its prompt gave"
    by = "SSCD" if how["by"] == "SSCD" else "normalised correlation"
    said = f"A picture is a copy where its likeness ({by}) to {against} is above {how['limit']:.3f}: 1 % of {how['ordinary']} ordinary pictures are."
    proxy = how.get("proxy")
    if proxy:
        found, wrong = percent(proxy["found"]), percent(proxy["wrong"])
        return f"{said} Agreement between seeds alone would have found {found} of these copies and called {wrong} of the others copies."
    return said if how["against"] == "originals" else f"{said} That stands in for originals. {testbed_proxy()}"


def testbed_proxy() -> str:
    """How good agreement between seeds is where the truth is known."""
    return PROXY.format(**MEASURED)


#: Of ``testbed agreement``, held against docs/evaluation/agreement.json by a test.
MEASURED = {"found": "97 %", "wrong": "0.0 %"}


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [[str(cell).replace("|", "/") for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    shown = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths))} |" for row in (head, *rows)]
    return "\n".join([shown[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *shown[1:]])
