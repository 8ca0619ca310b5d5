"""Captions scanned by a web UI, chunk by chunk, with what a folder already has left out."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..profile.networks import UNKNOWN
from ..trail import scan_report
from ..trail.captions.entry import Caption
from ..wording import tags
from . import explain_once, scan_results
from .progress import Bar
from .webui_client import Client, ClientError

#: Captions of one request: what is lost at most when a scan is broken off.
CHUNK = 32


def once(
    arguments: argparse.Namespace,
    client: Client,
    captions: list[Caption],
    out: Path,
    networks: str,
    profile: str,
    shown: list[Caption] | None = None,
) -> tuple[list[dict], dict | None, int]:
    """Scan what is not in a folder's results yet, and write its reports; rows for people, what they were made with, and how many are new.

    Where pictures are asked for they are of the captions `shown`, else of the worst; then it does not matter that no profile judges, and what rows
    were made with is None.
    """
    asked = {name: getattr(arguments, name) for name in ("seeds", "width", "height", "sensitivity")} | {"profile": profile}
    asked |= {"networks": networks} if networks else {}  # an older extension does not know it
    out.mkdir(parents=True, exist_ok=True)
    kept = scan_results.Kept(out, asked)
    todo = [one.prompt for one in captions if one.prompt not in kept.rows]
    before = len(captions) - len(todo)
    bar = Bar("captions", before)
    refused: ClientError | None = None
    told: dict[str, dict] = {}
    made = None
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
        if refused is not None and kept.about is None and not arguments.generate:
            raise refused
        if arguments.explain and kept.about:
            bar.close()
            wanted = [kept.rows[one.prompt] for one in captions if one.prompt in kept.rows]
            told = explain_once.explain(client, asked, arguments.batch_size, wanted, out)
        if arguments.generate:
            bar.close()
            chosen, checkpoint = shown or _worst(captions, kept.rows), (kept.about or {"checkpoint": ""})["checkpoint"]
            made = generate_once().generate(arguments, client, chosen, captions, out, networks, checkpoint)
    finally:
        bar.close()
        found = [(one, kept.rows[one.prompt]) for one in captions if one.prompt in kept.rows]
        rows = [_whole(row, one, told, made, arguments.captions) for one, row in found] if kept.about or made else []
        if rows:
            scan_results.write(out, rows, kept.about, made.how if made else "")
    return rows, kept.about, len(todo)


def generate_once() -> object:
    """The module that makes pictures, loaded where some are wanted."""
    from . import generate_once as module

    return module


def _worst(captions: list[Caption], rows: dict[str, dict]) -> list[Caption]:
    """Those with the highest scores; where nothing judges, those that training shows most often."""
    by_prompt = {one.prompt: one for one in captions if one.prompt in rows}
    often = sorted(by_prompt.values(), key=lambda one: -one.count)
    order = {row["caption"]: number for number, row in enumerate(scan_report.ranked([rows[one.prompt] for one in often]))}
    judged = any(rows[one.prompt]["median"] is not None for one in often)
    return (sorted(often, key=lambda one: order[one.prompt]) if judged else often)[: generate_once().WORST]


def _whole(row: dict, caption: Caption, told: dict, made: object, root: Path) -> dict:
    """A row for people, with what was explained and what was made."""
    more = {"explained": told.get(caption.prompt)} if told else {}
    if made and caption.prompt in made.rows:
        more["made"] = made.rows[caption.prompt]
    return scan_results.for_people(row | more, caption, root)


def _chunks(prompts: list[str]) -> list[tuple[int, list[str]]]:
    """Prompts of one request, with how many are done then; those with the same networks go together, as the web UI judges them so."""
    groups: dict[str, list[str]] = {}
    for prompt in prompts:
        groups.setdefault("".join(tags(prompt)), []).append(prompt)
    parts = [group[first : first + CHUNK] for group in groups.values() for first in range(0, len(group), CHUNK)]
    return [(sum(map(len, parts[: number + 1])), part) for number, part in enumerate(parts)]
