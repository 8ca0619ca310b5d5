"""``trial`` on the command line: a checkpoint is put to the test through a running web UI, and what others have found is put into one table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..profile.calibration import caution
from ..trial import prompts
from ..trial.plan import MODES, Plan, grid
from ..validation import ValidationError
from . import webui_answers
from .progress import Bar
from .webui_client import Client, ClientError

if TYPE_CHECKING:
    from ..trial.generating import Webui
    from ..trial.store import Store

#: Seconds for a whole answer: a request is a batch of pictures.
TIMEOUT = 3600.0


def add_command(commands: argparse._SubParsersAction, bounded: Callable) -> None:
    """Add the command; `bounded` makes an argparse type for a range."""
    trial = commands.add_parser("trial", help="put a web UI's checkpoint to the test: what is flagged, copied, damped, and what it costs")
    trial.add_argument("--webui-url", metavar="URL", help="such as http://127.0.0.1:7860; started with --api")
    trial.add_argument("--auth", default="", metavar="USER:PASSWORD", help="as in the web UI's --api-auth or --gradio-auth")
    trial.add_argument("--memorized", type=Path, metavar="FILE", help="prompts known to be memorized: .jsonl, .json, .csv, .tsv, or one a line")
    trial.add_argument("--ordinary", type=Path, metavar="FILE", help="prompts that are not, in the same forms")
    trial.add_argument("--out", type=Path, metavar="DIR", help="folder for trial.html, trial.md, trial.json, rows and pictures; there it goes on")
    trial.add_argument("--prompts", type=bounded(int, 1, 20_000), metavar="N", help="the first N of either file (all)")
    trial.add_argument("--syntax", action="store_true", help="prompts use the web UI's syntax (else brackets, AND and < are text)")
    trial.add_argument("--sampler", action="append", default=[], metavar="NAME[/SCHEDULE]", help="may be given several times (Euler)")
    trial.add_argument("--steps", type=bounded(int, 1, 150), action="append", default=[], help="may be given several times (20)")
    trial.add_argument("--guidance", type=bounded(float, 1, 30), action="append", default=[], help="may be given several times (7.5)")
    trial.add_argument("--negative", action="append", default=[], metavar="PROMPT", help='may be given several times; "" is none (none)')
    trial.add_argument("--seeds", type=bounded(int, 1, 64), default=4, help="images of each prompt, setting and mode (%(default)s)")
    trial.add_argument("--first-seed", type=bounded(int, 0, 2**31), default=1, help="(%(default)s)")
    trial.add_argument("--mode", choices=MODES, action="append", default=[], help="(both)")
    trial.add_argument("--width", type=bounded(int, 64, 4096), default=512, help="(%(default)s)")
    trial.add_argument("--height", type=bounded(int, 64, 4096), default=512, help="(%(default)s)")
    trial.add_argument("--batch-size", type=bounded(int, 1, 64), default=4, help="images at a time; halved when memory runs out (%(default)s)")
    trial.add_argument("--sensitivity", choices=("low", "medium", "high", "paper"), default="medium", help="what damping acts at (%(default)s)")
    trial.add_argument("--profile", default="", help="profile to judge by (the web UI's setting)")
    trial.add_argument("--calibrate", type=bounded(int, 20, 5000), default=0, metavar="RUNS", help="calibrate in between, and do all of it again")
    trial.add_argument("--calibration-prompts", type=Path, metavar="FILE", help="with --calibrate: ordinary prompts of your own, and no others")
    trial.add_argument("--sscd", type=Path, metavar="FILE", help="SSCD as TorchScript: tells copies better than pixels do")
    trial.add_argument(
        "--originals", type=Path, metavar="DIR", help="training pictures that the memorized prompts may copy (else: agreement of seeds)"
    )
    trial.add_argument("--estimate", action="store_true", help="say how long it would take, and stop there")
    trial.add_argument("--share", type=Path, metavar="FILE", help="write the figures, without prompts and pictures, for others")
    trial.add_argument("--merge", type=Path, nargs="+", metavar="FILE", help="instead of a trial: one table of files that others shared")


def main(arguments: argparse.Namespace) -> int:
    """Run the command; ValueError or OSError for bad use."""
    if arguments.merge:
        return _merge(arguments)
    missing = [f"--{name.replace('_', '-')}" for name in ("webui_url", "memorized", "ordinary", "out") if getattr(arguments, name) is None]
    if missing:
        raise ValueError(f"trial wants {', '.join(missing)}")
    from ..trial import generating, running
    from ..trial.store import Store

    plan = _plan(arguments)
    own = _own_prompts(arguments, plan)
    if arguments.sscd or arguments.originals:
        running.check_judges(arguments.sscd, arguments.originals)  # now, not after hours of work
    client = Client(arguments.webui_url, arguments.auth, timeout=TIMEOUT)
    webui = generating.Webui(client, plan)
    store = Store(arguments.out, plan)
    todo = len(running.everything(plan) - store.done)
    if todo:  # else it is only judged anew, for which no web UI is wanted
        _check_samplers(client, plan)
        _foresee(webui, store, todo)
    if arguments.estimate:
        return 0
    bar = Bar("images", plan.images() - todo)
    try:
        running.run(webui, store, lambda: _calibrate(client, plan, own), lambda done, total, note: bar(done, total, note))
    except KeyboardInterrupt:
        with suppress(ValueError, OSError):
            client.request("POST", "/sdapi/v1/interrupt", {})
        raise
    finally:
        bar.close()
        if store.rows:
            _conclude(arguments, plan, store)
    return 0


def _plan(arguments: argparse.Namespace) -> Plan:
    settings = grid(arguments.sampler or ["Euler"], arguments.steps or [20], arguments.guidance or [7.5], arguments.negative or [""])
    sets = [tuple(prompts.read(path)[: arguments.prompts]) for path in (arguments.memorized, arguments.ordinary)]
    both = set(sets[0]) & set(sets[1])
    if both:
        raise ValueError(f"{len(both)} prompts stand in both files, such as {min(both)[:60]!r}")
    same = ("seeds", "first_seed", "width", "height", "batch_size", "sensitivity", "profile", "calibrate", "syntax")
    modes = tuple(mode for mode in MODES if mode in (arguments.mode or MODES))
    return Plan(*sets, tuple(settings), modes=modes, **{name: getattr(arguments, name) for name in same})


def _check_samplers(client: Client, plan: Plan) -> None:
    """Refuse a sampler or schedule that the web UI has not, before a batch of others is made; an older web UI does not tell its schedules."""
    for path, wanted, keys in (
        ("samplers", {one.sampler for one in plan.settings}, ("name",)),
        ("schedulers", {one.schedule for one in plan.settings} - {""}, ("name", "label")),
    ):
        try:
            listed = client.request("GET", f"/sdapi/v1/{path}")
        except ClientError:
            if path == "samplers":
                raise
            continue
        known = {str(one.get(key)) for one in listed if isinstance(one, dict) for key in keys} if isinstance(listed, list) else set()
        for name in sorted(wanted - known):
            raise ValueError(f"the web UI has no {path[:-1]} {name!r}; it has {', '.join(sorted(known))[:300]}")


def _foresee(webui: Webui, store: Store, todo: int) -> None:
    from ..trial import generating

    plan = webui.plan
    print(f"trial: {todo} images to make; measuring how long one takes", file=sys.stderr)
    seconds = generating.estimate(plan, generating.pace(webui, plan.profile), store.done)
    more = " and a calibration" if plan.calibrate and not store.calibrated else ""
    print(f"trial: about {_duration(seconds)}{more}; what is done is kept, the same command goes on from there", file=sys.stderr)


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds > 5400 else f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{seconds:.0f} seconds"


def _own_prompts(arguments: argparse.Namespace, plan: Plan) -> list[str]:
    """What a calibration is to use: it may not be fitted to what is tried."""
    if arguments.calibration_prompts is None:
        return []
    found = prompts.read(arguments.calibration_prompts)
    tried = [text for text in found if text in {*plan.memorized, *plan.ordinary}]
    if tried:
        raise ValueError(f"{arguments.calibration_prompts.name}: {len(tried)} of its prompts are tried as well, such as {tried[0][:60]!r}")
    return found


def _calibrate(client: Client, plan: Plan, own: list[str]) -> str:
    if caution(plan.calibrate):
        print(f"trial: {caution(plan.calibrate)}", file=sys.stderr)
    body = {"runs": plan.calibrate, "width": plan.width, "height": plan.height, "batch_size": plan.batch_size, "prompts": own}
    return webui_answers.calibration(client.follow("calibrate", body))["profile"]


def _conclude(arguments: argparse.Namespace, plan: Plan, store: Store) -> None:
    """Judge what is there, and write all reports."""
    from ..trial import page, report, running, sharing

    bar = Bar("pictures looked at")
    try:
        judged = running.Judged(store, arguments.sscd, arguments.originals, lambda done, total, note: bar(done, total, note))
    finally:
        bar.close()
    wanted = running.everything(plan)
    found = report.result(plan, judged.rows, judged.how, len(store.done & wanted))
    text = report.markdown(found)
    store.write("trial.json", json.dumps(found, indent=1) + "\n")
    store.write("trial.md", text)
    store.write("trial.html", page.page(plan, judged.rows, text))
    if arguments.share:
        _write(arguments.share, json.dumps(sharing.share(plan, judged.rows, found), indent=1) + "\n")
    print(text)
    print(f"Written to {arguments.out}/{f' and {arguments.share}' if arguments.share else ''}")


def _merge(arguments: argparse.Namespace) -> int:
    from ..trial import sharing

    shared, refused = [], []
    for path in arguments.merge:
        try:
            shared.append(sharing.read(path))
        except (ValidationError, OSError) as error:
            refused.append(str(error))
    for said in refused:
        print(f"refused: {said}", file=sys.stderr)
    if not shared:
        raise ValueError("none of these files is a shared trial")
    text = sharing.merged(shared)
    if arguments.out:
        _write(arguments.out / "trials.md", text)
    print(text)
    return int(bool(refused))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
