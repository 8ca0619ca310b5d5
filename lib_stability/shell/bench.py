"""What the guard costs: time, operations, synchronisations and memory of :meth:`.guard.Guard.step`, on latents of usual sizes."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ..guard.guard import Guard
from ..guard.options import Options
from ..guard.probe import Probe
from ..guard.region import StabilityRegion
from ..guard.sensitivity import Thresholds
from .bench_cases import PASS, Case, made_up_region, steps, wait
from .counting import Dispatched

SHAPES = ((1, 4, 64, 64), (8, 4, 64, 64), (8, 4, 128, 128))
MODES = ("report", "report mapped", "damp", "damp flagged")
#: The cost that Broken Memories reports for an image of 50 steps, in seconds.
PAPER_SECONDS, PAPER_STEPS = 0.01, 50


def kept_bytes(guard: Guard) -> int:
    """Bytes of the distinct tensor storages that a guard keeps alive by its readings and other state; regions are shared and left out."""
    seen: dict[int, int] = {}

    def walk(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            storage = value.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
        elif isinstance(value, dict):
            walk(list(value.values()))
        elif isinstance(value, (list, tuple)):
            for item in value:
                walk(item)
        elif hasattr(value, "__dict__") and not isinstance(value, (StabilityRegion, Probe, Options, Thresholds)):
            walk(vars(value))

    walk(guard)
    return sum(seen.values())


def _microseconds(stepping: Iterator, repeats: int, seconds: float, device: str = "cpu") -> float:
    """Median of single calls; on an accelerator of passes of calls that are queued without waiting, as a sampler does it, until all are done."""
    queued = 1 if device == "cpu" else PASS
    times, end = [], time.perf_counter() + seconds
    while len(times) * queued < repeats and (len(times) < 5 or time.perf_counter() < end):
        start = time.perf_counter()
        for _ in range(queued):
            next(stepping)
        wait(device)
        times.append((time.perf_counter() - start) / queued)
    return median(times) * 1e6


def _clones(latent: torch.Tensor) -> Iterator[torch.Tensor]:
    while True:
        yield latent.clone()


def measure_case(case: Case, region: StabilityRegion, repeats: int, seconds: float) -> dict[str, Any]:
    """One row of the results; see :func:`run`."""
    stepping = steps(case, region)
    for _ in range(PASS):
        guard = next(stepping)
    kept = kept_bytes(guard)
    if any(verdict.flagged != (case.mode == "damp flagged") for verdict in guard.report()):
        raise RuntimeError(f"{case}: the made-up predictions are not judged as they should be")
    next(stepping)  # the first evaluation of a guard sets up its state
    with Dispatched() as counted:
        next(stepping)
    cloning = _clones(case.inputs()[0])
    _microseconds(cloning, 20, 1.0, case.device)
    clone = _microseconds(cloning, repeats, seconds / 4, case.device)
    spent = _microseconds(stepping, repeats, seconds, case.device)
    return {
        "shape": "x".join(map(str, case.shape)),
        "mode": case.mode,
        "median_us": round(spent, 1),
        "clone_ratio": round(spent / clone, 2),
        "operations": counted.operations,
        "synchronisations": counted.synchronisations,
        "kept_bytes": kept,
    }


def run(repeats: int = 1500, seconds: float = 2.0, out: Path | None = None, device: str = "cpu") -> dict[str, Any]:
    """Measure every shape and mode with one torch thread, on the CPU or on an accelerator.

    Parameters
    ----------
    repeats : int
        Evaluations timed in each case.
    seconds : float
        Timing of one case ends after this long, whatever `repeats` says; 5 evaluations are timed in any case.
    out : Path, optional
        Where the results are written as JSON.
    device : str
        Where the latents lie, in torch's words.

    Returns
    -------
    dict
        ``{"rows": [...]}``, each row with `shape`, `mode`, `median_us` (of one evaluation), `clone_ratio` (over the median time of one clone
        of the latent), `operations` and `synchronisations` (of one evaluation that is not a pass's first), `kept_bytes` (after 150).
    """
    region, threads = made_up_region(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [measure_case(Case(shape, mode, device), region, repeats, seconds) for shape in SHAPES for mode in MODES]
    finally:
        torch.set_num_threads(threads)
    results = {"rows": rows}
    if out is not None:
        out.write_text(json.dumps(results, indent=1) + "\n")
    return results


def table(results: dict[str, Any]) -> str:
    """The results for people, one line a row."""
    head = ("latent", "mode", "us/evaluation", "clones", "operations", "synchronisations", "kept bytes", f"s/image of {PAPER_STEPS} steps")
    lines = [head]
    for row in results["rows"]:
        batch = int(row["shape"].split("x")[0])
        image = row["median_us"] * PAPER_STEPS / batch / 1e6
        cells = (row["median_us"], row["clone_ratio"], row["operations"], row["synchronisations"], row["kept_bytes"])
        lines.append((row["shape"], row["mode"], *map(str, cells), f"{image:.4f}"))
    widths = [max(map(len, column)) for column in zip(*lines)]
    text = ["  ".join(cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths))) for line in lines]
    return "\n".join([*text, f"Broken Memories reports about {PAPER_SECONDS} s for an image of {PAPER_STEPS} steps."])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m lib_stability bench``."""
    parser.add_argument("--repeats", type=int, default=1500, help="evaluations timed for each latent and mode (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="at most this long for each latent and mode (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, or an accelerator in torch's words, such as cuda (default: %(default)s)")
    parser.add_argument("--unet", action="store_true", help="instead, the guard beside a U-Net of Stable Diffusion 1.5's size with random weights")
    parser.add_argument("--flagged", action="store_true", help="instead, the time of a whole flagged image with such a U-Net, at three sizes")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the results as JSON")


def main(args: argparse.Namespace) -> int:
    """Measure and print; the arguments are those of :func:`add_arguments`."""
    try:
        torch.empty(1, device=args.device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device: {str(error).splitlines()[0]}") from None
    if args.unet or args.flagged:
        from . import bench_flagged, bench_unet

        chosen = bench_flagged if args.flagged else bench_unet
        results = chosen.run(args.device)
        if args.out is not None:
            args.out.write_text(json.dumps(results, indent=1) + "\n")
        print(chosen.table(results))
    else:
        print(table(run(args.repeats, args.seconds, args.out, args.device)))
    return 0
