"""``scan --each``: the same captions with each of several networks, to find the epoch from which on a training copies."""

from __future__ import annotations

import argparse
import glob
import re
from collections.abc import Callable
from pathlib import Path

from ..profile.networks import UNKNOWN
from ..trail import sweep_report
from ..trail.captions.entry import Caption
from . import scan_once, webui_answers
from .progress import Bar
from .webui_client import Client, ClientError


def add_arguments(scan: argparse.ArgumentParser, bounded: Callable) -> None:
    """Add the options of a sweep."""
    scan.add_argument(
        "--each", default="", metavar="GLOB", help="scan once with each of these network files, such as 'models/Lora/mine-*.safetensors'"
    )
    scan.add_argument("--weight", type=bounded(float, -10, 10), default=1.0, help="weight of each of them (%(default)s)")
    scan.add_argument("--calibrate", type=bounded(int, 20, 5000), default=0, metavar="RUNS", help="first calibrate for those that no profile knows")


def files(pattern: str) -> list[Path]:
    """The files of a pattern, numbers in their names in the order of numbers.

    Raises
    ------
    ValueError
        There is none.
    """
    found = [Path(one) for one in glob.glob(pattern)]
    if not found:
        raise ValueError(f"{pattern}: there is no such file")
    return sorted(found, key=lambda path: [int(part) if part.isdigit() else part.lower() for part in re.split(r"(\d+)", path.name)])


def run(arguments: argparse.Namespace, client: Client, captions: list[Caption]) -> int:
    """Scan with each network; one that no profile knows is calibrated first where that was asked for, and else is said not to be judged."""
    found, sensitivity = [], arguments.sensitivity
    for path in files(arguments.each):
        name, folder = path.stem, _folder(path.stem)
        networks = f"<lora:{name}:{arguments.weight:g}>{arguments.networks}"
        try:
            rows, about = _scan(arguments, client, captions, folder, networks)
        except ClientError as error:
            if UNKNOWN not in str(error):
                raise
            found.append(sweep_report.summed(name, [], reason=f"{UNKNOWN}; --calibrate 100 calibrates for them first"))
        else:
            sensitivity = about["sensitivity"] if about else sensitivity
            found.append(sweep_report.summed(name, rows, folder))
        one = found[-1]
        said = f"not judged, {one['reason']}" if not one["judged"] else f"{one['flagged']} of {one['judged']} captions flagged"
        said += f"; {one['copies']} of {one['made']} pictures are copies" if one["made"] else ""
        print(f"{name}: {said}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "sweep.csv").write_text(sweep_report.to_csv(found), encoding="utf-8")
    (arguments.out / "sweep.html").write_text(sweep_report.page(found, sensitivity), encoding="utf-8")
    print(f"{sweep_report.summary(found, sensitivity)}\nWritten to {arguments.out}/sweep.html")
    return 0


def _folder(name: str) -> str:
    """Where the results of a network go: its name may hold anything."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "network"


def _shown(captions: list[Caption]) -> list[Caption]:
    """Captions that pictures are made of with each network, the same for all: those that training shows most often, else from all over the set."""
    often = sorted(captions, key=lambda one: -one.count)
    count = min(scan_once.generate_once().WORST, len(often))
    same = [one for one in often if one.count == often[count - 1].count]
    first = [one for one in often[:count] if one.count > same[0].count]
    missing = count - len(first)
    return first + [same[number * len(same) // missing] for number in range(missing)]


def _scan(arguments: argparse.Namespace, client: Client, captions: list[Caption], folder: str, networks: str) -> tuple[list[dict], dict | None]:
    shown = _shown(captions) if arguments.generate else None

    def once(profile: str) -> tuple[list[dict], dict | None]:
        return scan_once.once(arguments, client, captions, arguments.out / folder, networks, profile, shown)[:2]

    try:
        rows, about = once(arguments.profile)
        if about is not None or not arguments.calibrate:
            return rows, about
    except ClientError as error:
        if UNKNOWN not in str(error) or not arguments.calibrate:
            raise
    body = {"runs": arguments.calibrate, "networks": networks, "width": arguments.width, "height": arguments.height}
    bar = Bar("runs")
    try:
        answer = client.follow("calibrate", body, lambda now: bar(now["done"], now["total"], now["note"], now["seconds_left"]))
    finally:
        bar.close()
    return once(webui_answers.calibration(answer)["profile"])  # by its name: a trial serves nothing else
