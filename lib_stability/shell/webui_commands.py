"""``calibrate`` and ``scan`` on the command line: a running web UI does the work."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from ..profile.calibration import FEW, caution
from ..profile.reference import read_prompts
from ..trail import scan_report
from . import pictures_command, webui_answers
from .profile_commands import agreed
from .progress import Bar
from .webui_client import Client, ClientError

#: Captions of one request: what is lost at most when a scan is broken off.
CHUNK = 32
_NAME = "scan.jsonl"


def add_commands(commands: argparse._SubParsersAction, bounded: Callable) -> None:
    """Add both commands; `bounded` makes an argparse type for a range."""
    calibrate = commands.add_parser("calibrate", help="calibrate the checkpoint that a running web UI has loaded")
    _add_server(calibrate)
    calibrate.add_argument(
        "--runs", type=bounded(int, 20, 5000), default=200, help=f"reference runs (%(default)s); below {FEW} the thresholds rest on extrapolation"
    )
    calibrate.add_argument("--steps", type=bounded(int, 4, 150), default=20, help="sampling steps (%(default)s)")
    calibrate.add_argument("--sampler", default="", metavar="NAME", help="the only one that you use, as the web UI names it (several in turn)")
    _add_batches(calibrate, bounded, 4, 64)
    calibrate.add_argument("--negative", default="", metavar="PROMPT", help="negative prompt that generations will use")
    calibrate.add_argument("--prompts", type=Path, metavar="FILE", help="ordinary prompts of your own, one a line")
    calibrate.add_argument("--yes", action="store_true", help="displace a calibration that is there without asking")

    scan = commands.add_parser("scan", help="rank captions by how much a web UI's checkpoint seems to have memorized them")
    _add_server(scan)
    scan.add_argument("captions", type=Path, nargs="?", metavar="FILE", help="captions, one a line")
    pictures_command.add_arguments(scan)
    scan.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for scan.html, scan.csv and scan.jsonl; there it goes on")
    scan.add_argument("--seeds", type=bounded(int, 1, 64), default=4, help="seeds per caption (%(default)s)")
    _add_batches(scan, bounded, 8, 256)
    scan.add_argument("--sensitivity", choices=("low", "medium", "high", "paper"), default="", help="(the web UI's setting)")
    scan.add_argument("--profile", default="", help="profile to judge by (the web UI's setting)")


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--webui-url", required=True, metavar="URL", help="such as http://127.0.0.1:7860; started with --api")
    parser.add_argument("--auth", default="", metavar="USER:PASSWORD", help="as in the web UI's --api-auth or --gradio-auth")


def _add_batches(parser: argparse.ArgumentParser, bounded: Callable, batch: int, most: int) -> None:
    parser.add_argument("--width", type=bounded(int, 64, 4096), default=0, help="(the model family's own)")
    parser.add_argument("--height", type=bounded(int, 64, 4096), default=0, help="(the model family's own)")
    parser.add_argument("--batch-size", type=bounded(int, 1, most), default=batch, help="images at a time; halved when memory runs out (%(default)s)")


def _ask(client: Client, arguments: argparse.Namespace) -> None:
    """Say what a calibration would displace; ClientError where that is another calibration and nobody agrees."""
    try:
        answer = client.request("GET", "profiles/outlook?" + urlencode({"runs": arguments.runs, "negative_prompt": arguments.negative}))
    except ClientError:
        return  # an older extension does not know it; what is wrong otherwise will be said again
    found = webui_answers.outlook(answer)
    for said in found["changes"]:
        print(f"calibrate: {said}", file=sys.stderr)
    if found["calibrations"] and not arguments.yes and not agreed("Calibrate all the same?"):
        raise ClientError("nothing was calibrated; --yes calibrates all the same")


def calibrate(arguments: argparse.Namespace) -> int:
    """Run a calibration in the web UI and say what came out."""
    body = {name: getattr(arguments, name) for name in ("runs", "width", "height", "steps", "batch_size")}
    body |= {"sampler": arguments.sampler} if arguments.sampler else {}  # an older extension does not know it
    body |= {"negative_prompt": arguments.negative, "prompts": read_prompts(arguments.prompts) if arguments.prompts else []}
    if caution(arguments.runs):
        print(f"calibrate: {caution(arguments.runs)}", file=sys.stderr)
    client = Client(arguments.webui_url, arguments.auth)
    _ask(client, arguments)
    bar = Bar("runs")
    try:
        answer = client.follow("calibrate", body, lambda now: bar(now["done"], now["total"], now["note"], now["seconds_left"]))
    finally:
        bar.close()
    result = webui_answers.calibration(answer)
    print(f"Profile {result['profile']}, from {result['runs']} runs.")
    for said in result["changes"]:
        print(f"  {said}")
    for text in result["left_out"]:
        print(f"  left out, it looks like a copy: {text}")
    for region, levels in result["levels"].items():
        said = ", ".join(f"{level} z > {one['threshold']:.2f} ({100 * one['measured']:.1f} %)" for level, one in levels.items())
        print(f"  {region}, with false alarms among its own runs, each judged by all others: {said}")
    if result["warning"]:
        print(f"  {result['warning']}")
    return 0


def scan(arguments: argparse.Namespace) -> int:
    """Scan what is not in the folder's results yet, then write the reports."""
    if arguments.pictures:
        return pictures_command.scan(arguments)
    if arguments.captions is None:
        raise ValueError("scan wants a FILE of captions, or --pictures")
    captions = read_prompts(arguments.captions)
    client = Client(arguments.webui_url, arguments.auth)
    names = ("seeds", "width", "height", "sensitivity", "profile")
    asked = {name: getattr(arguments, name) for name in names}
    arguments.out.mkdir(parents=True, exist_ok=True)
    finished, about = _finished(arguments.out / _NAME, asked)
    todo = [caption for caption in captions if caption not in finished]
    before, began = len(captions) - len(todo), time.monotonic()
    bar = Bar("captions", before)
    try:
        for first in range(0, len(todo), CHUNK):
            part = todo[first : first + CHUNK]
            result = client.follow("scan", {**asked, "batch_size": arguments.batch_size, "captions": part})
            now, new = webui_answers.about(result), webui_answers.rows(result, part)
            if about is not None and now != about:
                changed = ", ".join(f"{name} {about[name]} → {now[name]}" for name in webui_answers.SAME if now[name] != about[name])
                raise ClientError(f"{arguments.out / _NAME} was made with something else ({changed}); use another --out")
            about = now
            _append(arguments.out / _NAME, asked, about, new)
            finished |= {row["caption"]: row for row in new}
            bar(before + first + len(part), len(captions))
    finally:
        bar.close()
        rows = [finished[caption] for caption in captions if caption in finished]
        if rows:
            (arguments.out / "scan.csv").write_text(scan_report.to_csv(rows), encoding="utf-8")
            (arguments.out / "scan.html").write_text(scan_report.page(rows, about), encoding="utf-8")
    print(scan_report.summary(rows, about))
    if todo:
        print(f"{60 * len(todo) / max(time.monotonic() - began, 1e-6):.0f} captions per minute")
    for row in scan_report.ranked(rows)[:10]:
        print(f"  {row['verdict']:10} {'–' if row['median'] is None else format(row['median'], '.1f'):>6}  {row['caption'][:100]}")
    print(f"Written to {arguments.out}/")
    return 0


def _finished(path: Path, asked: dict) -> tuple[dict[str, dict], dict | None]:
    """Rows by caption that were asked for in the same way, and what they were made with; a line that makes no sense is ignored."""
    found, about = {}, None
    if not path.exists():
        return found, about
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            if entry["asked"] == asked:
                row, about = webui_answers.row(entry["row"]), webui_answers.about(entry["about"])
                found[entry["row"]["caption"]] = row | {"caption": entry["row"]["caption"]}
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found, about


def _append(path: Path, asked: dict, about: dict, rows: list[dict]) -> None:
    cut_off = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * cut_off + "".join(json.dumps({"asked": asked, "about": about, "row": row}, ensure_ascii=False) + "\n" for row in rows))
