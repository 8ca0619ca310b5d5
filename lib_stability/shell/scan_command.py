"""``scan`` on the command line: captions of a training set, ranked by a running web UI, once or for each of several networks."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from ..trail import generated_report, scan_report, shares_report
from ..trail.audit import plain
from ..trail.captions import folders
from . import pictures_command, scan_once, sweep
from .webui_client import Client

#: Captions shown at the end, and what was passed over.
_SHOWN = 10


def add_arguments(scan: argparse.ArgumentParser, bounded: Callable) -> None:
    """Add what is the scan's own; `bounded` makes an argparse type for a range."""
    scan.add_argument(
        "captions", type=Path, nargs="?", metavar="PATH", help="folder of training pictures with captions, or a list: text, JSON, CSV, Parquet"
    )
    scan.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for scan.html, scan.csv and scan.jsonl; there it goes on")
    scan.add_argument("--seeds", type=bounded(int, 1, 64), default=4, help="seeds per caption (%(default)s)")
    scan.add_argument("--sensitivity", choices=("low", "medium", "high", "paper"), default="", help="(the web UI's setting)")
    scan.add_argument("--profile", default="", help="profile to judge by (the web UI's setting)")
    scan.add_argument("--prompts", action="store_true", help="the captions are prompts: their brackets weigh words")
    scan.add_argument("--networks", default="", metavar="TAGS", help="networks for all captions, such as '<lora:mine:0.8>'")
    scan.add_argument("--explain", action="store_true", help="which words carry each flagged caption, and the smallest change that makes it stable")
    scan.add_argument(
        "--generate", type=bounded(int, 1, 16), default=0, metavar="N", help="N pictures of each of the dozen worst captions, beside the training's"
    )
    scan.add_argument("--sscd", type=Path, metavar="FILE", help="compare them by this TorchScript file of SSCD (the web UI's autoencoder)")
    sweep.add_arguments(scan, bounded)
    pictures_command.add_arguments(scan)


def scan(arguments: argparse.Namespace) -> int:
    """Read the captions, have them scanned, write the reports."""
    if arguments.pictures:
        return pictures_command.scan(arguments)
    if arguments.captions is None:
        raise ValueError("scan wants captions, or --pictures")
    if arguments.sscd and not arguments.sscd.is_file():
        raise ValueError(f"{arguments.sscd} is no file")
    captions, problems = folders.read(arguments.captions, arguments.prompts)
    for said in problems[:_SHOWN]:
        print(f"scan: {said}")
    if len(problems) > _SHOWN:
        print(f"scan: {len(problems) - _SHOWN} more were left out")
    client = Client(arguments.webui_url, arguments.auth)
    if arguments.each:
        return sweep.run(arguments, client, captions)
    began = time.monotonic()
    rows, about, new = scan_once.once(arguments, client, captions, arguments.out, arguments.networks, arguments.profile)
    print(scan_report.summary(rows, about))
    if new:
        print(f"{60 * new / max(time.monotonic() - began, 1e-6):.0f} captions per minute")
    for row in scan_report.ranked(rows)[:_SHOWN]:
        print(f"  {row['verdict']:10} {'–' if row['median'] is None else format(row['median'], '.1f'):>6}  {row['caption'][:100]}")
        if row.get("explained"):
            print(f"{'':19}{plain(shares_report.said(row['explained']))[:300]}")
    for row in [row for row in scan_report.ranked(rows) if generated_report.known(row)][:_SHOWN]:
        copies, likeness = generated_report.cells(row)
        print(f"  copies: {copies}, likeness up to {likeness}  {row['caption'][:100]}")
    for reason in sorted({row["reason"] for row in rows if row.get("reason")}):
        print(f"  {sum(row.get('reason') == reason for row in rows)} captions: {reason}")
    print(f"Written to {arguments.out}/")
    return 0
