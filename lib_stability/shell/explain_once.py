"""``scan --explain``: which words carry the captions that a scan has flagged, asked of the web UI once and kept in the scan's folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..guard.verdict import MILD, STRONG
from ..trail import scan_report
from . import webui_answers
from .progress import Bar
from .webui_client import Client

NAME = "explain.jsonl"
#: Captions of one request: what is lost at most when it is broken off.
CHUNK = 4


def explain(client: Client, asked: dict, batch: int, rows: Sequence[dict], out: Path) -> dict[str, dict]:
    """Explanations of the flagged of `rows` by prompt, those that the folder `out` has from an earlier call with them; the gravest first."""
    path = out / NAME
    told = _kept(path, asked)
    flagged = [row["caption"] for row in scan_report.ranked(rows) if row["verdict"] in (MILD, STRONG)]
    todo = [prompt for prompt in flagged if prompt not in told]
    if not todo:
        return told
    bar = Bar("flagged captions explained", len(flagged) - len(todo))
    try:
        for first in range(0, len(todo), CHUNK):
            part = todo[first : first + CHUNK]
            new = webui_answers.explained(client.follow("explain", {**asked, "batch_size": batch, "captions": part}), part)
            with path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps({"asked": asked, "row": row}, ensure_ascii=False) + "\n" for row in new)
            told |= {row["caption"]: row for row in new}
            bar(len(flagged) - len(todo) + first + len(part), len(flagged))
    finally:
        bar.close()
    return told


def _kept(path: Path, asked: dict) -> dict[str, dict]:
    found = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):  # a line that makes no sense is ignored
            entry = json.loads(line)
            if entry["asked"] == asked:
                caption = entry["row"]["caption"]
                found |= {row["caption"]: row for row in webui_answers.explained({"rows": [entry["row"]]}, [caption])}
    return found
