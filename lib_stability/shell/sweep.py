"""``scan --each``: the same captions with each of several networks, to find the epoch from which on a training copies."""

from __future__ import annotations

import argparse
import glob
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..profile.networks import UNKNOWN
from ..trail import sweep_report
from ..trail.captions.entry import Caption
from . import scan_once, webui_answers
from .progress import Bar
from .webui_answers import Failed
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
    """Scan with each network; one that no profile knows is calibrated first where that was asked for, and else is said not to be judged. What the
    web UI fails at leaves the others: the reason stands in the report, and the status is 1."""
    found, sensitivity, failed = [], arguments.sensitivity, []
    for path in files(arguments.each):
        name, folder = path.stem, _folder(path.stem)
        networks = f"<lora:{name}:{arguments.weight:g}>{arguments.networks}"
        rows, about, reason = [], None, ""
        try:
            rows, about, reason = _scan(arguments, client, captions, folder, networks)
            failed += [name] if reason else []
        except ClientError as error:
            if UNKNOWN in str(error):
                reason = f"{UNKNOWN}; --calibrate 200 calibrates for them first"
            elif isinstance(error, Failed):
                reason, failed = error.reason, [*failed, name]
            else:
                raise
        sensitivity = about["sensitivity"] if about else sensitivity
        one = sweep_report.summed(name, rows, folder if rows else "", reason, about["profile"] if about else "")
        found.append(one)
        said = f"not judged, {one['reason']}" if not one["judged"] else f"{one['flagged']} of {one['judged']} captions flagged"
        said += f"; {one['copies']} of {one['made']} pictures are copies" if one["made"] else ""
        print(f"{name}: {said}")
    _add_trials(client, found)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "sweep.csv").write_text(sweep_report.to_csv(found), encoding="utf-8")
    (arguments.out / "sweep.html").write_text(sweep_report.page(found, sensitivity), encoding="utf-8")
    for line in filter(None, (sweep_report.summary(found, sensitivity), sweep_report.trials(found))):
        print(line)
    print(f"Written to {arguments.out}/sweep.html")
    if failed:
        print(f"scan: the web UI failed with {len(failed)} of {len(found)}: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _add_trials(client: Client, found: list[dict]) -> None:
    """Why the profile of each is a trial; an older extension does not say so."""
    with suppress(ClientError, OSError):
        trials = webui_answers.trials(client.request("GET", "profiles"))
        for one in found:
            one["trial"] = next((trials[name] for name in one["profile"].split(" + ") if name in trials), "")


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


def _scan(arguments: argparse.Namespace, client: Client, captions: list[Caption], folder: str, networks: str) -> tuple[list[dict], dict | None, str]:
    """Rows, what they were made with, and why the calibration failed; then there are rows where pictures were made."""
    shown = _shown(captions) if arguments.generate else None

    def once(profile: str) -> tuple[list[dict], dict | None]:
        return scan_once.once(arguments, client, captions, arguments.out / folder, networks, profile, shown)[:2]

    rows: list[dict] = []
    try:
        rows, about = once(arguments.profile)
        if about is not None or not arguments.calibrate:
            return rows, about, ""
    except ClientError as error:
        if UNKNOWN not in str(error) or not arguments.calibrate:
            raise
    body = {"runs": arguments.calibrate, "networks": networks, "width": arguments.width, "height": arguments.height}
    bar = Bar("runs")
    try:
        answer = client.follow("calibrate", body, lambda now: bar(now["done"], now["total"], now["note"], now["seconds_left"]))
    except Failed as error:
        return rows, None, error.reason
    finally:
        bar.close()
    return *once(webui_answers.calibration(answer)["profile"]), ""  # by its name: a trial serves nothing else
