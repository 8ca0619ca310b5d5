"""``calibrate`` on the command line, and the options that it shares with ``scan``: a running web UI does the work."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from ..profile.calibration import FEW, caution
from ..profile.reference import read_prompts
from . import scan_command, webui_answers
from .profile_commands import agreed
from .progress import Bar
from .webui_client import Client, ClientError


def add_commands(commands: argparse._SubParsersAction, bounded: Callable) -> None:
    """Add both commands; `bounded` makes an argparse type for a range."""
    calibrate = commands.add_parser("calibrate", help="calibrate the checkpoint that a running web UI has loaded")
    add_server(calibrate)
    calibrate.add_argument(
        "--runs", type=bounded(int, 20, 5000), default=200, help=f"reference runs (%(default)s); below {FEW} the thresholds rest on extrapolation"
    )
    calibrate.add_argument("--steps", type=bounded(int, 4, 150), default=20, help="sampling steps (%(default)s)")
    calibrate.add_argument("--sampler", default="", metavar="NAME", help="the only one that you use, as the web UI names it (several in turn)")
    _add_batches(calibrate, bounded, 4, 64)
    calibrate.add_argument("--negative", default="", metavar="PROMPT", help="negative prompt that generations will use")
    calibrate.add_argument("--networks", default="", metavar="TAGS", help="networks that are on in every run, such as '<lora:mine:0.8>'")
    calibrate.add_argument("--prompts", type=Path, metavar="FILE", help="ordinary prompts of your own, one a line")
    calibrate.add_argument("--yes", action="store_true", help="displace a calibration that is there without asking")

    scan = commands.add_parser("scan", help="rank captions by how much a web UI's checkpoint seems to have memorized them")
    scan_command.add_arguments(scan, bounded)
    add_server(scan)
    _add_batches(scan, bounded, 8, 256)


def add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--webui-url", required=True, metavar="URL", help="such as http://127.0.0.1:7860; started with --api")
    parser.add_argument("--auth", default="", metavar="USER:PASSWORD", help="as in the web UI's --api-auth or --gradio-auth")


def _add_batches(parser: argparse.ArgumentParser, bounded: Callable, batch: int, most: int) -> None:
    parser.add_argument("--width", type=bounded(int, 64, 4096), default=0, help="(the model family's own)")
    parser.add_argument("--height", type=bounded(int, 64, 4096), default=0, help="(the model family's own)")
    parser.add_argument("--batch-size", type=bounded(int, 1, most), default=batch, help="images at a time; halved when memory runs out (%(default)s)")


def _planned(arguments: argparse.Namespace) -> dict:
    """What decides which profile a calibration makes; an older extension knows no networks."""
    return {"runs": arguments.runs, "negative_prompt": arguments.negative, **({"networks": arguments.networks} if arguments.networks else {})}


def _ask(client: Client, arguments: argparse.Namespace) -> None:
    """Say what a calibration would displace; ClientError where that is another calibration and nobody agrees."""
    try:
        answer = client.request("GET", "profiles/outlook?" + urlencode(_planned(arguments)))
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
    body |= {"networks": arguments.networks} if arguments.networks else {}
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
