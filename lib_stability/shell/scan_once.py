"""Captions scanned by a web UI, chunk by chunk, with what a folder already has left out."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..profile.networks import UNKNOWN
from ..trail.captions.entry import Caption
from ..wording import tags
from . import explain_once, scan_results
from .progress import Bar
from .webui_client import Client, ClientError

#: Captions of one request: what is lost at most when a scan is broken off.
CHUNK = 32


def once(
    arguments: argparse.Namespace, client: Client, captions: list[Caption], out: Path, networks: str, profile: str
) -> tuple[list[dict], dict, int]:
    """Scan what is not in a folder's results yet, and write its reports; rows for people, what they were made with, and how many are new."""
    asked = {name: getattr(arguments, name) for name in ("seeds", "width", "height", "sensitivity")} | {"profile": profile}
    asked |= {"networks": networks} if networks else {}  # an older extension does not know it
    out.mkdir(parents=True, exist_ok=True)
    kept = scan_results.Kept(out, asked)
    todo = [one.prompt for one in captions if one.prompt not in kept.rows]
    before = len(captions) - len(todo)
    bar = Bar("captions", before)
    refused: ClientError | None = None
    told: dict[str, dict] = {}
    try:
        for done, part in _chunks(todo):
            try:
                kept.add(client.follow("scan", {**asked, "batch_size": arguments.batch_size, "captions": part}), part)
            except ClientError as error:
                if UNKNOWN not in str(error):
                    raise
                refused = error
                kept.pass_over(part, str(error))
            bar(before + done, len(captions))
        if refused is not None and kept.about is None:
            raise refused
        if arguments.explain:
            bar.close()
            wanted = [kept.rows[one.prompt] for one in captions if one.prompt in kept.rows]
            told = explain_once.explain(client, asked, arguments.batch_size, wanted, out)
    finally:
        bar.close()
        found = [(one, kept.rows[one.prompt]) for one in captions if one.prompt in kept.rows]
        rows = kept.about and [
            scan_results.for_people(row | {"explained": told.get(one.prompt)} if told else row, one, arguments.captions) for one, row in found
        ]
        if rows:
            scan_results.write(out, rows, kept.about)
    return rows, kept.about, len(todo)


def _chunks(prompts: list[str]) -> list[tuple[int, list[str]]]:
    """Prompts of one request, with how many are done then; those with the same networks go together, as the web UI judges them so."""
    groups: dict[str, list[str]] = {}
    for prompt in prompts:
        groups.setdefault("".join(tags(prompt)), []).append(prompt)
    parts = [group[first : first + CHUNK] for group in groups.values() for first in range(0, len(group), CHUNK)]
    return [(sum(map(len, parts[: number + 1])), part) for number, part in enumerate(parts)]
