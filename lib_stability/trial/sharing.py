"""What a trial says to others, without a prompt, a picture or a file's name; and one table of what many have said."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..validation import Field, ValidationError
from . import figures
from .plan import BEFORE, DAMP, MEMORIZED, ORDINARY, PHASES, REPORT, SETS, Plan
from .report import FORMAT, VERSION, lines, named, number, percent

#: Bytes of a shared file, and settings in one, at most.
MAX_BYTES, MOST = 20_000_000, 10_000
_HASH = re.compile(r"[0-9a-f]{0,64}")
_PLAIN = re.compile(r"[\w .,+()\[\]%=/:-]*")


def share(plan: Plan, rows: Sequence[dict], found: dict) -> dict:
    """A result with the scores of all images, sorted so that none belongs to a prompt any more."""
    entries = []
    for one in found["table"]:
        own = [row for row in rows if row["phase"] == one["phase"] and row["setting"] == one["setting"] and row["mode"] == REPORT]
        entries.append(
            one | {"scores": {name: sorted(round(value, 3) for value in figures.scores([r for r in own if r["set"] == name])) for name in SETS}}
        )
    return found | {"table": entries}


def read(path: Path) -> dict:
    """A shared file, as far as a table of many needs it.

    Raises
    ------
    ValidationError
        Naming the file and the field at fault.
    OSError
        It cannot be read.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValidationError(f"{path.name}: larger than {MAX_BYTES} bytes")
    try:
        root = Field(json.loads(raw.decode("utf-8")), path.name).object()
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise ValidationError(f"{path.name}: not JSON") from None
    root.format(FORMAT, VERSION)
    table, profiles = root["table"], root["profiles"].object()
    if not isinstance(table.value, list) or len(table.value) > MOST:
        table.fail(f"has to be a list of at most {MOST} settings")
    return {
        **{name: root[name].text(60, _PLAIN) for name in ("date", "software", "webui", "size", "sensitivity")},
        "checkpoint": root["checkpoint"].text(64, _HASH),
        "seeds": root["seeds"].integer(1, 10**6),
        "prompts": {name: _prompts(root["prompts"][name]) for name in SETS},
        "profiles": {name: _texts(profiles.get(name, [])) for name in PHASES},
        "copies": {name: root["copies"][name].text(20, _PLAIN) for name in ("by", "against")},
        "table": [_entry(Field(one, f"{table.path}[{number}]").object()) for number, one in enumerate(table.value)],
    }


def _prompts(field: Field) -> dict:
    return {"count": field["count"].integer(0, 10**7), "sha256": field["sha256"].text(64, _HASH)}


def _texts(field: Field) -> list[str]:
    if not isinstance(field.value, list) or len(field.value) > 20:
        field.fail("has to be a list of at most 20 texts")
    return [Field(one, field.path).text(200, _PLAIN) for one in field.value]


def _perhaps(field: Field, high: float = 1.0) -> float | None:
    return None if field.value is None else field.number(0, high)


def _entry(one: Field) -> dict:
    levels = one["levels"].object()
    return {
        "phase": one["phase"].choice(PHASES),
        **{name: one[name].text(60, _PLAIN) for name in ("sampler", "schedule")},
        "negative": one["negative"].text(64, _HASH),
        "steps": one["steps"].integer(1, 10_000),
        "guidance": one["guidance"].number(0, 1000),
        **{name: one[name].integer(0, 10**9) for name in SETS},
        **{name: _perhaps(one[name]) for name in ("not_judged", "auc", "tpr_at_1pct_fpr")},
        "levels": {level: {name: _perhaps(levels[level][name]) for name in ("caught", "false_alarms")} for level in figures.LEVELS},
        "copies": {mode: {name: _perhaps(one["copies"][mode][name]) for name in SETS} for mode in (REPORT, DAMP)},
        "seconds": {mode: _perhaps(one["cost"]["seconds"][mode], 1e6) for mode in ("off", REPORT, DAMP)},
    }


def merged(shared: Sequence[dict]) -> str:
    """One Markdown table of many shared trials, by checkpoint; what used the same prompts has the same letters there."""
    head = ["checkpoint", "judged by", "web UI", "setting", "prompts", "images", "not judged", "AUC", "TPR at 1 % FPR", "Medium: false / caught"]
    head += ["copies, reporting", "damping", "told by", "time, reporting"]
    rows = []
    for one in sorted(shared, key=lambda one: (one["checkpoint"], one["date"])):
        prompts = " + ".join(f"{one['prompts'][name]['count']} {one['prompts'][name]['sha256'][:6]}" for name in SETS)
        for entry in one["table"]:
            medium, copies, seconds = entry["levels"]["medium"], entry["copies"], entry["seconds"]
            slower = None if not seconds["off"] or seconds[REPORT] is None else seconds[REPORT] / seconds["off"] - 1
            judged = ", ".join(one["profiles"][entry["phase"]]) or "nothing"
            rows.append(
                [
                    one["checkpoint"] or "unknown",
                    judged + ("" if entry["phase"] == BEFORE else " (calibrated)"),
                    one["webui"] or "unknown",
                    f"{named(entry)}, {one['size']}",
                    prompts,
                    f"{entry[MEMORIZED]} + {entry[ORDINARY]}",
                    percent(entry["not_judged"]),
                    number(entry["auc"]),
                    percent(entry["tpr_at_1pct_fpr"]),
                    f"{percent(medium['false_alarms'])} / {percent(medium['caught'])}",
                    percent(copies[REPORT][MEMORIZED]),
                    percent(copies[DAMP][MEMORIZED]),
                    f"{one['copies']['by']}, {one['copies']['against']}",
                    "–" if slower is None else f"{100 * slower:+.0f} %",
                ]
            )
    return f"# Field trials\n\n{len(shared)} trials, {len({one['checkpoint'] for one in shared})} checkpoints.\n\n{lines(head, rows)}\n"
